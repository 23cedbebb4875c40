# SPDX-License-Identifier: Apache-2.0
"""Mutation score: how many small faults, put into each unit, its bench notices.

    python scripts/mutate.py                  every unit
    python scripts/mutate.py re se -n 100     two units, 100 mutants each
    python scripts/mutate.py re --mutant 17   one mutant, with the bench's own output

Yosys's `mutate` chooses the faults (a bit stuck, inverted, or bound to another), spread over the
unit's wires. All mutants of a unit are in one build, and a number chooses which is alive. A mutant
that no test notices *survives*; one that changes nothing a user can see is listed, with the reason,
in `tb/common/equivalent_mutants.py` and leaves the count.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tb.common.equivalent_mutants import reason_why_equivalent  # noqa: E402
from tb.common.unit_benches import UNIT_BENCHES, UnitBench  # noqa: E402

__all__ = ["Score", "main", "score_unit"]

_RESULT = ROOT / "build" / "results" / "mutation.json"
_FOLDER = ROOT / "build" / "runs" / "mutants"
_WORKERS = 2
# A mutant may hang its bench; a bench's own time-outs count cycles, this one is the last resort.
_SECONDS = 60
_SLOWER = 6
_CHOICE = "+mutant="


class Score(TypedDict):
    """The outcome of one unit."""

    mutants: int
    killed: int
    equivalent: list[str]
    """Survivors that change nothing, with their reasons."""
    survivors: list[str]
    """All others, by number and description."""


@dataclass(frozen=True, kw_only=True)
class _Simulation:
    """One simulator run of a bench, to be repeated with each mutant."""

    command: list[str]
    environment: dict[str, str]
    verilog: str
    seconds: float


def _pytest(bench: UnitBench, n_mutants: int, mutant: int, more: dict[str, str]) -> int:
    """Run the unit's tests with this mutant alive (0: none)."""
    environment = {
        **os.environ,
        "MUTANTS": str(n_mutants),
        "MUTATE_NAME": bench.build,
        "MUTANT": str(mutant),
        "BENCH_RUN": f"mutant_{mutant}",
        "WAVES_ON_FAILURE": "0",
        "COVERAGE_FOLDER": "0",
        **more,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *bench.tests]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def _simulations(name: str, n_mutants: int) -> list[_Simulation]:
    """Build a unit with its mutants, pass its tests without, and return what they ran."""
    record = _FOLDER / f"{name}.jsonl"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    if _pytest(UNIT_BENCHES[name], n_mutants, 0, {"BENCH_RECORD": str(record)}):
        raise SystemExit(f"mutate: the bench of {name} fails without a mutant; mend it first.")
    return [_Simulation(**json.loads(line)) for line in record.read_text().splitlines()]


def _survives(simulations: list[_Simulation], mutant: int, folder: Path) -> bool:
    """Whether every simulation passes with this mutant alive."""
    return all(_passes(simulation, mutant, folder) for simulation in simulations)


def _passes(simulation: _Simulation, mutant: int, folder: Path) -> bool:
    """Whether one simulation ends without a failed test; it stops at the first."""
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.xml"
    results.unlink(missing_ok=True)
    environment = simulation.environment | {
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_MAX_FAILURES": "1",
    }
    command = [word for word in simulation.command if not word.startswith(_CHOICE)]
    command.append(f"{_CHOICE}{mutant}")
    with (folder / "bench.log").open("w") as log:
        try:
            code = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
                timeout=_SECONDS + _SLOWER * simulation.seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            return False
    text = results.read_text() if results.is_file() else "<failure"
    return code == 0 and "<failure" not in text and "<error" not in text


def score_unit(name: str, n_mutants: int, progress: Progress) -> Score:
    """Run every mutant of a unit."""
    begin = time.monotonic()
    simulations = _simulations(name, n_mutants)
    task = progress.add_task(name, total=n_mutants)

    def survives(mutant: int) -> bool:
        passed = _survives(simulations, mutant, _FOLDER / f"{name}_{mutant}")
        progress.advance(task)
        return passed

    descriptions = _descriptions(Path(simulations[0].verilog))
    with ThreadPoolExecutor(_WORKERS) as pool:
        alive = list(pool.map(survives, descriptions))
    unnoticed = {
        number: text
        for (number, text), is_alive in zip(descriptions.items(), alive, strict=True)
        if is_alive
    }
    reasons = {number: reason_why_equivalent(name, text) for number, text in unnoticed.items()}
    print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return {
        "mutants": len(descriptions),
        "killed": len(descriptions) - len(unnoticed),
        "equivalent": [f"{n}: {unnoticed[n]}: {why}" for n, why in reasons.items() if why],
        "survivors": [f"{n}: {unnoticed[n]}" for n, why in reasons.items() if not why],
    }


def _descriptions(verilog: Path) -> dict[int, str]:
    """What each mutant's number stands for, from the end of the build's Verilog."""
    found = re.findall(r"^// mutant (\d+): mutate (.*)$", verilog.read_text(), re.MULTILINE)
    return {int(number): text for number, text in found}


def _show(results: dict[str, Score]) -> float:
    """The table; returns the share killed over all units."""
    table = Table("unit", "mutants", "killed", "equivalent", "survive", "score")
    table.title = "mutation score"
    total = dead = 0
    for name, row in results.items():
        counted = row["mutants"] - len(row["equivalent"])
        total, dead = total + counted, dead + row["killed"]
        numbers = (row["mutants"], row["killed"], len(row["equivalent"]), len(row["survivors"]))
        table.add_row(name, *map(str, numbers), f"{100 * row['killed'] / max(counted, 1):.1f} %")
    share = dead / total if total else 0.0
    table.add_section()
    table.add_row("all", "", str(dead), "", str(total - dead), f"{100 * share:.1f} %")
    console = Console()
    console.print(table)
    for name, row in results.items():
        for text in row["survivors"]:
            console.print(f"{name} survivor {text}", highlight=False, soft_wrap=True)
    return share


def _kept() -> dict[str, Score]:
    """Scores of all units, some from earlier runs."""
    rows = json.loads(_RESULT.read_text()) if _RESULT.is_file() else {}
    return {name: row for name, row in rows.items() if name in UNIT_BENCHES and "equivalent" in row}


def _keep(name: str, score: Score) -> None:
    """Put a unit's score beside the others."""
    _RESULT.parent.mkdir(parents=True, exist_ok=True)
    _RESULT.write_text(json.dumps(_kept() | {name: score}, indent=2) + "\n")


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
        return _pytest(UNIT_BENCHES[units[0]], options.n, options.mutant, {})
    if not options.units:
        _RESULT.unlink(missing_ok=True)
    with Progress(console=Console(stderr=True)) as progress:
        for name in units:
            _keep(name, score_unit(name, options.n, progress))
    return int(100 * _show(_kept()) < options.at_least)


if __name__ == "__main__":
    sys.exit(main())
