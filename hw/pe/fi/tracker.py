# SPDX-License-Identifier: Apache-2.0
"""Lines that are being written: which of them a further line has to wait for."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LineTracker"]


class LineTracker(wiring.Component):
    """Keeps the lines under way, one for each tag, and says whether a line is among them.

    Operation: `enter` notes `line` under `tag`; `leave` forgets what `left_tag` stands for. If
    both name one tag, the new line stays.

    Timing: `conflict` comes from registers, which compare `upcoming` while it becomes `line`. Notes
    count from the next cycle on. One line per cycle.

    Parameters
    ----------
    n_tags : tags.
    line_width : bits of a line's number.

    Members
    -------
    upcoming : In(line_width), with `looks`: `line` from the next cycle on, until it enters.
    looks : In(1).
    line : In(line_width), the line at hand.
    conflict : Out(1), it is under way.
    enter : In(1), it enters. tag : In(range(n_tags)), its tag.
    leave : In(1). left_tag : In(range(n_tags)), a line that is not under way any more.

    Raises: ValueError when there is no tag.

    Resources: a comparator of `line_width` bits for each tag, and one.
    """

    def __init__(self, *, n_tags: int, line_width: int) -> None:
        if n_tags < 2:
            raise ValueError(f"LineTracker n_tags must be at least 2, not {n_tags!r}.")
        self.n_tags = n_tags
        self.line_width = line_width
        super().__init__(
            {
                "upcoming": In(line_width),
                "looks": In(1),
                "line": In(line_width),
                "conflict": Out(1),
                "enter": In(1),
                "tag": In(range(n_tags)),
                "leave": In(1),
                "left_tag": In(range(n_tags)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        under_way = Signal(self.n_tags)
        lines = [Signal(unsigned(self.line_width), name=f"line{t}") for t in range(self.n_tags)]
        equal = Signal(self.n_tags)  # tags, in use or not, that have the line at hand
        entered, left = Signal(self.n_tags), Signal(self.n_tags)
        again = self.line == self.upcoming
        m.d.comb += self.conflict.eq((under_way & equal).any())
        with m.If(self.looks):
            m.d.sync += equal.eq(
                Cat(
                    Mux(entered[number], again, line == self.upcoming)
                    for number, line in enumerate(lines)
                )
            )
        m.d.comb += [entered.eq(self.enter << self.tag), left.eq(self.leave << self.left_tag)]
        with m.If(self.enter | self.leave):
            m.d.sync += under_way.eq((under_way & ~left) | entered)
        for number, line in enumerate(lines):
            with m.If(entered[number]):
                m.d.sync += line.eq(self.line)
        return m
