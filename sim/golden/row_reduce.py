# SPDX-License-Identifier: Apache-2.0
"""Reductions of a row in the order of the SIMD engine, on whole arrays of rows."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Reduce
from sim.golden.fp import fp32_add, fp32_max, fp32_min

__all__ = ["N_PARTIALS", "reduce_rows"]

Floats = NDArray[np.float32]

N_PARTIALS = 8
"""Partial sums of a row, each of every eighth beat; as many as an addition may take cycles."""

_IDENTITY = np.float32(-0.0)  # x + -0 is x, for -0 too


def reduce_rows(rows: Floats, reduce: Reduce, lanes: int) -> Floats:
    """One value for each row of [rows, elements].

    SUM: per beat of `lanes` elements a balanced tree over the lanes, beats into eight partial
    sums in order, those in a balanced tree. Missing elements and beats add -0, which changes
    nothing. MAX, MIN, ABSMAX: the order does not matter.
    """
    if reduce is Reduce.SUM:
        return _sum(rows, lanes)
    values = np.abs(rows) if reduce is Reduce.ABSMAX else rows
    choose = fp32_min if reduce is Reduce.MIN else fp32_max
    # Repeating an element does not change an extreme value.
    missing = (1 << (values.shape[1] - 1).bit_length()) - values.shape[1]
    padded = np.pad(values, ((0, 0), (0, missing)), mode="edge")
    return _tree(padded, choose)


def _sum(rows: Floats, lanes: int) -> Floats:
    n_rows, n_elements = rows.shape
    turns = -(-n_elements // (lanes * N_PARTIALS))
    padded = np.full((n_rows, turns * N_PARTIALS * lanes), _IDENTITY)
    padded[:, :n_elements] = rows
    beats = _tree(padded.reshape(n_rows, turns, N_PARTIALS, lanes), fp32_add)
    partial = beats[:, 0]
    for turn in range(1, turns):
        partial = fp32_add(partial, beats[:, turn])
    return _tree(partial, fp32_add)


def _tree(values: Floats, operation: Callable[[Floats, Floats], Floats]) -> Floats:
    """The last axis, a power of two long, in a balanced tree: i with i + half first."""
    while (half := values.shape[-1] // 2) > 0:
        values = operation(values[..., :half], values[..., half:])
    return values[..., 0]
