# SPDX-License-Identifier: Apache-2.0
"""Dot products and matrix products, bit for bit as the hardware computes them.

`docs/numerics.md` states the rules in words; this file is their executable form.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from sim.golden.fp import (
    FP_FORMATS,
    INT_FORMATS,
    Operand,
    canonical,
    decode_fp,
    decode_int,
    fp32_add,
)

__all__ = ["KEPT_BITS", "dot_chunk", "gemm_golden"]

KEPT_BITS = 28
"""Products are truncated at 2^(e_max - KEPT_BITS)."""
# Rows are taken in blocks, so that the working set of a block of results stays in the caches.
_BLOCK_ELEMENTS = 1 << 15


def gemm_golden(
    a: NDArray,
    b: NDArray,
    *,
    fmt_a: Format,
    fmt_b: Format,
    chunk: int,
    k_split: Sequence[int] | None = None,
    bias: NDArray | None = None,
) -> NDArray:
    """The product a[M,K] @ b[K,N] as the hardware computes it.

    Integer formats give int32 that wraps. Floating formats give float32: K ascends in chunks of
    `chunk` products, aligned at the start of K; each chunk is rounded once and then added to the
    accumulator.

    Parameters
    ----------
    fmt_a, fmt_b : Format
        Operand formats: both from INT8, UINT8 or both from FP16, BF16.
    chunk : int
        Products per floating-point partial sum. Integers do not depend on it.
    k_split : sequence of int, optional
        Lengths of the parts of K that different elements sum; they must add up to K. Each part
        starts its own accumulator and its own chunks; parts are added in order, the sum so far
        as the second operand.
    bias : array of [N] or [M,N], optional
        Starting value of the accumulator of the first part, int32 or float32.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"Shapes {a.shape} and {b.shape} are not those of a matrix product.")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; it must be at least 1.")
    depth = a.shape[1]
    lengths = [depth] if k_split is None else list(k_split)
    if sum(lengths) != depth or any(length < 0 for length in lengths):
        raise ValueError(f"k_split {lengths} does not divide K = {depth}.")
    if fmt_a in INT_FORMATS and fmt_b in INT_FORMATS:
        return _gemm_int(decode_int(a, fmt_a), decode_int(b, fmt_b), bias)
    if fmt_a in FP_FORMATS and fmt_b in FP_FORMATS:
        return _gemm_fp(decode_fp(a, fmt_a), decode_fp(b, fmt_b), chunk, lengths, bias)
    raise ValueError(f"{fmt_a.name} and {fmt_b.name} cannot be multiplied.")


def dot_chunk(a: Operand, b: Operand) -> NDArray[np.float32]:
    """Partial sums [M,N] of one chunk: a[M,c] times b[c,N], rounded once to FP32."""
    e_max = np.full((a.value.shape[0], b.value.shape[1]), np.iinfo(np.int16).min, np.int16)
    for k in range(a.value.shape[1]):
        np.maximum(e_max, a.exponent[:, k, None] + b.exponent[None, k, :], out=e_max)
    # With no product but zeros any finite scale will do.
    e_max[e_max < -(1 << 11)] = 0
    scale = np.ldexp(1.0, KEPT_BITS - e_max.astype(np.int32))
    total = np.zeros(e_max.shape)
    for k in range(a.value.shape[1]):
        # Exact: 22 significant bits times a power of two, truncated to at most 30 bits.
        aligned = a.value[:, k, None] * b.value[None, k, :]
        aligned *= scale
        total += np.trunc(aligned, out=aligned)
    with np.errstate(over="ignore", under="ignore"):
        # Dividing by a power of two is exact; the conversion rounds. Adding zero drops -0.
        partial = (total / scale).astype(np.float32) + np.float32(0)
    if a.special is None and b.special is None:
        return partial
    return _with_specials(partial, a, b)


def _with_specials(partial: NDArray[np.float32], a: Operand, b: Operand) -> NDArray[np.float32]:
    """Replace partial sums that an infinity or a NaN takes part in."""
    left = np.sign(a.value) if a.special is None else a.special
    right = np.sign(b.value) if b.special is None else b.special
    total = np.zeros(partial.shape)
    with np.errstate(invalid="ignore"):
        for k in range(left.shape[1]):
            total += left[:, k, None] * right[None, k, :]
    return canonical(np.where(np.isfinite(total), partial, total).astype(np.float32))


def _gemm_int(
    a: NDArray[np.float64], b: NDArray[np.float64], bias: NDArray | None
) -> NDArray[np.int32]:
    """Integer product, wrapping modulo 2^32; float64 is exact up to K = 2^37."""
    total = (a @ b).astype(np.int64)
    if bias is not None:
        total = total + bias.astype(np.int32)
    return total.astype(np.uint64).astype(np.uint32).view(np.int32)


def _gemm_fp(
    a: Operand, b: Operand, chunk: int, lengths: list[int], bias: NDArray | None
) -> NDArray[np.float32]:
    """Floating-point product, block of rows by block of rows."""
    rows, columns = a.value.shape[0], b.value.shape[1]
    first = np.zeros(1, np.float32) if bias is None else bias.astype(np.float32)
    start = np.broadcast_to(first, (rows, columns))
    result = np.empty((rows, columns), np.float32)
    step = max(_BLOCK_ELEMENTS // max(columns, 1), 1)
    for top in range(0, rows, step):
        block = slice(top, top + step)
        result[block] = _rows_fp(_part(a, rows=block), b, chunk, lengths, start[block])
    return canonical(result)


def _rows_fp(
    a: Operand, b: Operand, chunk: int, lengths: list[int], start: NDArray[np.float32]
) -> NDArray[np.float32]:
    """All parts of K for a few rows."""
    result = None
    begin = 0
    for length in lengths:
        accumulator = start if result is None else np.zeros_like(start)
        for low in range(begin, begin + length, chunk):
            piece = slice(low, min(low + chunk, begin + length))
            partial = dot_chunk(_part(a, columns=piece), _part(b, rows=piece))
            accumulator = fp32_add(accumulator, partial)
        result = accumulator if result is None else fp32_add(accumulator, result)
        begin += length
    return start if result is None else result


def _part(operand: Operand, *, rows: slice = slice(None), columns: slice = slice(None)) -> Operand:
    """A rectangle of an operand."""
    special = None if operand.special is None else operand.special[rows, columns]
    return Operand(operand.value[rows, columns], operand.exponent[rows, columns], special)
