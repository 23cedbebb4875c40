# SPDX-License-Identifier: Apache-2.0
"""Where in the nest of its command each beat is."""

from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS, LONG_BITS, Opcode
from hw.iface.command_view import view
from hw.lib.elastic import SkidBuffer
from hw.lib.loop_nest import LoopCounter

__all__ = ["BeatWalk", "place_layout"]


def place_layout() -> data.StructLayout:
    """Whether a beat is in the last iteration of each level, and whether it is the last of all."""
    return data.StructLayout({"last": LEVELS, "end": 1})


class BeatWalk(wiring.Component):
    """Counts the beats of a SIMD command ahead of those who send them.

    Operation: `start` begins a command. Level 0 counts the beats of a row, levels above as the
    command says. `stop` drops what is left.

    Timing: the first place is there 2 cycles after `start`, then one per cycle. Places come from
    registers, and what takes them moves no counter: whether a beat is sent is known late.

    Members
    -------
    command : In(512); n_beats : In(16), beats of a row. Both stay while beats are left.
    start, stop : In(1).
    places : Out(stream of place_layout), of one beat after another.
    """

    command: In(LONG_BITS)
    n_beats: In(16)
    start: In(1)
    stop: In(1)
    places: Out(stream.Signature(place_layout()))

    @property
    def last(self) -> Value:
        """For each level whether the offered beat is in its last iteration."""
        return self.places.payload.last

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        command = view(self.command, Opcode.SIMD)
        ahead = SkidBuffer(shape=place_layout())
        m.submodules.counter = counter = LoopCounter()
        m.submodules.ahead = ResetInserter(self.stop)(ahead)
        wiring.connect(m, wiring.flipped(self.places), ahead.o)
        counting = Signal()
        m.d.comb += [
            counter.counts[0].eq(self.n_beats),
            *(counter.counts[level].eq(command[f"count{level}"]) for level in range(1, LEVELS)),
            counter.tail_level.eq(command.tail_level),
            counter.tail_inner.eq(1),
            counter.tail_count.eq(command.tail_count),
            counter.start.eq(self.start),
            counter.step.eq(counting & ahead.i.ready),
            ahead.i.valid.eq(counting),
            ahead.i.payload.last.eq(counter.last),
            ahead.i.payload.end.eq(counter.end),
        ]
        with m.If(self.stop | (counter.step & counter.end)):
            m.d.sync += counting.eq(0)
        with m.Elif(self.start):
            m.d.sync += counting.eq(1)
        return m
