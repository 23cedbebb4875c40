# SPDX-License-Identifier: Apache-2.0
"""Reading: the words of each run, in order, with what is known of them."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsReadPort
from hw.lib.elastic import StreamFifo
from hw.pe.fi.lanes import below
from hw.pe.mlu.geometry import MluGeometry

__all__ = ["LS_LATENCY", "WordFetcher", "next_word"]

LS_LATENCY = 2
"""Cycles from a granted read to its answer."""

_WORDS_AHEAD = 8  # 4 keep the rate, the others bridge lost grants


def next_word(m: Module, word: Value, place: data.View) -> Value:
    """The run's word after `word`, wrapped at the end of the circular buffer."""
    straight = Signal(unsigned(len(place.limit) + 1), name="straight")
    m.d.comb += straight.eq(word + place.one_on)
    return Mux(straight >= place.limit, straight - place.depth, straight)


class WordFetcher(wiring.Component):
    """Reads the words of runs, each as soon as there is room for it.

    Operation
        1. The words of a run, from its place on; then the next run.
        2. A word is `bad` when a byte in use has wrong parity.
        3. A step is reported when its last word is granted.
        4. After `stop` only a read that was offered before is finished.

    Timing
        A word per cycle, from run to run too, when local memory grants at once; the first one 5
        cycles after its run was offered.

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

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry = self.geometry
        run = Signal(geometry.fetch_layout)  # under way; `place.word`, `n_words` are what is left
        active, first = Signal(), Signal()
        request = self.ls.request
        granted, run_end = Signal(), Signal()
        note = Signal(self._note_layout)
        m.d.comb += [
            granted.eq(request.valid & request.ready),
            run_end.eq(run.n_words == 1),
            self.fetches.ready.eq(~active | (granted & run_end)),
            request.payload.eq(run.place.word),
            self.step.valid.eq(granted & run_end & run.step_end),
            self.step.payload.cb.eq(run.cb),
            self.step.payload.advance.eq(run.advance),
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
        with m.Elif(granted):
            m.d.sync += [
                run.place.word.eq(next_word(m, run.place.word, run.place)),
                run.n_words.eq(run.n_words - 1),
                first.eq(0),
            ]
        self._elaborate_words(m, active, granted, note)
        return m

    def _elaborate_words(self, m: Module, active: Signal, granted: Signal, note: data.View) -> None:
        """Offer a read when there is room for its word; keep the words."""
        m.submodules.queue = queue = StreamFifo(shape=self.geometry.word_layout, depth=_WORDS_AHEAD)
        wiring.connect(m, wiring.flipped(self.words), queue.o)
        n_taken = Signal(range(_WORDS_AHEAD + 1))  # places in use or promised
        offered = Signal()  # in the cycle before, and not granted
        leaves = queue.o.valid & queue.o.ready
        request = self.ls.request
        m.d.comb += [
            request.valid.eq(
                active & (n_taken != _WORDS_AHEAD) & self.step.ready & (~self.stop | offered)
            ),
            self.blocked.eq(request.valid & ~request.ready),
        ]
        m.d.sync += offered.eq(self.blocked)
        with m.If(granted != leaves):
            m.d.sync += n_taken.eq(n_taken + granted - leaves)

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
            self.moving.eq(request.valid | under_way[0] | under_way[1]),
        ]
