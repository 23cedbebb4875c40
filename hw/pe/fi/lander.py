# SPDX-License-Identifier: Apache-2.0
"""Landing of read data: from lines in any order to words of local memory."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.memory import MemoryReadPort
from hw.iface.pe import LsWritePort
from hw.lib.elastic import PipeStage, SkidBuffer
from hw.pe.fi.geometry import MAX_PIECES, FiGeometry
from hw.pe.fi.lanes import below, merge, rotate_up, spread

__all__ = ["Lander", "N_WRITE_SLOTS", "landing_layout"]

N_WRITE_SLOTS = 4
"""Local-memory write slots: one more than a line needs, so that a lost grant costs nothing."""


def landing_layout(geometry: FiGeometry) -> data.StructLayout:
    """What is kept of a read until its answer lands."""
    return data.StructLayout({"place": geometry.place_layout, "engine": 1, "indexed": 1, "tag": 16})


class Lander(wiring.Component):
    """Writes each answer into local memory, at the place that was booked for its tag.

    Operation
        1. `book` notes where the line of `book_tag` belongs, before its read is sent.
        2. An answer is rotated to its words' lanes, cut into at most three words, and put into the
           write slots, which take turns. It is `answered` then, and its bit in `landing` is high
           until local memory has taken all of its words.
        3. An answer with `error` or `poison` writes nothing and is reported as a fault.

    Timing
        A line per cycle at any alignment, as long as each slot's word is granted at once or the
        slots have 25 % of their cycles left for waiting. From an answer to its write requests: 2
        cycles. `response.ready` depends on no input.

    Parameters
    ----------
    geometry : sizes.
    n_tags : reads in flight.

    Members
    -------
    book : In(1), note `place` for `book_tag`.
    book_tag : In(range(n_tags)), tag of a read that will be sent.
    place : In(landing_layout(geometry)), where its bytes belong.
    response : In(stream.Signature(...)), answers of a `MemoryReadPort`.
    ls : Out(LsWritePort(...)).array(N_WRITE_SLOTS), write slots.
    answered : Out(1), the answer of `answered_tag` was taken apart.
    answered_tag : Out(range(n_tags)), that tag.
    landing : Out(n_tags), tags whose words wait for local memory.
    n_landed : Out(range(link_bytes + 1)), bytes of this answer that were asked for.
    blocked : Out(1), local memory keeps a word waiting.
    fault : Out(1), the answer taken apart failed.
    poisoned : Out(1), it failed since its data are bad, not its address.
    origin : Out(landing_layout(geometry)), what was booked for it.
    """

    def __init__(self, *, geometry: FiGeometry, n_tags: int) -> None:
        self.geometry = geometry
        self.n_tags = n_tags
        port = MemoryReadPort(link_bytes=geometry.link_bytes, tag_width=(n_tags - 1).bit_length())
        slot = LsWritePort(
            address_width=geometry.word_address_width, word_bytes=geometry.word_bytes
        )
        super().__init__(
            {
                "book": In(1),
                "book_tag": In(range(n_tags)),
                "place": In(landing_layout(geometry)),
                "response": port.members["response"],
                "ls": Out(slot).array(N_WRITE_SLOTS),
                "answered": Out(1),
                "answered_tag": Out(range(n_tags)),
                "landing": Out(n_tags),
                "n_landed": Out(range(geometry.link_bytes + 1)),
                "blocked": Out(1),
                "fault": Out(1),
                "poisoned": Out(1),
                "origin": Out(landing_layout(geometry)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        answer = self._elaborate_answer(m)
        item, place = answer.payload, answer.payload.origin.place
        pieces = self._elaborate_pieces(m, item.answer.data, place)

        failed = item.answer.error | item.answer.poison
        n_words = Signal.like(place.n_words)
        goes = Signal()
        m.d.comb += [
            n_words.eq(Mux(failed, 0, place.n_words)),
            goes.eq(answer.valid & answer.ready),
            self.answered.eq(goes),
            self.answered_tag.eq(item.answer.tag),
            self.fault.eq(goes & failed),
            self.poisoned.eq(~item.answer.error),
            self.origin.eq(item.origin),
            self.n_landed.eq(Mux(goes & ~failed, place.end - place.first, 0)),
        ]
        self._elaborate_slots(m, answer, n_words, pieces, goes)
        return m

    def _elaborate_answer(self, m: Module) -> stream.Interface:
        """Register each answer together with what was booked for it."""
        booked = landing_layout(self.geometry)
        answer = self.response.payload
        m.submodules.bookings = bookings = memory.Memory(
            shape=booked.size, depth=self.n_tags, init=[]
        )
        write, read = bookings.write_port(), bookings.read_port(domain="comb")
        m.submodules.answer = stage = PipeStage(
            shape=data.StructLayout({"answer": answer.shape(), "origin": booked})
        )
        m.d.comb += [
            write.en.eq(self.book),
            write.addr.eq(self.book_tag),
            write.data.eq(self.place),
            read.addr.eq(answer.tag),
            stage.i.valid.eq(self.response.valid),
            self.response.ready.eq(stage.i.ready),
            stage.i.payload.answer.eq(answer),
            stage.i.payload.origin.eq(read.data),
        ]
        return stage.o

    def _elaborate_pieces(self, m: Module, line: Value, place: data.View) -> list[data.View]:
        """The window of three words, and which of their lanes are written."""
        word_bytes, word_log2 = self.geometry.word_bytes, self.geometry.word_log2
        kept = Signal(self.geometry.link_bytes)  # bytes behind the end are cleared for zero fill
        m.d.comb += kept.eq(
            Mux(place.zero_fill, below(place.end, self.geometry.link_bytes), ~Const(0, len(kept)))
        )
        mask = spread(m, kept, name="kept")
        turned = []
        for index in range(2):
            half = slice(8 * word_bytes * index, 8 * word_bytes * (index + 1))
            clean = merge(m, mask[half], line[half], Const(0, 8 * word_bytes), name=f"clean{index}")
            turned.append(rotate_up(m, clean, place.rotation, name=f"turned{index}"))
        wrapped = spread(m, below(place.rotation, word_bytes), name="wrapped")
        words = [Signal(8 * word_bytes, name=f"word{index}") for index in range(MAX_PIECES)]
        m.d.comb += [
            words[0].eq(turned[0]),
            words[1].eq(merge(m, wrapped, turned[0], turned[1], name="middle")),
            words[2].eq(merge(m, wrapped, turned[1], Const(0, 8 * word_bytes), name="behind")),
        ]

        begin, end = Signal(word_log2), Signal(word_log2)
        behind_begin, before_end = Signal(word_bytes), Signal(word_bytes)
        m.d.comb += [
            begin.eq(place.rotation + place.first),
            end.eq(place.rotation + place.end - 1),
            behind_begin.eq(~below(begin, word_bytes)),
            before_end.eq(below(end + 1, word_bytes) | place.zero_fill.replicate(word_bytes)),
        ]
        pieces = []
        for index in range(MAX_PIECES):  # counted from the first one in use
            piece = Signal(self.ls[0].request.payload.shape(), name=f"piece{index}")
            last = place.n_words == index + 1
            m.d.comb += [
                piece.address.eq(place.words[index]),
                piece.data.eq(_choose(place.skip, words[index:])),
                piece.strobe.eq(
                    (behind_begin if index == 0 else ~Const(0, word_bytes))
                    & Mux(last, before_end, ~Const(0, word_bytes))
                ),
            ]
            pieces.append(piece)
        return pieces

    def _elaborate_slots(
        self,
        m: Module,
        answer: stream.Interface,
        n_words: Value,
        pieces: list[data.View],
        goes: Value,
    ) -> None:
        """Deal the pieces out to the slots in turn, and keep book of those that wait."""
        item = data.StructLayout(
            {"request": self.ls[0].request.payload.shape(), "tag": range(self.n_tags)}
        )
        turn = Signal(range(N_WRITE_SLOTS))  # slot of the next piece
        with m.If(goes):
            m.d.sync += turn.eq(turn + n_words)

        full, waits, blocked = [], [], []
        for index in range(N_WRITE_SLOTS):
            m.submodules[f"slot{index}"] = slot = SkidBuffer(shape=item)
            port = self.ls[index].request
            which = Signal(range(N_WRITE_SLOTS), name=f"which{index}")
            used = Signal(name=f"used{index}")
            waiting = Signal(self.n_tags, name=f"waiting{index}")
            put, taken = goes & used, port.valid & port.ready
            m.d.comb += [
                which.eq(index - turn),
                used.eq(which < n_words),
                slot.i.valid.eq(put),
                slot.i.payload.tag.eq(answer.payload.answer.tag),
                port.valid.eq(slot.o.valid),
                port.payload.eq(slot.o.payload.request),
                slot.o.ready.eq(port.ready),
            ]
            with m.Switch(which):
                for number, piece in enumerate(pieces):
                    with m.Case(number):
                        m.d.comb += slot.i.payload.request.eq(piece)
            with m.If(put | taken):
                m.d.sync += waiting.eq(
                    (waiting & ~(taken << slot.o.payload.tag)) | (put << answer.payload.answer.tag)
                )
            full.append(used & ~slot.i.ready)
            waits.append(waiting)
            blocked.append(port.valid & ~port.ready)
        m.d.comb += [
            answer.ready.eq(~Cat(full).any()),
            self.landing.eq(reduce(or_, waits)),
            self.blocked.eq(Cat(blocked).any()),
        ]


def _choose(number: Value, words: list[Value]) -> Value:
    """Entry `number` of `words`, or the last one."""
    chosen = words[-1]
    for index in reversed(range(len(words) - 1)):
        chosen = Mux(number == index, words[index], chosen)
    return chosen
