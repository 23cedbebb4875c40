# SPDX-License-Identifier: Apache-2.0
"""The definition of the GEMM's epilogue in plain NumPy, and combinations worth trying."""

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from sim.golden.dot import gemm_golden
from sw.runtime.gemm import Finish

__all__ = ["DTYPES", "expected", "operands"]

DTYPES = {
    Format.INT8: np.dtype(np.int8),
    Format.UINT8: np.dtype(np.uint8),
    Format.FP16: np.dtype(np.float16),
    Format.BF16: np.dtype(ml_dtypes.bfloat16),
    Format.INT32: np.dtype(np.int32),
    Format.FP32: np.dtype(np.float32),
}


def operands(
    rng: np.random.Generator, shape: tuple[int, int, int], a: Format, b: Format
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A [M,K] and B [K,N] of moderate values."""
    m, n, k = shape

    def draw(size: tuple[int, int], fmt: Format) -> NDArray[Any]:
        if fmt.is_float:
            return rng.standard_normal(size).astype(np.float32).astype(DTYPES[fmt])
        return rng.integers(0, 256, size).astype(np.uint8).view(DTYPES[fmt])

    return draw((m, k), a), draw((k, n), b)


def expected(
    a: NDArray[Any], b: NDArray[Any], a_format: Format, b_format: Format, chunk: int, finish: Finish
) -> NDArray[Any]:
    """C by the definition: the sum, the bias, ReLU, the factor, the format; no function.

    Integers by NumPy's 64-bit product; NumPy's FP32 operations and conversions round to nearest
    even, and `rint` does.
    """
    sums = _sums(a, b, a_format, b_format, chunk)
    if finish.bias is not None:
        with np.errstate(over="ignore"):
            sums = sums + finish.bias.astype(sums.dtype)
    if finish.relu:
        sums = np.maximum(sums, sums.dtype.type(0))
    out = a_format.accumulator if finish.out is None else finish.out
    if out is Format.INT32:
        return sums
    real = sums.astype(np.float32)
    if finish.scale is not None:
        real = real * np.asarray(finish.scale, np.float32)
    if out.is_float:
        with np.errstate(over="ignore"):
            return real.astype(DTYPES[out])
    info = np.iinfo(DTYPES[out])
    return np.clip(np.rint(real), info.min, info.max).astype(DTYPES[out])


def _sums(
    a: NDArray[Any], b: NDArray[Any], a_format: Format, b_format: Format, chunk: int
) -> NDArray[Any]:
    if a_format.is_float:
        return gemm_golden(a, b, fmt_a=a_format, fmt_b=b_format, chunk=chunk)
    return (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)
