# SPDX-License-Identifier: Apache-2.0
"""Reading: the words of each run, in order, with what is known of them."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort
from hw.lib.compare import not_below
from hw.lib.elastic import PipeStage, SkidBuffer, StreamFifo
from hw.pe.fi.lanes import below
from hw.pe.mlu.geometry import MluGeometry

__all__ = ["LS_LATENCY", "WordFetcher", "next_word"]

LS_LATENCY = 2
"""Cycles from a granted read to its answer."""

_WORDS_AHEAD = 8  # a power of two; 4 keep the rate, the others bridge lost grants


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
        3. A step is reported when its last word is granted.
        4. After `stop` only a read that was offered before is finished.

    Timing
        A word per cycle, from run to run too, when local memory grants at once; the first one 7
        cycles after its run was offered. Words come from registers.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    fetches : In(stream.Signature(geometry.fetch_layout)), runs.
    ls : Out(LsReadPort(...)), a read slot of local memory.
    words : Out(stream.Signature(geometry.word_layout)), the words.
    step : Out(stream.Signature(StructLayout({"cb": 6, "advance": 16}))), steps that were read.
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
                "stop": In(1),
                "blocked": Out(1),
                "moving": Out(1),
            }
        )

    @property
    def _note_layout(self) -> data.StructLayout:
        """What walks beside a read."""
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
        step = {"step_end": 1, "cb": unsigned(6), "advance": unsigned(16)}
        return data.StructLayout({"note": self._note_layout, **step})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        m.submodules.reads = reads = SkidBuffer(shape=self._read_layout)
        run = Signal(geometry.fetch_layout)  # under way; `place.word`, `n_words` are what is left
        active, first = Signal(), Signal()
        goes, run_end = Signal(), Signal()
        read = reads.i.payload
        note = read.note
        m.d.comb += [
            reads.i.valid.eq(active),
            goes.eq(active & reads.i.ready),
            run_end.eq(run.n_words == 1),
            self.fetches.ready.eq(~active | (goes & run_end)),
            read.step_end.eq(run_end & run.step_end),
            read.cb.eq(run.cb),
            read.advance.eq(run.advance),
            note.begin.eq(Mux(first, run.begin, 0)),
            note.end.eq(Mux(run_end | run.every, run.end, geometry.word_bytes - 1)),
            note.address.eq(run.place.word),
            note.run_end.eq(run_end),
            note.note.eq(run.note),
        ]
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
        granted = self._elaborate_requests(m, reads.o)
        self._elaborate_words(m, granted, reads.o.payload.note)
        return m

    def _elaborate_requests(self, m: Module, reads: stream.Interface) -> Signal:
        """Offer a read when there is room for its word; returns whether it is granted."""
        n_taken = Signal(range(_WORDS_AHEAD + 1))  # places in use or promised
        offered = Signal()  # in the cycle before, and not granted
        granted = Signal()
        request, read = self.ls.request, reads.payload
        m.d.comb += [
            request.valid.eq(reads.valid & ~n_taken[-1] & self.step.ready & (~self.stop | offered)),
            request.payload.eq(read.note.address),
            granted.eq(request.valid & request.ready),
            reads.ready.eq(granted),
            self.step.valid.eq(granted & read.step_end),
            self.step.payload.cb.eq(read.cb),
            self.step.payload.advance.eq(read.advance),
            self.blocked.eq(request.valid & ~request.ready),
        ]
        m.d.sync += offered.eq(self.blocked)
        with m.If(granted != self._leaves):
            m.d.sync += n_taken.eq(n_taken + granted - self._leaves)
        return granted

    def _elaborate_words(self, m: Module, granted: Signal, note: data.View) -> None:
        """Keep the words, with what walks beside them."""
        m.submodules.queue = queue = StreamFifo(shape=self.geometry.word_layout, depth=_WORDS_AHEAD)
        m.submodules.head = head = PipeStage(shape=self.geometry.word_layout)
        wiring.connect(m, queue.o, head.i)
        wiring.connect(m, wiring.flipped(self.words), head.o)
        # In the cycle before, so that no path leads on.
        m.d.sync += self._leaves.eq(queue.o.valid & queue.o.ready)
        valid, under_way = granted, []
        for stage in range(1, LS_LATENCY + 1):
            next_valid = Signal(name=f"valid{stage}")
            following = Signal(self._note_layout, name=f"note{stage}", reset_less=True)
            m.d.sync += [next_valid.eq(valid), following.eq(note)]
            valid, note = next_valid, following
            under_way.append(valid)
        size = self.geometry.word_bytes
        used = Signal(size)
        answer, word = self.ls.response.payload, queue.i.payload
        m.d.comb += [
            used.eq(below(note.end + 1, size) & ~below(note.begin, size)),
            queue.i.valid.eq(valid),
            word.data.eq(answer.data),
            word.bad.eq((answer.error & used).any()),
            *(word[name].eq(note[name]) for name in ("note", "address", "run_end")),
            self.moving.eq(self.ls.request.valid | under_way[0] | under_way[1]),
        ]
