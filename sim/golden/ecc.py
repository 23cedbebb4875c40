# SPDX-License-Identifier: Apache-2.0
"""Golden model of the memory codes: SECDED (72,64) and parity per byte.

Each data bit has a column, an eight-bit number of odd weight: the 56 numbers with three ones in
ascending order, then the rotations of 0b00011111 to the left by 0 to 7. The check byte is the XOR
of the columns of all data bits that are set. A syndrome is the XOR of the stored check byte and the
one that the stored data asks for: zero for a whole word, a column or a single bit for one error,
even weight for two.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "byte_parity", "secded_check", "secded_decode"]


def _weight(number: int) -> int:
    return bin(number).count("1")


COLUMNS: tuple[int, ...] = (
    *(number for number in range(256) if _weight(number) == 3),
    *((0b11111 << shift) % 255 for shift in range(8)),
)
"""Column of each data bit. Modulo 255 a shift is a rotation."""

_UNCORRECTABLE = -1
_NO_FLIP = 64


def _actions() -> NDArray[np.int8]:
    """What each syndrome asks for: a data bit to flip, 64 to flip none, -1 if nothing helps."""
    actions = np.full(256, _UNCORRECTABLE, dtype=np.int8)
    for bit, column in enumerate(COLUMNS):
        actions[column] = bit
    for check in range(8):
        actions[1 << check] = _NO_FLIP
    actions[0] = _NO_FLIP
    return actions


_ACTIONS = _actions()


def secded_check(data: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Check bytes of 64-bit words, an array of any shape."""
    check = np.zeros(data.shape, dtype=np.uint8)
    for bit, column in enumerate(COLUMNS):
        is_set = (data >> np.uint64(bit)) & np.uint64(1)
        check ^= is_set.astype(np.uint8) * np.uint8(column)
    return check


def secded_decode(
    data: NDArray[np.uint64], check: NDArray[np.uint8]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Corrected data, where one bit was corrected, and where the data is lost.

    Lost words are returned as they are stored.
    """
    syndrome = secded_check(data) ^ check
    action = _ACTIONS[syndrome]
    lost = action == _UNCORRECTABLE
    flips = (action >= 0) & (action < _NO_FLIP)
    shift = np.where(flips, action, 0).astype(np.uint64)
    corrected_data = data ^ (flips.astype(np.uint64) << shift)
    return corrected_data, (syndrome != 0) & ~lost, lost


def byte_parity(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 for each byte with an odd number of ones, else 0."""
    return (np.bitwise_count(data) & 1).astype(np.uint8)
