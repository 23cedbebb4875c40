# SPDX-License-Identifier: Apache-2.0
"""Side W's switch between the signal lanes of all rows, and to the host's mailbox."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import HOST_PLACE
from hw.grid.signal_flits import message_layout, received_layout, sent_layout
from hw.grid.spare_row import ROW_BITS, lane_of_row, row_of_lane
from hw.net.crosspoint import CrosspointSwitch

__all__ = ["SignalSwitch"]


class SignalSwitch(wiring.Component):
    """Carries each signal from its sender's row to that of the element that is meant, or to the
    host.

    Operation: rows and columns in a signal are of the grid that is used; lanes are of rows of
    tiles. HOST_PLACE is the host. A signal for a row that is not there would wait for ever:
    `SignalGuard` lets none out.

    Timing: see `CrosspointSwitch`.

    Parameters
    ----------
    rows : rows that are used.
    n_positions : positions of a mask.
    has_spare_row : whether there is one row of tiles more.

    Members
    -------
    up : In(stream.Signature(sent_layout())).array(rows of tiles).
    down : Out(stream.Signature(received_layout(n_positions))).array(rows of tiles).
    host : Out(stream.Signature(message_layout())), must always be ready, or elements would wait.
    left_out : In(4), row of tiles that is left out; only if `has_spare_row`.
    """

    latency = CrosspointSwitch.latency

    def __init__(self, *, rows: int, n_positions: int, has_spare_row: bool = False) -> None:
        self.rows, self.n_positions, self.has_spare_row = rows, n_positions, has_spare_row
        self._n_lanes = rows + has_spare_row
        down = received_layout(n_positions)
        self._flit = data.StructLayout({**dict(down.members), "origin": 4, "row": 4})
        super().__init__(
            {
                "up": In(stream.Signature(sent_layout())).array(self._n_lanes),
                "down": Out(stream.Signature(down)).array(self._n_lanes),
                "host": Out(stream.Signature(message_layout())),
                **({"left_out": In(ROW_BITS)} if has_spare_row else {}),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left_out = self.left_out if self.has_spare_row else None
        m.submodules.switch = switch = CrosspointSwitch(
            shape=self._flit,
            n_inputs=self._n_lanes,
            n_outputs=self._n_lanes + 1,
        )
        for lane, (up, i, target) in enumerate(zip(self.up, switch.i, switch.target, strict=True)):
            for_host = Cat(up.payload.row, up.payload.column) == Cat(
                Const(at, 4) for at in HOST_PLACE
            )
            meant = lane_of_row(up.payload.row, rows=self.rows, left_out=left_out)
            m.d.comb += [
                i.valid.eq(up.valid),
                i.payload.counter.eq(up.payload.counter),
                i.payload.run.eq(up.payload.run),
                i.payload.mask.eq(1 << up.payload.column),
                i.payload.origin.eq(up.payload.origin),
                i.payload.row.eq(row_of_lane(lane, left_out=left_out)),
                target.eq(Mux(for_host, 1 << self._n_lanes, meant)),
                up.ready.eq(i.ready),
            ]
        for o, down in zip(switch.o, self.down, strict=False):
            m.d.comb += [
                down.valid.eq(o.valid),
                down.payload.eq(Value.cast(o.payload)[: Value.cast(down.payload).shape().width]),
                o.ready.eq(down.ready),
            ]
        told, host = switch.o[-1], self.host
        m.d.comb += [
            host.valid.eq(told.valid),
            host.payload.counter.eq(told.payload.counter),
            host.payload.column.eq(told.payload.origin),
            host.payload.row.eq(told.payload.row),
            told.ready.eq(host.ready),
        ]
        return m
