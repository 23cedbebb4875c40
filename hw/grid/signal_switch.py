# SPDX-License-Identifier: Apache-2.0
"""Side W's switch between the signal lanes of all rows."""

from typing import Any

from amaranth.hdl import Const, Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.signal_flits import received_layout, sent_layout
from hw.grid.spare_row import ROW_BITS, spread_rows
from hw.net.crosspoint import CrosspointSwitch

__all__ = ["SignalSwitch"]


class SignalSwitch(wiring.Component):
    """Carries each signal from its sender's row to that of the element that is meant.

    Operation: rows and columns in a signal are of the grid that is used; lanes are of rows of
    tiles. A signal for a row that is not there would wait for ever: `SignalGuard` lets none out.

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
    left_out : In(4), row of tiles that is left out; only if `has_spare_row`.
    """

    latency = CrosspointSwitch.latency

    def __init__(self, *, rows: int, n_positions: int, has_spare_row: bool = False) -> None:
        self.rows, self.n_positions, self.has_spare_row = rows, n_positions, has_spare_row
        self._n_lanes = rows + has_spare_row
        super().__init__(
            {
                "up": In(stream.Signature(sent_layout())).array(self._n_lanes),
                "down": Out(stream.Signature(received_layout(n_positions))).array(self._n_lanes),
                **({"left_out": In(ROW_BITS)} if has_spare_row else {}),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.switch = switch = CrosspointSwitch(
            shape=received_layout(self.n_positions),
            n_inputs=self._n_lanes,
            n_outputs=self._n_lanes,
        )
        for up, i, target in zip(self.up, switch.i, switch.target, strict=True):
            m.d.comb += [
                i.valid.eq(up.valid),
                i.payload.counter.eq(up.payload.counter),
                i.payload.run.eq(up.payload.run),
                i.payload.mask.eq(1 << up.payload.column),
                target.eq(self._lane((Const(1) << up.payload.row)[: self.rows])),
                up.ready.eq(i.ready),
            ]
        for o, down in zip(switch.o, self.down, strict=True):
            wiring.connect(m, o, wiring.flipped(down))
        return m

    def _lane(self, row: Value) -> Value:
        """Of a used row, one-hot, its lane."""
        return spread_rows(row, self.left_out) if self.has_spare_row else row
