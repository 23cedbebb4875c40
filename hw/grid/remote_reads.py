# SPDX-License-Identifier: Apache-2.0
"""Reads of other elements' local memory, and the slots for their words."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.chip.crossbar import window_place
from hw.grid.remote_flits import RemoteShapes, to_side
from hw.grid.remote_slots import RemoteSlots
from hw.net.flits import LaneShapes

__all__ = ["RemoteReads"]


class RemoteReads(wiring.Component):
    """Asks for lines of other elements' local memory, and puts the two words of each together.

    Operation: a read takes the next slot of a ring before it leaves; with all taken it waits. Words
    come in any order, and always find their slot. Lines leave in the order of the requests.

    Timing: a request leaves in the cycle in which it comes; a line leaves 1 cycle after its second
    word came at the earliest. One of each per cycle. Combinational path from `ask.ready` to
    `request.ready`.

    Parameters
    ----------
    shapes : flits to other elements. lanes : flits of the one who asks.

    Members
    -------
    request : In(stream.Signature(lanes.read)), of windows that are there.
    line : Out(stream.Signature(lanes.line)), only data, tag and answer.
    ask : Out(stream.Signature(to_side(shapes.request))); who asks is filled in elsewhere.
    told : In(stream.Signature(shapes.answer)), always ready.
    """

    def __init__(self, *, shapes: RemoteShapes, lanes: LaneShapes) -> None:
        self.shapes, self.lanes = shapes, lanes
        super().__init__(
            {
                "request": In(stream.Signature(lanes.read)),
                "line": Out(stream.Signature(lanes.line)),
                "ask": Out(stream.Signature(to_side(shapes.request))),
                "told": In(stream.Signature(shapes.answer, always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        tag_width = self.lanes.read["tag"].width
        m.submodules.slots = slots = RemoteSlots(shapes=self.shapes, tag_width=tag_width)
        goes = Signal()
        request, ask = self.request.payload, self.ask.payload
        row, column = window_place(request.address)
        m.d.comb += [
            self.ask.valid.eq(self.request.valid & ~slots.is_full),
            self.request.ready.eq(self.ask.ready & ~slots.is_full),
            goes.eq(self.request.valid & self.request.ready),
            ask.to.row.eq(row),
            ask.to.column.eq(column),
            ask.flit.line.eq(request.address[self.shapes.line_log2 :]),
            ask.flit.slot.eq(slots.next),
            slots.take.eq(goes),
            slots.tag.eq(request.tag),
            slots.leave.eq(self.line.valid & self.line.ready),
            self.line.valid.eq(slots.is_used & self._elaborate_there(m, slots)),
            self.line.payload.tag.eq(slots.oldest_tag),
        ]
        self._elaborate_words(m, slots.oldest)
        return m

    def _elaborate_there(self, m: Module, slots: RemoteSlots) -> Value:
        """Which words have come; whether both of the oldest slot have."""
        told, both = self.told.payload, []
        for word in range(2):
            there = Signal(self.shapes.slots, name=f"there{word}")
            comes = self.told.valid & (told.upper == word)
            m.d.sync += there.eq(
                (there & ~Mux(slots.take, 1 << slots.next, 0)) | Mux(comes, 1 << told.slot, 0)
            )
            both.append(there.bit_select(slots.oldest, 1))
        return Cat(both).all()

    def _elaborate_words(self, m: Module, oldest: Value) -> None:
        """The words in each slot."""
        told, line, slots = self.told.payload, self.line.payload, self.shapes.slots
        shape = data.StructLayout(
            {"data": told.shape()["data"].shape, "answer": told.answer.shape()}
        )
        for word in range(2):
            m.submodules[f"words{word}"] = words = memory.Memory(shape=shape, depth=slots, init=[])
            lands, found = words.write_port(), words.read_port(domain="comb")
            bits = 8 * self.shapes.word_bytes
            m.d.comb += [
                lands.en.eq(self.told.valid & (told.upper == word)),
                lands.addr.eq(told.slot),
                lands.data.data.eq(told.data),
                lands.data.answer.eq(told.answer),
                found.addr.eq(oldest),
                line.data.word_select(word, bits).eq(found.data.data),
            ]
        # Both words carry the answer of their line.
        m.d.comb += line.answer.eq(found.data.answer)
