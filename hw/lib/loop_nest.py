# SPDX-License-Identifier: Apache-2.0
"""Nests of counted loops: `LoopNest` counts, `LoopOffset` keeps the sum of strides beside it."""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS

__all__ = ["LoopNest", "LoopOffset", "at_last_iteration", "at_level", "lowest", "selected"]

_NARROW = 4
"""Bits of a narrow offset."""


def lowest(bits: Value) -> Value:
    """Only the lowest of the bits that are set."""
    return Cat(bit & ~bits[:place].any() for place, bit in enumerate(bits))


def selected(one_hot: Value, values: Iterable[Value]) -> Value:
    """The value that is chosen; 0 if none is."""
    return reduce(or_, (Mux(bit, value, 0) for bit, value in zip(one_hot, values, strict=True)))


def at_level(flags: Value, level: Value) -> Value:
    """The flag of the tail's level; 0 for level 0, which no tail can have, and for no level."""
    return Cat(Const(0, 1), flags[1:], Const(0, 8 - LEVELS)).bit_select(level, 1)


def at_last_iteration(
    indices: Sequence[Value],
    counts: data.View,
    last: Value,
    tail_level: Value,
    tail_inner: Value,
    tail_count: Value,
) -> list[Value]:
    """Whether each level's index has reached its count, as that is now.

    While `tail_level` is at its last iteration (`last`), level `tail_inner` below it, 0 or 1,
    counts to `tail_count` unless that is 0. Both counts are compared first: which of them holds is
    known late. Each level looks at higher ones only, so that there is no loop.
    """
    reached = [index == counts[level] for level, index in enumerate(indices)]
    for inner in range(2):
        above = Cat(Const(0, inner + 1), last[inner + 1 :])
        shortened = at_level(above, tail_level) & (tail_inner == inner) & (tail_count != 0)
        reached[inner] = Mux(shortened, indices[inner] == tail_count, reached[inner])
    return reached


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


class LoopNest(wiring.Component):
    """Walks some levels of a loop nest and keeps its offset.

    Operation
        `start` puts all levels at their first iteration and the offset to `origin`. `step` goes to
        the next iteration: the lowest walked level that is not at its last iteration moves on,
        those below begin anew. A step after the last iteration returns all walked levels to their
        first one and leaves the offset as it is.
        Levels that are not walked keep their place; `others_last` says whether somebody else, who
        walks them, is at their last iteration. While `tail_level` (above `tail_inner`) is at its
        last iteration, level `tail_inner` (0 or 1) counts to `tail_count` instead of its count,
        if `tail_count` is not 0.
        All configuration inputs stay as they are from `start` to the last step.

    Timing
        One iteration per cycle.

    Parameters
    ----------
    offset_width : bits of strides and offset, at least 2.

    Members
    -------
    counts : In(ArrayLayout(16, LEVELS)), iterations of each level, at least 1.
    strides : In(ArrayLayout(signed(offset_width), LEVELS)), added by one iteration of each level.
    walks : In(LEVELS), levels to walk.
    others_last : In(LEVELS), for levels that are not walked: at their last iteration.
    tail_level : In(3), level whose last iteration shortens level `tail_inner`.
    tail_inner : In(1), the level that is shortened.
    tail_count : In(16), its iterations then; 0: no difference.
    start : In(1), begin at `origin` in the next cycle; wins over `step`.
    origin : In(signed(offset_width)), first offset.
    step : In(1), go to the next iteration.
    offset : Out(signed(offset_width)), of the present iteration.
    last : Out(LEVELS), levels at their last iteration.
    in_tail : Out(1), `tail_level` is at its last iteration.
    end : Out(1), all walked levels are at their last iteration.

    Raises: ValueError when `offset_width` is less than 2.
    """

    def __init__(self, *, offset_width: int) -> None:
        self.sum = LoopOffset(offset_width=offset_width)
        self.offset_width = offset_width
        super().__init__(
            {
                "counts": In(data.ArrayLayout(unsigned(16), LEVELS)),
                "strides": In(data.ArrayLayout(signed(offset_width), LEVELS)),
                "walks": In(LEVELS),
                "others_last": In(LEVELS),
                "tail_level": In(3),
                "tail_inner": In(1),
                "tail_count": In(16),
                "start": In(1),
                "origin": In(signed(offset_width)),
                "step": In(1),
                "offset": Out(signed(offset_width)),
                "last": Out(LEVELS),
                "in_tail": Out(1),
                "end": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.sum = total = self.sum
        indices = [Signal(16, name=f"index{level}") for level in range(LEVELS)]
        reached = at_last_iteration(
            indices, self.counts, self.last, self.tail_level, self.tail_inner, self.tail_count
        )
        for level in range(LEVELS):
            m.d.comb += self.last[level].eq(
                Mux(self.walks[level], reached[level], self.others_last[level])
            )
        m.d.comb += [
            total.strides.eq(self.strides),
            total.start.eq(self.start),
            total.origin.eq(self.origin),
            total.step.eq(self.step),
            total.goes_on.eq(self.walks & ~self.last),
            self.offset.eq(total.offset),
            self.end.eq(total.goes_on == 0),
            self.in_tail.eq(at_level(self.last, self.tail_level)),
        ]
        for level in range(LEVELS):
            # All levels below are at their last iteration: this one moves on or begins anew.
            moves = self.step & self.walks[level] & ~total.goes_on[:level].any()
            with m.If(self.start | (moves & self.last[level])):
                m.d.sync += indices[level].eq(1)
            with m.Elif(moves):
                m.d.sync += indices[level].eq(indices[level] + 1)
        return m
