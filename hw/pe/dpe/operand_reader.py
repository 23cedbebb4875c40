# SPDX-License-Identifier: Apache-2.0
"""Reads one operand of the dot-product engine from local memory, word after word."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.iface.pe import CbPort, CbRole, LsReadPort
from hw.lib.address_generator import AddressGenerator, StepReporter, nest_layout
from hw.lib.elastic import StreamFifo

__all__ = [
    "LS_LATENCY",
    "OperandReader",
    "READS_AHEAD",
    "STRIDE_WIDTH",
    "operand_layout",
    "word_layout",
]

LS_LATENCY = 2
"""Cycles from a granted read to its answer."""
STRIDE_WIDTH = 16
"""Bits of an operand's strides and offset in MML."""
# Room for the words of a round trip through local memory, and some more to ride out conflicts.
READS_AHEAD = 8
"""Words of an operand that are read and not taken, at most."""


def operand_layout() -> data.StructLayout:
    """One operand of a command."""
    return data.StructLayout({"nest": nest_layout(STRIDE_WIDTH), "from_mlu": 1})


def word_layout(address_width: int, word_bytes: int) -> data.StructLayout:
    """One word of an operand."""
    fields = {"data": 8 * word_bytes, "error": word_bytes}  # bytes with wrong parity
    return data.StructLayout(fields | {"note": _note_layout(address_width)})


def _note_layout(address_width: int) -> data.StructLayout:
    return data.StructLayout(
        {
            "address": address_width,
            "last": LEVELS,  # levels at their last iteration
            "cb": 6,
            "outside": 1,  # the address is not legal; data has no meaning
        }
    )


class OperandReader(wiring.Component):
    """Walks one operand's loop nest and offers its words in order.

    Operation: `nest` starts a nest. Every address of a granted step is read as soon as there is
    room for the word; a word leaves when `words` takes it. An address outside of the circular
    buffer or of local memory is not read: its word comes with `outside` set. The step's end is
    reported to the CB table when its last word was granted. `stop` starts no further read.
    `from_mlu` says with each read that the layout unit gives its word (see `OperandFeed`).

    Timing: a word per cycle while local memory grants every read and words are taken; first word
    8 cycles after `nest` when the step is granted at once.

    Parameters
    ----------
    address_width : int
        Bits of a word address.
    word_bytes : int
        Bytes of a word.

    Members
    -------
    nest : In(stream of operand_layout)
        Nests to walk.
    cb : Out(CbPort)
        The operand's circular buffer.
    ls : Out(LsReadPort)
        Read slot.
    from_mlu : Out(1)
        The read that is offered asks for a word of the layout unit.
    flags : Out(valid-only stream of LEVELS bits)
        Of each word as its read starts: levels at their last iteration.
    words : Out(stream of word_layout)
        The words.
    stop : In(1)
        Read no more.
    settled : Out(1)
        No read and no report is under way.
    waits_for_cb : Out(1)
        A step is not granted.
    waits_for_ls : Out(1)
        A read is not granted in this cycle.
    """

    def __init__(self, *, address_width: int, word_bytes: int) -> None:
        self.address_width = address_width
        self.word_bytes = word_bytes
        self._answered = Signal()  # a read's answer is there
        super().__init__(
            {
                "nest": In(stream.Signature(operand_layout())),
                "cb": Out(CbPort()),
                "ls": Out(LsReadPort(address_width=address_width, word_bytes=word_bytes)),
                "from_mlu": Out(1),
                "flags": Out(stream.Signature(LEVELS, always_ready=True)),
                "words": Out(stream.Signature(word_layout(address_width, word_bytes))),
                "stop": In(1),
                "settled": Out(1),
                "waits_for_cb": Out(1),
                "waits_for_ls": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.generator = generator = AddressGenerator(
            address_width=self.address_width,
            unit_bytes=self.word_bytes,
            role=CbRole.CONSUMER,
            stride_width=STRIDE_WIDTH,
            queued=True,
        )
        m.submodules.reporter = reporter = StepReporter(role=CbRole.CONSUMER)
        notes = self._elaborate_words(m)
        wiring.connect(m, generator.acquire, wiring.flipped(self.cb.acquire))
        wiring.connect(m, wiring.flipped(self.cb.grant), generator.grant)
        wiring.connect(m, reporter.done, wiring.flipped(self.cb.done))

        address = generator.addresses.payload
        may_read = Signal()
        takes = Signal()
        m.d.comb += [
            generator.stop.eq(self.stop),
            # A report that finds no room holds up the step's last read.
            may_read.eq(generator.addresses.valid & notes.i.ready & reporter.step.ready),
            self.ls.request.valid.eq(may_read & ~address.outside),
            self.ls.request.payload.eq(address.address),
            takes.eq(may_read & (address.outside | self.ls.request.ready)),
            generator.addresses.ready.eq(takes),
            notes.i.valid.eq(takes),
            self.flags.valid.eq(takes),
            self.flags.payload.eq(address.last),
            *(
                notes.i.payload[name].eq(address[name])
                for name in ("address", "last", "cb", "outside")
            ),
            reporter.step.valid.eq(takes & address.step_end),
            reporter.step.payload.cb.eq(address.cb),
            reporter.step.payload.advance.eq(address.advance),
            self.waits_for_cb.eq(generator.waiting),
            self.waits_for_ls.eq(self.ls.request.valid & ~self.ls.request.ready),
        ]
        m.d.comb += self.settled.eq(~self._elaborate_flight(m, takes) & ~reporter.pending)
        self._elaborate_nest(m, generator)
        return m

    def _elaborate_nest(self, m: Module, generator: AddressGenerator) -> None:
        """Start a nest, and remember where its words come from."""
        following = Signal()  # of the nest taken last; the one before may have addresses left
        addresses = generator.addresses
        m.d.comb += [
            generator.nest.valid.eq(self.nest.valid),
            self.nest.ready.eq(generator.nest.ready),
            generator.nest.payload.eq(self.nest.payload.nest),
        ]
        with m.If(self.nest.valid & self.nest.ready):
            m.d.sync += following.eq(self.nest.payload.from_mlu)
        with m.If(~addresses.valid | (addresses.ready & addresses.payload.last.all())):
            m.d.sync += self.from_mlu.eq(following)

    def _elaborate_words(self, m: Module) -> StreamFifo:
        """Queues of what is known of each read, and of the answers; returns the former.

        A read has its place in both from the cycle in which it starts.
        """
        answer = self.ls.response.payload.shape()
        note = self.words.payload.note.shape()
        m.submodules.notes = notes = StreamFifo(shape=note, depth=READS_AHEAD)
        m.submodules.answers = answers = StreamFifo(shape=answer, depth=READS_AHEAD)
        m.d.comb += [
            answers.i.valid.eq(self._answered),
            answers.i.payload.eq(self.ls.response.payload),
            self.words.valid.eq(answers.o.valid),
            self.words.payload.data.eq(answers.o.payload.data),
            self.words.payload.error.eq(answers.o.payload.error),
            self.words.payload.note.eq(notes.o.payload),
            answers.o.ready.eq(self.words.ready),
            notes.o.ready.eq(self.words.valid & self.words.ready),
        ]
        return notes

    def _elaborate_flight(self, m: Module, takes: Signal) -> Value:
        """Valid bits of the reads under way; returns whether there are any."""
        in_flight = [takes]
        for stage in range(1, LS_LATENCY + 1):
            in_flight.append(Signal(name=f"valid{stage}"))
            m.d.sync += in_flight[stage].eq(in_flight[stage - 1])
        m.d.comb += self._answered.eq(in_flight[-1])
        return Cat(in_flight[1:]).any()
