# SPDX-License-Identifier: Apache-2.0
"""Bit-exact model of the SIMD engine's element pipeline, on whole arrays of rows.

`docs/units/simd_engine.md` numbers the steps; the names here are the same. Values travel as float32
arrays whose NaNs are canonical. The model knows nothing of commands, circular buffers and beats
in time; `run_rows` is what becomes of rows that were read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Addend, BMode, Factor, Function, Post, Pre, Reduce, SimdOut
from hw.arch.formats import Format
from sim.golden.convert import from_fp32, to_fp32
from sim.golden.fp import canonical, fp32_add, fp32_max, fp32_min, fp32_mul
from sim.golden.functions import evaluate
from sim.golden.hash import rounding_hash
from sim.golden.row_reduce import reduce_rows

__all__ = ["Program", "SimdRows", "is_integer_drain", "run_rows"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Program:
    """The fields of an SE_PROGRAM, immediates as the bits of FP32 numbers."""

    a_format: Format = Format.FP32
    b_format: Format = Format.FP32
    out_format: Format = Format.FP32
    b_mode: BMode = BMode.NONE
    b_pair: bool = False
    pre: Pre = Pre.PASS
    relu: bool = False
    factor: Factor = Factor.NONE
    addend: Addend = Addend.NONE
    function: Function = Function.NONE
    reduce: Reduce = Reduce.NONE
    post: Post = Post.NONE
    out: SimdOut = SimdOut.ELEMENTS
    clamp: bool = False
    stochastic: bool = False
    stat_function: Function = Function.NONE
    imm_b: int = 0
    imm_c: int = 0
    imm_factor: int = 0x3F80_0000
    imm_addend: int = 0
    clamp_low: int = 0xFF80_0000
    clamp_high: int = 0x7F80_0000
    stat_factor: int = 0x3F80_0000
    stat_addend: int = 0
    seed: int = 0
    tensor: int = 0
    index_base: int = 0
    index_pitch: int = 0

    @classmethod
    def of(cls, values: Mapping[str, int]) -> "Program":
        """The program of a decoded SE_PROGRAM; other fields of the command are ignored.

        Raises
        ------
        ValueError
            If a field has a value that its enumeration lacks.
        """
        chosen: dict[str, Any] = {}
        for entry in fields(cls):
            chosen[entry.name] = type(entry.default)(values[entry.name])
        return cls(**chosen)

    def immediate(self, name: str) -> Floats:
        """An immediate field as a number (an array without dimensions), a NaN canonical."""
        return canonical(np.array(getattr(self, name), np.uint32).view(np.float32))


class SimdRows(NamedTuple):
    """What comes out for each row."""

    elements: NDArray
    """[rows, elements] in the type of `out_format`, whether `out` has them written or not."""
    statistic: Floats | None
    """[rows] after the stat function; None without reduction."""
    appended: Floats | None
    """[rows] before the stat function; None without reduction."""


def is_integer_drain(program: Program) -> bool:
    """Whether rows of INT32 from the reduction engine take the integer drain path."""
    zero = program.b_mode is BMode.NONE and program.imm_b == 0
    held = program.b_mode is BMode.HELD and program.b_format is Format.INT32
    plain = (
        program.a_format is Format.INT32
        and program.b_mode in (BMode.NONE, BMode.HELD)
        and (program.pre is Pre.PASS or (program.pre is Pre.ADD and (zero or held)))
        and program.function is Function.NONE
        and program.addend is Addend.NONE
        and program.reduce is Reduce.NONE
        and program.post is Post.NONE
        and not program.stochastic
    )
    if program.out_format is Format.INT32:
        return plain and program.factor is Factor.NONE
    scaled = program.factor in (Factor.NONE, Factor.IMMEDIATE, Factor.C)
    return plain and scaled and program.out_format in (Format.INT8, Format.UINT8)


def run_rows(
    program: Program,
    a_rows: NDArray,
    b: NDArray | None = None,
    c: NDArray | None = None,
    *,
    lanes: int,
    first_index_row: int = 0,
) -> SimdRows:
    """What a program makes of rows.

    Parameters
    ----------
    program
        The program.
    a_rows
        [rows, elements] in the type of `a_format` or bit patterns of its size. With `accumulate`
        [iterations of level 2, rows, elements]: they are added up, first to last.
    b
        None without `b_mode`. Else in the type of `b_format` (ELEMENT, HELD) or FP32 (ROW), of a
        shape that broadcasts against `a_rows`: [rows, elements], [elements] (HELD), [rows, 1]
        (ROW).
    c
        None without `b_pair`. Else FP32, shaped like `b`.
    lanes
        FP32 lanes of the engine, which say in which order SUM adds; a power of two.
    first_index_row
        Rows of the command before these, for the indices of stochastic rounding. Rows of
        output count, as they do everywhere else.

    Returns
    -------
    elements, statistics, and what BOTH appends.
    """
    a_rows = np.asarray(a_rows)
    if a_rows.ndim == 2:
        a_rows = a_rows[None]
    b_raw = None if b is None else _iterations(b, a_rows.ndim)
    second = program.immediate("imm_b") if b_raw is None else to_fp32(b_raw, _b_format(program))
    third = program.immediate("imm_c")
    if c is not None:
        third = to_fp32(_iterations(c, a_rows.ndim), Format.FP32)
    if program.out_format is Format.INT32:
        return SimdRows(_integers(program, a_rows, b_raw)[-1], None, None)

    opened = _relu(program, _pre(program, a_rows, b_raw, second, third))
    products = _factor(program, opened, second, third)
    # The addend and the multiplier behind the function see b and c of the last iteration.
    second, third = _last(second), _last(third)
    result = _function(program, _addend(program, _accumulate(products), second, third))
    statistic = appended = None
    if program.reduce is Reduce.SUM_SQUARES:
        squares = fp32_mul(opened[-1], opened[-1])
        statistic, appended = _statistics(program, reduce_rows(squares, Reduce.SUM, lanes))
    elif program.reduce is not Reduce.NONE:
        statistic, appended = _statistics(program, reduce_rows(result, program.reduce, lanes))
    result = _post(program, result, statistic, second, third)
    random = _random(program, result.shape, first_index_row) if program.stochastic else None
    elements = from_fp32(_clamp(program, result), program.out_format, random)
    return SimdRows(elements, statistic, appended)


def _iterations(operand: NDArray, n_dimensions: int) -> NDArray:
    """The operand with the dimension of the accumulated iterations in front."""
    operand = np.asarray(operand)
    return operand.reshape((1,) * (n_dimensions - operand.ndim) + operand.shape)


def _last(operand: Floats) -> Floats:
    """The operand of the last iteration."""
    return operand[-1] if operand.ndim else operand


def _b_format(program: Program) -> Format:
    return Format.FP32 if program.b_mode is BMode.ROW else program.b_format


def _adds_integers(program: Program, b_raw: NDArray | None) -> bool:
    both = program.a_format is Format.INT32 and _b_format(program) is Format.INT32
    return both and b_raw is not None and program.pre is Pre.ADD


def _integers(program: Program, a_rows: NDArray, b_raw: NDArray | None) -> NDArray[np.int32]:
    """Steps 1 to 3 of the integer drain path, without a conversion."""
    total = a_rows.view(np.uint32)
    if b_raw is not None and program.pre is Pre.ADD:
        total = total + b_raw.view(np.uint32)
    total = total.view(np.int32)
    return np.maximum(total, 0) if program.relu else total


def _pre(program: Program, a_rows: NDArray, b_raw: NDArray | None, b: Floats, c: Floats) -> Floats:
    """Steps 1 and 2."""
    if _adds_integers(program, b_raw):
        assert b_raw is not None
        total = a_rows.view(np.uint32) + b_raw.view(np.uint32)
        return to_fp32(total, Format.INT32)
    a = to_fp32(a_rows, program.a_format)
    match program.pre:
        case Pre.PASS:
            return a
        case Pre.ADD:
            return fp32_add(a, b)
        case Pre.SUB:
            return fp32_add(a, -b)
        case Pre.RSUB:
            return fp32_add(b, -a)
        case Pre.MIN:
            return fp32_min(a, b)
        case Pre.MAX:
            return fp32_max(a, b)
        case Pre.SELECT:
            return np.where(a != 0, b, c)  # true for a NaN
        case Pre.SELECT_POSITIVE:
            return np.where(a > 0, b, c)  # false for a NaN


def _relu(program: Program, values: Floats) -> Floats:
    """Step 3."""
    if not program.relu:
        return values
    return np.where(np.signbit(values) & ~np.isnan(values), np.float32(0), values)


def _factor(program: Program, values: Floats, b: Floats, c: Floats) -> Floats:
    """Step 4."""
    match program.factor:
        case Factor.NONE:
            return values
        case Factor.IMMEDIATE:
            return fp32_mul(values, program.immediate("imm_factor"))
        case Factor.B:
            return fp32_mul(values, b)
        case Factor.C:
            return fp32_mul(values, c)
        case Factor.SELF:
            return fp32_mul(values, values)


def _accumulate(products: Floats) -> Floats:
    """The running sum over the first axis."""
    total = products[0]
    for product in products[1:]:
        total = fp32_add(product, total)
    return total


def _addend(program: Program, values: Floats, b: Floats, c: Floats) -> Floats:
    """Step 5."""
    match program.addend:
        case Addend.NONE:
            return values
        case Addend.IMMEDIATE:
            return fp32_add(values, program.immediate("imm_addend"))
        case Addend.B:
            return fp32_add(values, b)
        case Addend.C:
            return fp32_add(values, c)


def _function(program: Program, values: Floats) -> Floats:
    """Step 6, for TANH, GELU and SILU with the product of step 8."""
    if program.function is Function.NONE:
        return values
    return evaluate(program.function, values)


def _statistics(program: Program, value: Floats) -> tuple[Floats, Floats]:
    """The stat lane of step 7: statistic, and the same before its function."""
    product = fp32_mul(value, program.immediate("stat_factor"))
    appended = fp32_add(product, program.immediate("stat_addend"))
    if program.stat_function is Function.NONE:
        return appended, appended
    return evaluate(program.stat_function, appended), appended


def _post(
    program: Program, values: Floats, statistic: Floats | None, b: Floats, c: Floats
) -> Floats:
    """Step 8."""
    match program.post:
        case Post.NONE:
            return values
        case Post.STATISTIC:
            assert statistic is not None, "post STATISTIC needs a reduction"
            return fp32_mul(values, statistic[:, None])
        case Post.B:
            return fp32_mul(values, b)
        case Post.C:
            return fp32_mul(values, c)


def _clamp(program: Program, values: Floats) -> Floats:
    """Step 9."""
    if not program.clamp:
        return values
    raised = fp32_max(values, program.immediate("clamp_low"))
    return fp32_min(raised, program.immediate("clamp_high"))


def _random(program: Program, shape: tuple[int, ...], first_row: int) -> NDArray[np.uint32]:
    """The random word of each element."""
    row = np.arange(shape[0], dtype=np.uint32)[:, None] + np.uint32(first_row)
    start = np.uint32(program.index_base) + row * np.uint32(program.index_pitch)
    index = start + np.arange(shape[1], dtype=np.uint32)
    return rounding_hash(program.seed, program.tensor, index)
