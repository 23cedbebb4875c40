# SPDX-License-Identifier: Apache-2.0
"""Kernels of the SIMD engine on arrays: places operands, runs the list, reads results and
counters. `prepare_...` finds, without a chip, what cannot be."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from hw.config import ChipConfig
from sw.errors import UserError
from sw.kernels.command_list import CommandList
from sw.kernels.elementwise import BINARY, UNARY, Kind, Operand, plan_elementwise
from sw.kernels.layernorm import plan_layernorm
from sw.kernels.pooling import plan_pooling
from sw.kernels.quantize import plan_quantize
from sw.kernels.rows import RowArray
from sw.kernels.softmax import plan_softmax
from sw.kernels.transpose import plan_transpose
from sw.runtime.chip import Chip, JobResult
from sw.runtime.operands import DTYPES, as_vector, format_of
from sw.runtime.placement import allocate, clear_last_line, store_array

__all__ = [
    "OpJob",
    "OpRun",
    "elementwise",
    "layernorm",
    "pooling",
    "prepare_elementwise",
    "prepare_layernorm",
    "prepare_pooling",
    "prepare_quantize",
    "prepare_softmax",
    "prepare_transpose",
    "quantize",
    "softmax",
    "transpose",
]

_ROW_ELEMENTS = 512
"""Elements of a row where the shape does not matter."""


@dataclasses.dataclass(frozen=True)
class OpRun:
    """Results by name, and how they were computed."""

    results: dict[str, NDArray[Any]]
    job: JobResult
    counters: Mapping[str, int | None]
    n_commands: int

    @property
    def y(self) -> NDArray[Any]:
        """The first result."""
        return next(iter(self.results.values()))


@dataclasses.dataclass(frozen=True)
class _Result:
    """Shape and format of a result."""

    shape: tuple[int, int]
    fmt: Format

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.fmt.n_bytes


Plan = Callable[[dict[str, RowArray]], CommandList]


@dataclasses.dataclass(frozen=True)
class OpJob:
    """An operation that a member can do, with its operands' places and its command list."""

    operands: dict[str, NDArray[Any]]
    results: dict[str, _Result]
    at: dict[str, int]
    commands: CommandList
    shape: tuple[int, ...] | None = None
    """Of the first result, where it is not that of the rows."""

    def run(self, chip: Chip) -> OpRun:
        """Place everything, run, read the results."""
        for name, array in self.operands.items():
            store_array(chip.port, self.at[name], array.tobytes())
        for name, result in self.results.items():
            clear_last_line(chip.port, self.at[name], result.n_bytes)
        job = chip.run_job(self.at["the command list"], bytes(self.commands))
        found = {}
        for name, result in self.results.items():
            data = chip.port.read(self.at[name], result.n_bytes)
            found[name] = np.frombuffer(data, DTYPES[result.fmt]).reshape(result.shape)
        n_commands = self.commands.n_long + self.commands.n_short
        run = OpRun(found, job, chip.counters(), n_commands)
        return run if self.shape is None else _shaped(run, self.shape)


def _prepare(
    config: ChipConfig,
    operands: dict[str, NDArray[Any]],
    results: dict[str, _Result],
    plan: Plan,
    shape: tuple[int, ...] | None = None,
) -> OpJob:
    """Find places for everything, and the commands that `plan` makes of it."""
    sizes = {name: array.nbytes for name, array in operands.items()}
    sizes |= {name: result.n_bytes for name, result in results.items()}
    try:
        draft = plan(_arrays(operands, results, dict.fromkeys(sizes, 0)))
        sizes["the command list"] = len(bytes(draft))
        _, at = allocate(config, sizes, "auto")
        commands = plan(_arrays(operands, results, at))
    except ValueError as error:
        raise UserError(str(error)) from None
    return OpJob(operands, results, dict(at), commands, shape)


def _arrays(
    operands: dict[str, NDArray[Any]], results: dict[str, _Result], at: Mapping[str, int]
) -> dict[str, RowArray]:
    shapes = {name: _Result(array.shape, format_of(array)) for name, array in operands.items()}
    return {
        name: RowArray(
            address=at[name], rows=entry.shape[0], elements=entry.shape[1], fmt=entry.fmt
        )
        for name, entry in {**shapes, **results}.items()
    }


def _matrix(array: NDArray[Any], name: str) -> NDArray[Any]:
    """`array` as rows: the last axis stays, all others become one."""
    if array.ndim == 0 or not array.size:
        raise UserError(f"{name} has shape {array.shape}; it must have at least one element.")
    format_of(array)
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]))


def _shaped(run: OpRun, shape: tuple[int, ...]) -> OpRun:
    """The same with the first result in the operand's shape."""
    (name, first), *rest = run.results.items()
    whole = first.reshape(-1)[: math.prod(shape)].reshape(shape)
    return dataclasses.replace(run, results={name: whole, **dict(rest)})


def prepare_softmax(config: ChipConfig, x: NDArray[Any], out: Format = Format.FP32) -> OpJob:
    """Softmax over the last axis.

    Raises
    ------
    UserError
        If the array cannot be used, or a row is too long for the member.
    """
    rows = _matrix(x, "X")
    return _prepare(
        config, {"x": rows}, {"y": _Result(rows.shape, out)},
        lambda at: plan_softmax(config.pe, at["x"], at["y"]),
        x.shape,
    )  # fmt: skip


def prepare_layernorm(
    config: ChipConfig, x: NDArray[Any], out: Format = Format.FP32, *, epsilon: float = 1e-5
) -> OpJob:
    """(x - mean) / sqrt(variance + epsilon) over the last axis.

    Raises
    ------
    UserError
        If the array cannot be used, or a row is too long for the member.
    """
    rows = _matrix(x, "X")
    return _prepare(
        config, {"x": rows}, {"y": _Result(rows.shape, out)},
        lambda at: plan_layernorm(config.pe, at["x"], at["y"], epsilon=epsilon),
        x.shape,
    )  # fmt: skip


def prepare_quantize(config: ChipConfig, x: NDArray[Any]) -> OpJob:
    """Rows (last axis) as int8 `y` and one float32 scale each, `scales`.

    Raises
    ------
    UserError
        If the array cannot be used, or a row is too long for the member.
    """
    rows = _matrix(x, "X")
    results = {
        "y": _Result(rows.shape, Format.INT8),
        "scales": _Result((rows.shape[0], 1), Format.FP32),
    }
    return _prepare(
        config, {"x": rows}, results,
        lambda at: plan_quantize(config.pe, at["x"], at["y"], at["scales"]),
        x.shape,
    )  # fmt: skip


def prepare_transpose(config: ChipConfig, x: NDArray[Any]) -> OpJob:
    """The matrix with rows and columns exchanged; any format of 8, 16 or 32 bits.

    Raises
    ------
    UserError
        If the array is no matrix, or has another type.
    """
    if x.ndim != 2:
        raise UserError(f"X has shape {x.shape}; it must be a matrix.")
    rows = _matrix(x, "X")
    return _prepare(
        config, {"x": rows}, {"y": _Result((rows.shape[1], rows.shape[0]), format_of(rows))},
        lambda at: plan_transpose(config.pe, at["x"], at["y"]),
    )  # fmt: skip


def prepare_pooling(
    config: ChipConfig,
    table: NDArray[Any],
    indices: NDArray[Any],
    weights: NDArray[Any] | None = None,
    out: Format = Format.FP32,
) -> OpJob:
    """Sums of rows of `table` [R,N] by `indices` [bags,n] (int32), weighted by `weights`.

    Raises
    ------
    UserError
        If shapes or types do not go together, or an index is out of range.
    """
    rows, lists = _matrix(table, "The table"), _matrix(indices, "The index list")
    if lists.dtype != np.int32:
        raise UserError(f"The index list holds {lists.dtype}; it must hold int32.")
    if lists.min() < 0 or lists.max() >= rows.shape[0]:
        raise UserError(f"An index is not below the table's {rows.shape[0]} rows.")
    operands = {"table": rows, "indices": lists}
    if weights is not None:
        operands["weights"] = _weights(weights, indices.shape).reshape(lists.shape)
    return _prepare(
        config, operands, {"y": _Result((lists.shape[0], rows.shape[1]), out)},
        lambda at: plan_pooling(
            config.pe, at["table"], at["indices"], at["y"], at.get("weights")
        ),
    )  # fmt: skip


def _weights(weights: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """FP32 factors of indices that have `shape`."""
    if weights.shape != shape:
        raise UserError(
            f"The weights have shape {weights.shape}; they must have that of the indices, {shape}."
        )
    return as_vector(weights.reshape(-1), Format.FP32, weights.size, "The array of weights")


def prepare_elementwise(
    config: ChipConfig,
    operation: str,
    x: NDArray[Any],
    b: NDArray[Any] | None = None,
    out: Format = Format.FP32,
) -> OpJob:
    """`operation` of `sw.kernels.elementwise`; b of x's shape, a row, or a float32 column.

    Raises
    ------
    UserError
        If there is no such operation, or shapes or types do not go together.
    """
    table = UNARY if b is None else BINARY
    if operation not in table:
        raise UserError(f"There is no operation {operation}; there are {', '.join(table)}.")
    fields = table[operation]
    rows = _matrix(x, "X")
    kind = None if b is None else _kind(x, b)
    if kind in (None, Kind.SAME):
        rows = _even_rows(rows)
    operands = {"x": rows}
    if b is not None:
        other = _matrix(b.reshape(1, -1) if kind is Kind.ROW else b, "B")
        operands["b"] = _even_rows(other) if kind is Kind.SAME else other

    def plan(at: dict[str, RowArray]) -> CommandList:
        second = None if kind is None else Operand(array=at["b"], kind=kind)
        return plan_elementwise(config.pe, fields, at["x"], at["y"], second)

    return _prepare(config, operands, {"y": _Result(rows.shape, out)}, plan, x.shape)


def _even_rows(array: NDArray[Any]) -> NDArray[Any]:
    """The same elements in rows of a good length, zeros behind them."""
    flat = array.reshape(-1)
    length = min(_ROW_ELEMENTS, flat.size)
    return np.pad(flat, (0, -flat.size % length)).reshape(-1, length)


def _kind(x: NDArray[Any], b: NDArray[Any]) -> Kind:
    """How b goes with x."""
    if b.shape == x.shape:
        return Kind.SAME
    if b.shape[-1:] == (b.size,) == x.shape[-1:]:
        return Kind.ROW
    if b.shape == (*x.shape[:-1], 1) and b.dtype == np.float32:
        return Kind.COLUMN
    raise UserError(
        f"B has shape {b.shape} and X {x.shape}; B must have X's shape, be one row of it, or one"
        " float32 for each row."
    )


def softmax(chip: Chip, x: NDArray[Any], out: Format = Format.FP32) -> OpRun:
    """Run what `prepare_softmax` makes of the arrays."""
    return prepare_softmax(chip.config, x, out).run(chip)


def layernorm(
    chip: Chip, x: NDArray[Any], out: Format = Format.FP32, *, epsilon: float = 1e-5
) -> OpRun:
    """Run what `prepare_layernorm` makes of the arrays."""
    return prepare_layernorm(chip.config, x, out, epsilon=epsilon).run(chip)


def quantize(chip: Chip, x: NDArray[Any]) -> OpRun:
    """Run what `prepare_quantize` makes of the arrays."""
    return prepare_quantize(chip.config, x).run(chip)


def transpose(chip: Chip, x: NDArray[Any]) -> OpRun:
    """Run what `prepare_transpose` makes of the arrays."""
    return prepare_transpose(chip.config, x).run(chip)


def pooling(
    chip: Chip,
    table: NDArray[Any],
    indices: NDArray[Any],
    weights: NDArray[Any] | None = None,
    out: Format = Format.FP32,
) -> OpRun:
    """Run what `prepare_pooling` makes of the arrays."""
    return prepare_pooling(chip.config, table, indices, weights, out).run(chip)


def elementwise(
    chip: Chip,
    operation: str,
    x: NDArray[Any],
    b: NDArray[Any] | None = None,
    out: Format = Format.FP32,
) -> OpRun:
    """Run what `prepare_elementwise` makes of the arrays."""
    return prepare_elementwise(chip.config, operation, x, b, out).run(chip)
