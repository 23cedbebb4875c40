# SPDX-License-Identifier: Apache-2.0
"""Nests of counted loops: `LoopCounter` counts, `LoopOffset` keeps the sum of strides beside it."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS

__all__ = ["LoopCounter", "LoopOffset", "at_level", "lowest", "selected"]

_NARROW = 4
"""Bits of a narrow offset."""
_TAILS = 2
"""Levels that a tail may shorten: 0 and 1."""


def lowest(bits: Value) -> Value:
    """Only the lowest of the bits that are set."""
    return Cat(bit & ~bits[:place].any() for place, bit in enumerate(bits))


def selected(one_hot: Value, values: Iterable[Value]) -> Value:
    """The value that is chosen; 0 if none is."""
    return reduce(or_, (Mux(bit, value, 0) for bit, value in zip(one_hot, values, strict=True)))


def at_level(flags: Value, level: Value) -> Value:
    """The flag of the tail's level; 0 for level 0, which no tail can have, and for no level."""
    return Cat(Const(0, 1), flags[1:], Const(0, 8 - LEVELS)).bit_select(level, 1)


class LoopOffset(wiring.Component):
    """Keeps `offset` = origin + sum of index[l] * stride[l] while somebody else walks the nest.

    Operation
        `start` sets the offset to `origin`. `step` goes to the next iteration: the lowest level of
        `goes_on` moves on by its stride, those below begin anew. With no such level nothing moves.
        Sums wrap in `offset_width` bits.

    Timing
        One iteration per cycle. Every level remembers the offset of its iteration, so one adder is
        enough. Narrow offsets have one for each level: which level moves is known late, and they
        are hardly larger than the choice in front of one adder.

    Parameters
    ----------
    offset_width : bits of strides and offset, at least 2.

    Members
    -------
    strides : In(ArrayLayout(signed(offset_width), LEVELS)), added by one iteration of each level.
    start : In(1), begin at `origin` in the next cycle; wins over `step`.
    origin : In(signed(offset_width)), first offset.
    step : In(1), go to the next iteration.
    goes_on : In(LEVELS), levels that have further iterations.
    offset : Out(signed(offset_width)), of the present iteration.

    Raises: ValueError when `offset_width` is less than 2.
    """

    def __init__(self, *, offset_width: int) -> None:
        if offset_width < 2:
            raise ValueError(
                f"LoopOffset offset_width must be 2 bits or more, not {offset_width!r}."
            )
        self.offset_width = offset_width
        super().__init__(
            {
                "strides": In(data.ArrayLayout(signed(offset_width), LEVELS)),
                "start": In(1),
                "origin": In(signed(offset_width)),
                "step": In(1),
                "goes_on": In(LEVELS),
                "offset": Out(signed(offset_width)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        moves = Signal(LEVELS)  # one-hot: the level that goes on
        moved = Signal(signed(self.offset_width))  # its new offset
        offsets = [
            Signal(signed(self.offset_width), name=f"offset{level}") for level in range(LEVELS)
        ]
        strides = [self.strides[level] for level in range(LEVELS)]
        m.d.comb += [
            moves.eq(Mux(self.start, 0, lowest(self.goes_on))),
            self.offset.eq(offsets[0]),
        ]
        chosen = Cat(moves, self.start)
        if self.offset_width <= _NARROW:
            sums = [(a + b)[: self.offset_width] for a, b in zip(offsets, strides, strict=True)]
            m.d.comb += moved.eq(selected(chosen, [*sums, self.origin.as_unsigned()]))
        else:
            # The origin goes through the adder as one more offset: cheaper than a choice.
            origins = selected(chosen, [*offsets, self.origin])
            m.d.comb += moved.eq(origins + selected(moves, strides))
        for level in range(LEVELS):
            # This level moves, or begins anew: none below goes on, but one does. Said like this it
            # is known before `step` is.
            moves_on = self.goes_on.any() & ~self.goes_on[:level].any()
            with m.If(self.start | (self.step & moves_on)):
                m.d.sync += offsets[level].eq(moved)
        return m


class LoopCounter(wiring.Component):
    """Counts the iterations of a loop nest.

    Operation
        `start` puts all levels at their first iteration. `step` goes to the next iteration: the
        lowest level that is not at its last iteration moves on, those below begin anew. A step
        after the last iteration returns to the first one.
        While `tail_level` (above `tail_inner`) is at its last iteration, level `tail_inner` (0 or
        1) counts to `tail_count` instead of its count, if `tail_count` is not 0.
        All configuration inputs stay as they are from `start` to the last step.

    Timing
        One iteration per cycle. Whether an index has reached its count is found as the index is
        made, a cycle ahead: nothing is compared between a register and `last`. Both counts of a
        level that a tail may shorten are compared, as which of them holds is known late.

    Members
    -------
    counts : In(ArrayLayout(16, LEVELS)), iterations of each level, at least 1.
    tail_level : In(3), level whose last iteration shortens level `tail_inner`.
    tail_inner : In(1), the level that is shortened.
    tail_count : In(16), its iterations then; 0: no difference.
    start : In(1), begin in the next cycle; wins over `step`.
    step : In(1), go to the next iteration.
    last : Out(LEVELS), levels at their last iteration.
    end : Out(1), all levels are.
    """

    counts: In(data.ArrayLayout(unsigned(16), LEVELS))
    tail_level: In(3)
    tail_inner: In(1)
    tail_count: In(16)
    start: In(1)
    step: In(1)
    last: Out(LEVELS)
    end: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        full, short = Signal(LEVELS), Signal(_TAILS)  # the index is the count, or the tail's
        for level in range(LEVELS):
            at_last = full[level]
            if level < _TAILS:
                # Each level looks at higher ones only, so that there is no loop.
                above = Cat(Const(0, level + 1), self.last[level + 1 :])
                is_tail = at_level(above, self.tail_level) & (self.tail_inner == level)
                shortened = is_tail & (self.tail_count != 0)
                at_last = Mux(shortened, short[level], at_last)
            m.d.comb += self.last[level].eq(at_last)
            self._elaborate_level(m, level, full, short)
        m.d.comb += self.end.eq(self.last.all())
        return m

    def _elaborate_level(self, m: Module, level: int, full: Signal, short: Signal) -> None:
        """The index of a level, which begins at 1, and what it has reached."""
        index = Signal(16, name=f"index{level}")
        moves = self.step & self.last[:level].all()  # on, or begins anew
        begins = self.start | (moves & self.last[level])
        with m.If(begins):
            m.d.sync += index.eq(1)
        with m.Elif(moves):
            m.d.sync += index.eq(index + 1)
        counts = [(full, self.counts[level])]
        if level < _TAILS:
            counts.append((short, self.tail_count))
        for reached, count in counts:
            with m.If(begins | moves):
                m.d.sync += reached[level].eq(Mux(begins, count == 1, index + 1 == count))
