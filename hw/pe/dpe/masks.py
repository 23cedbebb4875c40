# SPDX-License-Identifier: Apache-2.0
"""Byte masks of tails."""

from amaranth.hdl import Cat, Value

__all__ = ["keep_below", "masked"]


def keep_below(limit: Value, n_bytes: int) -> Value:
    """One bit per byte, set for bytes below `limit`."""
    return Cat(limit > index for index in range(n_bytes))


def masked(word: Value, keep: Value) -> Value:
    """`word` with every byte zeroed whose `keep` bit is low."""
    return Cat(word.word_select(i, 8) & keep[i].replicate(8) for i in range(len(keep)))
