# SPDX-License-Identifier: Apache-2.0
"""GEMM on arrays: places the operands in memory, runs the kernel's command list, reads the result
and the counters."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hw.arch import address_map
from hw.arch.formats import Format
from hw.config import ChipConfig
from sw.errors import UserError
from sw.kernels.gemm import GemmPlan, GemmProblem, plan_gemm
from sw.runtime.chip import Chip, JobResult

__all__ = ["GemmJob", "GemmRun", "Placement", "as_operand", "place", "prepare_gemm", "run_gemm"]

_FORMATS: dict[Any, Format] = {
    np.dtype(np.int8): Format.INT8,
    np.dtype(np.uint8): Format.UINT8,
    np.dtype(np.float16): Format.FP16,
    np.dtype(ml_dtypes.bfloat16): Format.BF16,
}
_ALIGN = 64


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a problem lies: addresses of A, B, C and of the command list, and the memory's name."""

    memory: str
    a: int
    b: int
    c: int
    commands: int


@dataclasses.dataclass(frozen=True)
class GemmJob:
    """A product that is ready to run: operands, where they go, and the command list."""

    a: NDArray[Any]
    b: NDArray[Any]
    spot: Placement
    plan: GemmPlan


@dataclasses.dataclass(frozen=True)
class GemmRun:
    """A result and how it was computed."""

    c: NDArray[Any]
    job: JobResult
    perf: dict[str, Any]


def as_operand(array: NDArray[Any], dtype: str | None, name: str) -> NDArray[Any]:
    """Return `array` as a contiguous two-dimensional operand of a supported type.

    Parameters
    ----------
    array : NDArray
        As loaded; a two-byte void is taken as bfloat16, which is how `.npy` files hold it.
    dtype : str or None
        `int8`, `uint8`, `float16` or `bfloat16` to convert to, exactly for integers and by
        rounding to nearest even for floats.
    name : str
        For messages.

    Raises
    ------
    UserError
        If the shape or type cannot be used, or values do not fit.
    """
    if array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16)
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(
            f"{name} has shape {array.shape}; it must be a matrix with at least one row and column."
        )
    if dtype is not None:
        array = _convert(array, dtype, name)
    if array.dtype not in _FORMATS:
        raise UserError(
            f"{name} holds {array.dtype}; it must hold int8, uint8, float16 or bfloat16"
            " (--dtype converts)."
        )
    return np.ascontiguousarray(array)


def _convert(array: NDArray[Any], dtype: str, name: str) -> NDArray[Any]:
    wanted = {
        "int8": np.int8,
        "uint8": np.uint8,
        "float16": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
    }
    if dtype not in wanted:
        raise UserError(f"--dtype is {dtype}; it must be int8, uint8, float16 or bfloat16.")
    if array.dtype.kind not in "biuf" and array.dtype != np.dtype(ml_dtypes.bfloat16):
        raise UserError(f"{name} holds {array.dtype}, which is not a number type.")
    target = np.dtype(wanted[dtype])
    with np.errstate(over="ignore", invalid="ignore"):
        converted = _to_bfloat16(array) if dtype == "bfloat16" else array.astype(target)
    if target.kind in "iu":
        if not np.array_equal(converted.astype(np.float64), array.astype(np.float64)):
            raise UserError(
                f"{name} has values that do not fit {dtype}; scale or round them first."
            )
    elif np.any(np.isinf(converted.astype(np.float64)) & np.isfinite(array.astype(np.float64))):
        raise UserError(f"{name} has values that are too large for {dtype}.")
    return converted


def _to_bfloat16(array: NDArray[Any]) -> NDArray[Any]:
    """Round once, to nearest even. A cast from float64 alone would round to float32 on its way."""
    wide = array.astype(np.float64)
    single = wide.astype(np.float32)
    # Round to odd: with two bits more than the result has, the last rounding is then right.
    single = np.where(np.abs(single) > np.abs(wide), np.nextafter(single, np.float32(0)), single)
    inexact = np.isfinite(wide) & (single.astype(np.float64) != wide)
    odd = single.astype(np.float32).view(np.uint32) | inexact.astype(np.uint32)
    return odd.view(np.float32).astype(ml_dtypes.bfloat16)


def place(config: ChipConfig, sizes: tuple[int, int, int, int], where: str) -> Placement:
    """Choose addresses for A, B, C and the command list of `sizes` bytes, all in one memory.

    `where` is `sram`, `dram` or `auto`: SRAM if all fits.

    Raises
    ------
    UserError
        If they do not fit.
    """
    memories = {
        "sram": (address_map.SRAM.base, config.sram.size_bytes),
        "dram": (address_map.DRAM.base, config.dram.size_bytes),
    }
    padded = [(size // _ALIGN + 1) * _ALIGN for size in sizes]
    total = sum(padded)
    for name in ("sram", "dram") if where == "auto" else (where,):
        base, size = memories[name]
        if total <= size:
            a, b, c, commands, _ = itertools.accumulate(padded, initial=base)
            return Placement(name, a, b, c, commands)
    room = max(size for name, (_, size) in memories.items() if where in ("auto", name))
    raise UserError(
        f"A, B, C and the command list need {total} bytes; {config.name} has"
        f" {room} in {'its largest memory' if where == 'auto' else where.upper()}."
    )


def _whole_lines(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGN)


def prepare_gemm(
    config: ChipConfig,
    a: NDArray[Any],
    b: NDArray[Any],
    *,
    where: str = "auto",
    load_first: bool = False,
) -> GemmJob:
    """Place and plan a[M,K] @ b[K,N] for one element of `config`; touches no device.

    Raises
    ------
    UserError
        For shapes or types that do not go together, or operands that do not fit.
    """
    if a.shape[1] != b.shape[0]:
        raise UserError(
            f"A is {a.shape[0]} x {a.shape[1]} and B is {b.shape[0]} x {b.shape[1]};"
            " A must have as many columns as B has rows."
        )
    (m, k), n = a.shape, b.shape[1]
    a_format, b_format = _FORMATS[a.dtype], _FORMATS[b.dtype]

    def plan(spot: Placement) -> GemmPlan:
        problem = GemmProblem(
            m=m, n=n, k=k, a_format=a_format, b_format=b_format,
            a_address=spot.a, b_address=spot.b, c_address=spot.c,
            a_pitch=k * a_format.n_bytes, b_pitch=n * b_format.n_bytes, c_pitch=4 * n,
        )  # fmt: skip
        return plan_gemm(config.pe, problem, load_first=load_first)

    try:
        # A list is as long at any addresses, so one planned at 0 tells how much room it takes.
        list_bytes = len(bytes(plan(Placement("", 0, 0, 0, 0)).commands))
        spot = place(config, (a.nbytes, b.nbytes, 4 * m * n, list_bytes), where)
        return GemmJob(a, b, spot, plan(spot))
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

    Gives int32 [M,N] for integer operands (wrapping), float32 for floating ones, bit-exact as
    `docs/numerics.md` says.

    Raises
    ------
    JobError, JobHang
        From the chip.
    """
    spot, commands = job.spot, job.plan.commands
    problem = job.plan.problem
    c_bytes = 4 * problem.m * problem.n
    chip.port.write(spot.a, _whole_lines(job.a.tobytes()))
    chip.port.write(spot.b, _whole_lines(job.b.tobytes()))
    # The last line of C is stored in part; memory never written has no valid check bits.
    chip.port.write(spot.c + c_bytes // _ALIGN * _ALIGN, bytes(_ALIGN))
    result = chip.run_job(
        spot.commands, bytes(commands), stall_limit=stall_limit, progress=progress
    )
    counters = chip.counters()
    dtype = np.dtype(np.float32 if problem.a_format.is_float else np.int32)
    data = chip.port.read(spot.c, c_bytes)
    perf = {
        "config": chip.config.name, "device": chip.device,
        "m": problem.m, "n": problem.n, "k": problem.k,
        "dtype_a": str(job.a.dtype), "dtype_b": str(job.b.dtype),
        "out": dtype.name, "place": spot.memory,
        **_figures(chip.config, job.plan, result, counters),
    }  # fmt: skip
    return GemmRun(np.frombuffer(data, dtype).reshape(problem.m, problem.n), result, perf)


def _ratio(part: float, whole: float | None) -> float | None:
    """part / whole, None if the device does not know the whole."""
    return None if whole is None else part / max(whole, 1)


def _times(count: int | None, size: int) -> int | None:
    return None if count is None else count * size


def _dpe_span(counters: dict[str, int | None]) -> int | None:
    """Cycles from the engine's first command to its last."""
    names = [name for name in counters if name.startswith(("dpe.busy", "dpe.wait_"))]
    values = [value for name in names if (value := counters[name]) is not None]
    return sum(values) if len(values) == len(names) else None


def _figures(
    config: ChipConfig, plan: GemmPlan, job: JobResult, counters: dict[str, int | None]
) -> dict[str, Any]:
    """Performance figures of one job; None for what a device without time cannot know."""
    problem = plan.problem
    peak = config.pe.dpe.macs_per_cycle(problem.element_bytes)
    issued = counters["cp.commands"] or 0
    link = config.pe.link_bytes
    return {
        "cycles": job.cycles,
        "harness_cycles": job.harness_cycles,
        "macs": problem.macs,
        "peak_macs_per_cycle": peak,
        "utilisation": _ratio(problem.macs, _times(job.cycles, peak)),
        "dpe_utilisation": _ratio(problem.macs, _times(_dpe_span(counters), peak)),
        "bytes": {
            "sram_read": _times(counters["sram.read_lines"], link),
            "sram_write": _times(counters["sram.write_lines"], link),
            "dram_read": counters["dram.read_bytes"],
            "dram_write": counters["dram.write_bytes"],
            "link_in": _times(counters["fi.read_lines"], link),
            "link_out": _times(counters["fi.write_lines"], link),
            "landed": counters["fi.read_bytes"],
            "stored": counters["fi.write_bytes"],
        },
        "commands": {
            "issued": counters["cp.commands"],
            "short": counters["cp.short_commands"],
            "in_list": plan.commands.n_long + plan.commands.n_short,
            "per_1000_busy_dpe_cycles": _ratio(1000 * issued, counters["dpe.busy"]),
        },
        "counters": counters,
    }
