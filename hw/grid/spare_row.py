# SPDX-License-Identifier: Apache-2.0
"""Rows of tiles, of which one is left out, and rows as software counts them.

A member with a spare row has one row of tiles more than it uses. Used row r is the r-th of the rows
of tiles that are left: row r above the one that is left out, row r + 1 from there on.
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.control_flits import access_layout, check_grid, report_layout

__all__ = ["ROW_BITS", "RowMap", "lane_of_row", "row_of_lane", "spread_rows", "used_rows"]

ROW_BITS = 4
"""Bits of a row's number."""


def used_rows(values: Sequence[Any], left_out: Value) -> list[Value]:
    """Of values by rows of tiles, those of the rows that are used."""
    return [
        Mux(left_out > row, here, below)
        for row, (here, below) in enumerate(zip(values, values[1:], strict=False))
    ]


def spread_rows(mask: Value, left_out: Value) -> Value:
    """A bit for each used row, as a bit for each row of tiles; 0 for the one that is left out."""
    bits = [*mask, 0]
    above = [0, *mask]
    return Cat(
        Mux(left_out == row, 0, Mux(left_out > row, bits[row], above[row]))
        for row in range(len(bits))
    )


def lane_of_row(row: Value, *, rows: int, left_out: Value | None) -> Value:
    """One-hot lane, of all rows of tiles, of a used row; without a spare row `left_out` is None."""
    one_hot = (Const(1) << row)[:rows]
    return one_hot if left_out is None else spread_rows(one_hot, left_out)


def row_of_lane(lane: int, *, left_out: Value | None) -> ValueLike:
    """The used row whose lane this is."""
    return lane if left_out is None or not lane else lane - (left_out < lane)


class RowMap(wiring.Component):
    """Leads the control lanes of used rows to the rows of tiles.

    Operation: the lanes of a used row are those of its row of tiles. The row that is left out gets
    no access, and whatever it says disappears.

    Timing: combinational.

    Parameters
    ----------
    rows : used rows; there is one more of tiles.
    n_positions : positions of a mask.

    Members
    -------
    left_out : In(4), the row of tiles that is left out; steady while a read is under way.
    used_down : In(stream.Signature(access_layout(n_positions))).array(rows), see `GridControl`.
    used_up : Out(stream.Signature(report_layout(n_positions))).array(rows).
    used_moved : Out(n_positions).array(rows), who moves in each row.
    down, up, moved : Out, In, In, the same of all rows of tiles.

    Raises: ValueError for a grid or positions that are out of range.
    """

    def __init__(self, *, rows: int, n_positions: int) -> None:
        check_grid("RowMap", rows=rows + 1, columns=1, n_positions=n_positions)
        self.rows = rows
        access = stream.Signature(access_layout(n_positions))
        report = stream.Signature(report_layout(n_positions))
        super().__init__(
            {
                "left_out": In(ROW_BITS),
                "used_down": In(access).array(rows),
                "used_up": Out(report).array(rows),
                "used_moved": Out(n_positions).array(rows),
                "down": Out(access).array(rows + 1),
                "up": In(report).array(rows + 1),
                "moved": In(n_positions).array(rows + 1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        moved = used_rows(list(self.moved), self.left_out)
        m.d.comb += [mine.eq(theirs) for mine, theirs in zip(self.used_moved, moved, strict=True)]
        m.d.comb += [up.ready.eq(1) for up in self.up]  # unless a used row says otherwise
        for row in range(self.rows):
            with m.If(self.left_out > row):
                self._connect(m, row, row)
            with m.Else():
                self._connect(m, row, row + 1)
        return m

    def _connect(self, m: Module, used: int, row: int) -> None:
        """A used row has this row of tiles."""
        for source, target in (
            (self.used_down[used], self.down[row]),
            (self.up[row], self.used_up[used]),
        ):
            m.d.comb += [
                target.valid.eq(source.valid),
                target.payload.eq(source.payload),
                source.ready.eq(target.ready),
            ]
