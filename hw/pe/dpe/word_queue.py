# SPDX-License-Identifier: Apache-2.0
"""Places for words that are read: taken when the read is offered, filled when the answer comes."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.lib.ring import next_place

__all__ = ["READS_AHEAD", "WordQueue", "answer_layout", "note_layout", "word_layout"]

# As many as LUT RAM has rows. A place is free again 7 cycles after it was taken, if local memory
# answers after 3 cycles; the others ride out conflicts.
READS_AHEAD = 16
"""Words of an operand that are to be read and not taken, less than this."""
_NOTES_LATE = 3  # cycles in which notes come after it was seen that there is no room


def answer_layout(word_bytes: int) -> data.StructLayout:
    """What local memory answers."""
    return data.StructLayout({"data": 8 * word_bytes, "error": word_bytes})


def note_layout(address_width: int) -> data.StructLayout:
    """What is known of a word when its read is offered."""
    return data.StructLayout(
        {
            "address": address_width,
            "last": LEVELS,  # levels at their last iteration
            "k_last": 1,  # that of K is, or nothing walks K
            "cb": 6,
            "outside": 1,  # the address is not legal; data has no meaning
        }
    )


def word_layout(address_width: int, word_bytes: int) -> data.StructLayout:
    """One word of an operand."""
    fields = {"data": 8 * word_bytes, "error": word_bytes}  # bytes with wrong parity
    return data.StructLayout(fields | {"note": note_layout(address_width)})


class WordQueue(wiring.Component):
    """Keeps a place for every word from the cycle in which its read is known.

    Operation
        A note takes a place; answers fill the places in the same order; a filled place is offered
        at `words`. A word `outside` has no answer, and is the last one: notes behind it are
        forgotten, since whoever gets it goes no further.

    Timing
        A word per cycle; it is offered the cycle after its answer. No combinational path, except
        that words are read from memory addressed by a register. `room` may be acted upon for
        3 cycles more.

    Parameters
    ----------
    address_width : bits of a word address.
    word_bytes : bytes of a word.

    Members
    -------
    notes : In(stream.Signature(note_layout(address_width), always_ready=True)), words to come.
    room : Out(1), 4 more notes have a place.
    ended : Out(1), a note was of a word outside.
    answers : In(stream.Signature(answer_layout(word_bytes), always_ready=True)), their data.
    words : Out(stream.Signature(word_layout(address_width, word_bytes))), both together.
    """

    def __init__(self, *, address_width: int, word_bytes: int) -> None:
        word = word_layout(address_width, word_bytes)
        self.kept_layout = data.StructLayout(
            {"address": address_width, "last": LEVELS, "k_last": 1, "cb": 6}
        )
        self.answer_layout = answer_layout(word_bytes)
        super().__init__(
            {
                "notes": In(stream.Signature(note_layout(address_width), always_ready=True)),
                "room": Out(1),
                "ended": Out(1),
                "answers": In(stream.Signature(self.answer_layout, always_ready=True)),
                "words": Out(stream.Signature(word)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        noted, answered, taken = Signal(), self.answers.valid, Signal()
        n_noted, n_answered = Signal(range(READS_AHEAD)), Signal(range(READS_AHEAD))
        word = self.words.payload
        m.d.comb += [
            self.room.eq(n_noted < READS_AHEAD - _NOTES_LATE),
            noted.eq(self.notes.valid & ~self.ended),
            taken.eq(self.words.valid & self.words.ready),
        ]
        # Two registers, for whether a word is outside is known late.
        found, has_ended = Signal(), Signal()
        m.d.sync += [
            found.eq(self.notes.valid & self.notes.payload.outside),
            has_ended.eq(self.ended),
        ]
        m.d.comb += self.ended.eq(found | has_ended)
        for count, more in ((n_noted, noted), (n_answered, answered)):
            with m.If(more != taken):
                m.d.sync += count.eq(Mux(more, count + 1, count - 1))
        # Whoever gets a word outside goes no further, so that it need not leave.
        outside = self.ended & (n_noted == 1)  # all words before it have gone
        m.d.sync += word.note.outside.eq(outside)
        with m.If(answered | (n_answered > 1) | outside):
            m.d.sync += self.words.valid.eq(1)
        with m.Elif(taken):
            m.d.sync += self.words.valid.eq(0)
        at = self._place(m, taken, name="taken_at")
        kept = self._memory(m, "kept", self.kept_layout, noted, at)
        answer = self._memory(m, "answers", self.answer_layout, answered, at)
        names = self.kept_layout.members
        m.d.comb += [
            *(kept[0][name].eq(self.notes.payload[name]) for name in names),
            answer[0].eq(self.answers.payload),
            *(word.note[name].eq(kept[1][name]) for name in names),
            word.data.eq(answer[1].data),
            word.error.eq(answer[1].error),
        ]
        return m

    def _memory(
        self, m: Module, name: str, layout: data.StructLayout, fills: Value, taken_at: Value
    ) -> tuple[data.View, data.View]:
        """Memory of one half of all words, filled in order. Returns what goes in and comes out."""
        m.submodules[name] = mem = memory.Memory(shape=layout, depth=READS_AHEAD, init=[])
        write, read = mem.write_port(), mem.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(fills),
            write.addr.eq(self._place(m, fills, name=f"{name}_at")),
            read.addr.eq(taken_at),
        ]
        return write.data, read.data

    def _place(self, m: Module, advance: Value, *, name: str) -> Signal:
        """A pointer that goes on with `advance`."""
        place = Signal(range(READS_AHEAD), name=name)
        with m.If(advance):
            m.d.sync += place.eq(next_place(place))
        return place
