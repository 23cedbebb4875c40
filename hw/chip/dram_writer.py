# SPDX-License-Identifier: Apache-2.0
"""The writing half of the DRAM bridge."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.iface.memory import MemoryWritePort

__all__ = ["DramWriter"]


class DramWriter(wiring.Component):
    """Sends lines beat by beat, with strobes, and acknowledges them in the order of the responses.

    Operation: each line takes the next ID of a ring; a line whose ID is still under way waits.

    Timing: a line taken in cycle t has its address and first beat offered in t + 1; a line every
    `link_bytes / beat_bytes` cycles.

    Parameters
    ----------
    link_bytes, beat_bytes, tag_width : as for `DramBridge`.
    slots : lines under way, a power of two.

    Members
    -------
    memory : In(MemoryWritePort). line : Out(stream), addresses. beat : Out(stream), data.
    response : In(stream), what became of a line.
    """

    def __init__(self, *, link_bytes: int, beat_bytes: int, tag_width: int, slots: int) -> None:
        self.slots = slots
        self.tag_width = tag_width
        self.id_width = max(1, (slots - 1).bit_length())
        self.beat_bytes = beat_bytes
        self.n_beats = link_bytes // beat_bytes
        line = data.StructLayout({"address": ADDRESS_BITS, "id": self.id_width})
        beat = data.StructLayout({"data": 8 * beat_bytes, "strobe": beat_bytes, "last": 1})
        response = data.StructLayout({"id": self.id_width, "failed": 1})
        super().__init__(
            {
                "memory": In(MemoryWritePort(link_bytes=link_bytes, tag_width=tag_width)),
                "line": Out(stream.Signature(line)),
                "beat": Out(stream.Signature(beat)),
                "response": In(stream.Signature(response)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.tags = tags = memory.Memory(shape=self.tag_width, depth=self.slots, init=[])
        tag_write, tag_read = tags.write_port(), tags.read_port(domain="comb")
        taken = Signal(self.slots)  # IDs under way
        next_id = Signal(self.id_width)
        request, answer = self.memory.request, self.memory.response
        accept = request.valid & request.ready
        beats_free = self._elaborate_beats(m, accept)
        m.d.comb += [
            request.ready.eq(
                (~self.line.valid | self.line.ready) & beats_free & ~taken.bit_select(next_id, 1)
            ),
            tag_write.en.eq(accept),
            tag_write.addr.eq(next_id),
            tag_write.data.eq(request.payload.tag),
            tag_read.addr.eq(self.response.payload.id),
            answer.valid.eq(self.response.valid),
            answer.payload.tag.eq(tag_read.data),
            answer.payload.error.eq(self.response.payload.failed),
            self.response.ready.eq(answer.ready),
        ]
        with m.If(self.line.ready):
            m.d.sync += self.line.valid.eq(0)
        with m.If(accept):
            m.d.sync += [
                self.line.valid.eq(1),
                self.line.payload.address.eq(request.payload.address),
                self.line.payload.id.eq(next_id),
                taken.bit_select(next_id, 1).eq(1),
                next_id.eq(next_id + 1),
            ]
        with m.If(answer.valid & answer.ready):
            m.d.sync += taken.bit_select(self.response.payload.id, 1).eq(0)
        return m

    def _elaborate_beats(self, m: Module, accept: Any) -> Any:
        """Send the line that was accepted last; returns whether the next may come."""
        payload = self.memory.request.payload
        content = Signal.like(payload.data)
        strobe = Signal.like(payload.strobe)
        count = Signal(max(1, (self.n_beats - 1).bit_length()))
        last = count == self.n_beats - 1
        m.d.comb += self.beat.payload.last.eq(last)
        with m.Switch(count):
            for index in range(self.n_beats):
                with m.Case(index):
                    m.d.comb += [
                        self.beat.payload.data.eq(content.word_select(index, 8 * self.beat_bytes)),
                        self.beat.payload.strobe.eq(strobe.word_select(index, self.beat_bytes)),
                    ]
        with m.If(self.beat.valid & self.beat.ready):
            m.d.sync += count.eq(count + 1)
            with m.If(last):
                m.d.sync += [count.eq(0), self.beat.valid.eq(0)]
        with m.If(accept):
            m.d.sync += [content.eq(payload.data), strobe.eq(payload.strobe), self.beat.valid.eq(1)]
        return ~self.beat.valid | (self.beat.ready & last)
