# SPDX-License-Identifier: Apache-2.0
"""Where the reads of a lane enter a side."""

from typing import Any

from amaranth.hdl import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.arbiter import RoundRobinArbiter
from hw.net.collector import Collector
from hw.net.flits import Answer, LaneShapes

__all__ = ["ReadEntry"]


class ReadEntry(wiring.Component):
    """Lets reads of one element pass, and those of a group when all of its members have room.

    Operation: shared reads wait in a `Collector` beside the lane, so a read of one element waits
    for none of them. Both kinds take turns on the way to memory. Notes on whose line the members do
    not agree are answered here.

    Timing: latency 0 for a read of one element, that of `Collector` for a shared one; a read per
    cycle. Combinational path from `i` to `o`.

    Parameters
    ----------
    shapes : layouts of the lane's flits.
    depth : lines that a member may share at a time.

    Members
    -------
    i : In(stream.Signature(shapes.read)), the lane's end.
    signs : In(shapes.signs), what the lane's elements say.
    o : Out(stream.Signature(shapes.read)), reads to serve.
    refused : Out(stream.Signature(shapes.line)), answers.

    Raises: ValueError when `depth` is less than 1.
    """

    def __init__(self, *, shapes: LaneShapes, depth: int) -> None:
        self.shapes = shapes
        self._collector = Collector(shape=shapes.read, note=shapes.note, depth=depth)
        reads = stream.Signature(shapes.read)
        super().__init__(
            {
                "i": In(reads),
                "signs": In(shapes.signs),
                "o": Out(reads),
                "refused": Out(stream.Signature(shapes.line)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.collector = collector = self._collector
        m.submodules.turns = turns = RoundRobinArbiter(shape=self.shapes.read, n_inputs=2)
        wiring.connect(m, turns.o, wiring.flipped(self.o))
        read, whole, answer = self.i.payload, collector.o.payload, self.refused.payload
        alone, shared = turns.i
        m.d.comb += [
            alone.valid.eq(self.i.valid & ~read.multicast),
            collector.i.valid.eq(self.i.valid & read.multicast),
            self.i.ready.eq(Mux(read.multicast, collector.i.ready, alone.ready)),
            shared.valid.eq(collector.o.valid & ~whole.mismatch),
            self.refused.valid.eq(collector.o.valid & whole.mismatch),
            collector.o.ready.eq(Mux(whole.mismatch, self.refused.ready, shared.ready)),
            alone.payload.eq(read),
            collector.i.payload.eq(read),
            shared.payload.eq(whole.read),
            answer.tag.eq(whole.read.tag),
            answer.mask.eq(whole.read.mask),
            answer.multicast.eq(1),
            answer.answer.eq(Answer.MISMATCH),
        ]
        for at, notes in enumerate(collector.notes):
            sign = self.signs[at]
            m.d.comb += [
                notes.valid.eq(sign.noted),
                notes.payload.eq(sign.note),
                collector.failed[at].eq(sign.failed),
            ]
        return m
