# SPDX-License-Identifier: Apache-2.0
"""Selections by number, as trees of two-way ones: the form that costs least in lookup tables."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Mux, Value

__all__ = ["choose", "number_of"]


def choose(options: Sequence[Value], number: Value) -> Value:
    """Option `number`; one of the last two or so where there is none of that number.

    An `Array` becomes a comparison for each option, and about twice the logic.
    """
    chosen = [Value.cast(option) for option in options]
    for bit in number:
        if len(chosen) == 1:
            break
        pairs = zip(chosen[0::2], chosen[1::2], strict=False)
        odd = chosen[-1:] if len(chosen) % 2 else []
        chosen = [*(Mux(bit, high, low) for low, high in pairs), *odd]
    assert len(chosen) == 1, "too few bits of number"
    return chosen[0]


def number_of(flags: Sequence[Value]) -> Value:
    """Number of the only flag that is set; 0 if none is."""
    width = max(1, (len(flags) - 1).bit_length())
    return Cat(
        Cat(flag for at, flag in enumerate(flags) if at >> bit & 1).any() for bit in range(width)
    )
