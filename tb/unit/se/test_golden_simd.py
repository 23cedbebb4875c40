# SPDX-License-Identifier: Apache-2.0
"""The golden SIMD engine against Python integers and fractions, NumPy and error bounds."""

import math
import random

import numpy as np
import pytest

from hw.arch.commands import (
    Addend,
    BMode,
    Factor,
    Function,
    Opcode,
    Post,
    Pre,
    Reduce,
    SimdOut,
    decode,
    encode,
)
from hw.arch.formats import Format
from sim.golden.convert import DTYPES
from sim.golden.row_reduce import reduce_rows
from sim.golden.simd import Program, is_integer_drain, run_rows
from tb.common.seeds import numpy_rng, python_rng
from tb.unit.num.fp32_values import CORNERS
from tb.unit.se.scalar import reduced, scalar_row

ONE = 0x3F80_0000


def random_bits(rng: random.Random, fmt: Format) -> int:
    """An element: a corner, a number of everyday size, or any bits."""
    if not fmt.is_float:
        return rng.getrandbits(8 * fmt.n_bytes)
    if rng.random() < 0.15:
        bits = rng.choice(CORNERS) >> (0 if fmt is Format.FP32 else 16)
        return bits
    if rng.random() < 0.2:
        return rng.getrandbits(8 * fmt.n_bytes)
    value = np.array([rng.gauss(0, 4)], DTYPES[fmt])
    return int(value.view(f"u{fmt.n_bytes}")[0])


def random_program(rng: random.Random) -> Program:
    """A legal program without a table function."""
    reduce = rng.choice(list(Reduce))
    factors = [Factor.NONE] if reduce is Reduce.SUM_SQUARES else list(Factor)
    posts = [p for p in Post if p is not Post.STATISTIC or reduce is not Reduce.NONE]
    b_mode = rng.choice(list(BMode))
    held_formats = [Format.INT32, Format.FP32]
    names = ("imm_b", "imm_c", "imm_factor", "imm_addend", "stat_factor", "stat_addend")
    limits = sorted(rng.gauss(0, 8) for _ in range(2))
    low, high = np.array(limits, np.float32).view(np.uint32).tolist()
    return Program(
        a_format=rng.choice(list(Format)),
        b_format=rng.choice(held_formats if b_mode is BMode.HELD else list(Format)),
        out_format=rng.choice([fmt for fmt in Format if fmt is not Format.INT32]),
        b_mode=b_mode,
        b_pair=b_mode in (BMode.ROW, BMode.HELD) and rng.random() < 0.5,
        pre=rng.choice(list(Pre)),
        relu=rng.random() < 0.3,
        factor=rng.choice(factors),
        addend=rng.choice(list(Addend)),
        reduce=reduce,
        post=rng.choice(posts),
        clamp=rng.random() < 0.3,
        clamp_low=low,
        clamp_high=high,
        stochastic=rng.random() < 0.4,
        **{name: random_bits(rng, Format.FP32) for name in names},
        **{name: rng.getrandbits(32) for name in ("seed", "tensor", "index_base", "index_pitch")},
    )


def random_operands(
    rng: random.Random, program: Program, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """a, b and c of [iterations, rows, elements], as bit patterns."""
    n_turns, n_rows, n_elements = shape
    shapes = {
        BMode.NONE: None,
        BMode.ELEMENT: shape,
        BMode.ROW: (n_turns, n_rows, 1),
        BMode.HELD: (n_turns, 1, n_elements),
    }

    def draw(of: tuple[int, ...] | None, fmt: Format) -> np.ndarray | None:
        if of is None:
            return None
        bits = [random_bits(rng, fmt) for _ in range(math.prod(of))]
        return np.array(bits, np.uint64).astype(f"u{fmt.n_bytes}").reshape(of)

    b_shape = shapes[program.b_mode]
    a = draw(shape, program.a_format)
    assert a is not None
    b = draw(b_shape, Format.FP32 if program.b_mode is BMode.ROW else program.b_format)
    return a, b, draw(b_shape if program.b_pair else None, Format.FP32)


@pytest.mark.parametrize("n_turns", (1, 3), ids=("plain", "accumulate"))
def test_random_programs_match_the_page_step_by_step(n_turns: int) -> None:
    """Every format, source and operation, with corner values; the bits of each element, and of
    what is appended."""
    rng = python_rng(f"simd {n_turns}")
    for _ in range(150):
        program = random_program(rng)
        if n_turns > 1 and program.reduce is Reduce.SUM_SQUARES:
            continue
        shape = (n_turns, rng.randint(1, 3), rng.choice((1, 3, 4, 5, 37)))
        a, b, c = random_operands(rng, program, shape)
        first_row = rng.randint(0, 5)
        found = run_rows(program, a, b, c, lanes=4, first_index_row=first_row)
        spread_b = np.broadcast_to(program.imm_b if b is None else b, shape).tolist()
        spread_c = np.broadcast_to(program.imm_c if c is None else c, shape).tolist()
        patterns = found.elements.view(f"u{found.elements.dtype.itemsize}")
        for row in range(shape[1]):
            turns, bs, cs = (
                [turn[row] for turn in all_] for all_ in (a.tolist(), spread_b, spread_c)
            )
            elements, appended = scalar_row(program, turns, bs, cs, lanes=4, row=first_row + row)
            assert patterns[row].tolist() == elements, program
            if appended is not None:
                assert found.appended is not None
                assert int(found.appended.view(np.uint32)[row]) == appended, program


@pytest.mark.parametrize("reduce", (Reduce.SUM, Reduce.MAX, Reduce.MIN, Reduce.ABSMAX))
@pytest.mark.parametrize("lanes", (2, 4, 16))
@pytest.mark.parametrize("n_elements", (1, 15, 16, 17, 300))
def test_rows_are_reduced_in_the_order_of_the_page(
    n_elements: int, lanes: int, reduce: Reduce
) -> None:
    """Rows of one beat, of whole beats, and of more than eight beats, with both zeros."""
    rng = numpy_rng("rows")
    rows = rng.standard_normal((3, n_elements)).astype(np.float32)
    rows[1] = np.float32(-0.0)
    rows[2, 0] = np.float32(np.inf)
    found = reduce_rows(rows, reduce, lanes).view(np.uint32).tolist()
    assert found == [reduced(row, reduce, lanes) for row in rows.view(np.uint32).tolist()]


@pytest.mark.parametrize("n_elements", (64, 1000, 4096))
def test_sums_stay_within_the_derived_bound(n_elements: int) -> None:
    """|error| <= n 2^-24 sum|x| to first order, n the longest chain of additions of an element.

    That is log2(lanes) in the beat, one for each turn of the partial sums but the first, 3 at the
    end.
    """
    lanes = 16
    rows = numpy_rng("bound").standard_normal((20, n_elements)).astype(np.float32)
    chain = 4 + -(-n_elements // (8 * lanes)) - 1 + 3
    for row, found in zip(rows, reduce_rows(rows, Reduce.SUM, lanes), strict=True):
        bound = 1.001 * chain * 2.0**-24 * math.fsum(np.abs(row.astype(np.float64)))
        assert abs(float(found) - math.fsum(row.astype(np.float64))) <= bound


def test_stochastic_rounding_is_right_on_average() -> None:
    """The mean over 2^16 elements of one value.

    Each element is rounded up with probability p, the lost part of a unit, as far as the words are
    independent; six standard deviations of the mean are 6 sqrt(p (1 - p) / n) <= 3 / sqrt(n) units.
    """
    program = Program(
        out_format=Format.INT8, stochastic=True, seed=77, tensor=3, index_base=5, index_pitch=256
    )
    for value in (0.01, 0.5, 17.3, -3.75):
        rows = np.full((256, 256), value, np.float32)
        mean = run_rows(program, rows, lanes=4).elements.astype(np.float64).mean()
        assert abs(mean - float(rows[0, 0])) <= 3 / 256


def test_stochastic_rounding_does_not_depend_on_who_does_it() -> None:
    """Rows computed in one command, or a part of them in another with its own base."""
    fields = {"out_format": Format.BF16, "stochastic": True, "seed": 1, "tensor": 2}
    rows = numpy_rng("shares").standard_normal((6, 10)).astype(np.float32)
    whole = run_rows(Program(**fields, index_base=100, index_pitch=10), rows, lanes=4).elements
    part = run_rows(Program(**fields, index_base=140, index_pitch=10), rows[4:], lanes=4).elements
    later = run_rows(
        Program(**fields, index_base=100, index_pitch=10), rows[4:], lanes=4, first_index_row=4
    ).elements
    assert (whole[4:] == part).all() and (part == later).all()


def test_functions_stand_between_addend_and_reduction() -> None:
    """Softmax's first pass: exponentials of what the addend gives, their sum, its reciprocal."""
    program = Program(
        addend=Addend.IMMEDIATE,
        imm_addend=0xBF80_0000,
        function=Function.EXP,
        reduce=Reduce.SUM,
        stat_function=Function.RECIPROCAL,
        post=Post.STATISTIC,
        out=SimdOut.BOTH,
    )
    rows = numpy_rng("softmax").standard_normal((5, 40)).astype(np.float32)
    found = run_rows(program, rows, lanes=4)
    powers = np.exp(rows.astype(np.float64) - 1)
    assert found.appended is not None and found.statistic is not None
    assert np.allclose(found.appended, powers.sum(axis=1), rtol=1e-4)
    assert np.allclose(found.statistic * found.appended, 1, rtol=1e-4)
    assert np.allclose(found.elements, powers / powers.sum(axis=1, keepdims=True), rtol=1e-3)


def test_integers_leave_unconverted() -> None:
    """INT32 out: bias wraps, relu, no limits."""
    program = Program(
        a_format=Format.INT32,
        b_format=Format.INT32,
        out_format=Format.INT32,
        b_mode=BMode.HELD,
        pre=Pre.ADD,
        relu=True,
    )
    rows = np.array([[2**31 - 1, 5, -(2**31), 16777217]], np.int32)
    bias = np.array([1, -7, -1, 2], np.int32)
    assert run_rows(program, rows, bias, lanes=4).elements.tolist() == [[0, 0, 2**31 - 1, 16777219]]


def test_programs_are_read_from_commands() -> None:
    """Every field of SE_PROGRAM arrives, defaults are the same, and what no enumeration has is
    refused."""
    _, values = decode(encode(Opcode.SE_PROGRAM, program=2, a_format=4, reduce=5, imm_factor=7))
    program = Program.of(values)
    assert program.a_format is Format.INT32 and program.reduce is Reduce.SUM_SQUARES
    assert program.imm_factor == 7 and program.clamp_high == 0x7F80_0000
    assert Program.of(decode(encode(Opcode.SE_PROGRAM))[1]) == Program()
    with pytest.raises(ValueError, match="6 is not a valid Reduce"):
        Program.of({**values, "reduce": 6})


@pytest.mark.parametrize(
    ("change", "drains"),
    (
        ({}, True),
        ({"factor": Factor.C, "b_mode": BMode.HELD, "b_pair": True}, True),
        ({"pre": Pre.ADD}, True),
        ({"pre": Pre.ADD, "b_mode": BMode.HELD, "b_format": Format.INT32}, True),
        ({"pre": Pre.ADD, "imm_b": ONE}, False),
        ({"pre": Pre.ADD, "b_mode": BMode.HELD}, False),
        ({"pre": Pre.MAX}, False),
        ({"b_mode": BMode.ROW, "factor": Factor.C}, False),
        ({"factor": Factor.B}, False),
        ({"addend": Addend.IMMEDIATE}, False),
        ({"function": Function.EXP}, False),
        ({"reduce": Reduce.MAX}, False),
        ({"post": Post.B}, False),
        ({"stochastic": True}, False),
        ({"a_format": Format.FP32}, False),
        ({"out_format": Format.FP16}, False),
        ({"out_format": Format.INT32, "factor": Factor.NONE}, True),
        ({"out_format": Format.INT32}, False),
    ),
)
def test_the_integer_drain_path_is_for_plain_requantisation(change: dict, drains: bool) -> None:
    """The list of the page, one condition at a time."""
    fields = {
        "a_format": Format.INT32,
        "out_format": Format.INT8,
        "factor": Factor.IMMEDIATE,
    }
    assert is_integer_drain(Program(**{**fields, **change})) is drains
