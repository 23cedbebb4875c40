# SPDX-License-Identifier: Apache-2.0
"""Notices that a job of a grid does not move."""

import itertools
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import N_JOBS

__all__ = ["Watchdog", "grid_hang_layout"]

_LIMIT_BITS = 32


def grid_hang_layout() -> data.StructLayout:
    """GRID_HANG."""
    return data.StructLayout({"row": 8, "column": 8, "nothing": 8, "job": 7, "valid": 1})


class Watchdog(wiring.Component):
    """Names an element of a job that does not move, whatever other jobs do.

    Operation: for each job cycles count in which it has elements and makes no progress; progress,
    its end and `restart` begin anew. When they reach `limit` the job hangs, until it ends or
    `restart`. `hang` names the first job that hangs of those in `wanted`, and of its elements the
    first, in the order of rows and then of columns, that has not completed. A limit of 0 is none.

    A job makes progress when one of its elements moves, or one of a job with which it has an
    element in common: it may wait for that one to leave the element. So does one that shares with
    a job that shares, and so on; a job that shares with none is on its own.

    Timing: a job hangs `limit` + 3 cycles after the last one with `moved`, `hang` says so 1 later;
    it follows `wanted` by 1 cycle.

    Parameters
    ----------
    rows, columns : the grid.

    Members
    -------
    limit : In(32). restart : In(1).
    works : In(rows * columns).array(N_JOBS), elements that work for each job, row by row.
    moved : In(rows * columns), elements that make progress.
    wanted : In(N_JOBS), jobs of which `hang` tells.
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
                "works": In(rows * columns).array(N_JOBS),
                "moved": In(rows * columns),
                "wanted": In(N_JOBS),
                "hang": Out(grid_hang_layout()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        active, moves, hung = Signal(N_JOBS), Signal(N_JOBS), Signal(N_JOBS)
        self._elaborate_moves(m, active, moves)
        for job in range(N_JOBS):
            quiet = Signal(_LIMIT_BITS, name=f"quiet{job}")
            with m.If(self.restart | moves[job] | ~active[job]):
                m.d.sync += quiet.eq(0)
            with m.Elif(~hung[job]):
                m.d.sync += quiet.eq(quiet + 1)
            with m.If(self.restart | ~active[job]):
                m.d.sync += hung[job].eq(0)
            with m.Elif((self.limit != 0) & (quiet == self.limit)):
                m.d.sync += hung[job].eq(1)
        self._elaborate_name(m, hung & self.wanted)
        return m

    def _elaborate_moves(self, m: Module, active: Signal, moves: Signal) -> None:
        """Jobs that have elements, and those that make progress, both 2 cycles late."""
        has, own = Signal(N_JOBS), Signal(N_JOBS)
        m.d.sync += [
            has.eq(Cat(bits.any() for bits in self.works)),
            own.eq(Cat((bits & self.moved).any() for bits in self.works)),
            active.eq(has),
        ]
        shares: dict[tuple[int, int], Signal] = {}
        for one, other in itertools.combinations(range(N_JOBS), 2):
            shares[one, other] = shares[other, one] = common = Signal(name=f"shares{one}{other}")
            m.d.sync += common.eq((self.works[one] & self.works[other]).any())
        spread: list[Value] = list(own)
        for _ in range(N_JOBS - 1):  # the most steps from one job to another
            spread = [
                Cat(
                    mine,
                    *(
                        spread[other] & common
                        for (one, other), common in shares.items()
                        if one == job
                    ),
                ).any()
                for job, mine in enumerate(spread)
            ]
        m.d.sync += moves.eq(Cat(spread))

    def _elaborate_name(self, m: Module, hung: Value) -> None:
        """The first job of those that hang, and the first of its elements."""
        job, works = Signal(range(N_JOBS)), Signal(self.rows * self.columns)
        row, column = Signal(8), Signal(8)
        for number in reversed(range(N_JOBS)):
            with m.If(hung[number]):
                m.d.comb += [job.eq(number), works.eq(self.works[number])]
        for place in reversed(range(self.rows * self.columns)):
            with m.If(works[place]):
                m.d.comb += [row.eq(place // self.columns), column.eq(place % self.columns)]
        m.d.sync += self.hang.eq(0)
        with m.If(works.any() & ~self.restart):  # a job that has just ended is no hang any more
            m.d.sync += [
                self.hang.row.eq(row),
                self.hang.column.eq(column),
                self.hang.job.eq(job),
                self.hang.valid.eq(1),
            ]
