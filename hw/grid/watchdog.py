# SPDX-License-Identifier: Apache-2.0
"""Notices that a grid has work and does not move."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog", "grid_hang_layout"]

_LIMIT_BITS = 32


def grid_hang_layout() -> data.StructLayout:
    """GRID_HANG."""
    return data.StructLayout({"row": 8, "column": 8, "nothing": 15, "valid": 1})


class Watchdog(wiring.Component):
    """Names an element that has not completed when nothing has moved for some time.

    Operation: cycles count in which some element has a job and none makes progress; progress, an
    idle grid and `restart` begin anew. When they reach `limit`, `hang` keeps the first element, in
    the order of rows and then of columns, that has a job, until `restart`. A limit of 0 is none.

    Timing: `hang` follows the last cycle with `moved` by `limit` + 1 cycles.

    Parameters
    ----------
    rows, columns : the grid.

    Members
    -------
    limit : In(32). restart : In(1).
    works : In(rows * columns), elements that have a job, row by row. moved : In(1), progress.
    hang : Out(grid_hang_layout()).

    Raises: ValueError when there is no element.
    """

    def __init__(self, *, rows: int, columns: int) -> None:
        if rows < 1 or columns < 1:
            raise ValueError(f"Watchdog needs an element, not {rows!r} rows x {columns!r} columns.")
        self.rows, self.columns = rows, columns
        super().__init__(
            {
                "limit": In(_LIMIT_BITS),
                "restart": In(1),
                "works": In(rows * columns),
                "moved": In(1),
                "hang": Out(grid_hang_layout()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        quiet = Signal(_LIMIT_BITS)
        row, column = Signal(8), Signal(8)  # of the first element that works
        for place in reversed(range(self.rows * self.columns)):
            with m.If(self.works[place]):
                m.d.comb += [row.eq(place // self.columns), column.eq(place % self.columns)]
        with m.If(self.restart | self.moved | ~self.works.any()):
            m.d.sync += quiet.eq(0)
        with m.Elif(~self.hang.valid):
            m.d.sync += quiet.eq(quiet + 1)
        with m.If(self.restart):
            m.d.sync += self.hang.eq(0)
        with m.Elif(self.works.any() & (self.limit != 0) & (quiet == self.limit)):
            with m.If(~self.hang.valid):
                m.d.sync += [
                    self.hang.row.eq(row),
                    self.hang.column.eq(column),
                    self.hang.valid.eq(1),
                ]
        return m
