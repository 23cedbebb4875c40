# SPDX-License-Identifier: Apache-2.0
"""What an element that is asked for its local memory has between its lanes and `RemoteAccess`."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.remote_flits import RemoteShapes, to_side
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.lib.arbiter import RoundRobinArbiter
from hw.net.flits import Answer

__all__ = ["RemoteServer"]


class RemoteServer(wiring.Component):
    """Turns requests into reads and writes of lines, and cuts lines into words on the way back.

    Operation: keeps nothing: who has asked is in the tag. A read that waits keeps those behind it,
    and so does a write. Lines and acknowledgements take turns.

    Timing: latency 0; a request and a word per cycle. Combinational paths from `request` to its
    `ready`, and from `reply.ready` to both ports.

    Parameters
    ----------
    shapes : flits.

    Members
    -------
    request : In(stream.Signature(shapes.request)).
    reply : Out(stream.Signature(to_side(shapes.answer))).
    read : Out(MemoryReadPort(...)), write : Out(MemoryWritePort(...)), see `RemoteAccess`.
    """

    def __init__(self, *, shapes: RemoteShapes) -> None:
        self.shapes = shapes
        read, write = shapes.tag_widths
        super().__init__(
            {
                "request": In(stream.Signature(shapes.request)),
                "reply": Out(stream.Signature(to_side(shapes.answer))),
                "read": Out(MemoryReadPort(link_bytes=shapes.link_bytes, tag_width=read)),
                "write": Out(MemoryWritePort(link_bytes=shapes.link_bytes, tag_width=write)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._elaborate_requests(m)
        m.submodules.turns = turns = RoundRobinArbiter(shape=self.reply.payload.shape(), n_inputs=2)
        wiring.connect(m, turns.o, wiring.flipped(self.reply))
        line, ack = self.read.response, self.write.response
        words, written = turns.i
        tag, upper = self.shapes.read_tag(line.payload.tag), Signal()
        bits = 8 * self.shapes.word_bytes
        m.d.comb += [
            words.valid.eq(line.valid),
            words.payload.to.eq(tag.asker),
            words.payload.flit.slot.eq(tag.slot),
            words.payload.flit.upper.eq(upper),
            words.payload.flit.data.eq(line.payload.data.word_select(upper, bits)),
            words.payload.flit.answer.eq(
                Mux(
                    line.payload.error,
                    Answer.ERROR,
                    Mux(line.payload.poison, Answer.POISON, Answer.OK),
                )
            ),
            line.ready.eq(words.ready & upper),
        ]
        with m.If(words.valid & words.ready):
            m.d.sync += upper.eq(~upper)
        tag = self.shapes.write_tag(ack.payload.tag)
        m.d.comb += [
            written.valid.eq(ack.valid),
            written.payload.to.eq(tag.asker),
            written.payload.flit.slot.eq(tag.slot),
            written.payload.flit.upper.eq(tag.upper),
            written.payload.flit.is_write.eq(1),
            written.payload.flit.answer.eq(Mux(ack.payload.error, Answer.ERROR, Answer.OK)),
            ack.ready.eq(written.ready),
        ]
        return m

    def _elaborate_requests(self, m: Module) -> None:
        """Each to the port of its kind."""
        request, asked = self.request, self.request.payload
        read, write = self.read.request, self.write.request
        m.d.comb += [
            read.valid.eq(request.valid & ~asked.is_write),
            write.valid.eq(request.valid & asked.is_write),
            request.ready.eq(Mux(asked.is_write, write.ready, read.ready)),
            Value.cast(write.payload.data).eq(Value.cast(asked.data).replicate(2)),
            write.payload.strobe.word_select(asked.upper, self.shapes.word_bytes).eq(asked.strobe),
        ]
        for port, layout in ((read, self.shapes.read_tag), (write, self.shapes.write_tag)):
            tag = layout(port.payload.tag)
            m.d.comb += port.payload.address.eq(asked.line << self.shapes.line_log2)
            m.d.comb += [Value.cast(tag[name]).eq(asked[name]) for name in layout.members]
