# SPDX-License-Identifier: Apache-2.0
"""Lines on their way from DRAM into a memory-side cache."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import PipeStage, StreamFifo
from hw.lib.select import number_of
from hw.mem.cache.shape import CacheShape

__all__ = ["CacheFill", "fill_layout"]


def fill_layout(shape: CacheShape) -> data.StructLayout:
    """A line to fetch: where it goes, who waits for it, and what of it is there already."""
    return data.StructLayout(
        {
            "entry": shape.entry,
            "line": shape.line_bits,
            "way": shape.n_ways,
            "tag": shape.tag_width,
            "answers": 1,  # somebody waits
        }
    )


class CacheFill(wiring.Component):
    """Asks DRAM for lines, puts them into the slice, and answers whoever waits for them.

    Operation: each line has a slot until it is done. When it comes, the bytes that are not there
    yet are written to the slice. Of a line of which nothing was there the answer is what came; else
    it is read from the slice, as it lies in both. Then the tags are told. A line that DRAM answers
    with an error is not kept, and its reader is told; bytes that were there stay.

    Timing: DRAM is asked 1 cycle after `start`; what came is written and answered 1 cycle later,
    and the tags are told in the cycle in which both are taken. A line per cycle.

    Parameters
    ----------
    shape : sizes of the cache.
    slots : lines under way, a power of two.

    Members
    -------
    start : In(stream.Signature(fill_layout(shape))), lines to fetch; ready while there is a slot.
    dram : Out(MemoryReadPort).
    write : Out, requests of a `MemoryWritePort` to the slice. read : Out, requests of a
        `MemoryReadPort` to the slice, whose answers are for the reader.
    answer : Out, responses of a `MemoryReadPort`.
    told : Out(1), update : Out(shape.update), a change of the tags, to be made in this cycle.
    busy : Out(1), a line is under way.
    """

    def __init__(self, *, shape: CacheShape, slots: int) -> None:
        self.shape, self.slots = shape, slots
        self.slot_bits = (slots - 1).bit_length()
        of_read = shape.read_port(shape.tag_width).members
        self._dram = shape.read_port(self.slot_bits)
        of_write = shape.write_port(1).members
        super().__init__(
            {
                "start": In(stream.Signature(fill_layout(shape))),
                "dram": Out(self._dram),
                "write": Out(of_write["request"].signature),
                "read": Out(of_read["request"].signature),
                "answer": Out(of_read["response"].signature.flip()),
                "told": Out(1),
                "update": Out(shape.update),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, start = self.shape, self.start
        m.submodules.kept = kept = memory.Memory(
            shape=fill_layout(shape).size, depth=self.slots, init=[]
        )
        asked = data.StructLayout({"line": shape.line_bits, "slot": self.slot_bits})
        m.submodules.asking = asking = StreamFifo(shape=asked, depth=self.slots)
        came_shape = self._dram.members["response"].signature.members["payload"].shape
        m.submodules.came = came = PipeStage(shape=came_shape)
        keep, recall = kept.write_port(), kept.read_port(domain="comb")
        taken, next_slot = Signal(self.slots), Signal(self.slot_bits)
        begins, ends = Signal(), Signal()
        m.d.comb += [
            # The queue has a place for each slot.
            start.ready.eq(~taken.bit_select(next_slot, 1)),
            begins.eq(start.valid & start.ready),
            keep.en.eq(begins),
            keep.addr.eq(next_slot),
            keep.data.eq(start.payload),
            asking.i.valid.eq(begins),
            asking.i.payload.line.eq(start.payload.line),
            asking.i.payload.slot.eq(next_slot),
            self.dram.request.valid.eq(asking.o.valid),
            self.dram.request.payload.address.eq(asking.o.payload.line << shape.line_log2),
            self.dram.request.payload.tag.eq(asking.o.payload.slot),
            asking.o.ready.eq(self.dram.request.ready),
            recall.addr.eq(came.o.payload.tag),
            self.busy.eq(taken.any()),
        ]
        wiring.connect(m, wiring.flipped(self.dram.response), came.i)
        with m.If(ends):
            m.d.sync += taken.bit_select(came.o.payload.tag, 1).eq(0)
        with m.If(begins):
            m.d.sync += [taken.bit_select(next_slot, 1).eq(1), next_slot.eq(next_slot + 1)]
        self._elaborate_arrival(m, came.o, fill_layout(shape)(recall.data), ends)
        return m

    def _elaborate_arrival(self, m: Module, came: Any, line: data.View, ends: Signal) -> None:
        """What came goes to the slice, to the reader, and into the tags."""
        shape, write, read, answer = self.shape, self.write, self.read, self.answer
        stored, served = Signal(), Signal()  # done in an earlier cycle
        failed, partial = Signal(), Signal()
        address = shape.slice_address(shape.set_of(line.line), number_of(line.way))
        waits = line.answers & ~served
        m.d.comb += [
            failed.eq(came.payload.error),
            partial.eq(line.entry.valid.any()),
            write.valid.eq(came.valid & ~stored & ~failed),
            write.payload.address.eq(address),
            write.payload.data.eq(came.payload.data),
            write.payload.strobe.eq(~line.entry.valid),
            answer.valid.eq(came.valid & waits & (failed | ~partial)),
            answer.payload.tag.eq(line.tag),
            answer.payload.data.eq(came.payload.data),
            answer.payload.error.eq(failed),
            # The slice is asked when it has taken what it is asked for.
            read.valid.eq(came.valid & waits & ~failed & partial & stored),
            read.payload.address.eq(address),
            read.payload.tag.eq(line.tag),
            ends.eq(
                came.valid
                & (stored | failed | write.ready)
                & (~waits | Mux(answer.valid, answer.ready, read.valid & read.ready))
            ),
            came.ready.eq(ends),
            self.told.eq(ends),
            self.update.set.eq(shape.set_of(line.line)),
            self.update.way.eq(line.way),
            self.update.entry.eq(line.entry),
            # No plain constant, of which Yosys makes a block that Verilator complains about.
            self.update.entry.pending.eq(came.valid & 0),
            self.update.entry.present.eq(~failed | partial),
        ]
        with m.If(~failed):
            m.d.comb += self.update.entry.valid.eq(-1)
        m.d.sync += [
            stored.eq((stored | (write.valid & write.ready)) & ~ends),
            served.eq((served | (answer.valid & answer.ready) | (read.valid & read.ready)) & ~ends),
        ]
