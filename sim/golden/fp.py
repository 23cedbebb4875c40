# SPDX-License-Identifier: Apache-2.0
"""Number formats and FP32 arithmetic as the hardware does them, on whole arrays.

Floating values travel as bit patterns where bits matter (`uint16`, `uint32`) and as float64 where
exactness is guaranteed by the formats.
"""

from typing import NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format

__all__ = [
    "CANONICAL_NAN",
    "FP_FORMATS",
    "INT_FORMATS",
    "Operand",
    "canonical",
    "decode_fp",
    "decode_int",
    "fp32_add",
    "fp32_max",
    "fp32_min",
    "fp32_mul",
    "storage",
]

CANONICAL_NAN = np.uint32(0x7FC0_0000)
"""The only NaN that any unit produces."""

INT_FORMATS = (Format.INT8, Format.UINT8)
"""Integer operand formats; any mix of the two is legal."""
FP_FORMATS = (Format.FP16, Format.BF16)
"""Floating operand formats; any mix of the two is legal."""

_STORAGE = {
    Format.INT8: np.int8,
    Format.UINT8: np.uint8,
    Format.FP16: np.float16,
    Format.BF16: ml_dtypes.bfloat16,
}
_ZERO_EXPONENT = -(1 << 12)


class Operand(NamedTuple):
    """A decoded floating-point array."""

    value: NDArray[np.float64]
    """Exact values; infinities and NaNs replaced by zero."""
    exponent: NDArray[np.int16]
    """floor(log2 |value|), subnormals included; far below any other for a zero."""
    special: NDArray[np.float64] | None
    """None if all are finite; else sign of each finite value, and infinities and NaNs as such."""


def storage(array: NDArray, fmt: Format) -> NDArray:
    """`array` as the NumPy type of `fmt`.

    Unsigned 16-bit words, and the two-byte void that `.npy` files make of bfloat16, are taken as
    bit patterns of a floating format. Any other type must be the format's own.
    """
    if fmt not in _STORAGE:
        raise ValueError(f"{fmt!r} is not an operand format of the dot-product engine.")
    wanted = np.dtype(_STORAGE[fmt])
    array = np.ascontiguousarray(array)
    if array.dtype == wanted:
        return array
    if fmt in FP_FORMATS and array.dtype in (np.dtype(np.uint16), np.dtype("V2")):
        return array.view(wanted)
    raise ValueError(f"An array of {array.dtype} does not hold {fmt.name} elements.")


def decode_int(array: NDArray, fmt: Format) -> NDArray[np.float64]:
    """Exact values of an integer operand."""
    return storage(array, fmt).astype(np.float64)


def decode_fp(array: NDArray, fmt: Format) -> Operand:
    """Exact values, exponents and special values of a floating operand."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is as good as any
        value = storage(array, fmt).astype(np.float64)
    finite = np.isfinite(value)
    special = None
    if not finite.all():
        special = np.where(finite, np.sign(value), value)
        value = np.where(finite, value, 0.0)
    # frexp gives a fraction in [0.5, 1), one below the significand in [1, 2).
    exponent = np.frexp(value)[1].astype(np.int16) - np.int16(1)
    return Operand(value, np.where(value == 0, np.int16(_ZERO_EXPONENT), exponent), special)


def canonical(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """`array` with every NaN replaced by the canonical one."""
    bits = np.where(np.isnan(array), CANONICAL_NAN, array.view(np.uint32))
    return bits.astype(np.uint32).view(np.float32)


def fp32_add(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """IEEE 754 sum, rounded to nearest even, with canonical NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        return canonical(np.add(a, b, dtype=np.float32))


def fp32_mul(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """IEEE 754 product, rounded to nearest even, with canonical NaN."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return canonical(np.multiply(a, b, dtype=np.float32))


def fp32_min(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The smaller value; -0 is below +0, a NaN on either side gives the canonical NaN."""
    return _chosen(a, b, np.less(_order(a), _order(b)))


def fp32_max(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The larger value; -0 is below +0, a NaN on either side gives the canonical NaN."""
    return _chosen(a, b, np.greater(_order(a), _order(b)))


def _order(array: NDArray[np.float32]) -> NDArray[np.int32]:
    """Integers in the order of the values, -0 below +0; bits of negative numbers count down."""
    bits = np.asarray(array).view(np.int32)
    return bits ^ ((bits >> 31) & 0x7FFF_FFFF)


def _chosen(
    a: NDArray[np.float32], b: NDArray[np.float32], first: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """`a` where `first`, else `b`; NaN where either is one."""
    chosen = np.where(first, a, b)
    return canonical(np.where(np.isnan(a) | np.isnan(b), np.float32(np.nan), chosen))
