# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of a run: how many points were seen, and each that never was.

python scripts/coverage_report.py [FOLDER]     build/coverage if none is given
"""

import json
import sys
from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tb.common.coverage import POINTS  # noqa: E402

__all__ = ["collect", "report"]


def collect(folder: Path) -> Counter[str]:
    """Counts of all processes of a run."""
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        counts.update(json.loads(path.read_text()))
    return counts


def report(folder: Path, console: Console) -> int:
    """Print a table by kind of point, then what was never seen; the number of those."""
    counts = collect(folder)
    kinds = list(dict.fromkeys(point.split()[0] for point in POINTS))
    table = Table("points", "seen", "of", "times", title="functional coverage", box=box.SIMPLE_HEAD)
    for kind in kinds:
        mine = [point for point in POINTS if point.split()[0] == kind]
        seen = sum(point in counts for point in mine)
        table.add_row(kind, str(seen), str(len(mine)), f"{sum(counts[p] for p in mine):,}")
    missing = [point for point in POINTS if point not in counts]
    table.add_section()
    table.add_row("all", str(len(POINTS) - len(missing)), str(len(POINTS)), "")
    console.print(table)
    for point in missing:
        console.print(f"never seen: {point}", highlight=False)
    return len(missing)


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "coverage"
    if not chosen.is_dir():
        sys.exit(f"coverage_report: there is no folder {chosen}; run 'make test' first.")
    report(chosen, Console())
