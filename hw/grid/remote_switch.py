# SPDX-License-Identifier: Apache-2.0
"""Side W's switches between the lanes of accesses to local memories, and those of their answers."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import HOST_PLACE
from hw.grid.remote_flits import from_side, to_side
from hw.grid.spare_row import ROW_BITS, lane_of_row
from hw.net.crosspoint import CrosspointSwitch

__all__ = ["RemoteSwitch"]


class RemoteSwitch(wiring.Component):
    """Carries each flit to the row of the place that it is for. The host asks, or is answered.

    Operation: places are of elements that are used, lanes of rows of tiles. A flit for a row that
    is not there would wait for ever: taps let none out.

    Timing: see `CrosspointSwitch`.

    Parameters
    ----------
    flit : what is carried.
    rows : rows that are used.
    n_positions : positions of a mask.
    host_asks : whether flits come from the host; if not, those for HOST_PLACE go there.
    has_spare_row : whether there is one row of tiles more.

    Members
    -------
    up : In(stream.Signature(to_side(flit))).array(rows of tiles).
    down : Out(stream.Signature(from_side(flit, n_positions))).array(rows of tiles).
    host : In(stream.Signature(to_side(flit))) if it asks, else Out(stream.Signature(flit)).
    left_out : In(4), row of tiles that is left out; only if `has_spare_row`.
    """

    latency = CrosspointSwitch.latency

    def __init__(
        self,
        *,
        flit: data.StructLayout,
        rows: int,
        n_positions: int,
        host_asks: bool,
        has_spare_row: bool = False,
    ) -> None:
        self.rows, self.host_asks, self.has_spare_row = rows, host_asks, has_spare_row
        self._n_lanes = rows + has_spare_row
        self._down = from_side(flit, n_positions)
        up = stream.Signature(to_side(flit))
        super().__init__(
            {
                "up": In(up).array(self._n_lanes),
                "down": Out(stream.Signature(self._down)).array(self._n_lanes),
                "host": In(up) if host_asks else Out(stream.Signature(flit)),
                **({"left_out": In(ROW_BITS)} if has_spare_row else {}),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left_out = self.left_out if self.has_spare_row else None
        sources = [*self.up, self.host] if self.host_asks else list(self.up)
        m.submodules.switch = switch = CrosspointSwitch(
            shape=self._down,
            n_inputs=len(sources),
            n_outputs=self._n_lanes + (not self.host_asks),
        )
        for source, i, target in zip(sources, switch.i, switch.target, strict=True):
            to = source.payload.to
            lanes = lane_of_row(to.row, rows=self.rows, left_out=left_out)
            if not self.host_asks:
                host = Cat(Const(at, 4) for at in HOST_PLACE)
                lanes = Mux(Value.cast(to) == host, 1 << self._n_lanes, lanes)
            m.d.comb += [
                i.valid.eq(source.valid),
                i.payload.flit.eq(source.payload.flit),
                i.payload.mask.eq(1 << to.column),
                target.eq(lanes),
                source.ready.eq(i.ready),
            ]
        for o, down in zip(switch.o, self.down, strict=False):
            wiring.connect(m, o, wiring.flipped(down))
        if not self.host_asks:
            told = switch.o[self._n_lanes]
            m.d.comb += [
                self.host.valid.eq(told.valid),
                self.host.payload.eq(told.payload.flit),
                told.ready.eq(self.host.ready),
            ]
        return m
