# SPDX-License-Identifier: Apache-2.0
"""Measure the grid of a member: an empty job, gathers, products, how fast the simulator is.

Cycles are the hardware's, from the write that starts a job to its completion as the host sees it;
behind DRAM channels stands LPDDR5 (`sim.compiled.dram`). Results are compared with NumPy (of floats
every 16th row, bit for bit). The table also goes to `build/results/grid-MEMBER.json`, with the
reasons for which multipliers waited. The exit code is 1 when a result is wrong, a row misses a goal
of the project (`scripts.grid_goals`), or its cycles have moved (`scripts.cycle_record`).
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hw.arch.address_map import DRAM
from hw.arch.commands import Opcode
from hw.arch.csr import COUNTERS
from hw.arch.formats import Format
from hw.config import ConfigError, get_config
from scripts.cycle_record import check_cycles
from scripts.dram_peak import stream_peak
from scripts.grid_gather import run_gather
from scripts.grid_goals import EMPTY_JOB, gather_name, missed
from scripts.grid_products import SETS, Product, products, roof_cycles, set_names
from scripts.grid_speed import thread_rates
from scripts.grid_table import Result, deviations, show, speeds
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

__all__ = ["judge", "main", "measure"]

FOLDER = Path(__file__).resolve().parents[1] / "build" / "results"
_CHECKED_ROWS = 16
"""Of floats one row of so many is checked: the golden model takes minutes for a large product."""
_STALL_LIMIT = 20_000
_ROW_BYTES = (128, 256)


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
    return Result(gather_name(row_bytes), is_exact, perf, clock.khz)


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
    return Result(EMPTY_JOB, None, perf, clock.khz)


def _write(config: str, results: list[Result]) -> None:
    """What there is, product by product, since all of them take an hour."""
    text = json.dumps([asdict(result) for result in results], indent=2)
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_atomic(FOLDER / f"grid-{config}.json", text + "\n")


def _sets(names: str | None, columns: int) -> tuple[str, ...]:
    """The sets of products that are asked for."""
    if names is None:
        return ("tiny",) if columns < 32 else ("square",)
    return set_names(names)


def threads_rows(grid: Grid, threads: int) -> list[Result]:
    """A product of integers, and one of floats, with one thread and with more."""
    if grid.config.pe.dpe.columns < 32:
        return [_threads_row(grid, SETS["tiny"][0], threads)]
    return [_threads_row(grid, SETS[name][0], threads) for name in ("square", "float")]


def _threads_row(grid: Grid, product: Product, threads: int) -> Result:
    """A product with one thread and with more, in the same simulator."""
    found = [measure(grid, product)]  # with data, which the others find in memory

    def run() -> float:
        found.append(measure(grid, product, with_data=False))
        return found[-1].khz

    rates = thread_rates(cast(CompiledSimulator, grid.port), threads, run)
    perf = {
        "cycles": found[-1].perf["cycles"],
        "khz": {str(number): rate for number, rate in rates.items()},
        "factor": rates[threads] / rates[1],
    }
    print(
        f"{threads} threads: {rates[1]:.2f} -> {rates[threads]:.2f} thousand cycles/s in"
        f" {product.name}, {perf['factor']:.2f} times",
        flush=True,
    )
    return Result(f"{product.name}, {threads} threads", found[0].is_exact, perf, rates[threads])


def dram_row(grid: Grid) -> Result:
    """What the model of DRAM carries by itself, which no product can surpass."""
    config = grid.config
    rate, peak = config.dram.total_bytes_per_cycle, stream_peak(config)
    print(
        f"DRAM model, streams of reads on all channels: {peak:.1f} bytes per cycle; the roof is"
        f" {rate}",
        flush=True,
    )
    perf = {"cycles": round(2**20 / peak), "bytes_per_cycle": peak, "roof_bytes_per_cycle": rate}
    return Result("1 MiB from LPDDR5, model alone", None, perf, 0.0)


def judge(config: str, results: list[Result]) -> int:
    """Say what is to be said; the exit code."""
    rows = [one for one in results if "factor" not in one.perf]  # that row's cycles are a product's
    moved = check_cycles({f"{config} grid: {one.name}": one.perf["cycles"] for one in rows})
    misses = missed(config, ((one.name, one.perf) for one in results))
    wrong = [f"{one.name} is wrong." for one in results if one.is_exact is False]
    for words in (*speeds(results), deviations(results), *misses, *wrong):
        print(words)
    return int(moved > 0 or bool(misses) or bool(wrong))


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="mtia100")
    parser.add_argument(
        "--sets",
        help=f"of products, with commas: {', '.join(SETS)}, all; square if not given, or tiny",
    )
    parser.add_argument("--only", metavar="TEXT", help="products whose name holds this")
    parser.add_argument("--no-data", action="store_true", help="cycles only, of whatever is there")
    parser.add_argument(
        "--threads", type=int, default=1, help="that simulate the tiles; the factor is measured too"
    )
    return parser


def _others(grid: Grid, threads: int) -> list[Result]:
    """All rows but products. The first gather is the first job of all, so its first time is that
    of a chip where nothing has run."""
    rows = [gather(grid, _ROW_BYTES[0]), empty_job(grid)]
    rows += [gather(grid, row_bytes) for row_bytes in _ROW_BYTES[1:]]
    for row in rows:
        print(f"{row.name}: {row.perf['cycles']:,} cycles", flush=True)
    return [*rows, dram_row(grid), *(threads_rows(grid, threads) if threads > 1 else [])]


def main() -> int:
    """Measure, show, judge."""
    arguments = _parser().parse_args()
    try:
        config = get_config(arguments.config)
        chosen = products(_sets(arguments.sets, config.pe.dpe.columns))
        grid = open_grid(config, threads=arguments.threads)
    except (ConfigError, UserError) as error:
        raise SystemExit(str(error)) from None
    results = _others(grid, arguments.threads)
    for product in chosen:
        if arguments.only is None or arguments.only in product.name:
            results.append(measure(grid, product, with_data=not arguments.no_data))
            print(f"{results[-1].name}: {results[-1].perf['cycles']:,} cycles", flush=True)
            _write(arguments.config, results)
    build = grid.build
    made = f"Verilog {build['verilog_seconds']:.0f} s, Verilator {build['build_seconds']:.0f} s"
    show(f"grid of {arguments.config} ({made})", results)
    return judge(arguments.config, results)


if __name__ == "__main__":
    sys.exit(main())
