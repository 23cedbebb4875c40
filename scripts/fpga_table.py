# SPDX-License-Identifier: Apache-2.0
"""What the scripts that measure FPGA members in a table have in common."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hw.config import ConfigError, get_config
from hw.fpga.devices import DEFAULT_DEVICE, get_device
from sw.cli.files import check_outputs
from sw.errors import UserError
from sw.files import write_atomic
from sw.synth.flow import run_flow
from sw.synth.order import Order
from sw.synth.report import Report

__all__ = ["Bench", "run_table"]

Row = TypeVar("Row")


class Bench:
    """Runs the flow as the command line says, and keeps what is wrong with any run."""

    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self.arguments, self.console = arguments, console
        self.faults: list[str] = []

    def order(
        self, unit: str, *, changes: tuple[str, ...] = (), aim_mhz: float | None = None
    ) -> Order:
        """What the flow is asked for one unit."""
        return Order(
            member=get_config(self.arguments.config),
            device=get_device(self.arguments.target),
            unit=unit,
            changes=changes,
            seeds=self.arguments.seeds,
            aim_mhz=aim_mhz,
            jobs=self.arguments.jobs,
            with_placement=not self.arguments.no_place,
            with_picture=False,
        )

    def run(self, order: Order, *, title: str) -> Report:
        """The report of an order; faults go by the row's `title`."""
        report = run_flow(order, self.console)
        self.faults += [f"{title}: {fault}" for fault in report.faults]
        if report.netlist is None:
            raise UserError(f"{title}: {report.faults[0]}")
        return report


def run_table(
    name: str,
    description: str,
    measure: Callable[[Bench], list[Row]],
    show: Callable[[list[Row], argparse.Namespace, Console], None],
    to_json: Callable[[Row], dict[str, Any]],
) -> int:
    """Measure all rows, show them, and write them where `--json` says; returns the exit code.

    Wrong input ends the script `name` with one sentence and code 1. What the flow finds wrong with
    a row ends it so, too, behind the table.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", default="fpga")
    parser.add_argument("--target", default=DEFAULT_DEVICE)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--no-place", action="store_true", help="areas alone, in a fraction of the time"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    bench = Bench(arguments, Console())
    try:
        _check(arguments)
        rows = measure(bench)
    except (ConfigError, UserError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    show(rows, arguments, bench.console)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(arguments.json, json.dumps([to_json(row) for row in rows], indent=2) + "\n")
    for fault in dict.fromkeys(bench.faults):
        print(f"{name}: {fault}", file=sys.stderr)
    return 1 if bench.faults else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing, and a file that could not be written after hours."""
    check_outputs([arguments.json], [])
    for name in ("seeds", "jobs"):
        value = getattr(arguments, name)
        if value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1.")
