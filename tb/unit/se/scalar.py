# SPDX-License-Identifier: Apache-2.0
"""The SIMD engine's pipeline element by element, in Python integers and fractions.

A second source for the golden model, written from the page of the SIMD engine, step by step;
everything is the bits of an FP32 number. Table functions are left to their own tests.
"""

from hw.arch.commands import Addend, BMode, Factor, Post, Pre, Reduce
from hw.arch.formats import Format
from sim.golden.simd import Program
from tb.unit.num import exact

__all__ = ["reduced", "scalar_row"]

_SIGN = 1 << 31
_WORD = (1 << 32) - 1
_MINUS_ZERO = _SIGN
Bits = list[int]


def scalar_row(
    program: Program, turns: list[Bits], bs: list[Bits], cs: list[Bits], *, lanes: int, row: int
) -> tuple[Bits, int | None]:
    """Output elements and `appended` of one row.

    `turns`, `bs` and `cs` hold the raw elements of a, b and c for each accumulated iteration.
    """
    opened = [
        [_opened(program, *abc) for abc in zip(a, b, c, strict=True)]
        for a, b, c in zip(turns, bs, cs, strict=True)
    ]
    b_last = [_second(program, b) for b in bs[-1]]
    c_last = [exact.fp32_bits(c, Format.FP32) for c in cs[-1]]
    values = []
    for i, (b, c) in enumerate(zip(b_last, c_last, strict=True)):
        total = None
        for turn, (raw_b, raw_c) in enumerate(zip(bs, cs, strict=True)):
            factors = (_second(program, raw_b[i]), exact.fp32_bits(raw_c[i], Format.FP32))
            product = _multiplied(program, opened[turn][i], *factors)
            total = product if total is None else exact.fp32_sum(product, total)
        assert total is not None
        values.append(_added(program, total, b, c))
    statistic = None
    if program.reduce is not Reduce.NONE:
        squares = program.reduce is Reduce.SUM_SQUARES
        terms = [exact.fp32_product(x, x) for x in opened[-1]] if squares else values
        value = reduced(terms, program.reduce, lanes)
        statistic = exact.fp32_sum(
            exact.fp32_product(value, program.stat_factor), program.stat_addend
        )
    posts = {Post.STATISTIC: [statistic] * len(values), Post.B: b_last, Post.C: c_last}
    elements = []
    for i, value in enumerate(values):
        factor = posts[program.post][i] if program.post in posts else None
        result = value if factor is None else exact.fp32_product(value, factor)
        elements.append(_written(program, result, row, i))
    return elements, statistic


def reduced(values: Bits, reduce: Reduce, lanes: int) -> int:
    """One row to one number, in the order of the page."""
    if reduce in (Reduce.SUM, Reduce.SUM_SQUARES):
        partials: list[int | None] = [None] * 8
        for beat, low in enumerate(range(0, len(values), lanes)):
            part = values[low : low + lanes]
            total = _tree(part + [_MINUS_ZERO] * (lanes - len(part)))
            earlier = partials[beat % 8]
            partials[beat % 8] = total if earlier is None else exact.fp32_sum(earlier, total)
        return _tree([_MINUS_ZERO if p is None else p for p in partials])
    if reduce is Reduce.ABSMAX:
        values = [bits & ~_SIGN for bits in values]
    choose = exact.fp32_min if reduce is Reduce.MIN else exact.fp32_max
    result = values[0]
    for value in values[1:]:
        result = choose(result, value)
    return choose(result, result)


def _tree(values: Bits) -> int:
    while len(values) > 1:
        half = len(values) // 2
        values = [exact.fp32_sum(values[i], values[i + half]) for i in range(half)]
    return values[0]


def _second(program: Program, raw: int) -> int:
    """b as FP32."""
    is_float = program.b_mode in (BMode.NONE, BMode.ROW)
    return exact.fp32_bits(raw, Format.FP32 if is_float else program.b_format)


def _opened(program: Program, raw_a: int, raw_b: int, raw_c: int) -> int:
    """Steps 1 to 3."""
    held_integer = program.b_mode in (BMode.ELEMENT, BMode.HELD)
    if (
        program.pre is Pre.ADD
        and program.a_format is Format.INT32
        and held_integer
        and program.b_format is Format.INT32
    ):
        result = exact.fp32_bits((raw_a + raw_b) & _WORD, Format.INT32)
    else:
        a, b = exact.fp32_bits(raw_a, program.a_format), _second(program, raw_b)
        result = _chosen(program.pre, a, b, exact.fp32_bits(raw_c, Format.FP32))
    is_nan = result == exact.CANONICAL
    return 0 if program.relu and result & _SIGN and not is_nan else result


def _chosen(pre: Pre, a: int, b: int, c: int) -> int:
    """Step 2."""
    is_zero, is_nan = a & ~_SIGN == 0, a == exact.CANONICAL
    return {
        Pre.PASS: lambda: a,
        Pre.ADD: lambda: exact.fp32_sum(a, b),
        Pre.SUB: lambda: exact.fp32_sum(a, b ^ _SIGN),
        Pre.RSUB: lambda: exact.fp32_sum(b, a ^ _SIGN),
        Pre.MIN: lambda: exact.fp32_min(a, b),
        Pre.MAX: lambda: exact.fp32_max(a, b),
        Pre.SELECT: lambda: c if is_zero else b,
        Pre.SELECT_POSITIVE: lambda: c if is_zero or is_nan or a & _SIGN else b,
    }[pre]()


def _multiplied(program: Program, value: int, b: int, c: int) -> int:
    """Step 4."""
    factors = {
        Factor.IMMEDIATE: program.imm_factor,
        Factor.B: b,
        Factor.C: c,
        Factor.SELF: value,
    }
    if program.factor is Factor.NONE:
        return value
    return exact.fp32_product(value, factors[program.factor])


def _added(program: Program, value: int, b: int, c: int) -> int:
    """Step 5."""
    addends = {Addend.IMMEDIATE: program.imm_addend, Addend.B: b, Addend.C: c}
    if program.addend is Addend.NONE:
        return value
    return exact.fp32_sum(value, addends[program.addend])


def _written(program: Program, value: int, row: int, place: int) -> int:
    """Steps 9 and 10."""
    if program.clamp:
        value = exact.fp32_min(exact.fp32_max(value, program.clamp_low), program.clamp_high)
    word = None
    if program.stochastic:
        index = (program.index_base + row * program.index_pitch + place) & _WORD
        word = exact.rounding_word(program.seed, program.tensor, index)
    return exact.convert(value, program.out_format, word)
