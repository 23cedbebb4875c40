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

from hw.config import ConfigError
from hw.fpga.devices import DEFAULT_DEVICE
from sw.errors import UserError
from sw.files import write_atomic

__all__ = ["run_table"]

Row = TypeVar("Row")


def run_table(
    name: str,
    description: str,
    measure: Callable[[argparse.Namespace, Console], list[Row]],
    show: Callable[[list[Row], argparse.Namespace, Console], None],
    to_json: Callable[[Row], dict[str, Any]],
) -> int:
    """Measure all rows, show them, and write them where `--json` says; returns the exit code.

    Wrong input ends the script `name` with one sentence and code 1.
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
    console = Console()
    try:
        rows = measure(arguments, console)
    except (ConfigError, UserError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    show(rows, arguments, console)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(arguments.json, json.dumps([to_json(row) for row in rows], indent=2) + "\n")
    return 0
