# SPDX-License-Identifier: Apache-2.0
"""Counters that add 1 and cost next to nothing: shift registers whose feedback runs in a long ring.

A binary counter of 8 bits takes an adder; a shift register of 8 bits with one XNOR walks through
255 states, and a table tells afterwards how many steps a state is behind the first one.
"""

from functools import cache

from amaranth.hdl import Cat, Value

__all__ = ["STEP_BITS", "STEP_PERIOD", "next_step", "step_table"]

STEP_BITS = 8
STEP_PERIOD = (1 << STEP_BITS) - 1
"""States of the ring; all ones is not in it."""
_TAPS = (7, 5, 4, 3)  # of a primitive polynomial, so that the ring has all other states


def next_step(state: Value) -> Value:
    """The state behind `state`; the first state is 0."""
    feedback = state[_TAPS[0]]
    for tap in _TAPS[1:]:
        feedback = feedback ^ state[tap]
    return Cat(~feedback, state[: STEP_BITS - 1])


@cache
def step_table() -> tuple[int, ...]:
    """For each state the number of steps from 0 to it; 0 for the one that is not in the ring."""
    steps = [0] * (1 << STEP_BITS)
    state = 0
    for n in range(STEP_PERIOD):
        steps[state] = n
        feedback = 1 ^ (sum(state >> tap for tap in _TAPS) & 1)
        state = (state << 1 | feedback) & STEP_PERIOD
    return tuple(steps)
