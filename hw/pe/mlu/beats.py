# SPDX-License-Identifier: Apache-2.0
"""From runs to beats: for every cycle of the assembler which word it takes and which it gives."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LayoutOp
from hw.pe.mlu.fetcher import next_word
from hw.pe.mlu.geometry import MluGeometry

__all__ = ["BeatMaker"]


class BeatMaker(wiring.Component):
    """Cuts runs into beats.

    Operation
        1. A run of COPY takes its words one after another, and gives a word in every beat, except
           in the first one if the first destination word needs two source words (`late`).
        2. FILL takes none. TRANSPOSE gives the words of a block. DIAGONAL takes one word and gives
           many.
        3. Every beat says which nibbles of its word are data: of a run, those inside it; of a
           transposed block, all; of a diagonal, the one element that stays.

    Timing
        A beat per cycle, from run to run too; the first one the cycle after its run was taken.
        Combinational path from `beats.ready` to `jobs.ready`.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    jobs : In(stream.Signature(geometry.job_layout)), runs.
    beats : Out(stream.Signature(geometry.beat_layout)), their beats.
    """

    def __init__(self, *, geometry: MluGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "jobs": In(stream.Signature(geometry.job_layout)),
                "beats": Out(stream.Signature(geometry.beat_layout)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        job = Signal(self.geometry.job_layout)  # under way; `place.word` is the next word to give
        index = Signal.like(job.n_beats)
        # A register, as the way of the next run to all of this one's leads through it.
        ends, gives_first = Signal(), Signal()
        beat = self.beats.payload
        moves = self.beats.valid & self.beats.ready
        m.d.comb += [
            gives_first.eq(index == job.late),
            self.jobs.ready.eq(~self.beats.valid | (self.beats.ready & ends)),
            beat.takes.eq(index < job.n_taken),
            beat.turns.eq(job.setting.operation == LayoutOp.TRANSPOSE),
            beat.gives.eq((index != 0) | ~job.late),
            beat.setting.eq(job.setting),
            beat.rotation.eq(job.rotation),
            # Only while both words are at hand do the low lanes differ from the others.
            beat.n_kept.eq(
                Mux(
                    beat.takes,
                    Mux(job.n_taken == 1, 0, job.rotation),
                    self.geometry.word_bytes,
                )
            ),
            beat.out.address.eq(job.place.word),
            beat.out.target.eq(job.setting.target),
            beat.out.cb.eq(job.cb),
            beat.out.advance.eq(job.advance),
            beat.out.step_end.eq(job.step_end & ends),
            beat.out.command_end.eq(job.command_end & ends),
        ]
        self._elaborate_data(m, job, index, gives_first, ends)
        with m.If(self.jobs.ready):
            m.d.sync += [
                self.beats.valid.eq(self.jobs.valid),
                index.eq(0),
                ends.eq(self.jobs.payload.n_beats == 1),
            ]
            with m.If(self.jobs.valid):
                m.d.sync += job.eq(self.jobs.payload)
        with m.Elif(moves):
            m.d.sync += [index.eq(index + 1), ends.eq(index + 2 == job.n_beats)]
            with m.If(beat.gives):
                m.d.sync += job.place.word.eq(next_word(m, job.place.word, job.place))
        return m

    def _elaborate_data(
        self, m: Module, job: data.View, index: Signal, gives_first: Value, ends: Value
    ) -> None:
        """Nibbles of the word that are data."""
        beat, n_nibbles = self.beats.payload, self.geometry.n_nibbles
        operation, element = job.setting.operation, job.setting.element
        number = Signal(signed(len(job.skip) + 1))  # of the element that stays
        place = Signal(self.geometry.nibble_log2)  # where it lies
        m.d.comb += [number.eq(index - job.skip), place.eq(number << element)]
        with m.If(operation == LayoutOp.TRANSPOSE):
            m.d.comb += beat.high.eq(n_nibbles)
        with m.Elif(operation == LayoutOp.DIAGONAL):
            with m.If((number >= 0) & (number < job.length)):
                m.d.comb += [beat.low.eq(place), beat.high.eq(place + (Const(1) << element))]
        with m.Else():
            m.d.comb += [
                beat.low.eq(Mux(gives_first, Cat(Const(0, 1), job.lane), 0)),
                beat.high.eq(Mux(ends, Cat(Const(1, 1), job.end) + 1, n_nibbles)),
            ]
