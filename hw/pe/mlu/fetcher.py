# SPDX-License-Identifier: Apache-2.0
"""Reading: the words of each run, in order, with what is known of them."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort
from hw.lib.compare import not_below
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.pe.fi.lanes import below
from hw.pe.mlu.geometry import MluGeometry

__all__ = ["WordFetcher", "next_word"]

_WORDS_AHEAD = 8  # a power of two; 6 keep the rate, the others bridge lost grants


def next_word(m: Module, word: Value, place: data.View) -> Value:
    """The run's word after `word`, wrapped at the end of the circular buffer."""
    straight = Signal(unsigned(len(place.limit) + 1), name="straight")
    m.d.comb += straight.eq(word + place.one_on)
    return Mux(not_below(straight, place.limit), straight - place.depth, straight)


class WordFetcher(wiring.Component):
    """Reads the words of runs, each as soon as there is room for it.

    Operation
        1. The words of a run, from its place on; then the next run.
        2. A word is `bad` when a byte in use has wrong parity.
        3. A step is reported when its last word was granted.
        4. After `stop` only reads that stand before the port are finished.

    Timing
        A word per cycle, from run to run too, when local memory grants at once; the first one
        5 cycles and local memory's latency after its run was offered. Words come from registers,
        requests too, and a grant goes into registers alone.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    fetches : In(stream.Signature(geometry.fetch_layout)), runs.
    ls : Out(LsReadPort(...)), a read slot of local memory.
    words : Out(stream.Signature(geometry.word_layout)), the words.
    step : Out(stream.Signature(StructLayout({"cb": 6, "advance": 16}))), steps that were read;
        they do not wait.
    step_room : In(1), at least 4 steps can be reported.
    stop : In(1), start nothing new.
    blocked : Out(1), local memory keeps a read waiting.
    moving : Out(1), a read is offered or its answer under way.
    """

    def __init__(self, *, geometry: MluGeometry) -> None:
        self.geometry = geometry
        self._leaves = Signal()  # a word has left the queue
        slot = LsReadPort(address_width=geometry.address_width, word_bytes=geometry.word_bytes)
        step = data.StructLayout({"cb": 6, "advance": 16})
        super().__init__(
            {
                "fetches": In(stream.Signature(geometry.fetch_layout)),
                "ls": Out(slot),
                "words": Out(stream.Signature(geometry.word_layout)),
                "step": Out(stream.Signature(step)),
                "step_room": In(1),
                "stop": In(1),
                "blocked": Out(1),
                "moving": Out(1),
            }
        )

    @property
    def _note_layout(self) -> data.StructLayout:
        """What is known of a word before it is there."""
        return data.StructLayout(
            {
                "begin": unsigned(self.geometry.word_log2),
                "end": unsigned(self.geometry.word_log2),
                "address": unsigned(self.geometry.address_width),
                "run_end": 1,
                "note": self.geometry.note_layout,
            }
        )

    @property
    def _read_layout(self) -> data.StructLayout:
        """A read, and the step that ends with it."""
        return data.StructLayout(
            {
                "address": unsigned(self.geometry.address_width),
                "step_end": 1,
                "cb": unsigned(6),
                "advance": unsigned(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reads = reads = SkidBuffer(shape=self._read_layout)
        m.submodules.notes = notes = StreamFifo(shape=self._note_layout, depth=_WORDS_AHEAD)
        run = Signal(self.geometry.fetch_layout)  # under way; `place.word`, `n_words` are left
        active, first = Signal(), Signal()
        goes, run_end = Signal(), Signal()
        m.d.comb += [
            # A word has its place before it is asked for.
            reads.i.valid.eq(active & notes.i.ready & self.step_room & ~self.stop),
            goes.eq(reads.i.valid & reads.i.ready),
            notes.i.valid.eq(goes),
            run_end.eq(run.n_words == 1),
            self.fetches.ready.eq(~active | (goes & run_end)),
        ]
        self._elaborate_read(m, reads.i.payload, notes.i.payload, run, first, run_end)
        with m.If(self.fetches.ready):
            m.d.sync += active.eq(self.fetches.valid)
            with m.If(self.fetches.valid):
                m.d.sync += [run.eq(self.fetches.payload), first.eq(1)]
        with m.Elif(goes):
            m.d.sync += [
                run.place.word.eq(next_word(m, run.place.word, run.place)),
                run.n_words.eq(run.n_words - 1),
                first.eq(0),
            ]
        self._elaborate_requests(m, reads.o, goes)
        self._elaborate_words(m, notes.o)
        return m

    def _elaborate_read(
        self,
        m: Module,
        read: data.View,
        note: data.View,
        run: data.View,
        first: Signal,
        run_end: Signal,
    ) -> None:
        """The next read of a run, and what is known of its word."""
        m.d.comb += [
            read.address.eq(run.place.word),
            read.step_end.eq(run_end & run.step_end),
            read.cb.eq(run.cb),
            read.advance.eq(run.advance),
            note.begin.eq(Mux(first, run.begin, 0)),
            note.end.eq(Mux(run_end | run.every, run.end, self.geometry.word_bytes - 1)),
            note.address.eq(run.place.word),
            note.run_end.eq(run_end),
            note.note.eq(run.note),
        ]

    def _elaborate_requests(self, m: Module, reads: stream.Interface, goes: Signal) -> None:
        """Offer the reads, report steps, count the reads whose answer is not there."""
        request, response, read = self.ls.request, self.ls.response, reads.payload
        in_flight = Signal(range(_WORDS_AHEAD + 1))
        m.d.comb += [
            request.valid.eq(reads.valid),
            request.payload.eq(read.address),
            reads.ready.eq(request.ready),
            self.moving.eq(in_flight.any() | self.step.valid),
        ]
        m.d.sync += [
            self.blocked.eq(request.valid & ~request.ready),
            self.step.valid.eq(request.valid & request.ready & read.step_end),
            self.step.payload.cb.eq(read.cb),
            self.step.payload.advance.eq(read.advance),
        ]
        with m.If(goes != response.valid):
            m.d.sync += in_flight.eq(Mux(goes, in_flight + 1, in_flight - 1))

    def _elaborate_words(self, m: Module, notes: stream.Interface) -> None:
        """Keep the words until they leave with their notes."""
        response, note = self.ls.response, notes.payload
        m.submodules.answers = answers = StreamFifo(
            shape=response.payload.shape(), depth=_WORDS_AHEAD
        )
        m.submodules.head = head = SkidBuffer(shape=self.geometry.word_layout)
        wiring.connect(m, wiring.flipped(self.words), head.o)
        size = self.geometry.word_bytes
        used = Signal(size)
        answer, word = answers.o.payload, head.i.payload
        m.d.comb += [
            answers.i.valid.eq(response.valid),
            answers.i.payload.eq(response.payload),
            head.i.valid.eq(answers.o.valid),
            answers.o.ready.eq(head.i.ready),
            notes.ready.eq(answers.o.valid & head.i.ready),
            used.eq(below(note.end + 1, size) & ~below(note.begin, size)),
            word.data.eq(answer.data),
            word.bad.eq((answer.error & used).any()),
            *(word[name].eq(note[name]) for name in ("note", "address", "run_end")),
        ]
