# SPDX-License-Identifier: Apache-2.0
"""GEMM on a grid: every element computes a block of C from its rows of A and columns of B."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.config import ChipConfig
from sw.errors import UserError
from sw.kernels.gemm import GemmPlan, GemmProblem, plan_gemm
from sw.runtime.chip import JobResult
from sw.runtime.finish import Finish, Vectors
from sw.runtime.gemm import GemmRun, Placement, check_shapes, gemm_problem, store_operands
from sw.runtime.grid import Grid, Place
from sw.runtime.operands import DTYPES, format_of
from sw.runtime.placement import ALIGN, allocate, clear_last_line

__all__ = ["GridGemm", "prepare_grid_gemm", "run_grid_gemm", "split"]


@dataclasses.dataclass(frozen=True)
class GridGemm:
    """A product that is ready to run on a grid."""

    a: NDArray[Any]
    b: NDArray[Any]
    spot: Placement
    problem: GemmProblem
    plans: dict[Place, GemmPlan]
    vectors: Vectors

    @property
    def lists(self) -> dict[Place, bytes]:
        """Command list of each element."""
        return {place: bytes(plan.commands) for place, plan in self.plans.items()}


def split(size: int, tile: int, n_parts: int) -> list[tuple[int, int]]:
    """Cut `size` rows or columns into at most `n_parts` runs of whole tiles, as equal as can be.

    Gives first and length of each; only the last run may end within a tile.
    """
    n_tiles = -(-size // tile)
    n_parts = min(n_parts, n_tiles)
    bounds = [n_tiles * part // n_parts * tile for part in range(n_parts)] + [size]
    return [(first, end - first) for first, end in zip(bounds, bounds[1:], strict=False)]


def _part(problem: GemmProblem, rows: tuple[int, int], columns: tuple[int, int]) -> GemmProblem:
    """The block of C with these rows and columns (first, number)."""
    (row, m), (column, n) = rows, columns
    return dataclasses.replace(
        problem,
        m=m,
        n=n,
        a_address=problem.a_address + row * problem.a_pitch,
        b_address=problem.b_address + column * problem.element_bytes,
        c_address=problem.c_address + row * problem.c_pitch + column * problem.out_bytes,
        bias_address=problem.bias_address + 4 * column if problem.bias_address else 0,
        scales_address=problem.scales_address + 4 * column if problem.scales_address else 0,
    )


def prepare_grid_gemm(
    config: ChipConfig,
    a: NDArray[Any],
    b: NDArray[Any],
    *,
    finish: Finish | None = None,
    where: str = "auto",
) -> GridGemm:
    """Place and plan a[M,K] @ b[K,N] for all elements of `config`; touches no device.

    Rows of C are dealt to rows of the grid, columns to columns, in runs of whole tiles.

    Raises
    ------
    UserError
        For shapes, types or steps that do not go together, or operands that do not fit.
    """
    check_shapes(a, b)
    finish = finish or Finish()
    tile = config.pe.dpe.columns
    rows = split(a.shape[0], config.pe.dpe.tile_rows, config.rows)
    columns = split(b.shape[1], tile, config.cols)

    def plan(spot: Placement) -> tuple[GemmProblem, dict[Place, GemmPlan]]:
        shape, formats = (a.shape[0], b.shape[1], a.shape[1]), (format_of(a), format_of(b))
        whole = gemm_problem(shape, formats, finish, spot)
        return whole, {
            (row, column): plan_gemm(config.pe, _part(whole, rows[row], columns[column]))
            for row in range(len(rows))
            for column in range(len(columns))
        }

    try:
        whole, draft = plan(Placement(""))
        vectors = finish.vectors(whole.accumulator, whole.n, tile)
        longest = max(len(bytes(part.commands)) for part in draft.values())
        sizes = {
            "A": a.nbytes,
            "B": b.nbytes,
            "C": whole.m * whole.n * whole.out_bytes,
            "bias": 0 if vectors.bias is None else vectors.bias.nbytes,
            "scales": 0 if vectors.scales is None else vectors.scales.nbytes,
            "the command lists": (longest // ALIGN + 1) * ALIGN * len(draft),
        }
        memory, addresses = allocate(config, sizes, where)
        spot = Placement(memory, *addresses.values())
        whole, plans = plan(spot)
    except ValueError as error:
        raise UserError(str(error)) from None
    return GridGemm(a, b, spot, whole, plans, vectors)


def run_grid_gemm(
    grid: Grid,
    job: GridGemm,
    *,
    stall_limit: int = 20_000,
    progress: Callable[[int], None] = lambda _: None,
    counters: bool = False,
) -> GemmRun:
    """Run a prepared product; the result is what `run_gemm` gives, bit for bit.

    Parameters
    ----------
    grid : Grid
        The chip.
    job : GridGemm
        What `prepare_grid_gemm` gave.
    stall_limit, progress
        See `Grid.run_job`.
    counters : bool
        Read the performance counters of all elements, which takes longer than a small product.

    Raises
    ------
    JobError, JobHang
        From the chip.
    """
    spot, problem = job.spot, job.problem
    c_bytes = problem.m * problem.n * problem.out_bytes
    store_operands(grid.port, spot, (job.a, job.b, job.vectors.bias, job.vectors.scales))
    clear_last_line(grid.port, spot.c, c_bytes)
    result = grid.run_job(spot.commands, job.lists, stall_limit=stall_limit, progress=progress)
    dtype = DTYPES[problem.out_format]
    c = np.frombuffer(grid.port.read(spot.c, c_bytes), dtype).reshape(problem.m, problem.n)
    figures = _figures(grid, job, result)
    if counters:
        figures["elements"] = {
            f"{row},{column}": grid.element((row, column)).counters() for row, column in job.plans
        }
    return GemmRun(c, result, figures)


def _figures(grid: Grid, job: GridGemm, result: JobResult) -> dict[str, Any]:
    """Performance figures; utilisation is that of the whole grid."""
    problem, config = job.problem, grid.config
    peak = config.pe.dpe.macs_per_cycle(problem.element_bytes) * config.n_pes
    cycles = result.cycles or 1
    return {
        "config": config.name, "device": grid.device,
        "m": problem.m, "n": problem.n, "k": problem.k,
        "dtype_a": str(job.a.dtype), "dtype_b": str(job.b.dtype),
        "out": DTYPES[problem.out_format].name, "place": job.spot.memory,
        "cycles": result.cycles, "harness_cycles": result.harness_cycles,
        "macs": problem.macs, "peak_macs_per_cycle": peak,
        "utilisation": problem.macs / (cycles * peak),
        "grid": [config.rows, config.cols],
    }  # fmt: skip
