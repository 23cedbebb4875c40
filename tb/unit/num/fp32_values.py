# SPDX-License-Identifier: Apache-2.0
"""FP32 bit patterns that make number blocks fail, alone and in pairs."""

import itertools

import numpy as np
from numpy.typing import NDArray

from tb.common.seeds import numpy_rng

__all__ = ["CORNERS", "corner_pairs", "random_pairs", "random_values"]

Words = NDArray[np.uint32]

# Zero, subnormals, around the smallest and the largest normal, one, half units of 1, inf, NaNs.
_MAGNITUDES = [
    0, 1, 2, 0x7FFFFF, 0x800000, 0x800001, 0xFFFFFF, 0x1000000, 0x33800000, 0x33800001, 0x34000000,
    0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x4B7FFFFF, 0x4B800000, 0x73800000, 0x7E800000, 0x7F7FFFFE,
    0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000,
]  # fmt: skip
CORNERS = [bits | sign for bits in _MAGNITUDES for sign in (0, 1 << 31)]
"""Corner values of both signs."""


def corner_pairs() -> tuple[Words, Words]:
    """All pairs of corner values."""
    first, second = np.array(list(itertools.product(CORNERS, repeat=2)), np.uint32).T
    return first, second


def random_pairs(n: int) -> tuple[Words, Words]:
    """`n` pairs each of any, like, tiny and opposite numbers, and of such with products at either
    end of the range and half-way between two numbers."""
    rng = numpy_rng("pairs")
    a, b = rng.integers(0, 1 << 32, (2, n), dtype=np.uint32)
    exponent = a >> 23 & 0xFF
    near = _with_exponent(b, exponent + rng.integers(-27, 28, n))
    tiny = rng.integers(0, 1 << 26, (2, n), dtype=np.uint32)
    tiny |= rng.integers(0, 2, (2, n), dtype=np.uint32) << 31
    opposite = a ^ (1 << 31) ^ rng.integers(0, 16, n, dtype=np.uint32)
    small = _with_exponent(b, 127 - exponent + rng.integers(-30, 5, n))
    large = _with_exponent(b, 381 - exponent + rng.integers(-3, 3, n))
    # Few bits each, so that products end in a half often.
    short = rng.integers(0, 1 << 14, (2, n), dtype=np.uint32) << 11
    short |= np.stack([exponent, 255 - exponent]) << 23
    pairs = [(a, b), (a, near), tiny, (a, opposite), (a, small), (a, large), short]
    first, second = (np.concatenate([pair[i] for pair in pairs]) for i in range(2))
    return first, second


def random_values(n: int, label: str) -> Words:
    """`n` numbers each of any bits, near the integers of a byte, and near the range of FP16."""
    rng = numpy_rng(label)
    anything = rng.integers(0, 1 << 32, n, dtype=np.uint32)
    halves = (rng.integers(-600, 600, n) / 2).astype(np.float32).view(np.uint32)
    halves += rng.integers(-1, 2, n).astype(np.uint32)
    fp16 = _with_exponent(anything, rng.integers(127 - 14 - 13, 127 + 18, n))
    # Bits behind FP16's last one that round up, down, or neither.
    tails = np.array([0, 1, 0xFFF, 0x1000, 0x1001, 0x1FFF], np.uint32)
    fp16 = fp16 & np.uint32(0xFFFF_E000) | rng.choice(tails, n)
    bf16 = anything & np.uint32(0xFFFF_0000) | rng.choice(tails << np.uint32(3), n)
    return np.concatenate([np.array(CORNERS, np.uint32), anything, halves, fp16, bf16])


def _with_exponent(bits: Words, exponent: NDArray) -> Words:
    """The numbers with other biased exponents, as far as those exist."""
    field = np.clip(exponent.astype(np.int64), 0, 255).astype(np.uint32)
    return bits & np.uint32(0x807F_FFFF) | field << np.uint32(23)
