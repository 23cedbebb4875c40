# SPDX-License-Identifier: Apache-2.0
"""Conversions between the element formats and FP32, on whole arrays, as the SIMD engine does them.

Arrays have the NumPy type of their format (`DTYPES`); bit patterns of the same size (`uint8`,
`uint16`, `uint32`) are taken as such.
"""

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from sim.golden.fp import canonical

__all__ = ["DTYPES", "elements_of", "from_fp32", "to_fp32"]

DTYPES: dict[Format, np.dtype] = {
    Format.INT8: np.dtype(np.int8),
    Format.UINT8: np.dtype(np.uint8),
    Format.FP16: np.dtype(np.float16),
    Format.BF16: np.dtype(ml_dtypes.bfloat16),
    Format.INT32: np.dtype(np.int32),
    Format.FP32: np.dtype(np.float32),
}
"""NumPy type of each format."""

_LIMITS = {Format.INT8: (-128, 127), Format.UINT8: (0, 255)}
# Stored significand bits, biased FP32 exponent of the smallest normal number, bits of a NaN, and
# bits of infinity.
_SHAPES = {Format.FP16: (10, 113, 0x7E00, 0x7C00), Format.BF16: (7, 1, 0x7FC0, 0x7F80)}
_RANDOM_BITS = 32


def elements_of(raw: NDArray[np.uint8], fmt: Format) -> NDArray:
    """Bytes along the last axis as elements of `fmt`, little-endian."""
    return np.ascontiguousarray(raw).view(DTYPES[fmt])


def to_fp32(array: NDArray, fmt: Format) -> NDArray[np.float32]:
    """Elements of `fmt` as FP32: INT32 rounded to nearest even, all others exactly.

    Every NaN becomes the canonical one.

    Raises
    ------
    ValueError
        If the array has neither the type of the format nor bit patterns of its size.
    """
    array = _typed(array, fmt)
    if not fmt.is_float:
        return array.astype(np.float32)
    with np.errstate(invalid="ignore"):  # a signalling NaN is as good as any
        return canonical(array.astype(np.float32))


def from_fp32(
    values: NDArray[np.float32], fmt: Format, random: NDArray[np.uint32] | None = None
) -> NDArray:
    """FP32 values as elements of `fmt`.

    FP16 and BF16: gradual underflow, overflow to infinity, NaN with the bits 0x7E00 or 0x7FC0. INT8
    and UINT8: to an integer, then clamped to the type's range; NaN gives 0. FP32: NaN canonical.

    Parameters
    ----------
    values
        What to convert.
    fmt
        Any format but INT32.
    random
        None rounds to nearest even. Else the magnitude is rounded to
        floor(|x| / u + random / 2^32) * u, u the spacing of `fmt` around x; no effect on FP32.

    Raises
    ------
    ValueError
        If `fmt` is INT32.
    """
    if fmt is Format.INT32:
        raise ValueError("FP32 is never converted to INT32.")
    if fmt is Format.FP32:
        return canonical(values)
    if fmt in _LIMITS:
        return _to_integer(values, fmt, random)
    bits = _to_nearest(values, fmt) if random is None else _to_random(values, fmt, random)
    nan = np.uint16(_SHAPES[fmt][2])
    return np.where(np.isnan(values), nan, bits).astype(np.uint16).view(DTYPES[fmt])


def _typed(array: NDArray, fmt: Format) -> NDArray:
    """The array with the NumPy type of its format."""
    wanted = DTYPES[fmt]
    array = np.asarray(array)
    if array.dtype == wanted:
        return array
    if array.dtype == np.dtype(f"u{wanted.itemsize}"):
        return array.view(wanted)
    raise ValueError(f"An array of {array.dtype} does not hold {fmt.name} elements.")


def _to_integer(
    values: NDArray[np.float32], fmt: Format, random: NDArray[np.uint32] | None
) -> NDArray:
    """An integer within the range of `fmt`."""
    finite = np.where(np.isnan(values), 0, values).astype(np.float64)
    # Limits far outside the range change no result, and keep what follows exact in float64.
    finite = np.clip(finite, -512, 512)
    if random is None:
        whole = np.rint(finite)
    else:
        magnitude = np.abs(finite)
        fraction = magnitude - np.floor(magnitude)
        carry = np.floor(fraction * 2.0**_RANDOM_BITS) + random >= 2.0**_RANDOM_BITS
        whole = np.copysign(np.floor(magnitude) + carry, finite)
    low, high = _LIMITS[fmt]
    return np.clip(whole, low, high).astype(DTYPES[fmt])


def _to_nearest(values: NDArray[np.float32], fmt: Format) -> NDArray[np.uint16]:
    """Bits of FP16 or BF16, rounded to nearest even; a NaN gives any NaN."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(values).astype(DTYPES[fmt]).view(np.uint16)


def _to_random(
    values: NDArray[np.float32], fmt: Format, random: NDArray[np.uint32]
) -> NDArray[np.uint16]:
    """Bits of FP16 or BF16, rounded by `random`; a NaN gives any bits."""
    fraction_bits, least_exponent, _, infinity = _SHAPES[fmt]
    bits = np.asarray(values).view(np.uint32)
    sign = (bits >> np.uint32(16)) & np.uint32(0x8000)
    biased = (bits >> np.uint32(23)).astype(np.int64) & 0xFF
    significand = (bits & np.uint32(0x7F_FFFF)).astype(np.uint64)
    significand |= (biased != 0).astype(np.uint64) << np.uint64(23)
    biased = np.maximum(biased, 1)
    # |x| / u is the significand / 2^drop; u is the spacing of subnormals below the least exponent.
    target = np.maximum(biased, least_exponent)
    drop = 23 - fraction_bits + (target - biased)
    # Above 2^-32 u nothing of the sum is lost; what lies further down never makes a carry.
    scaled = (significand << np.uint64(_RANDOM_BITS)) >> np.minimum(drop, 63).astype(np.uint64)
    whole = (scaled + random) >> np.uint64(_RANDOM_BITS)
    # The hidden bit, where it is set, adds 1 to the exponent field; so does a carry.
    field = (target - least_exponent).astype(np.uint64) << np.uint64(fraction_bits)
    magnitude = np.minimum(whole + field, np.uint64(infinity))
    return (magnitude.astype(np.uint16) | sign.astype(np.uint16)).astype(np.uint16)
