# SPDX-License-Identifier: Apache-2.0
"""What the project asks of a member's grid, row by row of `grid_bench.py`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hw.arch.formats import Format
from hw.config import get_config
from scripts.grid_products import SETS, Product, roof_cycles

__all__ = ["EMPTY_JOB", "NO_GOAL", "SPEEDS", "Goal", "gather_name", "goal_of", "missed"]

EMPTY_JOB = "empty job"
SPEEDS = {"INT8": 0.5, "FP16": 0.25}
"""Thousand cycles that a second of simulation is asked to do; told, not judged, since timings
depend on what else the machine does."""
_JUDGED = "mtia100"
"""The member that goals are stated for."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Limits of one row; None where there is none."""

    of_peak: float | None = None
    """Share of all multipliers of its format, in per cent, at least."""
    of_roof: float | None = None
    """Share of the lower roof of multipliers and memories, in per cent, at least."""
    of_bandwidth: float | None = None
    """Share of what SRAM can carry, in per cent, at least."""
    cycles: int | None = None
    """At most."""


NO_GOAL = Goal()

_PRODUCTS = {
    Product(2048, 2048, 2048): Goal(of_peak=95.0),
    Product(2048, 2048, 2048, Format.FP16): Goal(of_peak=95.0),
    Product(2048, 2048, 2048, Format.BF16): Goal(of_peak=95.0),
    Product(512, 512, 512, out=Format.INT8): Goal(of_peak=75.0),
    Product(512, 512, 512): Goal(of_peak=65.0),
    Product(512, 2048, 26592, where="weights"): Goal(of_peak=90.0),
    # DRAM's bandwidth is the roof of this one.
    Product(64, 4096, 4096, out=Format.INT8, where="weights"): Goal(of_roof=90.0),
}
_BY_ROOF = ("skinny", "dlrm", "awkward")
"""Sets whose products are asked for a share of their roof, by its length."""
_LONG, _SHORT = (5000, Goal(of_roof=85.0)), (1000, Goal(of_roof=60.0))
_GATHERS = (128, 256)
"""Bytes of rows that are asked for nine tenths of SRAM's bandwidth, as all longer ones."""


def gather_name(row_bytes: int) -> str:
    """Name of a row of gathers."""
    return f"gather of {row_bytes} B rows"


def goal_of(member: str, name: str) -> Goal:
    """What is asked of a row of an unchanged member."""
    return _goals().get(name, NO_GOAL) if member == _JUDGED else NO_GOAL


def missed(member: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """A sentence for each goal that a row misses, given its name and figures."""
    return [words for name, perf in rows for words in _missed(name, perf, goal_of(member, name))]


def _missed(name: str, perf: dict[str, Any], goal: Goal) -> list[str]:
    """Those of one row."""
    found = []
    if goal.cycles is not None and perf["cycles"] > goal.cycles:
        found.append(f"{name} took {perf['cycles']:,} cycles; the goal is {goal.cycles:,}.")
    roof = 100 * perf.get("roof_cycles", 0) / perf["cycles"]
    for what, asked, reached in (
        ("peak", goal.of_peak, 100 * perf.get("utilisation", 0)),
        ("its roof", goal.of_roof, roof),
        ("SRAM's bandwidth", goal.of_bandwidth, roof),
    ):
        if asked is not None and reached < asked:
            found.append(f"{name} reached {reached:.1f} % of {what}; the goal is {asked:.0f} %.")
    return found


def _goals() -> dict[str, Goal]:
    """Of all rows, by name."""
    goals = {product.name: goal for product, goal in _PRODUCTS.items()}
    config = get_config(_JUDGED)
    for product in (product for name in _BY_ROOF for product in SETS[name]):
        roof = roof_cycles(config, product)
        for least, goal in (_SHORT, _LONG):
            if roof > least:
                goals[product.name] = goal
    goals |= {gather_name(row_bytes): Goal(of_bandwidth=90.0) for row_bytes in _GATHERS}
    return goals | {EMPTY_JOB: Goal(cycles=200)}
