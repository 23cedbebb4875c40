# SPDX-License-Identifier: Apache-2.0
"""Numbers of every format by Python's fractions: a second source for the golden models.

Nothing here uses NumPy or shares a line with the models. A number is a `Fraction`, one of the
strings below, or a zero with its sign, so what comes out is compared bit for bit.
"""

from fractions import Fraction
from typing import NamedTuple

from hw.arch.formats import Format

__all__ = [
    "CANONICAL",
    "convert",
    "decode",
    "fp32_bits",
    "fp32_max",
    "fp32_min",
    "fp32_product",
    "fp32_sum",
    "rounding_word",
]


class Number(NamedTuple):
    """A value with a sign of its own, so that there are two zeros."""

    negative: bool
    magnitude: Fraction | None
    """None is infinite."""


class Shape(NamedTuple):
    """What makes a floating format."""

    fraction_bits: int
    exponent_bits: int
    nan: int

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def infinity(self) -> int:
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @property
    def sign(self) -> int:
        return 1 << (self.fraction_bits + self.exponent_bits)


SHAPES = {
    Format.FP16: Shape(10, 5, 0x7E00),
    Format.BF16: Shape(7, 8, 0x7FC0),
    Format.FP32: Shape(23, 8, 0x7FC0_0000),
}
CANONICAL = SHAPES[Format.FP32].nan
_WORD = (1 << 32) - 1
_RANGES = {Format.INT8: (-128, 127), Format.UINT8: (0, 255)}


def decode(bits: int, fmt: Format) -> Number | None:
    """The number that the bits of an element stand for; None is a NaN."""
    if fmt not in SHAPES:
        width = 8 * fmt.n_bytes
        bits &= (1 << width) - 1
        if fmt is not Format.UINT8 and bits >> (width - 1):
            bits -= 1 << width
        return Number(bits < 0, Fraction(abs(bits)))
    shape = SHAPES[fmt]
    magnitude = bits & (shape.sign - 1)
    if magnitude > shape.infinity:
        return None
    exponent = magnitude >> shape.fraction_bits
    whole = magnitude & ((1 << shape.fraction_bits) - 1)
    if exponent:
        whole += 1 << shape.fraction_bits
    power = max(exponent, 1) - shape.bias - shape.fraction_bits
    finite = magnitude != shape.infinity
    return Number(bool(bits & shape.sign), whole * Fraction(2) ** power if finite else None)


def encode(number: Number | None, fmt: Format, random: int | None = None) -> int:
    """Bits of a floating format: to nearest, ties to even, or at random."""
    shape = SHAPES[fmt]
    if number is None:
        return shape.nan
    sign = shape.sign if number.negative else 0
    if number.magnitude is None:
        return sign | shape.infinity
    if not number.magnitude:
        return sign
    power = number.magnitude.numerator.bit_length() - number.magnitude.denominator.bit_length()
    if number.magnitude < Fraction(2) ** power:
        power -= 1
    power = max(power, 1 - shape.bias)
    whole = rounded(number.magnitude / Fraction(2) ** (power - shape.fraction_bits), random)
    bits = whole + ((power + shape.bias - 1) << shape.fraction_bits)
    return sign | min(bits, shape.infinity)


def rounded(units: Fraction, random: int | None) -> int:
    """A number of units as a whole number of them."""
    if random is None:
        return round(units)  # Fraction rounds half to even
    return int(units + Fraction(random, 1 << 32))  # of what is not negative: floor


def convert(bits: int, fmt: Format, random: int | None = None) -> int:
    """FP32 bits as the bits of an element of `fmt`."""
    number = decode(bits, Format.FP32)
    if fmt in SHAPES:
        return encode(number, fmt, None if fmt is Format.FP32 else random)
    if number is None:
        return 0
    magnitude = Fraction(1 << 10) if number.magnitude is None else number.magnitude
    whole = rounded(magnitude, random)
    low, high = _RANGES[fmt]
    return min(max(-whole if number.negative else whole, low), high) & 0xFF


def fp32_bits(bits: int, fmt: Format) -> int:
    """An element as FP32 bits."""
    return encode(decode(bits, fmt), Format.FP32)


def fp32_sum(a: int, b: int) -> int:
    """Bits of a + b."""
    x, y = decode(a, Format.FP32), decode(b, Format.FP32)
    if x is None or y is None:
        return CANONICAL
    if x.magnitude is None or y.magnitude is None:
        if x.magnitude is None and y.magnitude is None and x.negative != y.negative:
            return CANONICAL
        return a if x.magnitude is None else b
    total = (-1) ** x.negative * x.magnitude + (-1) ** y.negative * y.magnitude
    negative = total < 0 or (total == 0 and x.negative and y.negative)
    return encode(Number(negative, abs(total)), Format.FP32)


def fp32_product(a: int, b: int) -> int:
    """Bits of a * b."""
    x, y = decode(a, Format.FP32), decode(b, Format.FP32)
    if x is None or y is None:
        return CANONICAL
    negative = x.negative != y.negative
    if x.magnitude is None or y.magnitude is None:
        if x.magnitude == 0 or y.magnitude == 0:
            return CANONICAL
        return encode(Number(negative, None), Format.FP32)
    return encode(Number(negative, x.magnitude * y.magnitude), Format.FP32)


def fp32_min(a: int, b: int) -> int:
    """Bits of the smaller number."""
    return _extreme(a, b, want_max=False)


def fp32_max(a: int, b: int) -> int:
    """Bits of the larger number."""
    return _extreme(a, b, want_max=True)


def _extreme(a: int, b: int, *, want_max: bool) -> int:
    numbers = [(decode(bits, Format.FP32), bits) for bits in (a, b)]
    keyed = []
    for number, bits in numbers:
        if number is None:
            return CANONICAL
        size = Fraction(1 << 200) if number.magnitude is None else number.magnitude
        # The zeros compare equal as fractions, so the sign comes second.
        keyed.append((-size if number.negative else size, not number.negative, bits))
    return (max(keyed) if want_max else min(keyed))[2]


def rounding_word(seed: int, tensor: int, index: int) -> int:
    """Random word of an element, written from the page of the SIMD engine."""
    k = (seed, tensor, seed ^ tensor ^ 0x1BD11BDA)
    x0, x1 = (index + k[0]) & _WORD, k[1]
    for number, turn in enumerate((13, 15, 26, 6, 17, 29, 16, 24)):
        x0 = (x0 + x1) & _WORD
        x1 = (x1 << turn & _WORD | x1 >> (32 - turn)) ^ x0
        if number == 3:
            x0, x1 = (x0 + k[1]) & _WORD, (x1 + k[2] + 1) & _WORD
        if number == 7:
            x1 = (x1 + k[0] + 2) & _WORD
    return x1
