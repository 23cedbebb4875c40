# SPDX-License-Identifier: Apache-2.0
"""Reading of local memory for lines that will be written: two words a cycle, in order."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort
from hw.lib.elastic import StreamFifo
from hw.pe.fi.geometry import FiGeometry

__all__ = ["LineFetcher", "N_READ_SLOTS", "beat_layout"]

N_READ_SLOTS = 2

_WORDS_AHEAD = 8  # per slot; 4 keep the rate, the others bridge lost grants
_BEATS_AHEAD = 8


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
        2. Words lie alternately in two queues, whatever slot had to wait; `swap` says which one has
           the next word.
        3. A line is one beat; a run's first line that touches three words takes two, the first of
           which brings one word only.
        4. `fetched` shows each line as the last of its words is granted.

    Timing
        A beat per cycle when local memory grants at once; 4 cycles from a line to its beat.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    lines : In(stream.Signature(geometry.line_layout)), lines to read.
    ls : Out(LsReadPort(...)).array(2), local-memory slots.
    hold : In(1), begin with no further beat.
    beats : Out(stream.Signature(beat_layout(geometry))), what to do.
    words : Out(stream.Signature(word)).array(2), words with their error bits; the first of a beat
        is `words[0]`.
    fetched : Out(1), the line at `lines` leaves.
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
                "beats": Out(stream.Signature(beat_layout(geometry))),
                "words": Out(stream.Signature(self.word_layout)).array(N_READ_SLOTS),
                "fetched": Out(1),
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
        line, place = self.lines.payload, self.lines.payload.place
        beat = beats.i.payload
        second = Signal()  # the second beat of a line
        carried = Signal()  # the line's first word was read before
        in_two = Signal()
        done = Signal()  # the beat's words are granted, now or before
        m.d.comb += [
            in_two.eq(place.run_first & (place.n_words == 3)),
            carried.eq(second | (~place.run_first & (place.rotation != 0))),
            beat.n_new.eq(Mux(in_two & ~second, 1, place.n_words - carried)),
            beat.emit.eq(~in_two | second),
            beat.skip.eq(Mux(carried, 1, place.skip)),
            beat.line.eq(line),
            beats.i.valid.eq(done),
            self.fetched.eq(done & beat.emit),
            self.lines.ready.eq(self.fetched),
        ]
        with m.If(done):
            m.d.sync += second.eq(~beat.emit)

        begun = Signal()  # reads were offered, and stay so even if `hold` rises
        may_start = self.lines.valid & beats.i.ready & (~self.hold | begun)
        m.d.sync += begun.eq(may_start & ~done)
        addresses = [
            Mux(carried, place.words[index + 1], place.words[index])
            for index in range(N_READ_SLOTS)
        ]
        answers_due = self._elaborate_slots(m, beat.n_new, addresses, may_start, done)
        m.d.comb += self.moving.eq(begun | answers_due)
        return m

    def _elaborate_slots(
        self, m: Module, n_new: Value, addresses: list[Value], may_start: Value, done: Signal
    ) -> Value:
        """Each slot reads every other word; its queue keeps them in order."""
        odd = Signal()  # slot of the beat's first word, when asked for
        odd_out = Signal()  # and when taken
        missing, blocked, queues, moving = [], [], [], []
        for index, port in enumerate(self.ls):
            m.submodules[f"queue{index}"] = queue = StreamFifo(
                shape=self.word_layout, depth=_WORDS_AHEAD
            )
            reserved = Signal(range(_WORDS_AHEAD + 1), name=f"reserved{index}")
            sent = Signal(name=f"sent{index}")
            needed = n_new > (odd ^ index)
            asked = port.request.valid & port.request.ready
            popped = Signal(name=f"popped{index}")  # in the cycle before, so that no path leads on
            under_way = Signal(2, name=f"under_way{index}")
            m.d.sync += popped.eq(queue.o.valid & queue.o.ready)
            m.d.comb += [
                port.request.valid.eq(may_start & needed & ~sent & (reserved != _WORDS_AHEAD)),
                port.request.payload.eq(Mux(odd ^ index, addresses[1], addresses[0])),
                queue.i.valid.eq(port.response.valid),
                queue.i.payload.eq(port.response.payload),
            ]
            with m.If(asked != popped):
                m.d.sync += reserved.eq(Mux(asked, reserved + 1, reserved - 1))
            m.d.sync += [sent.eq((sent | asked) & ~done), under_way.eq(Cat(asked, under_way[0]))]
            missing.append(needed & ~sent & ~asked)
            blocked.append(port.request.valid & ~port.request.ready)
            queues.append(queue)
            moving.append(under_way.any())
        m.d.comb += [
            done.eq(may_start & ~Cat(missing).any()),
            self.blocked.eq(Cat(blocked).any()),
        ]
        with m.If(done):
            m.d.sync += odd.eq(odd ^ n_new[0])

        n_taken = Cat(words.valid & words.ready for words in self.words)
        with m.If(n_taken[0] ^ n_taken[1]):
            m.d.sync += odd_out.eq(~odd_out)
        for index, words in enumerate(self.words):
            with m.If(odd_out ^ index):
                m.d.comb += [
                    words.valid.eq(queues[1].o.valid),
                    words.payload.eq(queues[1].o.payload),
                    queues[1].o.ready.eq(words.ready),
                ]
            with m.Else():
                m.d.comb += [
                    words.valid.eq(queues[0].o.valid),
                    words.payload.eq(queues[0].o.payload),
                    queues[0].o.ready.eq(words.ready),
                ]
        return Cat(moving).any()
