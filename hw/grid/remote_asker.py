# SPDX-License-Identifier: Apache-2.0
"""Who asks other elements for their local memory: an element, or the host."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.remote_flits import PLACE, RemoteShapes, to_side
from hw.grid.remote_reads import RemoteReads
from hw.grid.remote_writes import RemoteWrites
from hw.lib.arbiter import RoundRobinArbiter
from hw.net.flits import LaneShapes

__all__ = ["RemoteAsker"]


class RemoteAsker(wiring.Component):
    """Reads and writes of one asker: they take turns on the way out, and answers find their slot.

    Operation: see `RemoteReads` and `RemoteWrites`. Whatever comes is taken at once.

    Timing: latency 0 on the way out; one word per cycle. Combinational paths as there.

    Parameters
    ----------
    shapes : flits to other elements. lanes : flits of the one who asks.

    Members
    -------
    place : In(PLACE), the asker's: an element that is used, or HOST_PLACE; constant.
    read, write : In(stream.Signature(lanes.read)), In(stream.Signature(lanes.write)).
    line, ack : Out(stream.Signature(lanes.line)), Out(stream.Signature(lanes.ack)), answers.
    ask : Out(stream.Signature(to_side(shapes.request))).
    told : In(stream.Signature(shapes.answer)), `ready` is always high.
    """

    def __init__(self, *, shapes: RemoteShapes, lanes: LaneShapes) -> None:
        self.shapes, self.lanes = shapes, lanes
        super().__init__(
            {
                "place": In(PLACE),
                "read": In(stream.Signature(lanes.read)),
                "write": In(stream.Signature(lanes.write)),
                "line": Out(stream.Signature(lanes.line)),
                "ack": Out(stream.Signature(lanes.ack)),
                "ask": Out(stream.Signature(to_side(shapes.request))),
                "told": In(stream.Signature(shapes.answer)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        parts = {"shapes": self.shapes, "lanes": self.lanes}
        m.submodules.reads = reads = RemoteReads(**parts)
        m.submodules.writes = writes = RemoteWrites(**parts)
        m.submodules.turns = turns = RoundRobinArbiter(shape=self.ask.payload.shape(), n_inputs=2)
        wiring.connect(m, wiring.flipped(self.read), reads.request)
        wiring.connect(m, wiring.flipped(self.write), writes.request)
        wiring.connect(m, reads.line, wiring.flipped(self.line))
        wiring.connect(m, writes.ack, wiring.flipped(self.ack))
        for part, port in zip((reads, writes), turns.i, strict=True):
            wiring.connect(m, part.ask, port)
            m.d.comb += [
                part.told.valid.eq(
                    self.told.valid & (self.told.payload.is_write == int(part is writes))
                ),
                Value.cast(part.told.payload).eq(self.told.payload),
            ]
        m.d.comb += [
            self.told.ready.eq(1),
            self.ask.valid.eq(turns.o.valid),
            self.ask.payload.eq(turns.o.payload),
            self.ask.payload.flit.asker.eq(self.place),
            turns.o.ready.eq(self.ask.ready),
        ]
        return m
