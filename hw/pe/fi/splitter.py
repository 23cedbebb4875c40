# SPDX-License-Identifier: Apache-2.0
"""From runs to lines of the memory fabric; the same for both directions."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.compare import not_below
from hw.pe.fi.geometry import FiGeometry

__all__ = ["LineSplitter"]


class LineSplitter(wiring.Component):
    """Cuts runs into lines of the memory fabric, with the local-memory words of each line.

    Operation
        A run of n bytes from address a gives ceil((a mod link_bytes + n) / link_bytes) lines, in
        order. `step_end` and `command_end` are set on a run's last line only.

    Timing
        A line per cycle, from run to run too; the first one the cycle after its run was taken.
        Combinational path from `lines.ready` to `runs.ready`.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    runs : In(stream.Signature(geometry.run_layout)), runs inside local memory.
    lines : Out(stream.Signature(geometry.line_layout)), their lines.
    """

    def __init__(self, *, geometry: FiGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "runs": In(stream.Signature(geometry.run_layout)),
                "lines": Out(stream.Signature(geometry.line_layout)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        new, line, place = self.runs.payload, self.lines.payload, self.lines.payload.place
        run = Signal(geometry.run_layout)  # under way; `address` and `word` are what is left
        rest = Signal(17)  # bytes from the line's begin to the run's end
        next_rest, new_rest = Signal.like(rest), Signal.like(rest)
        run_first = Signal()
        run_end = Signal()
        rotation = Signal(geometry.word_log2)

        m.d.comb += [
            new_rest.eq(new.address[: geometry.link_log2] + new.length),
            next_rest.eq(rest - geometry.link_bytes),
            self.runs.ready.eq(~self.lines.valid | (self.lines.ready & run_end)),
            Cat(place.first, place.line).eq(run.address),
            place.rotation.eq(rotation),
            place.run_first.eq(run_first),
            place.zero_fill.eq(run.zero_fill & run_end),
            line.cb.eq(run.cb),
            line.advance.eq(run.advance),
            line.step_end.eq(run.step_end & run_end),
            line.command_end.eq(run.command_end & run_end),
            line.tag.eq(run.tag),
            line.kind.eq(run.kind),
        ]
        if geometry.sharing:
            m.d.comb += [line.multicast.eq(run.multicast), line.group.eq(run.group)]
        self._elaborate_words(m, run, rotation, Mux(run_end, rest, geometry.link_bytes))

        with m.If(self.runs.ready):
            m.d.sync += self.lines.valid.eq(self.runs.valid)
            with m.If(self.runs.valid):
                m.d.sync += [
                    run.eq(new),
                    rest.eq(new_rest),
                    run_end.eq(self._in_one_line(new_rest)),
                    run_first.eq(1),
                    rotation.eq(new.lane - new.address[: geometry.word_log2]),
                ]
        with m.Elif(self.lines.ready):
            m.d.sync += [
                run.address.eq((place.line + 1) << geometry.link_log2),
                rest.eq(next_rest),
                run_end.eq(self._in_one_line(next_rest)),
                # The next window begins where this one ends.
                run.word.eq(
                    Mux(
                        place.skip[1],
                        place.words[0],
                        Mux(place.skip[0], place.words[1], place.words[2]),
                    )
                ),
                run_first.eq(0),
            ]
        return m

    def _in_one_line(self, rest: Signal) -> Value:
        """Whether so many bytes from a line's begin on are not more than the line."""
        link_log2 = self.geometry.link_log2
        return ~rest[link_log2 + 1 :].any() & ~(rest[link_log2] & rest[:link_log2].any())

    def _elaborate_words(
        self, m: Module, run: data.View, rotation: Signal, end_in_line: Value
    ) -> None:
        """Where the line's bytes lie: up to three words of the run, and the window on them."""
        place, word_log2 = self.lines.payload.place, self.geometry.word_log2
        begin = Signal(self.geometry.link_log2 + 1)
        end = Signal(self.geometry.link_log2 + 1)
        # From signals of their own: a simulator takes the line's fields for one another.
        first, behind = Signal.like(place.first), Signal.like(place.end)
        skip = Signal.like(place.skip)
        m.d.comb += [
            first.eq(run.address),
            behind.eq(end_in_line),
            place.end.eq(behind),
            begin.eq(rotation + first),
            end.eq(rotation + behind - 1),
            skip.eq(begin >> word_log2),
            place.skip.eq(skip),
            place.n_words.eq((end >> word_log2) - skip + 1),
            place.words[0].eq(run.word),
            place.words[1].eq(_wrap(m, run.word + run.one_on, run, "one")),
            place.words[2].eq(_wrap(m, run.word + run.two_on, run, "two")),
        ]


def _wrap(m: Module, word: Value, run: data.View, name: str) -> Value:
    """`word`, or one depth less if that is behind the buffer."""
    straight = Signal(unsigned(len(run.limit) + 1), name=f"{name}_straight")
    m.d.comb += straight.eq(word)
    return Mux(not_below(straight, run.limit), straight - run.depth, straight)
