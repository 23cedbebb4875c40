# SPDX-License-Identifier: Apache-2.0
"""The reading half of the DRAM bridge."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.iface.memory import MemoryReadPort
from hw.lib.elastic import PipeStage, StreamFifo

__all__ = ["DramReader"]


class DramReader(wiring.Component):
    """Asks for lines, collects their beats by ID, answers whole lines in the order of completion.

    Operation: each line takes the next ID of a ring, which is also its place in the line memory; a
    line whose place is still taken waits. So beats always have room.

    Timing: a line asked for in cycle t is on the address channel in t + 1; its answer is offered 2
    cycles after its last beat.

    Parameters
    ----------
    link_bytes, beat_bytes, tag_width : as for `DramBridge`.
    slots : lines under way, a power of two.

    Members
    -------
    memory : In(MemoryReadPort). line : Out(stream), addresses asked for. beat : In(stream), data.
    """

    def __init__(self, *, link_bytes: int, beat_bytes: int, tag_width: int, slots: int) -> None:
        self.slots = slots
        self.tag_width = tag_width
        self.id_width = max(1, (slots - 1).bit_length())
        self.n_beats = link_bytes // beat_bytes
        line = data.StructLayout({"address": ADDRESS_BITS, "id": self.id_width})
        beat = data.StructLayout(
            {"id": self.id_width, "data": 8 * beat_bytes, "failed": 1, "last": 1}
        )
        super().__init__(
            {
                "memory": In(MemoryReadPort(link_bytes=link_bytes, tag_width=tag_width)),
                "line": Out(stream.Signature(line)),
                "beat": In(stream.Signature(beat, always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.tags = tags = memory.Memory(shape=self.tag_width, depth=self.slots, init=[])
        m.submodules.done = done = StreamFifo(shape=self.id_width, depth=self.slots)
        # One memory's output is not to be the address of another in the same cycle.
        m.submodules.oldest = oldest = PipeStage(shape=self.id_width)
        wiring.connect(m, done.o, oldest.i)
        tag_write, tag_read = tags.write_port(), tags.read_port(domain="comb")
        taken = Signal(self.slots)  # IDs under way
        failed = Signal(self.slots)  # IDs that saw an error
        next_id = Signal(self.id_width)
        request, response, beat = self.memory.request, self.memory.response, self.beat
        m.d.comb += [
            request.ready.eq((~self.line.valid | self.line.ready) & ~taken.bit_select(next_id, 1)),
            tag_write.en.eq(request.valid & request.ready),
            tag_write.addr.eq(next_id),
            tag_write.data.eq(request.payload.tag),
        ]
        with m.If(self.line.ready):
            m.d.sync += self.line.valid.eq(0)
        with m.If(request.valid & request.ready):
            m.d.sync += [
                self.line.valid.eq(1),
                self.line.payload.address.eq(request.payload.address),
                self.line.payload.id.eq(next_id),
                taken.bit_select(next_id, 1).eq(1),
                failed.bit_select(next_id, 1).eq(0),
                next_id.eq(next_id + 1),
            ]
        with m.If(beat.valid & beat.payload.failed):
            m.d.sync += failed.bit_select(beat.payload.id, 1).eq(1)
        lines = self._elaborate_lines(m)
        m.d.comb += [
            done.i.valid.eq(beat.valid & beat.payload.last),
            done.i.payload.eq(beat.payload.id),
            tag_read.addr.eq(oldest.o.payload),
            lines.addr.eq(oldest.o.payload),
            response.valid.eq(oldest.o.valid),
            response.payload.tag.eq(tag_read.data),
            response.payload.data.eq(lines.data),
            response.payload.error.eq(failed.bit_select(oldest.o.payload, 1)),
            oldest.o.ready.eq(response.ready),
        ]
        with m.If(oldest.o.valid & oldest.o.ready):
            m.d.sync += taken.bit_select(oldest.o.payload, 1).eq(0)
        return m

    def _elaborate_lines(self, m: Module) -> Any:
        """Put beats into their lines; returns the port that reads whole lines."""
        beat_bits = len(self.beat.payload.data)
        m.submodules.lines = lines = memory.Memory(
            shape=beat_bits * self.n_beats, depth=self.slots, init=[]
        )
        write = lines.write_port(granularity=beat_bits)
        if self.n_beats == 1:
            m.d.comb += write.en.eq(self.beat.valid)
        else:
            # Beats of one ID come in order; after the last one the count is 0 again.
            m.submodules.counts = counts = memory.Memory(
                shape=(self.n_beats - 1).bit_length(), depth=self.slots, init=[]
            )
            count_write, count = counts.write_port(), counts.read_port(domain="comb")
            m.d.comb += [
                count.addr.eq(self.beat.payload.id),
                count_write.addr.eq(self.beat.payload.id),
                count_write.en.eq(self.beat.valid),
                count_write.data.eq(count.data + 1),
                write.en.eq(Mux(self.beat.valid, 1 << count.data, 0)),
            ]
        m.d.comb += [
            write.addr.eq(self.beat.payload.id),
            write.data.eq(self.beat.payload.data.replicate(self.n_beats)),
        ]
        return lines.read_port(domain="comb")
