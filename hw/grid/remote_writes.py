# SPDX-License-Identifier: Apache-2.0
"""Writes of other elements' local memory, and the slots of their lines."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.chip.crossbar import window_place
from hw.grid.remote_flits import RemoteShapes, to_side
from hw.grid.remote_slots import RemoteSlots
from hw.net.flits import Answer, LaneShapes

__all__ = ["RemoteWrites"]


class RemoteWrites(wiring.Component):
    """Cuts lines for other elements' local memory into words, and waits for all of a line.

    Operation: a line takes the next slot of a ring before its first word leaves. Words without a
    strobe stay here, but for the lower one of a line that has none. A line is acknowledged when all
    of its words are, in the order of the requests.

    Timing: the first word leaves in the cycle in which the line comes, a second one in the next; a
    line is acknowledged 1 cycle after its last word at the earliest. Combinational path from
    `ask.ready` to `request.ready`.

    Parameters
    ----------
    shapes : flits to other elements. lanes : flits of the one who asks.

    Members
    -------
    request : In(stream.Signature(lanes.write)), of windows that are there.
    ack : Out(stream.Signature(lanes.ack)), only tag and answer.
    ask : Out(stream.Signature(to_side(shapes.request))); who asks is filled in elsewhere.
    told : In(stream.Signature(shapes.answer)), always ready.
    """

    def __init__(self, *, shapes: RemoteShapes, lanes: LaneShapes) -> None:
        self.shapes, self.lanes = shapes, lanes
        super().__init__(
            {
                "request": In(stream.Signature(lanes.write)),
                "ack": Out(stream.Signature(lanes.ack)),
                "ask": Out(stream.Signature(to_side(shapes.request))),
                "told": In(stream.Signature(shapes.answer, always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shapes = self.shapes
        tag_width = self.lanes.write["tag"].width
        m.submodules.slots = slots = RemoteSlots(shapes=shapes, tag_width=tag_width)
        goes, is_last = Signal(), Signal()
        second, upper = Signal(), Signal()  # the second word's turn; the word that leaves now
        used = Signal(2)  # words that have a strobe
        request, ask = self.request.payload, self.ask.payload
        row, column = window_place(request.address)
        size = shapes.word_bytes
        m.d.comb += [
            used.eq(Cat(request.strobe.word_select(word, size).any() for word in range(2))),
            upper.eq(second | (used == 0b10)),
            is_last.eq(upper | ~used[1]),
            self.ask.valid.eq(self.request.valid & ~slots.is_full),
            goes.eq(self.ask.valid & self.ask.ready),
            self.request.ready.eq(self.ask.ready & ~slots.is_full & is_last),
            ask.to.row.eq(row),
            ask.to.column.eq(column),
            ask.flit.line.eq(request.address[shapes.line_log2 :]),
            ask.flit.data.eq(request.data.word_select(upper, 8 * size)),
            ask.flit.strobe.eq(request.strobe.word_select(upper, size)),
            ask.flit.slot.eq(slots.next),
            ask.flit.upper.eq(upper),
            ask.flit.is_write.eq(1),
            slots.take.eq(goes & is_last),
            slots.tag.eq(request.tag),
        ]
        with m.If(goes):
            m.d.sync += second.eq(~is_last)
        self._elaborate_acks(m, goes=goes, upper=upper, second=second, slots=slots)
        return m

    def _elaborate_acks(
        self, m: Module, *, goes: Value, upper: Value, second: Value, slots: RemoteSlots
    ) -> None:
        """Which words are under way, and which lines failed; the oldest line's acknowledgement."""
        told, waits = self.told.payload, []
        for word in range(2):
            under_way = Signal(self.shapes.slots, name=f"under_way{word}")
            leaves, comes = goes & (upper == word), self.told.valid & (told.upper == word)
            m.d.sync += under_way.eq(
                (under_way | Mux(leaves, 1 << slots.next, 0)) & ~Mux(comes, 1 << told.slot, 0)
            )
            waits.append(under_way.bit_select(slots.oldest, 1))
        failed = Signal(self.shapes.slots)
        with m.If(self.told.valid & (told.answer != Answer.OK)):
            m.d.sync += failed.bit_select(told.slot, 1).eq(1)
        with m.If(goes & ~second):
            m.d.sync += failed.bit_select(slots.next, 1).eq(0)
        has_failed = failed.bit_select(slots.oldest, 1)
        m.d.comb += [
            self.ack.valid.eq(slots.is_used & ~Cat(waits).any()),
            slots.leave.eq(self.ack.valid & self.ack.ready),
            self.ack.payload.tag.eq(slots.oldest_tag),
            self.ack.payload.answer.eq(Mux(has_failed, Answer.ERROR, Answer.OK)),
        ]
