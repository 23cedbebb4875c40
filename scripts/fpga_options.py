# SPDX-License-Identifier: Apache-2.0
"""What each optional feature of an FPGA member costs: the unit it is in, with and without it.

    python scripts/fpga_options.py                  every option of fpga, one seed
    python scripts/fpga_options.py --seeds 3 --json build/results/fpga_options.json

Each row is one `mtia synth --unit UNIT --set ... --compare`.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.fpga_table import Bench, run_table
from sw.synth.area import AREA_TITLES
from sw.synth.flow import unmodified
from sw.synth.report import Report

__all__ = ["OPTIONS", "Option", "main"]


@dataclass(frozen=True)
class Option:
    """One feature, and the unit that it makes larger or smaller."""

    title: str
    unit: str
    changes: tuple[str, ...]


OPTIONS = (
    Option("FP16 and BF16 products and accumulators", "dpe+re", ("pe.dpe.with_fp=true",)),
    Option("FP32 lanes", "se", ("pe.se.with_fp=true",)),
    Option(
        "FP32 lanes and table functions",
        "se",
        ("pe.se.with_fp=true", "pe.se.with_functions=true"),
    ),
    Option("scatter that adds", "fi", ("pe.fi.with_scatter_add=true",)),
    Option("minimum and maximum of a drained row at once", "re", ("pe.re.fast_minmax=true",)),
    Option("shared SRAM without ECC", "sram", ("sram.ecc=false",)),
    Option("local memory without parity", "ls", ("pe.ls.parity=false",)),
    Option("two columns of the tile in LUTs", "dpe", ("pe.dpe.lut_columns=2",)),
)
"""Rows of the table."""


def _measure(option: Option, bench: Bench) -> dict[str, Any]:
    """The two reports of one option, and their differences."""
    order = bench.order(option.unit, changes=option.changes)
    with_it = bench.run(order, title=option.title)
    without = bench.run(unmodified(order), title=f"without {option.title}")
    return {
        "option": option.title,
        "unit": option.unit,
        "changes": list(option.changes),
        "without": _figures(without),
        "with": _figures(with_it),
        "cost": (with_it.area - without.area).to_dict(),
    }


def _figures(report: Report) -> dict[str, Any]:
    mhz = None if report.runs is None else report.runs.median_mhz
    return {**report.area.to_dict(), "median_mhz": mhz, "faults": report.faults}


def _show(rows: list[dict[str, Any]], arguments: argparse.Namespace, console: Console) -> None:
    """The table."""
    title = f"cost of options of {arguments.config} on {arguments.target}, each alone"
    numbers = (*AREA_TITLES.values(), "MHz without", "with")
    table = Table("option", "unit", title=title, box=box.SIMPLE_HEAD)
    for heading in numbers:
        table.add_column(heading, justify="right")
    for row in rows:
        mhz = [row[name]["median_mhz"] for name in ("without", "with")]
        table.add_row(
            row["option"],
            row["unit"],
            *(f"{row['cost'][figure]:+,}" for figure in AREA_TITLES),
            *("-" if value is None else f"{value:.1f}" for value in mhz),
        )
    if not console.is_terminal:
        console.width = max(console.width, 150)
    console.print(table)


def main() -> int:
    """Command line."""
    return run_table(
        "fpga_options",
        "Cost of the options of an FPGA member.",
        lambda bench: [_measure(option, bench) for option in OPTIONS],
        _show,
        dict,
    )


if __name__ == "__main__":
    sys.exit(main())
