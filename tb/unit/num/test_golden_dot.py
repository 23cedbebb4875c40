# SPDX-License-Identifier: Apache-2.0
"""The golden dot product against second sources: exact fractions and float64 with a bound."""

import itertools
import os
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from hw.arch.formats import Format
from sim.golden.dot import gemm_golden
from sim.golden.fp import storage

SEED = int(os.environ.get("SEED", "1"))
NUMPY_TYPE = {Format.FP16: np.float16, Format.BF16: ml_dtypes.bfloat16}
FP_PAIRS = list(itertools.product((Format.FP16, Format.BF16), repeat=2))
# Significand bits and the exponent of the smallest normal number.
FP_SHAPE = {Format.FP16: (10, -14), Format.BF16: (7, -126)}


def fields(bits: int, fmt: Format) -> tuple[int, int | str, int]:
    """Sign, then exponent and 11-bit significand in [1024, 2047], from bits alone."""
    fraction_bits, e_min = FP_SHAPE[fmt]
    sign = -1 if bits >> 15 else 1
    biased = (bits & 0x7FFF) >> fraction_bits
    fraction = bits & ((1 << fraction_bits) - 1)
    if biased == (0x7FFF >> fraction_bits):
        return sign, "nan" if fraction else "inf", 0
    significand = (fraction + (1 << fraction_bits if biased else 0)) << (10 - fraction_bits)
    exponent = max(biased, 1) - 1 + e_min
    while significand and significand < 1024:
        significand, exponent = 2 * significand, exponent - 1
    return sign, exponent, significand


def round_fp32(value: Fraction) -> int:
    """FP32 bits of an exact value, rounded to nearest even; zero has no sign."""
    if value == 0:
        return 0
    sign, value = (0x8000_0000, -value) if value < 0 else (0, value)
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if value < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    whole = round(value / unit)  # Fraction rounds half to even
    bits = int(whole) + (max(exponent + 126, 0) << 23)
    return 0 if whole == 0 else sign | min(bits, 0x7F80_0000)


def exact_chunk(xs: list[int], ys: list[int], fmt_x: Format, fmt_y: Format) -> int:
    """One partial sum in Python integers, written from the text of docs/numerics.md."""
    terms, specials = [], set()
    for x, y in zip(xs, ys, strict=True):
        (sx, ex, mx), (sy, ey, my) = fields(x, fmt_x), fields(y, fmt_y)
        kinds = {ex, ey} & {"nan", "inf"}
        if kinds:
            if "nan" in kinds or (ex != "inf" and mx == 0) or (ey != "inf" and my == 0):
                specials.add("nan")
            else:
                specials.add(sx * sy)
        elif mx and my:
            terms.append((sx * sy, ex + ey, mx * my))
    if specials:
        nan = "nan" in specials or len(specials) == 2
        return 0x7FC0_0000 if nan else 0x7F80_0000 | (0 if 1 in specials else 1 << 31)
    if not terms:
        return 0
    e_max = max(exponent for _, exponent, _ in terms)
    total = 0
    for sign, exponent, product in terms:
        total += sign * ((product << 8) >> (e_max - exponent))
    return round_fp32(total * Fraction(2) ** (e_max - 28))


def add_fp32(a: int, b: int) -> int:
    """Sum of two FP32 bit patterns by fractions."""

    def value(bits: int) -> Fraction:
        exponent = (bits >> 23) & 0xFF
        significand = (bits & 0x7F_FFFF) | (1 << 23 if exponent else 0)
        return (-1 if bits >> 31 else 1) * significand * Fraction(2) ** (max(exponent, 1) - 150)

    infinite = [bits for bits in (a, b) if bits & 0x7FFF_FFFF == 0x7F80_0000]
    if any(bits & 0x7FFF_FFFF > 0x7F80_0000 for bits in (a, b)) or len(set(infinite)) == 2:
        return 0x7FC0_0000
    if infinite:
        return infinite[0]
    return round_fp32(value(a) + value(b))


def exact_dot(xs: list[int], ys: list[int], fmt_x: Format, fmt_y: Format, chunk: int) -> int:
    """A whole dot product: partial sums added in order."""
    accumulator = 0
    for low in range(0, len(xs), chunk):
        part = slice(low, low + chunk)
        accumulator = add_fp32(accumulator, exact_chunk(xs[part], ys[part], fmt_x, fmt_y))
    return accumulator


def corner_bits(fmt: Format) -> list[int]:
    """Both signs of zero, subnormal, smallest and largest normal, one, infinity and NaN."""
    fraction_bits, _ = FP_SHAPE[fmt]
    top = 0x7FFF >> fraction_bits << fraction_bits
    one = storage(np.ones(1, NUMPY_TYPE[fmt]), fmt).view(np.uint16)[0]
    low = 1 << fraction_bits
    positive = [0, 1, low - 1, low, low + 1, int(one), int(one) + 1, top - 1, top, top + 1]
    return positive + [bits | 0x8000 for bits in positive]


@pytest.mark.parametrize("fmt_a, fmt_b", FP_PAIRS, ids=lambda fmt: fmt.name.lower())
def test_products_of_corner_values_match_exact_fractions(fmt_a: Format, fmt_b: Format) -> None:
    """Every pair of corner values, alone and beside every third one in the same chunk."""
    left, right = corner_bits(fmt_a), corner_bits(fmt_b)
    a = np.array([[x, z] for x in left for z in left], np.uint16)
    b = np.array([right, [right[(5 * i + 3) % len(right)] for i in range(len(right))]], np.uint16)
    got = gemm_golden(a, b, fmt_a=fmt_a, fmt_b=fmt_b, chunk=2).view(np.uint32)
    for i, j in np.ndindex(got.shape):
        want = exact_dot(a[i].tolist(), b[:, j].tolist(), fmt_a, fmt_b, 2)
        assert got[i, j] == want, (hex(a[i, 0]), hex(a[i, 1]), hex(b[0, j]), hex(b[1, j]))


@pytest.mark.parametrize("chunk", (1, 4, 16))
@pytest.mark.parametrize("spread", ("near", "wide", "any_bits", "cancelling"))
@pytest.mark.parametrize("fmt_a, fmt_b", FP_PAIRS, ids=lambda fmt: fmt.name.lower())
def test_random_dot_products_match_exact_fractions(
    fmt_a: Format, fmt_b: Format, spread: str, chunk: int
) -> None:
    """Chunk sums, rounding and accumulation agree with Python integers bit for bit."""
    rng = np.random.default_rng([SEED, chunk, *spread.encode()])
    shape_a, shape_b = (6, 37), (37, 6)
    a, b = (
        random_bits(rng, shape, fmt, spread) for shape, fmt in ((shape_a, fmt_a), (shape_b, fmt_b))
    )
    got = gemm_golden(a, b, fmt_a=fmt_a, fmt_b=fmt_b, chunk=chunk).view(np.uint32)
    for i, j in np.ndindex(got.shape):
        assert got[i, j] == exact_dot(a[i].tolist(), b[:, j].tolist(), fmt_a, fmt_b, chunk)


def random_bits(rng: np.random.Generator, shape: tuple, fmt: Format, spread: str) -> np.ndarray:
    """Bit patterns: of like size, of very different size, of any kind, or nearly cancelling."""
    if spread == "any_bits":
        return rng.integers(0, 1 << 16, shape).astype(np.uint16)
    values = rng.standard_normal(shape)
    if spread == "wide":
        values *= 2.0 ** rng.integers(-14, 8, shape)
    if spread == "cancelling":
        values = np.where(rng.random(shape) < 0.5, 1.0, -1.0) * (1 + rng.integers(0, 3, shape) / 64)
    return values.astype(NUMPY_TYPE[fmt]).view(np.uint16)


@pytest.mark.parametrize("depth", (1, 16, 100, 1024))
@pytest.mark.parametrize("fmt", (Format.FP16, Format.BF16), ids=lambda fmt: fmt.name.lower())
def test_error_stays_within_the_derived_bound(fmt: Format, depth: int) -> None:
    """|error| <= (K + 2) 2^-24 sum|x y| against float64, whose own error is far below."""
    rng = np.random.default_rng([SEED, depth])
    a, b = (
        rng.standard_normal(shape).astype(NUMPY_TYPE[fmt]) for shape in ((64, depth), (depth, 64))
    )
    got = gemm_golden(a, b, fmt_a=fmt, fmt_b=fmt, chunk=16).astype(np.float64)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    bound = (depth + 2) * 2.0**-24 * (np.abs(wide_a) @ np.abs(wide_b))
    assert (np.abs(got - wide_a @ wide_b) <= bound).all()


def test_zero_products_never_change_a_bit() -> None:
    """Padding K with zeros, of either sign and on either side, is free."""
    rng = np.random.default_rng(SEED)
    a = rng.integers(0, 1 << 16, (8, 20)).astype(np.uint16)
    b = rng.integers(0, 1 << 16, (20, 8)).astype(np.uint16)
    a, b = (np.where((x & 0x7C00) == 0x7C00, 0, x).astype(np.uint16) for x in (a, b))
    zeros = np.array([[0, 0x8000] * 6] * 8, np.uint16)
    kwargs = {"fmt_a": Format.FP16, "fmt_b": Format.FP16, "chunk": 16}
    plain = gemm_golden(a, b, **kwargs)
    padded = gemm_golden(np.hstack([a, zeros]), np.vstack([b, b[:12]]), **kwargs)
    assert (plain.view(np.uint32) == padded.view(np.uint32)).all()


@pytest.mark.parametrize("fmt_b", (Format.INT8, Format.UINT8), ids=lambda fmt: fmt.name.lower())
@pytest.mark.parametrize("fmt_a", (Format.INT8, Format.UINT8), ids=lambda fmt: fmt.name.lower())
def test_integer_products_match_python_integers_and_wrap(fmt_a: Format, fmt_b: Format) -> None:
    """Sums past 2^31, reached through the bias, wrap modulo 2^32."""
    rng = np.random.default_rng(SEED)
    limits = {Format.INT8: (-128, 128, np.int8), Format.UINT8: (0, 256, np.uint8)}
    a, b = (
        rng.integers(low, high, shape).astype(kind)
        for (low, high, kind), shape in ((limits[fmt_a], (5, 70)), (limits[fmt_b], (70, 7)))
    )
    bias = np.array([0, 1, -1, 2**31 - 1, -(2**31), 2**31 - 5000, 5000 - 2**31], np.int32)
    got = gemm_golden(a, b, fmt_a=fmt_a, fmt_b=fmt_b, chunk=16, bias=bias)
    assert got.dtype == np.int32
    for i, j in np.ndindex(got.shape):
        total = sum(int(x) * int(y) for x, y in zip(a[i], b[:, j], strict=True)) + int(bias[j])
        assert int(got[i, j]) == (total + 2**31) % 2**32 - 2**31


def test_k_split_adds_the_parts_in_order() -> None:
    """Each part has its own chunks and accumulator; the bias starts the first."""
    rng = np.random.default_rng(SEED)
    a = rng.standard_normal((4, 50)).astype(np.float16)
    b = rng.standard_normal((50, 4)).astype(np.float16)
    bias = rng.standard_normal(4).astype(np.float32)
    kwargs = {"fmt_a": Format.FP16, "fmt_b": Format.FP16, "chunk": 4}
    want = gemm_golden(a[:, :21], b[:21], bias=bias, **kwargs)
    want = want + gemm_golden(a[:, 21:43], b[21:43], **kwargs)
    want = want + gemm_golden(a[:, 43:], b[43:], **kwargs)
    got = gemm_golden(a, b, k_split=[21, 22, 7], bias=bias, **kwargs)
    assert (got == want).all()
    assert (got != gemm_golden(a, b, bias=bias, **kwargs)).any()


@pytest.mark.parametrize(
    "change, sentence",
    (
        ({"fmt_b": Format.INT8}, "FP16 and INT8 cannot be multiplied."),
        ({"chunk": 0}, "chunk is 0; it must be at least 1."),
        ({"k_split": [1, 2]}, r"k_split \[1, 2\] does not divide K = 4."),
        ({"b": np.zeros((3, 2), np.float16)}, r"Shapes \(2, 4\) and \(3, 2\) are not those"),
        ({"b": np.zeros((4, 2), np.int16)}, "An array of int16 does not hold FP16 elements."),
    ),
)
def test_wrong_arguments_are_refused_in_one_sentence(change: dict, sentence: str) -> None:
    """Each wrong argument raises ValueError and says what is wrong."""
    good = {
        "a": np.zeros((2, 4), np.float16),
        "b": np.zeros((4, 2), np.float16),
        "fmt_a": Format.FP16,
        "fmt_b": Format.FP16,
        "chunk": 4,
    }
    call = {**good, **change}
    with pytest.raises(ValueError, match=sentence):
        gemm_golden(call.pop("a"), call.pop("b"), **call)
