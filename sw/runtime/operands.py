# SPDX-License-Identifier: Apache-2.0
"""Arrays as the element takes them: NumPy types and formats, conversions that never hide a loss."""

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from sw.errors import UserError

__all__ = ["DTYPES", "as_operand", "as_vector", "format_of"]

DTYPES: dict[Format, np.dtype[Any]] = {
    Format.INT8: np.dtype(np.int8),
    Format.UINT8: np.dtype(np.uint8),
    Format.FP16: np.dtype(np.float16),
    Format.BF16: np.dtype(ml_dtypes.bfloat16),
    Format.INT32: np.dtype(np.int32),
    Format.FP32: np.dtype(np.float32),
}
"""NumPy type of each format."""
_BFLOAT16 = DTYPES[Format.BF16]
_OPERANDS = [DTYPES[fmt] for fmt in (Format.INT8, Format.UINT8, Format.FP16, Format.BF16)]


def format_of(array: NDArray[Any]) -> Format:
    """Format of an array's elements.

    Raises
    ------
    UserError
        If the element has no such format.
    """
    for fmt, dtype in DTYPES.items():
        if array.dtype == dtype:
            return fmt
    names = ", ".join(str(dtype) for dtype in DTYPES.values())
    raise UserError(f"The element does not know {array.dtype}; it knows {names}.")


def as_vector(array: NDArray[Any], fmt: Format, n: int, name: str) -> NDArray[Any]:
    """Return `array` as `n` values of INT32 (exactly) or FP32 (rounded to nearest even).

    Raises
    ------
    UserError
        If the shape is another, or a value does not fit.
    """
    if array.dtype == np.dtype("V2"):
        array = array.view(_BFLOAT16)
    if array.shape not in ((n,), (1, n)):
        raise UserError(f"{name} has shape {array.shape}; it must be a vector of {n} values.")
    if array.dtype.kind not in ("iu" if fmt is Format.INT32 else "iuf") and not (
        fmt is Format.FP32 and array.dtype == _BFLOAT16
    ):
        wanted = "int32" if fmt is Format.INT32 else "float32"
        raise UserError(f"{name} holds {array.dtype}; it must hold {wanted}.")
    flat = array.reshape(n)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = flat.astype(DTYPES[fmt])
    lost = converted != flat if fmt is Format.INT32 else np.isinf(converted) & np.isfinite(flat)
    if np.any(lost):
        raise UserError(f"{name} has values that do not fit {DTYPES[fmt]}.")
    return converted


def as_operand(array: NDArray[Any], dtype: str | None, name: str) -> NDArray[Any]:
    """Return `array` as a contiguous two-dimensional operand of a supported type.

    Parameters
    ----------
    array : NDArray
        As loaded; a two-byte void is taken as bfloat16, which is how `.npy` files hold it.
    dtype : str or None
        `int8`, `uint8`, `float16` or `bfloat16` to convert to, exactly for integers and by
        rounding to nearest even for floats.
    name : str
        For messages.

    Raises
    ------
    UserError
        If the shape or type cannot be used, or values do not fit.
    """
    if array.dtype == np.dtype("V2"):
        array = array.view(_BFLOAT16)
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(
            f"{name} has shape {array.shape}; it must be a matrix with at least one row and column."
        )
    if dtype is not None:
        array = _convert(array, dtype, name)
    if array.dtype not in _OPERANDS:
        raise UserError(
            f"{name} holds {array.dtype}; it must hold int8, uint8, float16 or bfloat16"
            " (--dtype converts)."
        )
    return np.ascontiguousarray(array)


def _convert(array: NDArray[Any], dtype: str, name: str) -> NDArray[Any]:
    wanted = {
        "int8": np.int8,
        "uint8": np.uint8,
        "float16": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
    }
    if dtype not in wanted:
        raise UserError(f"--dtype is {dtype}; it must be int8, uint8, float16 or bfloat16.")
    if array.dtype.kind not in "biuf" and array.dtype != _BFLOAT16:
        raise UserError(f"{name} holds {array.dtype}, which is not a number type.")
    target = np.dtype(wanted[dtype])
    with np.errstate(over="ignore", invalid="ignore"):
        converted = _to_bfloat16(array) if dtype == "bfloat16" else array.astype(target)
    if target.kind in "iu":
        if not np.array_equal(converted.astype(np.float64), array.astype(np.float64)):
            raise UserError(
                f"{name} has values that do not fit {dtype}; scale or round them first."
            )
    elif np.any(np.isinf(converted.astype(np.float64)) & np.isfinite(array.astype(np.float64))):
        raise UserError(f"{name} has values that are too large for {dtype}.")
    return converted


def _to_bfloat16(array: NDArray[Any]) -> NDArray[Any]:
    """Round once, to nearest even. A cast from float64 alone would round to float32 on its way."""
    wide = array.astype(np.float64)
    single = wide.astype(np.float32)
    # Round to odd: with two bits more than the result has, the last rounding is then right.
    single = np.where(np.abs(single) > np.abs(wide), np.nextafter(single, np.float32(0)), single)
    inexact = np.isfinite(wide) & (single.astype(np.float64) != wide)
    odd = single.astype(np.float32).view(np.uint32) | inexact.astype(np.uint32)
    return odd.view(np.float32).astype(ml_dtypes.bfloat16)
