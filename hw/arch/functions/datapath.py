# SPDX-License-Identifier: Apache-2.0
"""Fixed-point formats of the function unit: what hardware and model have in common.

All are unsigned unless a name says otherwise; "fraction" counts bits below the point. What is cut
off is cut off downwards (floor), except where it says "nearest".
"""

from hw.arch.functions.exact import CONTEXT, LN_2, LOG2_E

__all__ = [
    "ARGUMENT_FRACTION",
    "ARGUMENT_INTEGER",
    "EXPONENT_WIDTH",
    "LN_2_CONSTANT",
    "LN_2_FRACTION",
    "LOG2_E_CONSTANT",
    "LOG2_E_FRACTION",
    "OCTAVES",
    "POSITION_FRACTION",
    "POWER_FRACTION",
    "Q1_FRACTION",
    "Q1_WIDTH",
    "Q2_FRACTION",
    "Q2_WIDTH",
    "T_FRACTION",
    "VALUE_FRACTION",
    "VALUE_INTEGER",
]

ARGUMENT_INTEGER, ARGUMENT_FRACTION = 7, 26
"""|x| in fixed point, for all functions but LOG, RECIPROCAL and RSQRT; cut off."""

LOG2_E_FRACTION = 30
LOG2_E_CONSTANT = int((LOG2_E * (1 << LOG2_E_FRACTION)).to_integral_value(context=CONTEXT))
"""EXP: |x| times this is the power of two, exact in 64 bits ..."""
POWER_FRACTION = 23
"""... then rounded to nearest with this many bits, halves up, and only then negated if x < 0."""

LN_2_FRACTION = 32
LN_2_CONSTANT = int((LN_2 * (1 << LN_2_FRACTION)).to_integral_value(context=CONTEXT))
"""LOG: the exponent's part is a whole number times this."""

OCTAVES = 5
"""Octaves of |x|: [0, 1), [1, 2), [2, 4), [4, 8), [8, 16)."""

POSITION_FRACTION = 29
"""Position in a region: the upper bits number the segment, the next `T_FRACTION` are t + 1/2."""

T_FRACTION = 18
"""t, signed, from -1/2 to 1/2, is cut off at this many bits."""

Q2_WIDTH, Q2_FRACTION = 23, 26
"""c2 + c3 t, signed."""
Q1_WIDTH, Q1_FRACTION = 30, 28
"""c1 + t (c2 + c3 t), signed."""
VALUE_INTEGER, VALUE_FRACTION = 7, 44
"""c0 + t (c1 + ...), plus the exponent's part of LOG: never negative."""

EXPONENT_WIDTH = 6
"""Exponent in a row of the table: the value is divided by 2 to its power."""
