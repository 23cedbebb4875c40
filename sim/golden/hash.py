# SPDX-License-Identifier: Apache-2.0
"""The random words of stochastic rounding: a hash of (seed, tensor, element index).

Threefry-2x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), which needs only
additions, rotations and exclusive ors, cut to 8 of its 20 rounds: rounding asks for words whose
bits look independent, not for more. The key is (seed, tensor), the counter (index, 0), the
result the second word.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDS", "rounding_hash", "threefry_2x32"]

Words = NDArray[np.uint32]

ROUNDS = 8
"""Rounds of `rounding_hash`."""

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = np.uint32(0x1BD1_1BDA)
_ROUNDS_PER_KEY = 4


def threefry_2x32(key: tuple[Words, Words], counter: tuple[Words, Words], rounds: int) -> Words:
    """Both words of the block function, stacked along a new first axis.

    Parameters
    ----------
    key, counter
        Two words each, arrays that broadcast against each other.
    rounds
        20 in the published generator.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    first, second = counter[0] + keys[0], counter[1] + keys[1]
    for number in range(rounds):
        rotation = np.uint32(_ROTATIONS[number % len(_ROTATIONS)])
        first = first + second
        second = (second << rotation | second >> np.uint32(32 - rotation)) ^ first
        turn, step = divmod(number + 1, _ROUNDS_PER_KEY)
        if step == 0:
            first = first + keys[turn % 3]
            second = second + keys[(turn + 1) % 3] + np.uint32(turn)
    return np.stack(np.broadcast_arrays(first, second))


def rounding_hash(seed: int, tensor: int, index: Words) -> Words:
    """The 32-bit word by which the element `index` of a tensor is rounded."""
    index = np.atleast_1d(np.asarray(index, np.uint32))
    key = (np.full(1, seed, np.uint32), np.full(1, tensor, np.uint32))
    return threefry_2x32(key, (index, np.zeros(1, np.uint32)), ROUNDS)[1].reshape(index.shape)
