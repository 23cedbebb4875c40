# SPDX-License-Identifier: Apache-2.0
"""The line in front of an SRAM slice in which partial writes meet."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CombiningLine"]


class CombiningLine(wiring.Component):
    """Holds the bytes written to one line until they go to the array together.

    Operation: `take` adds the strobed bytes of `w_data` when `line` is the line that is held, and
    else starts to hold `line` with them. `release` empties it; `take` in the same cycle holds anew.
    Whoever takes sees to it that no other line is lost. `fill` puts `fill_data` into all bytes that
    are not held; not together with `take`.

    Timing: outputs are registers; a take or release shows in the next cycle.

    Parameters
    ----------
    n_lines : lines that exist.
    line_bytes : bytes of a line.
    timeout : cycles without `take` after which `expired` rises.

    Members
    -------
    line, w_data, w_strobe : In, the write.
    fill_data : In, bytes for what is not held.
    take, release, fill : In(1).
    held : Out(1), something is held. held_line, data, strobe : Out, what.
    expired : Out(1), held and not added to for `timeout` cycles.
    """

    def __init__(self, *, n_lines: int, line_bytes: int, timeout: int) -> None:
        self.line_bytes = line_bytes
        self.timeout = timeout
        super().__init__(
            {
                "line": In(range(n_lines)),
                "w_data": In(8 * line_bytes),
                "w_strobe": In(line_bytes),
                "fill_data": In(8 * line_bytes),
                "fill": In(1),
                "take": In(1),
                "release": In(1),
                "held": Out(1),
                "held_line": Out(range(n_lines)),
                "data": Out(8 * line_bytes),
                "strobe": Out(line_bytes),
                "expired": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left = Signal(range(self.timeout + 1))  # cycles until it expires
        m.d.comb += self.expired.eq(self.held & (left == 0))
        with m.If(self.release):
            m.d.sync += self.held.eq(0)
        with m.Elif(self.held & (left != 0)):
            m.d.sync += left.eq(left - 1)
        with m.If(self.take):
            grows = self.held & ~self.release
            m.d.sync += [
                self.held.eq(1),
                self.held_line.eq(self.line),
                self.strobe.eq(Mux(grows, self.strobe | self.w_strobe, self.w_strobe)),
                left.eq(self.timeout),
            ]
        for index in range(self.line_bytes):
            kept = self.held & self.strobe[index]
            # Not two nested conditions: here one flag selects the byte's source.
            with m.If((self.take & self.w_strobe[index]) | (self.fill & ~kept)):
                m.d.sync += self.data.word_select(index, 8).eq(
                    Mux(
                        self.fill,
                        self.fill_data.word_select(index, 8),
                        self.w_data.word_select(index, 8),
                    )
                )
        return m
