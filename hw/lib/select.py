# SPDX-License-Identifier: Apache-2.0
"""Selection by flags, in the form that costs least in lookup tables: two options in each."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, Value

__all__ = ["lowest_one", "number_of", "one_of"]

_GROUP = 4


def one_of(options: Sequence[Value], flags: Sequence[Value]) -> Value:
    """The option whose flag is set; 0 if none is. The only option needs no flag.

    An `Array` or nested `Mux` becomes a comparison for each option and about twice the logic.
    """
    values = [Value.cast(option) for option in options]
    if len(values) == 1:
        return values[0]
    pairs = zip(values, flags, strict=True)
    return reduce(or_, (value & flag.replicate(len(value)) for value, flag in pairs))


def number_of(one_hot: Value) -> Value:
    """Number of the bit that is set."""
    width = (len(one_hot) - 1).bit_length()
    return Cat(
        Cat(one_hot[i] for i in range(len(one_hot)) if i >> bit & 1).any() for bit in range(width)
    )


def lowest_one(m: Module, flags: Value) -> Signal:
    """The lowest bit that is set, alone.

    Groups of bits, then groups of groups: with `flags & -flags` a carry would pass every bit.
    """
    groups = [flags[at : at + _GROUP] for at in range(0, len(flags), _GROUP)]
    firsts = [group[at] & ~group[:at].any() for group in groups for at in range(len(group))]
    lowest = Signal(len(flags))
    if len(groups) == 1:
        m.d.comb += lowest.eq(Cat(firsts))
    else:
        some = Signal(len(groups))
        m.d.comb += some.eq(Cat(group.any() for group in groups))
        first = lowest_one(m, some)
        m.d.comb += lowest.eq(Cat(bit & first[at // _GROUP] for at, bit in enumerate(firsts)))
    return lowest
