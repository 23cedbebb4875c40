# SPDX-License-Identifier: Apache-2.0
"""GEMM on arrays: places the operands in memory, runs the kernel's command list, reads the result
and the counters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from hw.config import ChipConfig
from sw.errors import UserError
from sw.kernels.gemm import GemmPlan, GemmProblem, plan_gemm
from sw.runtime.chip import Chip, JobResult
from sw.runtime.figures import gemm_figures
from sw.runtime.finish import Finish, Vectors
from sw.runtime.operands import DTYPES, as_operand, format_of
from sw.runtime.placement import allocate, clear_last_line, store_array
from sw.runtime.port import HostPort

__all__ = [
    "Finish",
    "GemmJob",
    "GemmRun",
    "Placement",
    "as_operand",
    "check_shapes",
    "gemm_problem",
    "prepare_gemm",
    "run_gemm",
    "store_operands",
]

_NAMES = {"a": "A", "b": "B", "c": "C", "bias": "bias", "scales": "scales"}
_LIST = "the command list"


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a problem lies: addresses of its parts and of the command list, and the memory's
    name."""

    memory: str
    a: int = 0
    b: int = 0
    c: int = 0
    bias: int = 0
    scales: int = 0
    commands: int = 0


@dataclasses.dataclass(frozen=True)
class GemmJob:
    """A product that is ready to run: operands, where they go, and the command list."""

    a: NDArray[Any]
    b: NDArray[Any]
    spot: Placement
    plan: GemmPlan
    vectors: Vectors = Vectors()


@dataclasses.dataclass(frozen=True)
class GemmRun:
    """A result and how it was computed."""

    c: NDArray[Any]
    job: JobResult
    perf: dict[str, Any]


def gemm_problem(
    shape: tuple[int, int, int], formats: tuple[Format, Format], finish: Finish, spot: Placement
) -> GemmProblem:
    """The problem M, N, K of contiguous operands of two formats that lie at `spot`."""
    (m, n, k), (a_format, b_format) = shape, formats
    epilogue = finish.epilogue()
    out = epilogue.out_format(a_format.accumulator)
    return GemmProblem(
        m=m, n=n, k=k, a_format=a_format, b_format=b_format,
        a_address=spot.a, b_address=spot.b, c_address=spot.c,
        a_pitch=k * a_format.n_bytes, b_pitch=n * b_format.n_bytes, c_pitch=n * out.n_bytes,
        epilogue=epilogue, bias_address=spot.bias, scales_address=spot.scales,
    )  # fmt: skip


def check_shapes(a: NDArray[Any], b: NDArray[Any]) -> None:
    """Raise UserError unless A[M,K] and B[K,N] can be multiplied."""
    if a.shape[1] != b.shape[0]:
        raise UserError(
            f"A is {a.shape[0]} x {a.shape[1]} and B is {b.shape[0]} x {b.shape[1]};"
            " A must have as many columns as B has rows."
        )


def store_operands(
    port: HostPort, spot: Placement, arrays: tuple[NDArray[Any] | None, ...]
) -> None:
    """Write A, B, bias and scales, as far as they are there, to their places."""
    for address, array in zip((spot.a, spot.b, spot.bias, spot.scales), arrays, strict=True):
        if array is not None:
            store_array(port, address, array.tobytes())


def prepare_gemm(
    config: ChipConfig,
    a: NDArray[Any],
    b: NDArray[Any],
    *,
    finish: Finish | None = None,
    where: str = "auto",
    load_first: bool = False,
) -> GemmJob:
    """Place and plan a[M,K] @ b[K,N] for one element of `config`; touches no device.

    Parameters
    ----------
    finish : Finish, optional
        What becomes of the sums: bias, ReLU, scale, activation, format.
    where : str
        `sram`, `dram`, or `auto`: SRAM if everything fits.
    load_first : bool
        Multiply only when A and B are in local memory (to measure it alone).

    Raises
    ------
    UserError
        For shapes, types or steps that do not go together, or operands that do not fit.
    """
    check_shapes(a, b)
    finish = finish or Finish()

    def plan(spot: Placement) -> GemmPlan:
        shape, formats = (a.shape[0], b.shape[1], a.shape[1]), (format_of(a), format_of(b))
        problem = gemm_problem(shape, formats, finish, spot)
        return plan_gemm(config.pe, problem, load_first=load_first)

    try:
        # A list is as long at any addresses, so one planned at 0 tells how much room it takes.
        draft = plan(Placement(""))
        problem = draft.problem
        vectors = finish.vectors(problem.accumulator, problem.n, config.pe.dpe.columns)
        sizes = {
            "a": a.nbytes,
            "b": b.nbytes,
            "c": problem.m * problem.n * problem.out_bytes,
            "bias": 0 if vectors.bias is None else vectors.bias.nbytes,
            "scales": 0 if vectors.scales is None else vectors.scales.nbytes,
            "commands": len(bytes(draft.commands)),
        }
        named = {_NAMES.get(name, _LIST): size for name, size in sizes.items()}
        memory, addresses = allocate(config, named, where)
        spot = Placement(memory, *addresses.values())
        return GemmJob(a, b, spot, plan(spot), vectors)
    except ValueError as error:
        raise UserError(str(error)) from None


def run_gemm(
    chip: Chip,
    job: GemmJob,
    *,
    stall_limit: int = 20_000,
    progress: Callable[[int], None] = lambda _: None,
) -> GemmRun:
    """Run a prepared product on the chip.

    Gives an array [M,N] of the asked format, without one int32 for integer operands (wrapping) and
    float32 for floating ones; bit-exact as `docs/numerics.md` says.

    Raises
    ------
    JobError, JobHang
        From the chip.
    """
    spot, problem = job.spot, job.plan.problem
    c_bytes = problem.m * problem.n * problem.out_bytes
    store_operands(chip.port, spot, (job.a, job.b, job.vectors.bias, job.vectors.scales))
    clear_last_line(chip.port, spot.c, c_bytes)
    result = chip.run_job(
        spot.commands, bytes(job.plan.commands), stall_limit=stall_limit, progress=progress
    )
    counters = chip.counters()
    dtype = DTYPES[problem.out_format]
    data = chip.port.read(spot.c, c_bytes)
    perf = {
        "config": chip.config.name, "device": chip.device,
        "m": problem.m, "n": problem.n, "k": problem.k,
        "dtype_a": str(job.a.dtype), "dtype_b": str(job.b.dtype),
        "out": dtype.name, "place": spot.memory,
        **gemm_figures(chip.config, job.plan, result, counters),
    }  # fmt: skip
    return GemmRun(np.frombuffer(data, dtype).reshape(problem.m, problem.n), result, perf)
