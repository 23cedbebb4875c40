# SPDX-License-Identifier: Apache-2.0
"""Mutation score: how many small faults, put into each unit, its bench notices.

    python scripts/mutate.py                  every unit
    python scripts/mutate.py re se -n 100     two units, 100 mutants each
    python scripts/mutate.py re --mutant 17   one mutant, with the bench's own output

Yosys's `mutate` chooses the faults (a bit stuck, inverted, or bound to another), spread over the
unit's wires. All mutants of a unit are in one build, and a number chooses which is alive. A mutant
that no test notices *survives*; the build's Verilog names every mutant at its end.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tb.common.unit_benches import UNIT_BENCHES, UnitBench  # noqa: E402

__all__ = ["main", "score_unit"]

_RESULT = ROOT / "build" / "results" / "mutation.json"
_WORKERS = 2
# A mutant may hang its bench; a bench's own time-outs count cycles, this one is the last resort.
_SECONDS = 300


def _run(bench: UnitBench, n_mutants: int, mutant: int, *, quiet: bool = True) -> bool:
    """Whether all tests pass with this mutant alive (0: none)."""
    environment = {
        **os.environ,
        "MUTANTS": str(n_mutants),
        "MUTATE_NAME": bench.build,
        "MUTANT": str(mutant),
        "BENCH_RUN": f"mutant_{mutant}",
        "WAVES_ON_FAILURE": "0",
        "COVERAGE_FOLDER": "0",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *bench.tests]
    output = subprocess.DEVNULL if quiet else None
    try:
        run = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def score_unit(name: str, n_mutants: int, progress: Progress) -> dict[str, object]:
    """Run every mutant of a unit; its score and the survivors' numbers."""
    bench = UNIT_BENCHES[name]
    if not _run(bench, n_mutants, 0):
        raise SystemExit(f"mutate: the bench of {name} fails without a mutant; mend it first.")
    task = progress.add_task(name, total=n_mutants)

    def survives(mutant: int) -> bool:
        passed = _run(bench, n_mutants, mutant)
        progress.advance(task)
        return passed

    numbers = range(1, n_mutants + 1)
    with ThreadPoolExecutor(_WORKERS) as pool:
        alive = list(pool.map(survives, numbers))
    survivors = [number for number in numbers if alive[number - 1]]
    killed = n_mutants - len(survivors)
    return {"mutants": n_mutants, "killed": killed, "survivors": survivors}


def _show(results: dict[str, dict[str, object]]) -> float:
    """The table; returns the share killed over all units."""
    table = Table("unit", "mutants", "killed", "score", "survivors", title="mutation score")
    total = dead = 0
    for name, row in results.items():
        mutants, killed = int(str(row["mutants"])), int(str(row["killed"]))
        total, dead = total + mutants, dead + killed
        score = f"{100 * killed / mutants:.1f} %"
        table.add_row(name, str(mutants), str(killed), score, str(row["survivors"]))
    share = dead / total if total else 0.0
    table.add_section()
    table.add_row("all", str(total), str(dead), f"{100 * share:.1f} %", "")
    Console().print(table)
    return share


def main() -> int:
    """Command line; 1 when fewer than `--at-least` percent are killed."""
    parser = argparse.ArgumentParser(description="Mutation score of the units' benches.")
    parser.add_argument("units", nargs="*", help=f"of {', '.join(UNIT_BENCHES)}; all if none")
    parser.add_argument("-n", type=int, default=40, help="mutants of each unit")
    parser.add_argument("--mutant", type=int, help="run this one alone and show the bench")
    parser.add_argument("--at-least", type=float, default=95.0, help="percent that must be killed")
    options = parser.parse_args()
    if unknown := set(options.units) - set(UNIT_BENCHES):
        parser.error(f"there is no unit {', '.join(sorted(unknown))}")
    if not 1 <= options.n < 4096:
        parser.error(f"-n is {options.n}; it must be from 1 to 4095")
    units = options.units or list(UNIT_BENCHES)
    if options.mutant is not None:
        return int(_run(UNIT_BENCHES[units[0]], options.n, options.mutant, quiet=False))
    results = json.loads(_RESULT.read_text()) if _RESULT.is_file() and options.units else {}
    with Progress(console=Console(stderr=True)) as progress:
        for name in units:
            results[name] = score_unit(name, options.n, progress)
            _RESULT.parent.mkdir(parents=True, exist_ok=True)
            _RESULT.write_text(json.dumps(results, indent=2) + "\n")
    return int(100 * _show(results) < options.at_least)


if __name__ == "__main__":
    sys.exit(main())
