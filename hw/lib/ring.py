# SPDX-License-Identifier: Apache-2.0
"""Pointers into queues that cost one lookup table: they walk all places, but not in their order.

A counter of 4 bits takes four lookup tables, and the last one waits for the first. Where places are
written and read in the same order, whatever that is, a shift register does.
"""

from amaranth.hdl import Cat, Value

__all__ = ["next_place"]

_TAPS = {1: (0,), 2: (1,), 3: (2, 1), 4: (3, 2)}
"""By width: bits of a shift register that walks through all states but 0."""


def next_place(place: Value) -> Value:
    """The place behind `place` in a ring of 2^n places, n from 1 to 4; the first one is 0.

    A zero more is put in where the shift register would go from 1 on to the next state.
    """
    width = len(place)
    feedback = ~place[: width - 1].any() if width > 2 else ~place[width - 1]
    if width > 2:
        for tap in _TAPS[width]:
            feedback = feedback ^ place[tap]
    return Cat(feedback, place[: width - 1])
