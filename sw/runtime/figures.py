# SPDX-License-Identifier: Apache-2.0
"""Performance figures of a GEMM from the hardware's counters; None where a device has no time."""

from typing import Any

from hw.config import ChipConfig
from sw.kernels.gemm import GemmPlan
from sw.runtime.chip import JobResult

__all__ = ["gemm_figures"]

Counters = dict[str, int | None] | dict[str, int]


def gemm_figures(
    config: ChipConfig, plan: GemmPlan, job: JobResult, counters: Counters
) -> dict[str, Any]:
    """Performance figures of one job."""
    problem = plan.problem
    peak = config.pe.dpe.macs_per_cycle(problem.element_bytes)
    return {
        "cycles": job.cycles,
        "harness_cycles": job.harness_cycles,
        "macs": problem.macs,
        "peak_macs_per_cycle": peak,
        "utilisation": None if job.cycles is None else problem.macs / (job.cycles * peak),
        "dpe_utilisation": _engine_utilisation(counters, problem.macs, peak),
        "bytes": _traffic(config, counters),
        "commands": _commands(plan, counters),
        "counters": counters,
    }


def _engine_utilisation(counters: Counters, macs: int, peak: int) -> float | None:
    """Of the cycles between first and last work of the dot-product engine."""
    span = 0
    for name, value in counters.items():
        if name.startswith(("dpe.busy", "dpe.wait_")):
            if value is None:
                return None
            span += value
    return macs / (max(span, 1) * peak)


def _traffic(config: ChipConfig, counters: Counters) -> dict[str, int | None]:
    link = config.pe.link_bytes

    def lines(name: str) -> int | None:
        count = counters[name]
        return None if count is None else count * link

    return {
        "sram_read": lines("sram.read_lines"),
        "sram_write": lines("sram.write_lines"),
        "dram_read": counters["dram.read_bytes"],
        "dram_write": counters["dram.write_bytes"],
        "link_in": lines("fi.read_lines"),
        "link_out": lines("fi.write_lines"),
        "landed": counters["fi.read_bytes"],
        "stored": counters["fi.write_bytes"],
    }


def _commands(plan: GemmPlan, counters: Counters) -> dict[str, Any]:
    issued, busy = counters["cp.commands"], counters["dpe.busy"]
    rate = None if issued is None or busy is None else 1000 * issued / max(busy, 1)
    return {
        "issued": issued,
        "short": counters["cp.short_commands"],
        "in_list": plan.commands.n_long + plan.commands.n_short,
        "per_1000_busy_dpe_cycles": rate,
    }
