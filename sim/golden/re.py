# SPDX-License-Identifier: Apache-2.0
"""Accumulator banks and what becomes of their rows, on whole arrays of bit patterns."""

import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from sim.golden.fp import CANONICAL_NAN, fp32_add

__all__ = ["AccumulatorModel", "add_rows", "min_max"]

Rows = NDArray[np.uint32]


def add_rows(first: Rows, second: Rows, fmt: Format) -> Rows:
    """first + second: INT32 wraps, FP32 rounds to nearest even."""
    if fmt is Format.FP32:
        return fp32_add(first.view(np.float32), second.view(np.float32)).view(np.uint32)
    return first + second


def min_max(rows: Rows, fmt: Format, n_valid: int) -> Rows:
    """Minimum and maximum of the first `n_valid` values of each row, as an array of pairs.

    FP32: -0 comes before +0, and a NaN among the values makes both results the canonical NaN.
    """
    values = np.ascontiguousarray(rows[:, :n_valid])
    if fmt is not Format.FP32:
        signed = values.view(np.int32)
        return np.stack([signed.min(axis=1), signed.max(axis=1)], axis=1).view(np.uint32)
    # Bit patterns of negative numbers count downwards.
    negative = values >> np.uint32(31) != 0
    order = np.where(negative, -1 - (values & np.uint32(0x7FFF_FFFF)).astype(np.int64), values)
    chosen = np.stack([order.argmin(axis=1), order.argmax(axis=1)], axis=1)
    pairs = np.take_along_axis(values, chosen, axis=1)
    nan = np.isnan(values.view(np.float32)).any(axis=1, keepdims=True)
    return np.where(nan, CANONICAL_NAN, pairs).astype(np.uint32)


class AccumulatorModel:
    """Contents of the accumulator banks.

    Attributes
    ----------
    values : bit patterns, by bank, row and column.
    """

    def __init__(self, *, banks: int, rows: int, columns: int) -> None:
        self.values: Rows = np.zeros((banks, rows, columns), np.uint32)

    def accumulate(
        self, bank: int, row: int, partial: Rows, fmt: Format, *, overwrite: bool
    ) -> None:
        """One row from the dot-product engine."""
        place = self.values[bank, row]
        place[:] = partial if overwrite else add_rows(place, partial, fmt)

    def preload(self, bank: int, row: Rows) -> None:
        """The same values in every row of a bank."""
        self.values[bank] = row

    def drain(self, bank: int, n_rows: int, fmt: Format, incoming: Rows | None = None) -> Rows:
        """Rows that leave a bank, with a neighbour's rows added if there are any."""
        own = self.values[bank, :n_rows].copy()
        return own if incoming is None else add_rows(own, incoming, fmt)
