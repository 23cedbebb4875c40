# SPDX-License-Identifier: Apache-2.0
"""Cycle counts of every bench row, kept in the project, so that a change cannot pass unnoticed.

`docs/cycles.json` holds, for each row of `make bench`, its cycles and the reason of its last
change. A row that moves by more than a percent fails the run, until somebody says why:

    ACCEPT="wider drain path" make bench
"""

import json
import os
from pathlib import Path
from typing import TypedDict

from rich.console import Console
from rich.table import Table

from sw.files import write_atomic

__all__ = ["RECORD", "check_cycles"]

RECORD = Path(__file__).resolve().parents[1] / "docs" / "cycles.json"
_TOLERANCE = 0.01


class Row(TypedDict):
    """One bench row."""

    cycles: int
    reason: str


def check_cycles(found: dict[str, int], *, record: Path = RECORD) -> int:
    """Compare rows with the record; return how many moved without a reason.

    New rows are added. With ACCEPT in the environment moved rows are stored with that reason.
    """
    rows: dict[str, Row] = json.loads(record.read_text()) if record.is_file() else {}
    reason = os.environ.get("ACCEPT", "").strip()
    moved: list[tuple[str, int, int]] = []
    for name, cycles in found.items():
        known = rows.get(name)
        if known is None:
            rows[name] = Row(cycles=cycles, reason="first record")
        elif abs(cycles - known["cycles"]) > _TOLERANCE * known["cycles"]:
            moved.append((name, known["cycles"], cycles))
            if reason:
                rows[name] = Row(cycles=cycles, reason=reason)
    write_atomic(record, json.dumps(dict(sorted(rows.items())), indent=2) + "\n")
    if moved:
        _show(moved, reason)
    return 0 if reason else len(moved)


def _show(moved: list[tuple[str, int, int]], reason: str) -> None:
    table = Table("row", "cycles before", "now", "change", title="cycles that moved by over 1 %")
    for name, before, now in moved:
        table.add_row(name, f"{before:,}", f"{now:,}", f"{100 * (now / before - 1):+.1f} %")
    Console().print(table)
    print(f"accepted: {reason}" if reason else 'Say why: ACCEPT="reason" make bench')
