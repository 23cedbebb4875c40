# SPDX-License-Identifier: Apache-2.0
"""Golden model of the table functions against float64, and the table itself."""

import hashlib
from decimal import Context, localcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.functions import BASES, COEFFICIENTS, DEPTH, REGIONS, Region, table
from hw.arch.functions import datapath as path
from hw.arch.functions.fit import Entry
from scripts.function_errors import EXACT, all_fp16, fp16_ulps, fp32_ulps, sweep
from sim.golden.functions import evaluate, table_value
from tb.common.seeds import bench_seed

BOUNDS = {
    Function.EXP: 1.7,
    Function.LOG: 1.2,
    Function.RECIPROCAL: 0.7,
    Function.RSQRT: 0.65,
    Function.SIGMOID: 3.2,
    Function.TANH: 1.6,
    Function.GELU: 22.0,
    Function.SILU: 3.6,
}
"""Documented errors in units of the last FP32 place; derived in docs/units/simd_functions.md."""

INF, NAN = np.inf, np.nan
SUBNORMAL = 2.0**-149
SPECIAL = {
    Function.EXP: [(INF, INF), (-INF, 0.0), (89.0, INF), (-104.0, 0.0), (1e38, INF), (-1e38, 0.0)]
    + [(0.0, 1.0), (-0.0, 1.0), (SUBNORMAL, 1.0), (-103.5, SUBNORMAL)],
    Function.LOG: [(0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-SUBNORMAL, NAN), (-INF, NAN)]
    + [(INF, INF), (1.0, 0.0)],
    Function.RECIPROCAL: [(0.0, INF), (-0.0, -INF), (INF, 0.0), (-INF, -0.0), (SUBNORMAL, INF)]
    + [(-SUBNORMAL, -INF), (2.0**127, 2.0**-127), (-(2.0**-127), -(2.0**127)), (1.0, 1.0)],
    Function.RSQRT: [(0.0, INF), (-0.0, -INF), (-1.0, NAN), (-SUBNORMAL, NAN), (-INF, NAN)]
    + [(INF, 0.0), (2.0**-148, 2.0**74), (4.0, 0.5), (1.0, 1.0)],
    Function.SIGMOID: [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5), (1e38, 1.0), (-1e38, 0.0)],
    Function.TANH: [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (1e38, 1.0), (-1e38, -1.0)]
    + [(SUBNORMAL, SUBNORMAL), (-(2.0**-126), -(2.0**-126)), (2.0**-20, 2.0**-20)],
    Function.GELU: [(INF, INF), (-INF, -0.0), (0.0, 0.0), (-0.0, -0.0), (1e38, 1e38)]
    + [(-1e38, -0.0), (-8.0, -0.0), (8.0, 8.0)],
    Function.SILU: [(INF, INF), (-INF, -0.0), (0.0, 0.0), (-0.0, -0.0), (1e38, 1e38)]
    + [(-1e38, -0.0), (-128.0, -0.0), (20.0, 20.0)],
}
"""Arguments and results that have to be right to the bit, zeros with their sign."""

RISING = (Function.EXP, Function.LOG, Function.SIGMOID, Function.TANH)
FALLING = (Function.RECIPROCAL, Function.RSQRT)


def found_and_exact(
    function: Function, x: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The model's result and float64's."""
    with np.errstate(all="ignore"):
        return evaluate(function, x), EXACT[function](x.astype(np.float64))


@pytest.mark.parametrize("function", EXACT, ids=lambda function: function.name)
def test_every_fp16_argument_gives_the_nearest_fp16_number_or_a_neighbour_as_near(
    function: Function,
) -> None:
    """The result in FP16 is nowhere off by 1 unit, nor by visibly more than the half of one."""
    # Half a unit from the last rounding; before it the FP32 error, in units 2^13 times smaller.
    bound = 0.5 + BOUNDS[function] * 2.0**-13
    assert bound < 1
    errors = fp16_ulps(*found_and_exact(function, all_fp16()))
    assert errors.max() <= bound


@pytest.mark.parametrize("function", EXACT, ids=lambda function: function.name)
def test_fp32_results_keep_the_documented_bound(function: Function) -> None:
    """FP32 arguments of every size, close to 1, and where the function bends."""
    x = sweep(function, 100_000, bench_seed())
    assert np.nanmax(fp32_ulps(*found_and_exact(function, x))) <= BOUNDS[function]


def test_gelu_is_as_good_as_silu_above_minus_4() -> None:
    """Only its last octave has fewer segments than FP32 deserves."""
    x = sweep(Function.GELU, 100_000, bench_seed())
    errors = fp32_ulps(*found_and_exact(Function.GELU, x[x > -4]))
    assert np.nanmax(errors) <= 4.5


def test_logarithms_next_to_one_keep_their_relative_accuracy() -> None:
    """All FP32 neighbours of 1: ln x is far smaller than x there."""
    one = np.float32(1).view(np.uint32)
    x = (one + np.arange(-70_000, 70_000)).astype(np.uint32).view(np.float32)
    errors = fp32_ulps(*found_and_exact(Function.LOG, x[x != 1]))
    assert np.nanmax(errors) <= BOUNDS[Function.LOG]


@pytest.mark.parametrize("function", SPECIAL, ids=lambda function: function.name)
def test_special_arguments_give_exact_results(function: Function) -> None:
    """Limits, poles, exact values and signed zeros, to the bit; every NaN is the canonical one."""
    x, expected = np.array(SPECIAL[function], np.float32).T.copy()
    bits = np.where(np.isnan(expected), 0x7FC00000, expected.view(np.uint32))
    assert evaluate(function, x).view(np.uint32).tolist() == bits.tolist()
    nans = np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF], np.uint32)
    assert evaluate(function, nans).tolist() == [0x7FC00000] * 4


def test_powers_of_two_have_exact_reciprocals_and_roots() -> None:
    """1 / 2^k and 1 / sqrt(4^k) are FP32 numbers; softmax and norms of them stay exact."""
    powers = np.exp2(np.arange(-126, 128)).astype(np.float32)
    assert (evaluate(Function.RECIPROCAL, powers) * powers == 1).all()
    assert (evaluate(Function.RSQRT, powers[::2]) ** 2 * powers[::2] == 1).all()


@pytest.mark.parametrize("function", RISING + FALLING, ids=lambda function: function.name)
def test_fp16_results_are_monotonic(function: Function) -> None:
    """A larger argument never gives a result on the wrong side, over all FP16 numbers."""
    x = np.sort(all_fp16()[np.isfinite(all_fp16())])
    if function is not Function.EXP and function not in RISING[2:]:
        x = x[x > 0]
    with np.errstate(over="ignore"):
        result = evaluate(function, x).astype(np.float16).astype(np.float32)
    low, high = (result[:-1], result[1:]) if function in RISING else (result[1:], result[:-1])
    assert (low <= high).all()


def test_ranges_are_never_left() -> None:
    """|tanh| <= 1 and 0 <= sigmoid <= 1 hold for every rounding."""
    for function, low in ((Function.TANH, -1), (Function.SIGMOID, 0)):
        result = evaluate(function, sweep(function, 100_000, bench_seed()))
        assert result.min() >= low and result.max() <= 1


def test_bits_and_shapes_are_kept() -> None:
    """Arrays of uint32 are bit patterns; a shape, also of no elements, comes back."""
    x = np.array([[0.5, 2.0], [4.0, 1.0]], np.float32)
    result = evaluate(Function.RECIPROCAL, x)
    assert result.shape == x.shape and result.dtype == np.float32
    assert (evaluate(Function.RECIPROCAL, x.view(np.uint32)) == result.view(np.uint32)).all()
    assert evaluate(Function.EXP, x[:0]).shape == (0, 2)
    value, times_argument = table_value(Function.SILU, x)
    assert value.shape == times_argument.shape == x.shape and times_argument.all()


def test_table_is_the_same_everywhere() -> None:
    """No digit depends on the machine, nor on the caller's decimal context."""
    with localcontext(Context(prec=5)):
        rows = table.__wrapped__()
    assert rows == table()
    text = ";".join(f"{row.coefficients}{row.exponent}" for row in rows)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "58e17e4fd107f61f"


def test_rows_fit_their_fields_and_never_overflow() -> None:
    """Each coefficient fits its width; so does each sum of Horner's rule, at every t."""
    half = 1 << path.T_FRACTION - 1
    base = BASES[Region.LOG_NEAR]
    ends = {base: (0, half - 1), base + REGIONS[Region.LOG_NEAR].n_segments - 1: (-half, 0)}
    for number, row in enumerate(table()):
        for coefficient, form in zip(row.coefficients, COEFFICIENTS, strict=True):
            assert (-form.limit if form.signed else 0) <= coefficient < form.limit
        assert 0 <= row.exponent < 1 << path.EXPONENT_WIDTH
        for t in ends.get(number, (-half, half - 1)):
            assert_sums_fit(row, t)


def assert_sums_fit(row: Entry, t: int) -> None:
    """q2 and q1 at one end of the segment; they are largest there."""
    _, c1, c2, c3 = row.coefficients
    q2 = (c2 << 1) + (c3 * t >> 16)
    q1 = c1 + (q2 * t >> 16)
    assert -(1 << path.Q2_WIDTH - 1) <= q2 < 1 << path.Q2_WIDTH - 1
    assert -(1 << path.Q1_WIDTH - 1) <= q1 < 1 << path.Q1_WIDTH - 1


def test_regions_do_not_overlap() -> None:
    """Rows belong to one region each; bases are multiples, so no adder is needed."""
    owned = [BASES[region] + i for region, spec in REGIONS.items() for i in range(spec.n_segments)]
    assert len(set(owned)) == len(owned) and max(owned) < DEPTH
    assert all(BASES[region] % spec.n_segments == 0 for region, spec in REGIONS.items())
    assert set(Region) <= set(REGIONS)
