# SPDX-License-Identifier: Apache-2.0
"""Random programs and commands that the SIMD engine must accept."""

import dataclasses
import random
from typing import Any

import numpy as np

from hw.arch.commands import Addend, BMode, Factor, Function, Post, Pre, Reduce, SimdOut
from hw.arch.formats import Format
from sim.golden.simd import Program
from tb.unit.se.plans import Operand, Plan, Rows, dense
from tb.unit.se.setting import A_CB, B_CB, OUT_CB, SHAPE

__all__ = ["drain_program", "operands", "random_program", "random_rows", "submit"]

_TIMES_ITSELF = (Function.TANH, Function.GELU, Function.SILU)
_FLOATS = (0.0, -0.0, 1.0, -1.5, 0.37, 3e-3, -240.0, 1e20, float("inf"), float("nan"))
MAX_BYTES = SHAPE.buffer_units * 64 // 3
"""What one command may take of a buffer, so that three fit."""
WRITABLE = (Format.INT8, Format.UINT8, Format.FP16, Format.BF16, Format.FP32)


def bits(value: float) -> int:
    """Bits of an FP32 number."""
    return int(np.float32(value).view(np.uint32))


def random_program(rng: random.Random, **fixed: Any) -> Program:
    """A program of the FP32 lanes."""
    immediates = {
        name: bits(rng.choice(_FLOATS))
        for name in ("imm_b", "imm_c", "imm_factor", "imm_addend", "stat_factor", "stat_addend")
    }
    words = {name: rng.getrandbits(32) for name in ("seed", "tensor", "index_base", "index_pitch")}
    limits = rng.choice(((-2.5, 1.25), (0.0, 6.0), (3.0, -3.0), (-0.0, float("inf"))))
    program = Program(
        a_format=rng.choice(list(Format)),
        b_format=rng.choice(list(Format)),
        out_format=rng.choice(WRITABLE),
        b_mode=rng.choice(list(BMode)),
        b_pair=rng.random() < 0.5,
        pre=rng.choice(list(Pre)),
        relu=rng.random() < 0.3,
        factor=rng.choice(list(Factor)),
        addend=rng.choice(list(Addend)),
        function=_function(rng),
        reduce=rng.choice(list(Reduce)),
        post=rng.choice(list(Post)),
        out=rng.choice((SimdOut.ELEMENTS, SimdOut.ELEMENTS, *SimdOut)),
        clamp=rng.random() < 0.3,
        stochastic=rng.random() < 0.3,
        stat_function=_function(rng),
        clamp_low=bits(limits[0]),
        clamp_high=bits(limits[1]),
        **immediates,
        **words,
    )
    return _legal(dataclasses.replace(program, **fixed))


def _function(rng: random.Random) -> Function:
    if not SHAPE.with_functions or rng.random() < 0.4:
        return Function.NONE
    return rng.choice(list(Function))


def _legal(program: Program) -> Program:
    """Change what the engine refuses, and what has no b."""
    change: dict[str, Any] = {}
    if program.b_mode is BMode.HELD and program.b_format.n_bytes != 4:
        change["b_format"] = Format.INT32 if program.b_format.n_bytes == 1 else Format.FP32
    if program.b_mode in (BMode.NONE, BMode.ELEMENT):
        change["b_pair"] = False
    if program.stat_function in _TIMES_ITSELF:
        change["stat_function"] = Function.NONE
    if program.function in _TIMES_ITSELF:
        change |= {"post": Post.NONE, "reduce": Reduce.NONE, "out": SimdOut.ELEMENTS}
    elif program.reduce is Reduce.NONE:
        change["out"] = SimdOut.ELEMENTS
        if program.post is Post.STATISTIC:
            change["post"] = Post.NONE
    elif program.reduce is Reduce.SUM_SQUARES:
        change["factor"] = Factor.NONE
    return dataclasses.replace(program, **change)


def drain_program(rng: random.Random, **fixed: Any) -> Program:
    """A program of the integer drain path."""
    to_integers = rng.random() < 0.3
    held = rng.random() < 0.6
    small = [bits(value) for value in (0.01, 1.0, 3e-5, -0.3, 0.5)]
    program = Program(
        a_format=Format.INT32,
        b_format=Format.INT32,
        out_format=Format.INT32 if to_integers else rng.choice((Format.INT8, Format.UINT8)),
        b_mode=BMode.HELD if held else BMode.NONE,
        b_pair=held and rng.random() < 0.5,
        pre=rng.choice((Pre.PASS, Pre.ADD)),
        relu=rng.random() < 0.5,
        factor=Factor.NONE
        if to_integers
        else rng.choice((Factor.NONE, Factor.IMMEDIATE, Factor.C)),
        imm_factor=rng.choice(small),
        imm_c=rng.choice(small),
        clamp=rng.random() < 0.3,
        clamp_low=bits(-20.5),
        clamp_high=bits(30.25),
    )
    return dataclasses.replace(program, **fixed)


def random_rows(rng: random.Random, program: Program, *, from_re: bool, accumulate: bool) -> Rows:
    """Counts that fit into the buffers and the engine's limits."""
    if from_re:
        n = SHAPE.columns
    else:
        n = rng.choice((1, 2, 3, SHAPE.lanes, SHAPE.lanes + 1, rng.randint(1, 60), 8 * SHAPE.lanes))
    if program.b_mode is BMode.HELD:
        n = min(n, SHAPE.columns)
    size = max(program.a_format.n_bytes, program.b_format.n_bytes, 4)
    row_bytes = n * size + 2 * SHAPE.word_bytes
    if program.b_mode is BMode.HELD:
        row_bytes = max(row_bytes, 8 * SHAPE.columns)
    most = max(1, MAX_BYTES // (-(-row_bytes // 64) * 64))  # each row may be a step
    counts = [n]
    for _ in range(4):
        counts.append(rng.choice((1, 1, 2, rng.randint(1, max(1, most)))))
        counts[-1] = min(counts[-1], most)
        most //= counts[-1]
    rng.shuffle(counts[1:])
    counts[1] = min(counts[1], SHAPE.config.sum_beats // -(-n // SHAPE.lanes))
    counts[1] = max(counts[1], 1)
    tail_level = rng.choice((3, 4) if accumulate else (2, 3, 4))
    tail_count = rng.choice((0, rng.randint(1, counts[1])))
    return Rows(tuple(counts), tail_level, tail_count, accumulate)


def operands(
    rng: random.Random, program: Program, rows: Rows, *, from_re: bool
) -> tuple[Operand, Operand | None, Operand | None]:
    """Output, a and b of a command."""
    n, word = rows.counts[0], SHAPE.word_bytes
    gap = rng.choice((0, 0, 1))
    # Levels that do not move an input repeat its rows.
    moves = [tuple(level for level in (1, 2, 3, 4) if rng.random() < 0.8) for _ in range(2)]
    a = b = None
    if not from_re:
        row_bytes = n * program.a_format.n_bytes
        a = dense(rng, A_CB, "a_", rows, row_bytes=row_bytes, unit=word, gap=gap, levels=moves[0])
    if program.b_mode is BMode.ELEMENT:
        row_bytes = n * program.b_format.n_bytes
        b = dense(rng, B_CB, "b_", rows, row_bytes=row_bytes, unit=word, levels=moves[1])
    elif program.b_mode is BMode.ROW:
        row_bytes = 4 << program.b_pair
        b = dense(rng, B_CB, "b_", rows, row_bytes=row_bytes, unit=4, gap=gap, levels=moves[1])
    elif program.b_mode is BMode.HELD:
        row_bytes = 4 * SHAPE.columns << program.b_pair
        b = dense(rng, B_CB, "b_", rows, row_bytes=row_bytes, unit=word, levels=(2, 3, 4))
    levels = (1, 3, 4) if rows.accumulate else (1, 2, 3, 4)
    if program.out is SimdOut.STATISTICS:
        out = dense(rng, OUT_CB, "", rows, row_bytes=4, unit=4, levels=levels, gap=gap)
    else:
        row_bytes = n * program.out_format.n_bytes
        if program.out is SimdOut.BOTH:
            row_bytes = -(-row_bytes // word) * word + 4
        out = dense(rng, OUT_CB, "", rows, row_bytes=row_bytes, unit=word, levels=levels, gap=gap)
    return out, a, b


def submit(
    plan: Plan,
    rng: random.Random,
    program: Program,
    *,
    from_re: bool = False,
    accumulate: bool = False,
    wild: bool = True,
) -> Rows:
    """Queue a program with a random command."""
    rows = random_rows(rng, program, from_re=from_re, accumulate=accumulate)
    out, a, b = operands(rng, program, rows, from_re=from_re)
    plan.run(program, rows, out, a, b, slot=rng.randrange(4), wild=wild, tag=rng.getrandbits(16))
    return rows
