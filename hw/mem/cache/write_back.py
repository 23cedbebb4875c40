# SPDX-License-Identifier: Apache-2.0
"""Lines on their way from a memory-side cache back to DRAM."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import StreamFifo
from hw.mem.cache.shape import CacheShape

__all__ = ["CacheWriteBack", "leaving_layout"]

N_WATCHED = 2
"""Lines for which a cache asks at a time whether they are on their way."""


def leaving_layout(shape: CacheShape) -> data.StructLayout:
    """A line that leaves, and which bytes of it are there."""
    return data.StructLayout({"line": shape.line_bits, "valid": shape.link_bytes})


class CacheWriteBack(wiring.Component):
    """Sends lines to DRAM and knows which of them DRAM has not acknowledged.

    Operation: a line has a place from the cycle in which the slice takes its read, so what the
    slice answers always has room. It leaves with the bytes that are valid as strobes. A line with a
    lost word is not sent, as DRAM could not tell that it is lost: it keeps what it has, and `lost`
    says so.

    Timing: a line per cycle; DRAM is asked 1 cycle after the slice's answer.

    Parameters
    ----------
    shape : sizes of the cache.
    places : lines under way, a power of two.

    Members
    -------
    start : In(stream.Signature(leaving_layout(shape))), lines whose read the slice takes now.
    data : In(stream.Signature), responses of the slice's read port in that order; always taken.
    dram : Out(MemoryWritePort).
    watched : In(line_bits).array(2). is_leaving : Out(2), such a line is on its way.
    active : Out(places), places of lines on their way.
    lost, failed : Out(1), a line was not sent; DRAM answered with an error.
    """

    def __init__(self, *, shape: CacheShape, places: int) -> None:
        self.shape, self.places = shape, places
        self.place_bits = (places - 1).bit_length()
        answers = shape.read_port(shape.tag_width)
        super().__init__(
            {
                "start": In(stream.Signature(leaving_layout(shape))),
                "data": In(answers.members["response"].signature.flip()),
                "dram": Out(shape.write_port(self.place_bits)),
                "watched": In(shape.line_bits).array(N_WATCHED),
                "is_leaving": Out(N_WATCHED),
                "active": Out(self.places),
                "lost": Out(1),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self.shape
        content = data.StructLayout({"data": 8 * shape.link_bytes, "lost": 1})
        where = data.StructLayout({**leaving_layout(shape).members, "place": self.place_bits})
        m.submodules.lines = lines = StreamFifo(shape=where, depth=self.places)
        m.submodules.contents = contents = StreamFifo(shape=content, depth=self.places)
        next_place, begins, leaves = Signal(self.place_bits), Signal(), Signal()
        known = [Signal(shape.line_bits, name=f"line{place}") for place in range(self.places)]
        request, ack = self.dram.request, self.dram.response
        head, is_lost = lines.o.payload, contents.o.payload.lost
        m.d.comb += [
            self.start.ready.eq(~self.active.bit_select(next_place, 1)),
            begins.eq(self.start.valid & self.start.ready),
            lines.i.valid.eq(begins),
            lines.i.payload.line.eq(self.start.payload.line),
            lines.i.payload.valid.eq(self.start.payload.valid),
            lines.i.payload.place.eq(next_place),
            self.data.ready.eq(1),
            contents.i.valid.eq(self.data.valid),
            contents.i.payload.data.eq(self.data.payload.data),
            contents.i.payload.lost.eq(self.data.payload.poison),
            request.valid.eq(contents.o.valid & ~is_lost),
            request.payload.address.eq(head.line << shape.line_log2),
            request.payload.data.eq(contents.o.payload.data),
            request.payload.strobe.eq(head.valid),
            request.payload.tag.eq(head.place),
            leaves.eq(contents.o.valid & (is_lost | request.ready)),
            lines.o.ready.eq(leaves),
            contents.o.ready.eq(leaves),
            ack.ready.eq(1),
            self.lost.eq(leaves & is_lost),
            self.failed.eq(ack.valid & ack.payload.error),
        ]
        with m.If(self.lost):
            m.d.sync += self.active.bit_select(head.place, 1).eq(0)
        with m.If(ack.valid):
            m.d.sync += self.active.bit_select(ack.payload.tag, 1).eq(0)
        with m.If(begins):
            m.d.sync += [
                self.active.bit_select(next_place, 1).eq(1),
                next_place.eq(next_place + 1),
            ]
            with m.Switch(next_place):
                for place, line in enumerate(known):
                    with m.Case(place):
                        m.d.sync += line.eq(self.start.payload.line)
        for number, line in enumerate(self.watched):
            same = [a & (k == line) for a, k in zip(self.active, known, strict=True)]
            m.d.comb += self.is_leaving[number].eq(Cat(same).any())
        return m
