# SPDX-License-Identifier: Apache-2.0
"""Measure the grid of a member: an empty job, gathers, products, how fast the simulator is.

Cycles are the hardware's, from the write that starts a job to its completion as the host sees it;
behind DRAM channels stands LPDDR5 (`sim.compiled.dram`). Results are compared with NumPy (of floats
every 16th row, bit for bit). The table also goes to `build/results/grid-MEMBER.json`, with the
reasons for which multipliers waited. The exit code is 1 when a result is wrong.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from hw.arch.address_map import DRAM
from hw.arch.commands import Opcode
from hw.arch.csr import COUNTERS
from hw.arch.formats import Format
from hw.config import ConfigError, get_config
from scripts.cycle_record import check_cycles
from scripts.grid_gather import run_gather
from scripts.grid_products import SETS, Product, products, roof_cycles, set_names
from sim.compiled.dram import lpddr5
from sim.compiled.simulator import CompiledSimulator
from sim.golden.chain import chain_golden
from sw.errors import UserError
from sw.files import write_atomic
from sw.kernels.command_list import CommandList
from sw.runtime.device import open_grid
from sw.runtime.finish import Finish
from sw.runtime.grid import Grid
from sw.runtime.grid_gemm import GridGemm, prepare_grid_gemm, run_grid_gemm
from sw.runtime.operands import DTYPES
from sw.runtime.placement import whole_lines

__all__ = ["Result", "main", "measure"]

FOLDER = Path(__file__).resolve().parents[1] / "build" / "results"
_CHECKED_ROWS = 16
"""Of floats one row of so many is checked: the golden model takes minutes for a large product."""
_STALL_LIMIT = 20_000
_ROW_BYTES = (128, 256)


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


def measure(grid: Grid, product: Product, *, with_data: bool = True) -> Result:
    """Run one product, compare with NumPy."""
    rng = np.random.default_rng(1)
    a = _random(rng, (product.m, product.k), product.fmt)
    b = _random(rng, (product.k, product.n), product.fmt)
    finish = Finish()
    if product.out is not None:
        finish = Finish(out=product.out, scale=2.0**-7 / product.k**0.5)
    job = prepare_grid_gemm(grid.config, a, b, finish=finish, where=product.where)
    port = cast(CompiledSimulator, grid.port)
    if product.where != "sram":
        port.set_dram_timing(lpddr5(grid.config.clock_mhz))
    is_there = with_data and product.where == "weights"
    if is_there:
        # The host would take longer to write them than the product.
        port.write_dram(job.spot.b - DRAM.base, whole_lines(b.tobytes()))
    with _Clock(grid) as clock:
        run = run_grid_gemm(
            grid, job, stall_limit=_STALL_LIMIT, with_data=with_data, b_is_there=is_there
        )
    perf: dict[str, Any] = dict(run.perf) | {"roof_cycles": roof_cycles(grid.config, product)}
    waits = _waits(grid, job, run.perf["cycles"])
    is_exact = _is_exact(grid, job, run.c, product) if with_data else None
    return Result(product.name, is_exact, perf, clock.khz, waits)


def gather(grid: Grid, row_bytes: int) -> Result:
    """All elements gather random rows of a table in SRAM."""
    with _Clock(grid) as clock:
        perf, is_exact = run_gather(grid, row_bytes=row_bytes)
    return Result(f"gather of {row_bytes} B rows", is_exact, perf, clock.khz)


class _Clock:
    """How fast the simulator is while jobs run inside the `with` block."""

    def __init__(self, grid: Grid) -> None:
        self._port, self._run = grid.port, grid.port.run
        self._cycles, self._seconds = 0, 1e-9

    def __enter__(self) -> "_Clock":
        self._port.run = self._timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        self._port.run = self._run  # type: ignore[method-assign]

    def _timed(self, n_cycles: int) -> bool:
        cycles, began = self._port.cycles, time.monotonic()
        try:
            return self._run(n_cycles)
        finally:
            self._seconds += time.monotonic() - began
            self._cycles += self._port.cycles - cycles

    @property
    def khz(self) -> float:
        """Thousand cycles per second."""
        return self._cycles / self._seconds / 1000


def _waits(grid: Grid, job: GridGemm, cycles: int) -> dict[str, float]:
    """Mean of each counter of the dot-product engine, as a share of the job: of the elements of a
    diagonal, since reading a counter of all takes longer than a small product."""
    names = [counter.name for counter in COUNTERS if counter.name.startswith("dpe.")]
    names = [name for name in names if name == "dpe.busy" or "wait" in name]
    some = [place for place in job.plans if place[0] % grid.config.cols == place[1]]
    found = [grid.element(place).counters(names) for place in some]
    shares = {name: sum(one[name] or 0 for one in found) / len(found) / cycles for name in names}
    return {name: round(share, 4) for name, share in shares.items() if share > 0.0005}


def _is_exact(grid: Grid, job: GridGemm, c: NDArray[Any], product: Product) -> bool:
    if not product.fmt.is_float:
        sums = (job.a.astype(np.float64) @ job.b.astype(np.float64)).astype(np.int64)
        sums = sums.astype(np.int32)
        if product.out is not None:
            scale = np.float32(2.0**-7 / product.k**0.5)
            return np.array_equal(c, np.clip(np.rint(sums.astype(np.float32) * scale), -128, 127))
        return np.array_equal(c, sums)
    golden = chain_golden(
        job.a[::_CHECKED_ROWS], job.b, job.k_runs(grid.config),
        fmt_a=product.fmt, fmt_b=product.fmt, chunk=grid.config.pe.dpe.chunk,
    )  # fmt: skip
    return c[::_CHECKED_ROWS].tobytes() == golden.tobytes()


def _random(rng: np.random.Generator, shape: tuple[int, int], fmt: Format) -> NDArray[Any]:
    """All integers, or floats over some binades."""
    if fmt.is_float:
        values = rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 6, shape)
        return values.astype(DTYPES[fmt])
    return rng.integers(-128, 128, shape).astype(np.int8)


def empty_job(grid: Grid) -> Result:
    """A job without commands on all elements."""
    made = CommandList()
    made.add(Opcode.END)
    places = [(row, col) for row in range(grid.config.rows) for col in range(grid.config.cols)]
    with _Clock(grid) as clock:
        result = grid.run_job(0, dict.fromkeys(places, bytes(made)))
    perf = {"cycles": result.cycles, "harness_cycles": result.harness_cycles}
    return Result("empty job", None, perf, clock.khz)


def _show(config: str, results: list[Result], grid: Grid) -> None:
    """The table."""
    build = grid.build
    made = f"Verilog {build['verilog_seconds']:.0f} s, Verilator {build['build_seconds']:.0f} s"
    table = Table(title=f"grid of {config} ({made})", box=box.SIMPLE_HEAD)
    table.add_column("M x N x K", no_wrap=True)
    for head in ("bits", "cycles", "of peak", "of roof", "model", "K parts", "held", "kHz"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("multipliers, % of the job's cycles")
    for result in results:
        perf = result.perf
        is_product = "k_parts" in perf
        waits = sorted(result.waits.items(), key=lambda item: -item[1])
        table.add_row(
            result.name,
            {None: "", True: "exact", False: "[red]WRONG[/]"}[result.is_exact],
            f"{perf['cycles']:,}",
            f"{100 * perf['utilisation']:.1f} %" if is_product else "",
            f"{100 * perf['roof_cycles'] / perf['cycles']:.1f} %" if "roof_cycles" in perf else "",
            f"{100 * (perf['expected_cycles'] / perf['cycles'] - 1):+.0f} %" if is_product else "",
            str(perf.get("k_parts", "")),
            str(perf.get("held_blocks", "")),
            f"{result.khz:.2f}",
            ", ".join(f"{name.removeprefix('dpe.')} {100 * share:.1f}" for name, share in waits),
        )
    console = Console()
    console.width = max(console.width, 150)
    console.print(table)


def _write(config: str, results: list[Result]) -> None:
    """What there is, product by product, since all of them take an hour."""
    text = json.dumps([asdict(result) for result in results], indent=2)
    write_atomic(FOLDER / f"grid-{config}.json", text + "\n")


def _sets(names: str | None, columns: int) -> tuple[str, ...]:
    """The sets of products that are asked for."""
    if names is None:
        return ("tiny",) if columns < 32 else ("square",)
    return set_names(names)


def main() -> int:
    """Measure, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="mtia100")
    parser.add_argument(
        "--sets",
        help=f"of products, with commas: {', '.join(SETS)}, all; square if not given, or tiny",
    )
    parser.add_argument("--only", metavar="TEXT", help="products whose name holds this")
    parser.add_argument("--no-data", action="store_true", help="cycles only, of whatever is there")
    parser.add_argument("--threads", type=int, default=1, help="that simulate the tiles")
    arguments = parser.parse_args()
    try:
        config = get_config(arguments.config)
        chosen = products(_sets(arguments.sets, config.pe.dpe.columns))
        grid = open_grid(config, threads=arguments.threads)
    except (ConfigError, UserError) as error:
        raise SystemExit(str(error)) from None
    results = [empty_job(grid)]
    print(f"empty job: {results[0].perf['cycles']} cycles", flush=True)
    results += [gather(grid, row_bytes) for row_bytes in _ROW_BYTES]
    for product in chosen:
        if arguments.only is None or arguments.only in product.name:
            results.append(measure(grid, product, with_data=not arguments.no_data))
            print(f"{results[-1].name}: {results[-1].perf['cycles']:,} cycles", flush=True)
            _write(arguments.config, results)
    _show(arguments.config, results, grid)
    moved = check_cycles(
        {f"{arguments.config} grid: {result.name}": result.perf["cycles"] for result in results}
    )
    return int(moved > 0 or any(result.is_exact is False for result in results))


if __name__ == "__main__":
    sys.exit(main())
