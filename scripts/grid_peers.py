# SPDX-License-Identifier: Apache-2.0
"""Products on the grid beside ideal arrays and SCALE-Sim with its multipliers and bandwidth.

    python scripts/grid_peers.py                # ours from the last run of grid_bench.py
    python scripts/grid_peers.py --measure      # measure ours first

Ours are the cycles in `build/results/grid-MEMBER.json`. The ideal arrays and SCALE-Sim have as many
multiply-accumulates per cycle, as one large array and as one array for each element. The table goes
to `build/results/grid-peers.json` too.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hw.config import ChipConfig, ConfigError, get_config
from scripts.grid_products import SETS, Product, memory_cycles, products, roof_cycles, set_names
from scripts.peers.arrays import arrangements, best_mappings, ideal_cycles
from scripts.peers.scale_sim import Figures, Record, ScaleSim, environment
from sw.errors import UserError
from sw.files import write_folder

__all__ = ["Row", "main", "measured", "rows"]

RESULTS = Path(__file__).resolve().parents[1] / "build" / "results"
_REMARKS = """\
cycles; ideal: max(multiply-accumulates / peak, bytes of A, B and C each once / bandwidth)
systolic: arrays that fill and drain once, not below ideal
SCALE-Sim: its arrays, operands at hand; with memory: first byte fetched to last written
* by its formula: the schedule takes gigabytes or minutes; blank: so does the memory model
of ideal: ideal / ours; times SCALE-Sim: its best figure without stalls, not below ideal, / ours"""

_ARRANGEMENTS = ("one array", "one per element")


@dataclass(frozen=True)
class Row:
    """One product on all of them."""

    name: str
    ideal: int
    """`roof_cycles`: all multipliers, or the memory's bandwidth."""
    systolic: dict[str, int]
    """By arrangement: an ideal systolic array, not faster than the bandwidth."""
    scale_sim: tuple[Figures, ...] = ()
    """One for each arrangement; none if it was not run."""
    ours: int | None = None
    """None: not measured."""

    @property
    def best_scale_sim(self) -> int | None:
        """The array that is faster, kept to the bandwidth but never stalled."""
        if not self.scale_sim:
            return None
        return max(self.ideal, min(figures.cycles for figures in self.scale_sim))

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self) | {"best_scale_sim": self.best_scale_sim}


def measured(path: Path) -> dict[str, int]:
    """Cycles of ours by the product's name, as `grid_bench.py` left them; none without a file."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())
    return {row["name"]: row["perf"]["cycles"] for row in found}


def rows(
    config: ChipConfig, chosen: list[Product], ours: dict[str, int], scale_sim: ScaleSim | None
) -> list[Row]:
    """All rows; each is announced, since SCALE-Sim may take minutes."""
    found = []
    for product in chosen:
        if scale_sim is not None:
            print(f"SCALE-Sim {len(found) + 1} of {len(chosen)}: {product.name}", flush=True)
        found.append(_row(config, product, ours.get(product.name), scale_sim))
    return found


def _row(config: ChipConfig, product: Product, ours: int | None, scale_sim: ScaleSim | None) -> Row:
    ways = arrangements(config, product)
    bytes_cycles = memory_cycles(config, product)
    figures: tuple[Figures, ...] = ()
    if scale_sim is not None:
        figures = tuple(
            scale_sim.figures(best_mappings(arrays, product), config, product) for arrays in ways
        )
    return Row(
        name=product.name,
        ideal=roof_cycles(config, product),
        systolic={arrays.name: max(ideal_cycles(arrays, product), bytes_cycles) for arrays in ways},
        scale_sim=figures,
        ours=ours,
    )


def _show(config: str, found: list[Row], console: Console) -> None:
    """The table."""
    table = Table(title=f"{config} beside arrays of as many multipliers", box=box.SIMPLE_HEAD)
    table.add_column("M x N x K", no_wrap=True)
    heads = ["ours", "of ideal", "times SCALE-Sim", "ideal"]
    heads += [f"systolic, {arrays}" for arrays in _ARRANGEMENTS]
    if any(row.scale_sim for row in found):
        one, many = _ARRANGEMENTS
        heads += [f"SCALE-Sim, {one}", "with memory", f"SCALE-Sim, {many}"]
    for head in heads:
        table.add_column(head, justify="right")
    for row in found:
        cells = [_count(row.ours, "not measured"), _ratio(row.ideal, row.ours, "%")]
        cells += [_ratio(row.best_scale_sim, row.ours, "x"), f"{row.ideal:,}"]
        cells += [f"{cycles:,}" for cycles in row.systolic.values()]
        for figures in row.scale_sim:
            mark = "*" if figures.by_formula else ""
            cells.append(f"{figures.dataflow} {figures.cycles:,}{mark}")
            if figures is row.scale_sim[0]:
                cells.append(_count(figures.with_memory, ""))
        table.add_row(row.name, *cells)
    if not console.is_terminal:
        console.width = max(console.width, 170)
    console.print(table)
    console.print(_REMARKS, highlight=False)


def _count(cycles: int | None, otherwise: str) -> str:
    return otherwise if cycles is None else f"{cycles:,}"


def _ratio(theirs: int | None, ours: int | None, unit: str) -> str:
    if theirs is None or ours is None:
        return ""
    return f"{100 * theirs / ours:.1f} %" if unit == "%" else f"{theirs / ours:.2f}"


def _measure(arguments: argparse.Namespace) -> int:
    """`grid_bench.py` on the same products; its exit code."""
    command = [sys.executable, Path(__file__).with_name("grid_bench.py"), "--threads", "2"]
    command += ["--config", arguments.config, "--sets", arguments.sets]
    if arguments.only:
        command += ["--only", arguments.only]
    return subprocess.run(command, cwd=RESULTS.parents[1]).returncode


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", default="mtia100")
    parser.add_argument("--sets", default="all", help=f"{', '.join(SETS)}, with commas, or all")
    parser.add_argument("--only", metavar="TEXT", help="products whose name holds this")
    parser.add_argument("--measure", action="store_true", help="run grid_bench.py first (hours)")
    parser.add_argument("--no-scalesim", action="store_true", help="formulas of ideal arrays only")
    return parser.parse_args()


def _scale_sim(arguments: argparse.Namespace) -> ScaleSim | None:
    """SCALE-Sim if it is wanted and can be had: without a network the rest is still worth it."""
    if arguments.no_scalesim:
        return None
    try:
        return ScaleSim(Record(), environment())
    except UserError as error:
        print(f"{error} The table goes on without it.")
        return None


def main() -> int:
    """Compare, show, write."""
    arguments = _arguments()
    path = RESULTS / f"grid-{arguments.config}.json"
    try:
        config = get_config(arguments.config)
        if config.n_pes == 1:
            raise UserError(f"{config.name} has one element; the table is about grids.")
        chosen = [
            product
            for product in products(set_names(arguments.sets))
            if arguments.only is None or arguments.only in product.name
        ]
        code = _measure(arguments) if arguments.measure else 0
        ours = measured(path)
        found = rows(config, chosen, ours, _scale_sim(arguments))
    except (ConfigError, UserError) as error:
        raise SystemExit(str(error)) from None
    content = {"config": arguments.config, "rows": [row.as_json() for row in found]}
    write_folder(RESULTS, {"grid-peers.json": json.dumps(content, indent=2) + "\n"})
    _show(arguments.config, found, Console())
    if not ours:
        print(f"Ours is not measured: there is no build/results/{path.name}. --measure makes it.")
    return code


if __name__ == "__main__":
    sys.exit(main())
