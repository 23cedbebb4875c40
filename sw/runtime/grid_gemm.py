# SPDX-License-Identifier: Apache-2.0
"""GEMM on a grid: every element, or every chain of them, computes a block of C."""

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
from sw.runtime.grid_sharing import Sharing, find_sharing, set_groups
from sw.runtime.grid_split import GridSplit, choose_split, estimate, parts
from sw.runtime.operands import DTYPES, format_of
from sw.runtime.placement import ALIGN, allocate, clear_last_line
from sw.runtime.traffic import read_traffic

__all__ = ["GridGemm", "prepare_grid_gemm", "run_grid_gemm"]


@dataclasses.dataclass(frozen=True)
class GridGemm:
    """A product that is ready to run on a grid."""

    a: NDArray[Any]
    b: NDArray[Any]
    spot: Placement
    problem: GemmProblem
    plans: dict[Place, GemmPlan]
    vectors: Vectors
    cut: GridSplit
    sharing: Sharing
    """Who fetches operands together."""

    @property
    def lists(self) -> dict[Place, bytes]:
        """Command list of each element."""
        return {place: bytes(plan.commands) for place, plan in self.plans.items()}

    def k_runs(self, config: ChipConfig) -> list[tuple[int, int]]:
        """First and length of the K of each element of a chain, in the order of the sums."""
        return parts(config, self.problem, self.cut.k_parts)[2]


def _part(
    problem: GemmProblem, rows: tuple[int, int], columns: tuple[int, int], k_run: tuple[int, int]
) -> GemmProblem:
    """The sums over these K of the block of C with these rows and columns (first, number)."""
    (row, m), (column, n), (first, k) = rows, columns, k_run
    size = problem.element_bytes
    return dataclasses.replace(
        problem,
        m=m,
        n=n,
        k=k,
        a_address=problem.a_address + row * problem.a_pitch + first * size,
        b_address=problem.b_address + first * problem.b_pitch + column * size,
        c_address=problem.c_address + row * problem.c_pitch + column * problem.out_bytes,
        bias_address=problem.bias_address + 4 * column if problem.bias_address else 0,
        scales_address=problem.scales_address + 4 * column if problem.scales_address else 0,
        from_north=first > 0,
        to_south=first + k < problem.k,
    )


def _plans(
    config: ChipConfig, whole: GemmProblem, cut: GridSplit
) -> tuple[dict[Place, GemmPlan], Sharing]:
    """The plan of every element, and with whom it shares operands."""
    rows, columns, k_runs = parts(config, whole, cut.k_parts)
    problems = {
        (chain * len(k_runs) + link, column): _part(
            whole, rows[chain], columns[column], k_runs[link]
        )
        for chain in range(len(rows))
        for link in range(len(k_runs))
        for column in range(len(columns))
    }

    def plans(sharing: Sharing) -> dict[Place, GemmPlan]:
        return {
            place: plan_gemm(
                config.pe,
                dataclasses.replace(
                    problem, a_group=sharing.rows.get(place), b_group=sharing.columns.get(place)
                ),
                held_blocks=cut.held_blocks,
            )
            for place, problem in problems.items()
        }

    alone = plans(Sharing({}, {}))
    lists = {place: bytes(plan.commands) for place, plan in alone.items()}
    sharing = find_sharing(lists, config.multicast_lanes if cut.multicast else 0)
    return plans(sharing), sharing


def prepare_grid_gemm(
    config: ChipConfig,
    a: NDArray[Any],
    b: NDArray[Any],
    *,
    finish: Finish | None = None,
    where: str = "auto",
    k_parts: int | None = None,
    held_blocks: int = 0,
    multicast: bool = True,
    cache_ways: int = 0,
) -> GridGemm:
    """Place and plan a[M,K] @ b[K,N] for all elements of `config`; touches no device.

    `sw.runtime.grid_split` chooses how it is cut, for the memory where operands find room, unless
    `k_parts` says so (with `held_blocks`). With `multicast` elements that fetch the same operands
    read them once for all. Nothing is put where SRAM is cache while so many ways of each slice are.

    Raises
    ------
    UserError
        For shapes, types or steps that do not go together, or operands that do not fit.
    """
    check_shapes(a, b)
    finish = finish or Finish()
    shape, formats = (a.shape[0], b.shape[1], a.shape[1]), (format_of(a), format_of(b))

    def plan(spot: Placement, cut: GridSplit | None = None) -> GridGemm:
        whole = gemm_problem(shape, formats, finish, spot)
        whole.check(config.pe)
        if cut is None:
            asked = (config, whole, spot.memory)
            if k_parts is None:
                cut = choose_split(*asked, multicast=multicast)
            else:
                cut = estimate(*asked, k_parts, held_blocks, multicast=multicast)
        vectors = finish.vectors(whole.accumulator, whole.n, config.pe.dpe.columns)
        plans, sharing = _plans(config, whole, cut)
        return GridGemm(a, b, spot, whole, plans, vectors, cut, sharing)

    try:
        draft = plan(Placement("sram" if where == "auto" else where))
        memory, addresses = allocate(config, _sizes(draft), where, cache_ways=cache_ways)
        if memory != draft.spot.memory:
            # Another cut may be the best one there, and its lists may be longer.
            draft = plan(Placement(memory))
            memory, addresses = allocate(config, _sizes(draft), memory, cache_ways=cache_ways)
        return plan(Placement(memory, *addresses.values()), draft.cut)
    except ValueError as error:
        raise UserError(str(error)) from None


def _sizes(draft: GridGemm) -> dict[str, int]:
    """Bytes of all that is stored, in the order of the addresses of `Placement`."""
    whole, vectors = draft.problem, draft.vectors
    longest = max(len(commands) for commands in draft.lists.values())
    return {
        "A": draft.a.nbytes,
        "B": draft.b.nbytes,
        "C": whole.m * whole.n * whole.out_bytes,
        "bias": 0 if vectors.bias is None else vectors.bias.nbytes,
        "scales": 0 if vectors.scales is None else vectors.scales.nbytes,
        "the command lists": (longest // ALIGN + 1) * ALIGN * len(draft.plans),
    }


def run_grid_gemm(
    grid: Grid,
    job: GridGemm,
    *,
    stall_limit: int = 20_000,
    progress: Callable[[int], None] = lambda _: None,
    counters: bool = False,
    with_data: bool = True,
    b_is_there: bool = False,
) -> GemmRun:
    """Run a prepared product; the result is what `run_gemm` gives, bit for bit, unless floats are
    summed in chains: then it is the sum of the products of the K parts, from first to last.

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
    with_data : bool
        Without it operands are whatever is in memory, and the result stays there: cycles do not
        depend on values, and the host's accesses take longer than the product.
    b_is_there : bool
        B was stored at `job.spot.b` before.

    Raises
    ------
    JobError, JobHang
        From the chip.
    """
    spot, problem = job.spot, job.problem
    c_bytes = problem.m * problem.n * problem.out_bytes
    if with_data:
        b = None if b_is_there else job.b
        store_operands(grid.port, spot, (job.a, b, job.vectors.bias, job.vectors.scales))
        clear_last_line(grid.port, spot.c, c_bytes)
    set_groups(grid, job.sharing, job.lists)
    result = grid.run_job(spot.commands, job.lists, stall_limit=stall_limit, progress=progress)
    dtype = DTYPES[problem.out_format]
    data = grid.port.read(spot.c, c_bytes) if with_data else bytes(c_bytes)
    c = np.frombuffer(data, dtype).reshape(problem.m, problem.n)
    figures = _figures(grid, job, result)
    if counters:
        figures["elements"] = {
            f"{row},{column}": grid.element((row, column)).counters() for row, column in job.plans
        }
        figures["traffic"] = read_traffic(grid, job.plans).to_dict()
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
        "k_parts": job.cut.k_parts, "held_blocks": job.cut.held_blocks,
        "expected_cycles": job.cut.cycles,
        "multicast": bool(job.sharing.rows or job.sharing.columns),
    }  # fmt: skip
