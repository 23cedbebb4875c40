# SPDX-License-Identifier: Apache-2.0
"""What rows of the grid's bench showed, as a table and in sentences."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.grid_goals import SPEEDS

__all__ = ["MODEL_TOLERANCE", "Result", "deviations", "show", "speeds"]

MODEL_TOLERANCE = 10.0
"""Per cent by which the model's cycles may differ from measured ones."""


@dataclass(frozen=True)
class Result:
    """What one row showed."""

    name: str
    is_exact: bool | None
    """None: there was nothing to compare."""
    perf: dict[str, Any]
    khz: float
    """Simulated cycles per millisecond while the job ran."""
    waits: dict[str, float] = field(default_factory=dict)
    """Shares of the job's cycles, mean of all elements, by what multipliers did or waited for."""

    @property
    def is_product(self) -> bool:
        """Whether the model says something about it."""
        return "expected_cycles" in self.perf

    @property
    def deviation(self) -> float:
        """Of a product: per cent by which the model is off."""
        return 100 * (self.perf["expected_cycles"] / self.perf["cycles"] - 1)


def show(title: str, results: Sequence[Result]) -> None:
    """Print the table."""
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("M x N x K", no_wrap=True)
    for head in ("bits", "cycles", "of peak", "of roof", "model", "K parts", "held", "kHz"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("multipliers, % of the job's cycles")
    for result in results:
        table.add_row(*_cells(result))
    console = Console()
    console.width = max(console.width, 150)
    console.print(table)


def _cells(result: Result) -> list[str]:
    """One row."""
    perf, is_product = result.perf, result.is_product
    waits = sorted(result.waits.items(), key=lambda item: -item[1])
    words = [f"{name.removeprefix('dpe.')} {100 * share:.1f}" for name, share in waits]
    if "first_cycles" in perf:
        words.append(f"{perf['first_cycles']:,} cycles the first time")
    return [
        result.name,
        {None: "", True: "exact", False: "[red]WRONG[/]"}[result.is_exact],
        f"{perf['cycles']:,}",
        f"{100 * perf['utilisation']:.1f} %" if is_product else "",
        f"{100 * perf['roof_cycles'] / perf['cycles']:.1f} %" if "roof_cycles" in perf else "",
        f"{result.deviation:+.0f} %" if is_product else "",
        str(perf.get("k_parts", "")),
        str(perf.get("held_blocks", "")),
        f"{result.khz:.2f}",
        ", ".join(words),
    ]


def deviations(results: Sequence[Result]) -> str:
    """A sentence about how far the model is from what was measured; empty without products."""
    products = [result for result in results if result.is_product]
    if not products:
        return ""
    worst = max(products, key=lambda result: abs(result.deviation))
    off = [result for result in products if abs(result.deviation) > MODEL_TOLERANCE]
    names = ", ".join(f"{result.name} ({result.deviation:+.1f} %)" for result in off)
    return f"The model is off by {worst.deviation:+.1f} % at the most, in {worst.name}; " + (
        f"by more than {MODEL_TOLERANCE:.0f} % in {names}." if off else "all rows are near."
    )


def speeds(results: Sequence[Result]) -> list[str]:
    """A sentence for each format whose speed with one thread the project asks for; nobody judges
    it. Where numbers of threads were compared, what one made; else the median of all products."""
    found = []
    for name, asked in SPEEDS.items():
        mine = [result for result in results if name in result.name]
        alone = [result.perf["khz"]["1"] for result in mine if "factor" in result.perf]
        rates = alone or [result.khz for result in mine if result.is_product]
        if rates:
            how = "with one thread" if alone else "(median)"
            found.append(
                f"{name} products ran at {statistics.median(rates):.2f} thousand cycles/s {how};"
                f" {asked} are asked for."
            )
    return found
