# SPDX-License-Identifier: Apache-2.0
"""Comparisons in the form that costs least."""

from amaranth.hdl import Value

__all__ = ["not_below"]


def not_below(value: Value, bound: Value) -> Value:
    """`value >= bound`, as the opposite of `<`.

    Yosys makes one carry chain of `<`; for `>=` and `<=` it adds a test for equality beside it.
    """
    return ~(value < bound)
