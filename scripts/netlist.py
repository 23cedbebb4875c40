# SPDX-License-Identifier: Apache-2.0
"""Runs each unit's bench once on the netlist that Yosys synthesises for a Lattice ECP5.

    python scripts/netlist.py            every unit
    python scripts/netlist.py re wqe     two of them

What passes as RTL and fails as a netlist is a latch, an initial value, or a tool's mistake.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tb.common.unit_benches import UNIT_BENCHES  # noqa: E402

__all__ = ["main"]


def _passes(unit: str) -> bool:
    """Whether the unit's first test passes on the netlist; its output goes to the terminal."""
    environment = {
        **os.environ,
        "NETLIST": "ecp5",
        "BENCH_RUN": "netlist",
        "WAVES_ON_FAILURE": "0",
        "COVERAGE_FOLDER": "0",
    }
    command = [sys.executable, "-m", "pytest", "-q", UNIT_BENCHES[unit].tests[0]]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode == 0


def main() -> int:
    """Command line; 1 when a bench fails."""
    parser = argparse.ArgumentParser(description="Unit benches on ECP5 netlists.")
    parser.add_argument("units", nargs="*", help=f"of {', '.join(UNIT_BENCHES)}; all if none")
    options = parser.parse_args()
    if unknown := set(options.units) - set(UNIT_BENCHES):
        parser.error(f"there is no unit {', '.join(sorted(unknown))}")
    table = Table("unit", "bench on its netlist", "seconds", title="ECP5 netlists")
    n_failed = 0
    for unit in options.units or UNIT_BENCHES:
        begin = time.monotonic()
        passed = _passes(unit)
        n_failed += not passed
        table.add_row(unit, "passed" if passed else "FAILED", f"{time.monotonic() - begin:.0f}")
    Console().print(table)
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
