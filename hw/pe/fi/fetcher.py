# SPDX-License-Identifier: Apache-2.0
"""Reading of local memory for lines that will be written: two words a cycle, in order."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.pe.fi.geometry import FiGeometry

__all__ = ["LineFetcher", "N_READ_SLOTS", "beat_layout"]

N_READ_SLOTS = 2

_WORDS_AHEAD = 8  # per slot, a power of two; 4 keep the rate, the others bridge lost grants
_BEATS_AHEAD = 8
_MARKS = 4  # as many reports as wait at a time


def beat_layout(geometry: FiGeometry) -> data.StructLayout:
    """What to do with the next words that were read."""
    return data.StructLayout(
        {
            "n_new": range(N_READ_SLOTS + 1),  # words that this beat takes
            "emit": 1,  # the line is complete with them
            "skip": range(3),  # piece of the line's window that the first of them is
            "line": geometry.line_layout,
        }
    )


class LineFetcher(wiring.Component):
    """Reads the words of each line once, and hands them on in order with what to do with them.

    Operation
        1. A word that two lines of a run share is read for the first of them only.
        2. Words lie alternately in two queues, each behind a slot of its own, which gets ahead as
           far as it can: neither waits for the other.
        3. A line is one beat; a run's first line that touches three words takes two, the first of
           which brings one word only.
        4. A line that is marked leaves a mark in both slots behind its words. `granted` says that a
           mark has come through both, so that all words up to it are granted; `forget` takes it.

    Timing
        A beat per cycle when local memory grants at once; 5 cycles from a line to its beat. Local
        memory is asked from registers, and its grants lead to no further than a slot's registers.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    lines : In(stream.Signature(geometry.line_layout)), lines to read.
    ls : Out(LsReadPort(...)).array(2), local-memory slots.
    hold : In(1), begin with no further beat. stop : In(1), the same, and offer no further read.
    beats : Out(stream.Signature(beat_layout(geometry))), what to do.
    words : Out(stream.Signature(word)).array(2), words with their error bits; the first of a beat
        is `words[0]`.
    taken : Out(1), the line at `lines` leaves.
    mark : In(1), it is marked. Marks that are not granted yet: 4 at most.
    granted : Out(1), a mark is granted. forget : In(1), it is dealt with.
    blocked : Out(1), local memory keeps a read waiting.
    moving : Out(1), reads are offered or their answers under way.
    """

    def __init__(self, *, geometry: FiGeometry) -> None:
        self.geometry = geometry
        slot = LsReadPort(address_width=geometry.word_address_width, word_bytes=geometry.word_bytes)
        self.word_layout = data.StructLayout(
            {"data": 8 * geometry.word_bytes, "error": geometry.word_bytes}
        )
        super().__init__(
            {
                "lines": In(stream.Signature(geometry.line_layout)),
                "ls": Out(slot).array(N_READ_SLOTS),
                "hold": In(1),
                "stop": In(1),
                "beats": Out(stream.Signature(beat_layout(geometry))),
                "words": Out(stream.Signature(self.word_layout)).array(N_READ_SLOTS),
                "taken": Out(1),
                "mark": In(1),
                "granted": Out(1),
                "forget": In(1),
                "blocked": Out(1),
                "moving": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.beats = beats = StreamFifo(
            shape=beat_layout(self.geometry), depth=_BEATS_AHEAD
        )
        wiring.connect(m, wiring.flipped(self.beats), beats.o)
        slots = []
        for index in range(N_READ_SLOTS):
            m.submodules[f"slot{index}"] = slot = _ReadSlot(
                geometry=self.geometry, word_layout=self.word_layout
            )
            wiring.connect(m, slot.ls, wiring.flipped(self.ls[index]))
            slots.append(slot)
        goes = Signal()  # a beat begins
        m.d.comb += [
            goes.eq(
                self.lines.valid
                & ~self.hold
                & ~self.stop
                & beats.i.ready
                & Cat(slot.reads.ready for slot in slots).all()
            ),
            beats.i.valid.eq(goes),
            self.taken.eq(goes & beats.i.payload.emit),
            self.lines.ready.eq(self.taken),
            self.granted.eq(Cat(slot.marked for slot in slots).all()),
            self.blocked.eq(Cat(slot.blocked for slot in slots).any()),
            self.moving.eq(Cat(slot.moving for slot in slots).any()),
            *(slot.forget.eq(self.forget) for slot in slots),
            *(slot.stop.eq(self.stop) for slot in slots),
        ]
        self._elaborate_beats(m, beats.i.payload, slots, goes)
        self._elaborate_words(m, slots)
        return m

    def _elaborate_beats(
        self, m: Module, beat: data.View, slots: list["_ReadSlot"], goes: Signal
    ) -> None:
        """From lines to beats, whose words the slots read in turn."""
        line, place = self.lines.payload, self.lines.payload.place
        second = Signal()  # the second beat of a line
        carried = Signal()  # the line's first word was read before
        in_two = Signal()
        odd = Signal()  # slot of the beat's first word
        mark = self.mark & beat.emit
        m.d.comb += [
            in_two.eq(place.run_first & (place.n_words == 3)),
            carried.eq(second | (~place.run_first & (place.rotation != 0))),
            beat.n_new.eq(Mux(in_two & ~second, 1, place.n_words - carried)),
            beat.emit.eq(~in_two | second),
            beat.skip.eq(Mux(carried, 1, place.skip)),
            beat.line.eq(line),
        ]
        addresses = [
            Mux(carried, place.words[index + 1], place.words[index])
            for index in range(N_READ_SLOTS)
        ]
        for index, slot in enumerate(slots):
            read = slot.reads.payload
            m.d.comb += [
                read.reads.eq(beat.n_new > (odd ^ index)),
                read.mark.eq(mark),
                read.address.eq(Mux(odd ^ index, addresses[1], addresses[0])),
                slot.reads.valid.eq(goes & (read.reads | mark)),
            ]
        with m.If(goes):
            m.d.sync += [second.eq(~beat.emit), odd.eq(odd ^ beat.n_new[0])]

    def _elaborate_words(self, m: Module, slots: list["_ReadSlot"]) -> None:
        """The slots' words in order."""
        odd_out = Signal()  # slot of the beat's first word
        n_taken = Cat(words.valid & words.ready for words in self.words)
        with m.If(n_taken[0] ^ n_taken[1]):
            m.d.sync += odd_out.eq(~odd_out)
        for index, words in enumerate(self.words):
            with m.If(odd_out ^ index):
                m.d.comb += [
                    words.valid.eq(slots[1].words.valid),
                    words.payload.eq(slots[1].words.payload),
                    slots[1].words.ready.eq(words.ready),
                ]
            with m.Else():
                m.d.comb += [
                    words.valid.eq(slots[0].words.valid),
                    words.payload.eq(slots[0].words.payload),
                    slots[0].words.ready.eq(words.ready),
                ]


class _ReadSlot(wiring.Component):
    """One slot of local memory with the queue of its words.

    Operation: reads that are offered go on to local memory as long as the queue has room for their
    words, and `stop` is low; what was offered stays offered. A mark comes through in its turn, with
    a read or alone.

    Timing: a read per cycle. A read is offered the cycle after it came, its word at `words` 3
    cycles after its grant. `reads.ready` is a register.

    Parameters
    ----------
    geometry : sizes.
    word_layout : shape of a word.

    Members
    -------
    reads : In(stream.Signature(...)), addresses to read, and marks.
    stop : In(1), offer no further read.
    ls : Out(LsReadPort(...)), the slot.
    words : Out(stream.Signature(word_layout)), words in order.
    marked : Out(1), more marks came through than were forgotten. forget : In(1), forget one.
    blocked : Out(1), local memory keeps a read waiting.
    moving : Out(1), reads are offered or their answers under way.
    """

    def __init__(self, *, geometry: FiGeometry, word_layout: data.StructLayout) -> None:
        port = LsReadPort(address_width=geometry.word_address_width, word_bytes=geometry.word_bytes)
        self.read_layout = data.StructLayout(
            {"address": geometry.word_address_width, "reads": 1, "mark": 1}
        )
        self.word_layout = word_layout
        super().__init__(
            {
                "reads": In(stream.Signature(self.read_layout)),
                "stop": In(1),
                "ls": Out(port),
                "words": Out(stream.Signature(word_layout)),
                "marked": Out(1),
                "forget": In(1),
                "blocked": Out(1),
                "moving": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.ask = ask = SkidBuffer(shape=self.read_layout)
        m.submodules.queue = queue = StreamFifo(shape=self.word_layout, depth=_WORDS_AHEAD)
        wiring.connect(m, wiring.flipped(self.reads), ask.i)
        wiring.connect(m, wiring.flipped(self.words), queue.o)
        reserved = Signal(range(_WORDS_AHEAD + 1))
        popped = Signal()  # in the cycle before, so that no path leads on
        under_way = Signal(2)
        asked, passed, offered = Signal(), Signal(), Signal()
        request, read = self.ls.request, ask.o.payload
        m.d.comb += [
            request.valid.eq(ask.o.valid & read.reads & ~reserved[-1] & (~self.stop | offered)),
            request.payload.eq(read.address),
            asked.eq(request.valid & request.ready),
            ask.o.ready.eq(asked | ~read.reads),
            passed.eq(ask.o.valid & ask.o.ready & read.mark),
            queue.i.valid.eq(self.ls.response.valid),
            queue.i.payload.eq(self.ls.response.payload),
            self.blocked.eq(request.valid & ~request.ready),
            self.moving.eq(request.valid | under_way.any()),
        ]
        m.d.sync += [
            popped.eq(queue.o.valid & queue.o.ready),
            under_way.eq(Cat(asked, under_way[0])),
            offered.eq(self.blocked),
        ]
        with m.If(asked != popped):
            m.d.sync += reserved.eq(Mux(asked, reserved + 1, reserved - 1))
        self._elaborate_marks(m, passed)
        return m

    def _elaborate_marks(self, m: Module, passed: Signal) -> None:
        """Count the marks that came through."""
        marks = Signal(range(_MARKS + 1))
        m.d.comb += self.marked.eq(marks != 0)
        with m.If(passed != self.forget):
            m.d.sync += marks.eq(Mux(passed, marks + 1, marks - 1))
