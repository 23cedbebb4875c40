# SPDX-License-Identifier: Apache-2.0
"""A product as `mtia gemm` runs it: on one element or on the grid, timed, recorded if wanted."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from hw.config import ChipConfig
from sim.waves import write_save_file
from sw.cli.building import build_teller
from sw.kernels.gemm import GemmProblem
from sw.report.activity import ActivityLog
from sw.report.lanes import LINK_COUNTERS
from sw.report.record import PAGE_COUNTERS, RunRecord
from sw.runtime.chip import Chip
from sw.runtime.device import DeviceName, open_device, open_grid
from sw.runtime.gemm import GemmJob, GemmRun, run_gemm
from sw.runtime.grid import Grid
from sw.runtime.grid_gemm import GridGemm, run_grid_gemm
from sw.runtime.simulated import Waves
from sw.runtime.tracing import GridTrace, recorded
from sw.runtime.traffic import read_traffic

__all__ = ["OnElement", "OnGrid", "run_task"]


@dataclasses.dataclass(frozen=True)
class OnElement:
    """A product on one element."""

    member: ChipConfig
    device: DeviceName
    job: GemmJob
    waves: Waves | None
    trace: Path | None
    report: bool
    """Whether somebody wants a record of the run."""
    n_elements: ClassVar = 1

    @property
    def problem(self) -> GemmProblem:
        """The whole product."""
        return self.job.plan.problem

    def open(self, say: Callable[[str], None]) -> Chip:
        """The device."""
        return open_device(self.device, self.member, waves=self.waves, progress=say)

    def run(
        self, chip: Chip, stall_limit: int, show: Callable[[int], None]
    ) -> tuple[GemmRun, RunRecord | None]:
        """Run, and record."""
        log = ActivityLog(self.member.name, n_elements=1) if self.report else None
        with recorded(chip, self.trace, log):
            run = run_gemm(chip, self.job, stall_limit=stall_limit, progress=show)
        if log is None:
            return run, None
        counters = {(0, 0): run.perf["counters"]}
        return run, RunRecord(self.member, run.perf, counters, log.activity(), is_grid=False)


@dataclasses.dataclass(frozen=True)
class OnGrid:
    """A product on all elements."""

    member: ChipConfig
    job: GridGemm
    waves: Waves | None
    counters: bool
    """Whether somebody wants all performance counters of the elements."""
    threads: int
    """That clock the simulated tiles."""
    trace: Path | None
    grid_trace: GridTrace
    report: bool
    """Whether somebody wants a record of the run."""
    left_out_row: int | None = None
    """Row of tiles that is left out."""
    cache_ways: int = 0
    """Ways of each slice that are cache of DRAM."""

    @property
    def n_elements(self) -> int:
        """Elements that could work."""
        return self.member.n_pes

    @property
    def problem(self) -> GemmProblem:
        """The whole product."""
        return self.job.problem

    def open(self, say: Callable[[str], None]) -> Grid:
        """The device."""
        grid = open_grid(
            self.member,
            waves=self.waves,
            threads=self.threads,
            left_out_row=self.left_out_row,
            progress=say,
        )
        if self.cache_ways:
            grid.set_cache_ways(self.cache_ways)
        return grid

    def run(
        self, chip: Grid, stall_limit: int, show: Callable[[int], None]
    ) -> tuple[GemmRun, RunRecord | None]:
        """Run, and record."""
        size = self.n_elements
        log = ActivityLog(self.member.name, n_elements=size) if self.report else None
        with recorded(chip, self.trace, log, self.grid_trace):
            run = run_grid_gemm(
                chip, self.job, stall_limit=stall_limit, progress=show, counters=self.counters
            )
        if self.member.spare_rows:
            run.perf["left_out_row"] = chip.left_out_row
        if self.member.sram.cache_ways:
            run.perf["cache_ways"] = self.cache_ways
        if log is None:
            return run, None
        # All counters of 64 elements take longer to read than most products.
        names = None if self.counters else PAGE_COUNTERS
        counters = {place: chip.element(place).counters(names) for place in self.job.plans}
        links = None if self.counters else LINK_COUNTERS
        traffic = read_traffic(chip, self.job.plans, links)
        activity = log.activity()
        return run, RunRecord(self.member, run.perf, counters, activity, True, traffic)


def run_task(
    console: Console, task: OnElement | OnGrid, stall_limit: int
) -> tuple[GemmRun, dict[str, Any], RunRecord | None]:
    """Open the device, run, and time it: the run, figures of the simulation, the record."""
    problem, waves = task.problem, task.waves
    peak = task.n_elements * task.member.pe.dpe.macs_per_cycle(problem.element_bytes)
    floor = max(problem.macs // peak, 1)
    with console.status("starting ...") as status:
        chip: Any = task.open(build_teller(console, task.member.name, status.update))
        start, began = time.monotonic(), chip.port.cycles

        def show(cycles: int) -> None:
            rate = (chip.port.cycles - began) / max(time.monotonic() - start, 1e-9) / 1000
            share = min(100 * cycles / floor, 99)
            status.update(f"{cycles:,} cycles, about {share:.0f} % ({rate:.0f} kHz)")

        try:
            status.update("running ...")
            run, record = task.run(chip, stall_limit, show)
        finally:
            cycles, elapsed = chip.port.cycles - began, time.monotonic() - start
            chip.port.close()
            if waves is not None and waves.path.is_file():  # also of a run that failed
                console.print(f"{waves.path} {write_save_file(waves.path)}")
    has_time = run.job.cycles is not None
    extra = {
        "simulated_khz": cycles / elapsed / 1000 if has_time else None,
        "simulation_seconds": elapsed,
        "simulated_cycles": cycles if has_time else None,
        **chip.build,
    }
    return run, extra, record
