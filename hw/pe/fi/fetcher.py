# SPDX-License-Identifier: Apache-2.0
"""Reading of local memory for lines that will be written: two words a cycle, in order."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.pe.fi.geometry import FiGeometry

__all__ = ["LineFetcher", "N_READ_SLOTS", "beat_layout"]

N_READ_SLOTS = 2

_WORDS_AHEAD = 16  # per slot; 9 keep the rate, the others bridge lost grants
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

    Operation: reads are taken as long as the queue has room for their words, and `stop` is low;
    what was taken is offered to local memory. A mark comes through in its turn, with a read or
    alone.

    Timing: a read per cycle. A read is offered the cycle after it came, from a register, its word
    at `words` a cycle after the answer. `reads.ready` comes from registers.

    Parameters
    ----------
    geometry : sizes.
    word_layout : shape of a word.

    Members
    -------
    reads : In(stream.Signature(...)), addresses to read, and marks.
    stop : In(1), take no further read, from the next cycle on.
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
        wiring.connect(m, wiring.flipped(self.words), queue.o)
        may_take, taken = Signal(), Signal()
        request, response, read = self.ls.request, self.ls.response, ask.o.payload
        m.d.comb += [
            ask.i.valid.eq(self.reads.valid & may_take),
            ask.i.payload.eq(self.reads.payload),
            self.reads.ready.eq(ask.i.ready & may_take),
            taken.eq(ask.i.valid & ask.i.ready & self.reads.payload.reads),
            request.valid.eq(ask.o.valid & read.reads),
            request.payload.eq(read.address),
            ask.o.ready.eq(request.ready | ~read.reads),
            queue.i.valid.eq(response.valid),
            queue.i.payload.eq(response.payload),
            self.blocked.eq(request.valid & ~request.ready),
        ]
        self._elaborate_room(m, may_take, taken, queue.o.valid & queue.o.ready)
        self._elaborate_marks(m, ask.o.valid & ask.o.ready & read.mark)
        return m

    def _elaborate_room(self, m: Module, may_take: Signal, taken: Signal, popped: Value) -> None:
        """Count words promised, and those whose answer is not there."""
        promised, in_flight = Signal(range(_WORDS_AHEAD + 1)), Signal(range(_WORDS_AHEAD + 1))
        left = Signal()  # a word has left: in the cycle before, so that no path leads on
        m.d.sync += [
            left.eq(popped),
            # One is taken while this is found out, and one when it is known.
            may_take.eq((promised < _WORDS_AHEAD - 2) & ~self.stop),
        ]
        with m.If(taken != left):
            m.d.sync += promised.eq(Mux(taken, promised + 1, promised - 1))
        with m.If(taken != self.ls.response.valid):
            m.d.sync += in_flight.eq(Mux(taken, in_flight + 1, in_flight - 1))
        m.d.comb += self.moving.eq(in_flight.any())

    def _elaborate_marks(self, m: Module, passes: Value) -> None:
        """Count the marks that came through."""
        marks = Signal(range(_MARKS + 1))
        passed = Signal()
        m.d.comb += [passed.eq(passes), self.marked.eq(marks != 0)]
        with m.If(passed != self.forget):
            m.d.sync += marks.eq(Mux(passed, marks + 1, marks - 1))
