# SPDX-License-Identifier: Apache-2.0
"""Golden conversions, products, minima and maxima against exact fractions."""

import math

import numpy as np
import pytest

from hw.arch.formats import Format
from sim.golden.convert import DTYPES, elements_of, from_fp32, to_fp32
from sim.golden.fp import fp32_max, fp32_min, fp32_mul
from tb.common.seeds import numpy_rng
from tb.unit.num import exact
from tb.unit.num.fp32_values import CORNERS, corner_pairs, random_pairs, random_values

NARROW = (Format.INT8, Format.UINT8, Format.FP16, Format.BF16)


def by_name(fmt: Format) -> str:
    """Name of a test's row."""
    return fmt.name.lower()


@pytest.mark.parametrize("fmt", NARROW, ids=by_name)
def test_every_narrow_element_becomes_its_value(fmt: Format) -> None:
    """All patterns of 8 and 16 bits; NaNs are canonical."""
    bits = np.arange(1 << 8 * fmt.n_bytes).astype(f"u{fmt.n_bytes}")
    found = to_fp32(bits, fmt).view(np.uint32)
    assert found.tolist() == [exact.fp32_bits(int(b), fmt) for b in bits]


@pytest.mark.parametrize("fmt", (Format.INT32, Format.FP32), ids=by_name)
def test_words_are_rounded_to_nearest_even(fmt: Format) -> None:
    """INT32 of 25 bits and more, with ties; FP32 stays, but for its NaNs."""
    rng = numpy_rng("words")
    wide = rng.integers(0, 1 << 32, 2000, dtype=np.uint32)
    ties = (rng.integers(1 << 23, 1 << 24, 2000) * 2 + 1).astype(np.uint32)
    shifted = ties << rng.integers(0, 6, 2000).astype(np.uint32)
    ends = np.array([0, 1, -1, 2**31 - 1, -(2**31)], np.int64).astype(np.uint32)
    bits = np.concatenate([wide, shifted, -shifted.view(np.int32).view(np.uint32), ends])
    bits = np.concatenate([bits, np.array(CORNERS, np.uint32)])
    found = to_fp32(bits, fmt).view(np.uint32)
    assert found.tolist() == [exact.fp32_bits(int(b), fmt) for b in bits]


@pytest.mark.parametrize("is_random", (False, True), ids=("nearest", "random"))
@pytest.mark.parametrize("fmt", (*NARROW, Format.FP32), ids=by_name)
def test_conversions_from_fp32_match_exact_fractions(fmt: Format, is_random: bool) -> None:
    """Ties, subnormals, overflow, limits, zeros of both signs, words of all zeros and ones."""
    bits = random_values(800, "convert")
    random = numpy_rng("words").integers(0, 1 << 32, len(bits), dtype=np.uint32)
    random[::7], random[1::7], random[2::7] = 0, (1 << 32) - 1, 1 << 31
    found = from_fp32(bits.view(np.float32), fmt, random if is_random else None)
    patterns = found.view(f"u{DTYPES[fmt].itemsize}")
    wanted = [
        exact.convert(int(b), fmt, int(r) if is_random else None)
        for b, r in zip(bits, random, strict=True)
    ]
    wrong = [i for i in range(len(bits)) if patterns[i] != wanted[i]]
    assert not wrong, [(hex(bits[i]), hex(random[i]), patterns[i], wanted[i]) for i in wrong[:3]]


@pytest.mark.parametrize("fmt", NARROW, ids=by_name)
def test_what_a_format_has_is_never_changed_by_chance(fmt: Format) -> None:
    """Whatever the word, a value that needs no rounding comes out as it is."""
    bits = np.arange(0, 1 << 8 * fmt.n_bytes).astype(f"u{fmt.n_bytes}")
    values = to_fp32(bits, fmt)
    random = numpy_rng("exact").integers(0, 1 << 32, len(bits), dtype=np.uint32)
    random[::2] = (1 << 32) - 1
    found = from_fp32(values, fmt, random)
    assert np.array_equal(found, from_fp32(values, fmt), equal_nan=fmt.is_float)


def test_products_match_exact_fractions() -> None:
    """Subnormal factors and products, ties, overflow, zeros, infinities and NaNs."""
    pairs = (corner_pairs(), random_pairs(300))
    a, b = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
    found = fp32_mul(a.view(np.float32), b.view(np.float32)).view(np.uint32)
    wanted = [exact.fp32_product(int(x), int(y)) for x, y in zip(a, b, strict=True)]
    assert found.tolist() == wanted


def test_extremes_follow_the_order_of_the_values() -> None:
    """-0 is below +0 and one NaN makes a NaN, on both sides."""
    a, b = corner_pairs()
    floats = (a.view(np.float32), b.view(np.float32))
    for model, reference in ((fp32_min, exact.fp32_min), (fp32_max, exact.fp32_max)):
        found = model(*floats).view(np.uint32)
        assert found.tolist() == [reference(int(x), int(y)) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("value", (1.3, 0.1, 2.0**-20, 100.7, -3.6, 1 + 2**-9))
@pytest.mark.parametrize("fmt", (Format.INT8, Format.FP16, Format.BF16), ids=by_name)
def test_random_rounding_is_unbiased(fmt: Format, value: float) -> None:
    """The mean over words at equal distances misses the value by less than one step of the word.

    n words i * 2^32 / n + d with d < 2^32 / n round up in floor(n * p) or one more cases, p the
    part of a unit that is lost; so the mean misses by less than u / n, and by 2^-32 u
    for the word's own steps, which n = 2^12 hides.
    """
    n = 1 << 12
    words = (np.arange(n, dtype=np.uint32) << np.uint32(20)) + np.uint32(0x7_1234)
    x = np.full(n, value, np.float32)
    found = from_fp32(x, fmt, words).astype(np.float64)
    exponent = math.frexp(abs(float(x[0])))[1] - 1
    bits = {Format.FP16: (10, -14), Format.BF16: (7, -126)}
    unit = 1.0
    if fmt.is_float:
        fraction_bits, least = bits[fmt]
        unit = 2.0 ** (max(exponent, least) - fraction_bits)
    assert abs(found.mean() - float(x[0])) <= unit * (1 / n + 2.0**-32)


def test_bytes_are_read_little_endian() -> None:
    """A row of bytes is a row of elements."""
    raw = np.array([[0x00, 0x3C, 0x00, 0xC0]], np.uint8)
    assert elements_of(raw, Format.FP16).tolist() == [[1.0, -2.0]]


def test_wrong_arguments_are_refused() -> None:
    """FP32 to INT32 does not exist, and types must fit their format."""
    with pytest.raises(ValueError, match="FP32 is never converted to INT32."):
        from_fp32(np.zeros(1, np.float32), Format.INT32)
    with pytest.raises(ValueError, match="An array of float64 does not hold FP32 elements."):
        to_fp32(np.zeros(1), Format.FP32)
