# SPDX-License-Identifier: Apache-2.0
"""Which elements work for which job of a grid, and since when."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import N_JOBS
from hw.grid.control_flits import Report, check_grid, report_layout
from hw.grid.element_control import JOBS_QUEUED

__all__ = ["START_JOB_BITS", "GridJobs", "grid_error_layout", "grid_start_layout"]

START_JOB_BITS = 24
"""Bits of a job's number in JOB_START."""
_CYCLE_BITS = 48


def grid_start_layout(rows: int, columns: int) -> data.StructLayout:
    """A job and the elements that are to run it; `job` is what the host wrote, any number."""
    return data.StructLayout({"rows": rows, "columns": columns, "job": START_JOB_BITS})


def grid_error_layout() -> data.StructLayout:
    """GRID_ERROR."""
    return data.StructLayout({"row": 8, "column": 8, "cause": 8, "job": 7, "valid": 1})


class GridJobs(wiring.Component):
    """Keeps a bit for each job and element.

    Operation: a `start` sets the bits of its elements; an element's report of the job's end clears
    its own. A job is done when it has none left. `may_start` is low when there is no job of that
    number, when no element is selected, or when one has `JOBS_QUEUED` jobs already or still works
    for a job of that number: then nothing must be started. The first failure since all was done is
    kept.

    Timing: `done` and the counts follow a report by 1 cycle. `cycles` counts from the cycle after
    the start to that in which the last report arrives.

    Parameters
    ----------
    rows, columns : the grid.
    n_positions : positions of a report.

    Members
    -------
    start : In(grid_start_layout). may_start : Out(1), for it. go : In(1), start it.
    reports : In(stream.Signature(report_layout)).array(rows), always ready.
    pending : Out(9).array(N_JOBS), elements that still work.
    works : Out(rows * columns).array(N_JOBS), elements that work for each job, row by row.
    cycles : Out(48).array(N_JOBS).
    done, failed : Out(N_JOBS), jobs that ended, that failed somewhere, since they were started.
    refused : Out(1), the last `go` started nothing.
    error : Out(grid_error_layout()).

    Raises: ValueError for a grid or positions that are out of range.
    """

    def __init__(self, *, rows: int, columns: int, n_positions: int) -> None:
        check_grid("GridJobs", rows=rows, columns=columns, n_positions=n_positions)
        self.rows, self.columns = rows, columns
        report = stream.Signature(report_layout(n_positions), always_ready=True)
        super().__init__(
            {
                "start": In(grid_start_layout(rows, columns)),
                "may_start": Out(1),
                "go": In(1),
                "reports": In(report).array(rows),
                "pending": Out(9).array(N_JOBS),
                "works": Out(rows * columns).array(N_JOBS),
                "cycles": Out(_CYCLE_BITS).array(N_JOBS),
                "done": Out(N_JOBS),
                "failed": Out(N_JOBS),
                "refused": Out(1),
                "error": Out(grid_error_layout()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        n_elements = self.rows * self.columns
        works = list(self.works)
        wanted, starts = Signal(n_elements), Signal()
        number = self.start.job[: (N_JOBS - 1).bit_length()]
        row_masks = [
            Mux(self.start.rows[row], self.start.columns, 0)[: self.columns]
            for row in range(self.rows)
        ]
        full = Cat(sum(bits[at] for bits in works) >= JOBS_QUEUED for at in range(n_elements))
        m.d.comb += [
            wanted.eq(Cat(row_masks)),
            self.may_start.eq(
                (self.start.job < N_JOBS)
                & wanted.any()
                & ~(wanted & (full | Array(works)[number])).any()
            ),
            starts.eq(self.go & self.may_start),
        ]
        with m.If(self.go):
            m.d.sync += self.refused.eq(~self.may_start)
        for job, bits in enumerate(works):
            self._elaborate_job(m, job, bits, Mux(starts & (self.start.job == job), wanted, 0))
        self._elaborate_error(m, works, starts)
        return m

    def _elaborate_job(self, m: Module, job: int, bits: Signal, added: Any) -> None:
        """The elements of one job."""
        ended, fails = Signal(len(bits), name=f"ended{job}"), Signal(self.rows, name=f"fails{job}")
        for row, report in enumerate(self.reports):
            told = report.payload
            mine = report.valid & (told.kind == Report.ENDED) & (told.job == job)
            place = ended[row * self.columns : (row + 1) * self.columns]
            m.d.comb += [place.eq(mine << told.position), fails[row].eq(mine & told.failed)]
        m.d.sync += bits.eq((bits & ~ended) | added)
        # Row by row: a sum over all would be wider than what simulates well.
        rows = [bits[low : low + self.columns] for low in range(0, len(bits), self.columns)]
        m.d.comb += self.pending[job].eq(sum(sum(bit for bit in row) for row in rows))
        with m.If(fails.any()):
            m.d.sync += self.failed[job].eq(1)
        with m.If(added.any()):
            m.d.sync += [self.done[job].eq(0), self.failed[job].eq(0), self.cycles[job].eq(0)]
        with m.Elif(bits.any()):
            m.d.sync += self.cycles[job].eq(self.cycles[job] + 1)
            with m.If(bits == ended):
                m.d.sync += self.done[job].eq(1)

    def _elaborate_error(self, m: Module, works: list[Signal], starts: Signal) -> None:
        """The first failure, that of the uppermost row if there are several at once."""
        error = self.error
        for row, report in reversed(list(enumerate(self.reports))):
            told = report.payload
            with m.If(report.valid & (told.kind == Report.ENDED) & told.failed & ~error.valid):
                m.d.sync += [
                    error.valid.eq(1),
                    error.row.eq(row),
                    error.column.eq(told.position),
                    error.cause.eq(told.data),
                    error.job.eq(told.job),
                ]
        with m.If(starts & ~Cat(works).any()):
            m.d.sync += error.eq(0)
