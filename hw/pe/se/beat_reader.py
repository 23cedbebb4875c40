# SPDX-License-Identifier: Apache-2.0
"""Reads one operand of the SIMD engine from local memory, beat after beat."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import CbPort, CbRole
from hw.lib.address_generator import AddressGenerator, StepReporter, nest_layout
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.lib.word_writer import wrapped_address
from hw.pe.se.sizes import Sizes, inside_of, place_of

__all__ = ["BeatReader", "beat_layout"]

# Beats of a round trip through local memory, and some more to ride out conflicts.
_DEPTH = 8


def beat_layout(sizes: Sizes) -> data.StructLayout:
    """One beat of an operand: the words in which it lies."""
    n = sizes.read_words
    return data.StructLayout(
        {
            "words": data.ArrayLayout(8 * sizes.word_bytes, n),  # the second only where it is used
            "errors": data.ArrayLayout(sizes.word_bytes, n),  # bytes with wrong parity
            "note": _note_layout(sizes),
        }
    )


def _note_layout(sizes: Sizes) -> data.StructLayout:
    fields: dict[str, Any] = {
        "addresses": data.ArrayLayout(sizes.address_width, sizes.read_words),
        "cb": 6,
        "advance": 16,
        "step_end": 1,
        "outside": 1,  # an address is not legal; the words have no meaning
    }
    if sizes.read_words == 2:
        fields["inside"] = sizes.unit_shift  # units from the start of the first word
        fields["second"] = 1  # the second word is used
    return data.StructLayout(fields)


class BeatReader(wiring.Component):
    """Walks one operand's loop nest and offers its beats in order.

    Operation: `nest` starts a nest. Each address is the start of a beat, which lies in one or two
    words (one, without FP32 lanes); both are read at the same time, each through its own slot at
    its own pace. A beat is offered when it is complete. A step's end is reported when its last beat
    was taken. A beat with `outside` was not read. `stop` starts nothing new; what was offered to a
    slot stays.

    Timing: a beat per cycle while local memory grants every read and beats are taken; first beat
    10 cycles after `nest` when the step is granted at once.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    nest : In(stream of nest_layout), in units of `sizes.unit_bytes`.
    two_words : In(1), beats are two words.
    pairs : In(1), beats are two FP32 values; the second may lie in the next word.
    cb : Out(CbPort).
    ls : Out(LsReadPort).array(read_words).
    beats : Out(stream of beat_layout).
    stop : In(1), read no more.
    busy : Out(1), the nest is not at its end, or a report waits.
    settled : Out(1), no read and no report is under way.
    waits_for_cb : Out(1), a step is not granted.
    waits_for_ls : Out(1), a read is not granted in this cycle.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "nest": In(stream.Signature(nest_layout(sizes.stride_width))),
                "two_words": In(1),
                "pairs": In(1),
                "cb": Out(CbPort()),
                "ls": Out(sizes.read_port).array(sizes.read_words),
                "beats": Out(stream.Signature(beat_layout(sizes))),
                "stop": In(1),
                "busy": Out(1),
                "settled": Out(1),
                "waits_for_cb": Out(1),
                "waits_for_ls": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        sizes = self.sizes
        m.submodules.generator = generator = AddressGenerator(
            address_width=sizes.unit_address_width,
            unit_bytes=sizes.unit_bytes,
            role=CbRole.CONSUMER,
            stride_width=sizes.stride_width,
        )
        m.submodules.reporter = reporter = StepReporter(role=CbRole.CONSUMER)
        m.submodules.notes = notes = StreamFifo(shape=_note_layout(sizes), depth=_DEPTH)
        wiring.connect(m, wiring.flipped(self.nest), generator.nest)
        wiring.connect(m, generator.acquire, wiring.flipped(self.cb.acquire))
        wiring.connect(m, wiring.flipped(self.cb.grant), generator.grant)
        wiring.connect(m, reporter.done, wiring.flipped(self.cb.done))

        note = self._elaborate_note(m, generator)
        slots = [self._elaborate_slot(m, number, notes) for number in range(sizes.read_words)]
        takes = Signal()
        m.d.comb += [
            generator.stop.eq(self.stop),
            notes.i.payload.eq(note),
            takes.eq(
                generator.addresses.valid
                & notes.i.ready
                & self._every(note, [slot["ready"] for slot in slots])
                & ~self.stop
            ),
            notes.i.valid.eq(takes),
            generator.addresses.ready.eq(takes),
            *(
                slot["asks"].eq(takes & ~note.outside & used)
                for slot, used in zip(slots, self._used(note), strict=True)
            ),
            self.waits_for_cb.eq(generator.waiting & ~notes.o.valid),
            self.waits_for_ls.eq(Cat(slot["waits"] for slot in slots).any()),
            self.busy.eq(generator.busy | notes.o.valid | reporter.pending),
            self.settled.eq(~Cat(*(s["in_flight"] for s in slots), reporter.pending).any()),
        ]
        self._elaborate_beats(m, notes, slots, reporter)
        return m

    def _used(self, note: data.View) -> list[Value]:
        """For each slot whether a beat has a word there."""
        return [Const(1, 1)] if self.sizes.read_words == 1 else [Const(1, 1), note.second]

    def _every(self, note: data.View, there: list[Value]) -> Value:
        """Whether every slot that is used is `there`."""
        return Cat(x | ~used for x, used in zip(there, self._used(note), strict=True)).all()

    def _elaborate_note(self, m: Module, generator: AddressGenerator) -> data.View:
        """What is known of a beat before it is read."""
        sizes = self.sizes
        address = generator.addresses.payload
        place = place_of(m, sizes, address)
        note = Signal(_note_layout(sizes))
        m.d.comb += [
            note.addresses[0].eq(place.address),
            note.outside.eq(place.outside),
            note.cb.eq(address.cb),
            note.advance.eq(address.advance),
            note.step_end.eq(address.step_end),
        ]
        if sizes.read_words == 1:
            return note
        following = wrapped_address(m, place, 1, word_bytes=sizes.word_bytes)
        inside = inside_of(sizes, address)
        at_end = (inside >> sizes.value_shift) == sizes.word_bytes // 4 - 1
        second = self.two_words | (self.pairs & at_end)
        m.d.comb += [
            note.addresses[1].eq(following),
            note.inside.eq(inside),
            note.second.eq(second),
            note.outside.eq(place.outside | (second & following[-1])),
        ]
        return note

    def _elaborate_slot(self, m: Module, number: int, notes: StreamFifo) -> dict[str, Any]:
        """One slot: requests leave through two registers, answers wait in a queue."""
        sizes, port = self.sizes, self.ls[number]
        answer_shape = port.response.payload.shape()
        m.submodules[f"asking{number}"] = asking = SkidBuffer(shape=sizes.address_width)
        m.submodules[f"answers{number}"] = answers = StreamFifo(shape=answer_shape, depth=_DEPTH)
        wiring.connect(m, asking.o, wiring.flipped(port.request))
        in_flight = Signal(range(_DEPTH + 1), name=f"in_flight{number}")
        with m.If(asking.i.valid != port.response.valid):
            m.d.sync += in_flight.eq(Mux(asking.i.valid, in_flight + 1, in_flight - 1))
        m.d.comb += [
            asking.i.payload.eq(notes.i.payload.addresses[number]),
            answers.i.valid.eq(port.response.valid),
            answers.i.payload.eq(port.response.payload),
        ]
        return {
            "ready": asking.i.ready,
            "asks": asking.i.valid,
            "answers": answers,
            "waits": port.request.valid & ~port.request.ready,
            "in_flight": in_flight.any(),
        }

    def _elaborate_beats(
        self, m: Module, notes: StreamFifo, slots: list[dict[str, Any]], reporter: StepReporter
    ) -> None:
        """Join the words of a beat; report a step with its last beat."""
        beat, note = self.beats.payload, notes.o.payload
        answers = [slot["answers"].o for slot in slots]
        taken = Signal()
        m.d.comb += [
            self.beats.valid.eq(
                notes.o.valid
                & (note.outside | self._every(note, [answer.valid for answer in answers]))
                & reporter.step.ready
            ),
            taken.eq(self.beats.valid & self.beats.ready),
            notes.o.ready.eq(taken),
            *(
                answer.ready.eq(taken & ~note.outside & used)
                for answer, used in zip(answers, self._used(note), strict=True)
            ),
            beat.note.eq(note),
            reporter.step.valid.eq(taken & note.step_end),
            reporter.step.payload.cb.eq(note.cb),
            reporter.step.payload.advance.eq(note.advance),
        ]
        for number, answer in enumerate(answers):
            m.d.comb += [
                beat.words[number].eq(answer.payload.data),
                beat.errors[number].eq(answer.payload.error),
            ]
