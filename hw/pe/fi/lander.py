# SPDX-License-Identifier: Apache-2.0
"""Landing of read data: from lines in any order to words of local memory."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.traps import Trap
from hw.iface.memory import MemoryReadPort
from hw.iface.pe import LsWritePort
from hw.lib.elastic import PipeStage, StreamFifo
from hw.pe.fi.geometry import MAX_PIECES, FiGeometry
from hw.pe.fi.lanes import below, deal, shift_up

__all__ = ["Lander", "N_WRITE_SLOTS", "landing_layout"]

N_WRITE_SLOTS = 4
"""Local-memory write slots: one more than a line needs, so that a lost grant costs nothing."""

_WORDS_WAITING = 4  # per slot


def landing_layout(geometry: FiGeometry) -> data.StructLayout:
    """What is kept of a read until its answer lands."""
    return data.StructLayout({"place": geometry.place_layout, "engine": 1, "indexed": 1, "tag": 16})


class Lander(wiring.Component):
    """Writes each answer into local memory, at the place that was booked for its tag.

    Operation
        1. `book` notes where the line of `book_tag` belongs, before its read is sent.
        2. An answer is shifted to its words' lanes, cut into at most three words, and put into the
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
    fault : Out(1), the answer at hand failed.
    cause : Out(8), the trap that it is.
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
                "cause": Out(8),
                "origin": Out(landing_layout(geometry)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        answer, line = self._elaborate_answer(m)
        item, place = answer.payload, answer.payload.origin.place
        failed = item.error | item.poison
        n_words = Signal.like(place.n_words)
        goes = Signal()
        m.d.comb += [
            n_words.eq(Mux(failed, 0, place.n_words)),
            goes.eq(answer.valid & answer.ready),
            self.answered.eq(goes),
            self.answered_tag.eq(item.tag),
            self.fault.eq(answer.valid & failed),
            self.cause.eq(self._cause(item)),
            self.origin.eq(item.origin),
            self.n_landed.eq(Mux(goes & ~failed, place.end - place.first, 0)),
        ]
        turn = Signal(range(N_WRITE_SLOTS))  # slot of the next piece
        with m.If(goes):
            m.d.sync += turn.eq(turn + n_words)
        requests = self._elaborate_requests(m, line, place, turn)
        self._elaborate_slots(m, answer, n_words, turn, requests, goes)
        return m

    def _cause(self, answer: data.View) -> Value:
        """What is wrong with an answer that failed."""
        refused: Value = Value.cast(Trap.MEMORY_ERROR)
        if self.geometry.sharing:
            refused = Mux(answer.poison, Trap.MULTICAST_MISMATCH, refused)
        return Mux(answer.error, refused, Trap.MEMORY_POISON)

    def _elaborate_answer(self, m: Module) -> tuple[stream.Interface, Signal]:
        """Register each answer together with what was booked for it; clear what is filled up."""
        landing, link_bytes = landing_layout(self.geometry), self.geometry.link_bytes
        answer = self.response.payload
        # What is to be cleared is noted, too, so that an answer need not wait for it.
        booked = data.StructLayout({"landing": landing, "cleared": link_bytes})
        m.submodules.bookings = bookings = memory.Memory(
            shape=booked.size, depth=self.n_tags, init=[]
        )
        write, read = bookings.write_port(), bookings.read_port(domain="comb")
        noted = {name: field.shape for name, field in answer.shape() if name != "data"}
        m.submodules.answer = stage = PipeStage(
            shape=data.StructLayout({**noted, "origin": landing})
        )
        place, found = self.place.place, data.View(booked, read.data)
        cleared = ~below(place.end, link_bytes) & place.zero_fill.replicate(link_bytes)
        m.d.comb += [
            write.en.eq(self.book),
            write.addr.eq(self.book_tag),
            write.data.eq(Cat(self.place, cleared)),
            read.addr.eq(answer.tag),
            stage.i.valid.eq(self.response.valid),
            self.response.ready.eq(stage.i.ready),
            *(stage.i.payload[name].eq(answer[name]) for name in noted),
            stage.i.payload.origin.eq(found.landing),
        ]
        # Apart from the rest: without a reset of its own, clearing it costs no gates.
        line = Signal(8 * link_bytes, reset_less=True)
        with m.If(stage.i.ready & stage.i.valid):
            for at in range(link_bytes):
                with m.If(found.cleared[at]):
                    m.d.sync += line.word_select(at, 8).eq(0)
                with m.Else():
                    m.d.sync += line.word_select(at, 8).eq(answer.data.word_select(at, 8))
        return stage.o, line

    def _elaborate_requests(
        self, m: Module, line: Signal, place: data.View, turn: Signal
    ) -> list[tuple[Value, Value]]:
        """Address and data for each slot: of the window's words they take those in use in turn."""
        width = 8 * self.geometry.word_bytes
        window = shift_up(m, line, place.rotation, name="window")
        words = [window[width * index : width * (index + 1)] for index in range(MAX_PIECES)]
        first = Signal.like(turn)  # slot of the window's first word, used or not
        m.d.comb += first.eq(turn - place.skip)
        addresses = [place.words[index] for index in range(MAX_PIECES)]
        return list(zip(deal(addresses, turn), deal(words, first), strict=True))

    def _elaborate_strobes(self, m: Module, place: data.View) -> tuple[Signal, Signal]:
        """Lanes of the first word in use, and of the last one, that are written."""
        word_bytes, word_log2 = self.geometry.word_bytes, self.geometry.word_log2
        begin, end = Signal(word_log2), Signal(word_log2)
        behind_begin, before_end = Signal(word_bytes), Signal(word_bytes)
        m.d.comb += [
            begin.eq(place.rotation + place.first),
            end.eq(place.rotation + place.end - 1),
            behind_begin.eq(~below(begin, word_bytes)),
            before_end.eq(below(end + 1, word_bytes) | place.zero_fill.replicate(word_bytes)),
        ]
        return behind_begin, before_end

    def _elaborate_slots(
        self,
        m: Module,
        answer: stream.Interface,
        n_words: Value,
        turn: Value,
        requests: list[tuple[Value, Value]],
        goes: Value,
    ) -> None:
        """Each slot queues its word, and keeps book of those that wait."""
        item = data.StructLayout(
            {"request": self.ls[0].request.payload.shape(), "tag": range(self.n_tags)}
        )
        behind_begin, before_end = self._elaborate_strobes(m, answer.payload.origin.place)
        room, waits, blocked = [], [], []
        for index, (address, word) in enumerate(requests):
            m.submodules[f"slot{index}"] = slot = StreamFifo(shape=item, depth=_WORDS_WAITING)
            port = self.ls[index].request
            which = Signal(range(N_WRITE_SLOTS), name=f"which{index}")
            used = Signal(name=f"used{index}")
            waiting = Signal(self.n_tags, name=f"waiting{index}")
            put, taken = goes & used, port.valid & port.ready
            m.d.comb += [
                which.eq(index - turn),
                used.eq(which < n_words),
                slot.i.valid.eq(put),
                slot.i.payload.tag.eq(answer.payload.tag),
                slot.i.payload.request.address.eq(address),
                slot.i.payload.request.data.eq(word),
                slot.i.payload.request.strobe.eq(
                    Mux(which == 0, behind_begin, ~0) & Mux(which + 1 == n_words, before_end, ~0)
                ),
                port.valid.eq(slot.o.valid),
                port.payload.eq(slot.o.payload.request),
                slot.o.ready.eq(port.ready),
            ]
            with m.If(put | taken):
                m.d.sync += waiting.eq(
                    (waiting & ~(taken << slot.o.payload.tag)) | (put << answer.payload.tag)
                )
            room.append(slot.i.ready)
            waits.append(waiting)
            blocked.append(port.valid & ~port.ready)
        m.d.comb += [
            # Whatever slots it would use, so that the choice of slots leads no further.
            answer.ready.eq(Cat(room).all()),
            self.landing.eq(reduce(or_, waits)),
            self.blocked.eq(Cat(blocked).any()),
        ]
