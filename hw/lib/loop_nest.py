# SPDX-License-Identifier: Apache-2.0
"""A nest of counted loops with one running offset: the counters inside an address generator."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS

__all__ = ["LoopNest"]


class LoopNest(wiring.Component):
    """Walks some levels of a loop nest and keeps `offset` = start + sum of index[l] * stride[l].

    Operation
        `start` sets all indices to 0 and the offset to `origin`. `step` goes to the next iteration:
        the lowest walked level that is not at its last iteration moves on, those below begin anew.
        A step after the last iteration returns all indices to 0 and leaves the offset undefined.
        Levels that are not walked keep their place; `others_last` says whether somebody else, who
        walks them, is at their last iteration. Level 0 counts to `tail_count0` instead of its
        count while `tail_level` (1 or higher) is at its last iteration, if `tail_count0` is not 0.
        All configuration inputs stay as they are from `start` to the last step.

    Timing
        One iteration per cycle. One adder: every level remembers the offset of its iteration.

    Parameters
    ----------
    offset_width : bits of strides and offset, signed.

    Members
    -------
    counts : In(ArrayLayout(16, LEVELS)), iterations of each level, at least 1.
    strides : In(ArrayLayout(signed(offset_width), LEVELS)), added by one iteration of each level.
    walks : In(LEVELS), levels to walk.
    others_last : In(LEVELS), for levels that are not walked: at their last iteration.
    tail_level : In(3), level whose last iteration shortens level 0.
    tail_count0 : In(16), iterations of level 0 then; 0: no difference.
    start : In(1), begin at `origin` in the next cycle; wins over `step`.
    origin : In(signed(offset_width)), first offset.
    step : In(1), go to the next iteration.
    offset : Out(signed(offset_width)), of the present iteration.
    last : Out(LEVELS), levels at their last iteration.
    end : Out(1), all walked levels are at their last iteration.

    Raises: ValueError when `offset_width` is less than 2.
    """

    def __init__(self, *, offset_width: int) -> None:
        if offset_width < 2:
            raise ValueError(f"LoopNest offset_width must be 2 bits or more, not {offset_width!r}.")
        self.offset_width = offset_width
        super().__init__(
            {
                "counts": In(data.ArrayLayout(unsigned(16), LEVELS)),
                "strides": In(data.ArrayLayout(signed(offset_width), LEVELS)),
                "walks": In(LEVELS),
                "others_last": In(LEVELS),
                "tail_level": In(3),
                "tail_count0": In(16),
                "start": In(1),
                "origin": In(signed(offset_width)),
                "step": In(1),
                "offset": Out(signed(offset_width)),
                "last": Out(LEVELS),
                "end": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        indices = [Signal(16, name=f"index{level}") for level in range(LEVELS)]
        offsets = [
            Signal(signed(self.offset_width), name=f"offset{level}") for level in range(LEVELS)
        ]
        following = [Signal(16, name=f"following{level}") for level in range(LEVELS)]
        limits = [Signal(16, name=f"limit{level}") for level in range(LEVELS)]
        moves = Signal(LEVELS)  # one-hot: the level that goes on
        moved = Signal(signed(self.offset_width))  # its new offset

        # Level 0 looks at the others only, so there is no loop.
        shortened = Cat(Const(0, 1), self.last[1:], Const(0, 3)).bit_select(self.tail_level, 1)
        for level in range(LEVELS):
            m.d.comb += [
                limits[level].eq(self.counts[level]),
                following[level].eq(indices[level] + 1),
                self.last[level].eq(
                    Mux(
                        self.walks[level],
                        following[level] == limits[level],
                        self.others_last[level],
                    )
                ),
            ]
        with m.If(shortened & (self.tail_count0 != 0)):
            m.d.comb += limits[0].eq(self.tail_count0)

        goes_on = self.walks & ~self.last
        m.d.comb += [
            moves.eq(goes_on & -goes_on),
            self.end.eq(goes_on == 0),
            self.offset.eq(offsets[0]),
        ]
        for level in range(LEVELS):
            with m.If(moves[level]):
                m.d.comb += moved.eq(offsets[level] + self.strides[level])

        with m.If(self.start):
            m.d.sync += [index.eq(0) for index in indices]
            m.d.sync += [offset.eq(self.origin) for offset in offsets]
        with m.Elif(self.step):
            for level in range(LEVELS):
                with m.If(moves[level:] != 0):  # this level moves, or begins anew
                    m.d.sync += offsets[level].eq(moved)
                with m.If(moves[level]):
                    m.d.sync += indices[level].eq(following[level])
                with m.Elif(self.walks[level] & ((moves[level:] != 0) | self.end)):
                    m.d.sync += indices[level].eq(0)
        return m
