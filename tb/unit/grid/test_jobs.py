# SPDX-License-Identifier: Apache-2.0
"""Which elements work for which job: random starts and reports against sets in Python."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.arch.csr import N_JOBS
from hw.grid.control_flits import Report
from hw.grid.element_control import JOBS_QUEUED
from hw.grid.jobs import START_JOB_BITS, GridJobs
from tb.common.seeds import python_rng

CYCLES = 2000


class Model:
    """Sets of places per job, and queues of jobs per element."""

    def __init__(self) -> None:
        self.works: list[set[tuple[int, int]]] = [set() for _ in range(N_JOBS)]
        self.done = self.failed = 0
        self.error: tuple[int, int, int, int] | None = None

    def may_start(self, places: set[tuple[int, int]], job: int) -> bool:
        """Whether there is such a job, and no element is full or still works for it."""
        if job >= N_JOBS:
            return False
        loads = [sum(place in work for work in self.works) for place in places]
        return bool(places) and not places & self.works[job] and max(loads) < JOBS_QUEUED


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 2), (1, 4)])
def test_jobs_end_when_their_last_element_reports(rows: int, columns: int) -> None:
    """Would break if a report cleared another's bit, or a refused start counted."""
    jobs = GridJobs(rows=rows, columns=columns, n_positions=max(rows, columns, 2))
    rng, model = python_rng(f"jobs {rows} {columns}"), Model()
    n_done = n_refused = 0

    async def bench(context: Any) -> None:
        nonlocal n_done, n_refused
        for _ in range(CYCLES):
            told = report_all(context, jobs, model, rng, rows)
            row_mask, column_mask = rng.randrange(1 << rows), rng.randrange(1 << columns)
            # One start in eight is for a job that is not there, of a number that differs in a bit.
            job, go = rng.randrange(N_JOBS), rng.random() < 0.3
            if rng.random() < 1 / 8:
                job |= 1 << rng.randrange(N_JOBS.bit_length() - 1, START_JOB_BITS)
            context.set(jobs.start.rows, row_mask)
            context.set(jobs.start.columns, column_mask)
            context.set(jobs.start.job, job)
            context.set(jobs.go, go)
            places = {
                (row, column)
                for row in range(rows)
                for column in range(columns)
                if row_mask >> row & 1 and column_mask >> column & 1
            }
            may = model.may_start(places, job)
            assert bool(context.get(jobs.may_start)) == may
            idle = not any(model.works)
            await context.tick()
            if go:
                assert bool(context.get(jobs.refused)) != may
            n_refused += go and bool(places) and not may
            for number, place in told:
                model.works[number].discard(place)
                if not model.works[number]:
                    model.done |= 1 << number
                    n_done += 1
            if go and may:
                model.works[job] |= places
                model.done &= ~(1 << job)
                model.failed &= ~(1 << job)
                if idle:
                    model.error = None
            assert [context.get(pending) for pending in jobs.pending] == [
                len(work) for work in model.works
            ]
            assert context.get(jobs.done) == model.done
            assert context.get(jobs.failed) == model.failed
            error = context.get(jobs.error)
            assert error.valid == (model.error is not None)
            if model.error is not None:
                assert (error.row, error.column, error.cause, error.job) == model.error

    simulator = Simulator(jobs)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert n_done > 20 and n_refused > 20


def report_all(
    context: Any, jobs: GridJobs, model: Model, rng: Any, rows: int
) -> list[tuple[int, tuple[int, int]]]:
    """Let some elements report the end of a job, at most one in each row; answers in between."""
    told = []
    first_error = None
    for row in range(rows):
        working = [
            (number, place)
            for number, work in enumerate(model.works)
            for place in sorted(work)
            if place[0] == row
        ]
        report, payload = jobs.reports[row], jobs.reports[row].payload
        ends = bool(working) and rng.random() < 0.2
        context.set(report.valid, ends or rng.random() < 0.3)
        context.set(payload.kind, Report.ENDED if ends else Report.ANSWER)
        if not ends:
            continue
        number, place = rng.choice(working)
        failed, cause = rng.random() < 0.2, rng.randrange(1, 256)
        for name, value in (
            ("position", place[1]), ("job", number), ("failed", failed), ("data", cause),
        ):  # fmt: skip
            context.set(payload[name], value)
        model.failed |= failed << number
        if failed and first_error is None:
            first_error = (*place, cause, number)
        told.append((number, place))
    if model.error is None:
        model.error = first_error
    return told


def test_cycles_count_from_start_to_the_last_report() -> None:
    """Would break if the host's figure missed a cycle: 2 elements, reports after 10 and 25."""
    jobs = GridJobs(rows=1, columns=2, n_positions=2)

    async def bench(context: Any) -> None:
        context.set(jobs.start.rows, 1)
        context.set(jobs.start.columns, 3)
        context.set(jobs.go, 1)
        await context.tick()
        context.set(jobs.go, 0)
        report, payload = jobs.reports[0], jobs.reports[0].payload
        context.set(payload.kind, Report.ENDED)
        for cycle in range(1, 40):
            context.set(report.valid, cycle in (10, 25))
            context.set(payload.position, cycle == 25)
            await context.tick()
        assert context.get(jobs.cycles[0]) == 25
        assert context.get(jobs.done) == 1

    simulator = Simulator(jobs)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
