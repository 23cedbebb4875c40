# SPDX-License-Identifier: Apache-2.0
"""The slots of those who read other elements' local memory."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.chip.crossbar import window_place
from hw.grid.remote_flits import RemoteShapes, to_side
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
        shapes, slots = self.shapes, self.shapes.slots
        issued, left = (Signal(shapes.slot_bits + 1, name=name) for name in ("issued", "left"))
        slot, oldest = issued[: shapes.slot_bits], left[: shapes.slot_bits]
        is_full, goes = Signal(), Signal()
        there = [Signal(slots, name=f"there{word}") for word in range(2)]  # words that have come
        request, ask = self.request.payload, self.ask.payload
        row, column = window_place(request.address)
        m.d.comb += [
            is_full.eq((issued ^ left) == slots),
            self.ask.valid.eq(self.request.valid & ~is_full),
            self.request.ready.eq(self.ask.ready & ~is_full),
            goes.eq(self.request.valid & self.request.ready),
            ask.to.row.eq(row),
            ask.to.column.eq(column),
            ask.flit.line.eq(request.address[shapes.line_log2 :]),
            ask.flit.slot.eq(slot),
            self.line.valid.eq(
                (issued != left) & Cat(some.bit_select(oldest, 1) for some in there).all()
            ),
        ]
        for word, some in enumerate(there):
            comes = self.told.valid & (self.told.payload.upper == word)
            m.d.sync += some.eq(
                (some & ~Mux(goes, 1 << slot, 0)) | Mux(comes, 1 << self.told.payload.slot, 0)
            )
        with m.If(goes):
            m.d.sync += issued.eq(issued + 1)
        with m.If(self.line.valid & self.line.ready):
            m.d.sync += left.eq(left + 1)
        self._elaborate_slots(m, goes, slot, oldest)
        return m

    def _elaborate_slots(self, m: Module, goes: Any, slot: Any, oldest: Any) -> None:
        """What stands in each slot: the tag, and the words."""
        told, line, slots = self.told.payload, self.line.payload, self.shapes.slots
        tag_shape = self.lanes.read["tag"]
        m.submodules.tags = tags = memory.Memory(shape=tag_shape.width, depth=slots, init=[])
        note, noted = tags.write_port(), tags.read_port(domain="comb")
        m.d.comb += [
            note.en.eq(goes),
            note.addr.eq(slot),
            note.data.eq(self.request.payload.tag),
            noted.addr.eq(oldest),
            line.tag.eq(noted.data),
        ]
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
