# SPDX-License-Identifier: Apache-2.0
"""Puts finished beats into words of local memory."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import CbPort, CbRole
from hw.lib.address_generator import AddressGenerator, StepReporter, nest_layout
from hw.lib.word_writer import WordWriter, wrapped_address
from hw.pe.se.back import back_beat
from hw.pe.se.settings import settings_layout
from hw.pe.se.sizes import Sizes, inside_of, place_of

__all__ = ["Placer"]


class Placer(wiring.Component):
    """Gives each beat its address, and writes it.

    Operation: `nest` starts the nest of the output, whose level 0 counts the beats of a row; a
    statistic behind its row's elements takes an address of its own, but lies at the next word. The
    nest's end is the command's end: `busy` falls when everything is written and reported.

    Timing: a beat per cycle while local memory takes it; 1 cycle from a beat to its request.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    settings : In(settings_layout).
    nest : In(stream of nest_layout), in units of `sizes.unit_bytes`.
    beats : In(stream of back_beat), from the FP32 lanes.
    words : In(stream of words), from the integer drain path.
    cb : Out(CbPort); ls : Out(LsWritePort).array(write_words).
    stop : In(1), write nothing more but what was offered.
    outside : Out(1), the beat offered lies outside local memory; it is not taken.
    busy : Out(1); writing : Out(1), words or reports are under way.
    waits_for_cb, waits_for_ls : Out(1).
    step : Out(1), a step was reported.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        words = data.ArrayLayout(8 * sizes.word_bytes, sizes.write_words)
        super().__init__(
            {
                "settings": In(settings_layout(sizes)),
                "nest": In(stream.Signature(nest_layout(sizes.stride_width))),
                "beats": In(stream.Signature(back_beat(sizes))),
                "words": In(stream.Signature(words)),
                "cb": Out(CbPort()),
                "ls": Out(sizes.write_port).array(sizes.write_words),
                "stop": In(1),
                "outside": Out(1),
                "busy": Out(1),
                "writing": Out(1),
                "waits_for_cb": Out(1),
                "waits_for_ls": Out(1),
                "step": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        sizes, settings = self.sizes, self.settings
        m.submodules.generator = generator = AddressGenerator(
            address_width=sizes.unit_address_width,
            unit_bytes=sizes.unit_bytes,
            role=CbRole.PRODUCER,
            stride_width=sizes.stride_width,
        )
        m.submodules.reporter = reporter = StepReporter(role=CbRole.PRODUCER)
        m.submodules.writer = writer = WordWriter(
            n_words=sizes.write_words,
            address_width=sizes.address_width,
            word_bytes=sizes.word_bytes,
        )
        wiring.connect(m, wiring.flipped(self.nest), generator.nest)
        wiring.connect(m, generator.acquire, wiring.flipped(self.cb.acquire))
        wiring.connect(m, wiring.flipped(self.cb.grant), generator.grant)
        wiring.connect(m, reporter.done, wiring.flipped(self.cb.done))
        wiring.connect(m, writer.step, reporter.step)
        for outer, inner in zip(self.ls, writer.ls_out, strict=True):
            wiring.connect(m, wiring.flipped(outer), inner)
        there = Mux(settings.drains, self.words.valid, self.beats.valid)
        takes, may_take = Signal(), Signal()
        m.d.comb += [
            generator.stop.eq(self.stop),
            writer.i.valid.eq(there & generator.addresses.valid & ~self.stop),
            takes.eq(writer.i.valid & writer.i.ready),
            generator.addresses.ready.eq(takes),
            # Whoever waits for these is told before anything comes.
            may_take.eq(generator.addresses.valid & ~self.stop & writer.i.ready),
            self.words.ready.eq(may_take & settings.drains),
            self.beats.ready.eq(may_take & ~settings.drains),
            self.outside.eq(writer.outside),
            self.writing.eq(writer.busy | reporter.pending),
            self.busy.eq(generator.busy | self.writing),
            self.waits_for_cb.eq(generator.waiting),
            self.waits_for_ls.eq(writer.i.valid & ~writer.i.ready),
            self.step.eq(writer.step.valid & writer.step.ready),
        ]
        place = place_of(m, sizes, generator.addresses.payload)
        m.d.comb += writer.i.payload.place.eq(place)
        if sizes.with_fp:
            inside = self._elaborate_place(m, generator, place, writer, takes)
            self._elaborate_beats(m, writer, inside)
        self._elaborate_drained(m, writer)
        return m

    def _elaborate_place(
        self,
        m: Module,
        generator: AddressGenerator,
        place: data.View,
        writer: WordWriter,
        takes: Signal,
    ) -> Signal:
        """Where a beat of the FP32 lanes goes; returns the units from the start of the word."""
        sizes, settings = self.sizes, self.settings
        inside = Signal(sizes.unit_shift)
        behind = Signal(sizes.address_width + 1)  # the word behind the last beat of elements
        two_words = (settings.out_size == 2) & (4 * sizes.lanes > sizes.word_bytes)
        tail_bytes = settings.n_tail << 2
        n_words = Mux(two_words & (tail_bytes > sizes.word_bytes), 2, 1)
        following = wrapped_address(m, place, n_words, word_bytes=sizes.word_bytes)
        with m.If(takes & self.beats.payload.row_last):
            m.d.sync += behind.eq(following)
        m.d.comb += inside.eq(inside_of(sizes, generator.addresses.payload))
        with m.If(self.beats.payload.statistic & settings.elements & ~settings.drains):
            m.d.comb += [
                writer.i.payload.place.address.eq(behind),
                writer.i.payload.place.outside.eq(behind[-1]),
                inside.eq(0),
            ]
        return inside

    def _elaborate_beats(self, m: Module, writer: WordWriter, inside: Signal) -> None:
        """A beat of the FP32 lanes as bytes of two words.

        Copies of narrow beats fill the word: no shifter.
        """
        sizes, settings = self.sizes, self.settings
        beat, request = self.beats.payload, writer.i.payload
        word_bytes = sizes.word_bytes
        n_valid = Mux(beat.row_last, settings.n_tail, sizes.lanes)
        strobe = Signal(2 * word_bytes)  # before the place in the word
        words = Signal(16 * word_bytes)
        with m.Switch(settings.out_size):
            for code in range(3):
                with m.Case(code):
                    packed = Cat(value[: 8 << code] for value in beat.values)
                    copies = max(1, 8 * word_bytes // len(packed))
                    m.d.comb += [
                        words.eq(packed.replicate(copies)),
                        strobe.eq(
                            Cat(
                                (n_valid > lane).replicate(1 << code) for lane in range(sizes.lanes)
                            )
                        ),
                    ]
        with m.If(beat.statistic):
            m.d.comb += [
                words.eq(beat.values[0].replicate(word_bytes // 4)),
                strobe.eq(Const(0xF, 4)),
            ]
        m.d.comb += [
            request.words.as_value().eq(words),
            request.strobes.as_value().eq(strobe),
        ]
        with m.Switch(inside):
            for unit in range(1, word_bytes // sizes.unit_bytes):
                with m.Case(unit):
                    low = Cat(Const(0, unit * sizes.unit_bytes), strobe)[:word_bytes]
                    m.d.comb += request.strobes.as_value().eq(low)

    def _elaborate_drained(self, m: Module, writer: WordWriter) -> None:
        """Words of the integer drain path, as they are."""
        sizes, settings, request = self.sizes, self.settings, writer.i.payload
        strobes = (
            Const((1 << n_bytes) - 1, sizes.word_bytes * sizes.write_words)
            for n_bytes in (4 * sizes.integer_lanes, sizes.drain_bytes)
        )
        with m.If(settings.drains):
            m.d.comb += [
                request.words.eq(self.words.payload),
                request.strobes.as_value().eq(Mux(settings.integers, *strobes)),
            ]
