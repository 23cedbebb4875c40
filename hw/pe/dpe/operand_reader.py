# SPDX-License-Identifier: Apache-2.0
"""Reads one operand of the dot-product engine from local memory, word after word."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.iface.pe import CbPort, CbRole, LsReadPort
from hw.lib.address_generator import AddressGenerator, StepReporter, nest_layout
from hw.lib.elastic import StreamFifo

__all__ = ["LS_LATENCY", "OperandReader", "STRIDE_WIDTH", "operand_layout", "word_layout"]

LS_LATENCY = 2
"""Cycles from a granted read to its answer."""
STRIDE_WIDTH = 16
"""Bits of an operand's strides and offset in MML."""
# Room for the words of a round trip through local memory, and some more to ride out conflicts.
_DEPTH = 8


def operand_layout() -> data.StructLayout:
    """One operand of a command."""
    return data.StructLayout({"nest": nest_layout(STRIDE_WIDTH), "from_mlu": 1})


def word_layout(address_width: int, word_bytes: int) -> data.StructLayout:
    """One word of an operand."""
    return data.StructLayout(
        {"data": 8 * word_bytes, "note": _note_layout(address_width, word_bytes)}
    )


def _note_layout(address_width: int, word_bytes: int) -> data.StructLayout:
    return data.StructLayout(
        {
            "error": word_bytes,  # bytes with wrong parity
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
        super().__init__(
            {
                "nest": In(stream.Signature(operand_layout())),
                "cb": Out(CbPort()),
                "ls": Out(LsReadPort(address_width=address_width, word_bytes=word_bytes)),
                "from_mlu": Out(1),
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
        )
        m.submodules.reporter = reporter = StepReporter(role=CbRole.CONSUMER)
        m.submodules.fifo = fifo = StreamFifo(shape=self.words.payload.shape(), depth=_DEPTH)
        wiring.connect(m, generator.acquire, wiring.flipped(self.cb.acquire))
        wiring.connect(m, wiring.flipped(self.cb.grant), generator.grant)
        wiring.connect(m, reporter.done, wiring.flipped(self.cb.done))
        wiring.connect(m, fifo.o, wiring.flipped(self.words))

        n_taken = Signal(range(_DEPTH + 1))  # places of the queue in use or promised
        address = generator.addresses.payload
        may_read = Signal()
        takes, leaves = Signal(), Signal()
        m.d.comb += [
            generator.stop.eq(self.stop),
            # A report that finds no room holds up the step's last read.
            may_read.eq(generator.addresses.valid & (n_taken != _DEPTH) & reporter.step.ready),
            self.ls.request.valid.eq(may_read & ~address.outside),
            self.ls.request.payload.eq(address.address),
            takes.eq(may_read & (address.outside | self.ls.request.ready)),
            generator.addresses.ready.eq(takes),
            leaves.eq(fifo.o.valid & fifo.o.ready),
            reporter.step.valid.eq(takes & address.step_end),
            reporter.step.payload.cb.eq(address.cb),
            reporter.step.payload.advance.eq(address.advance),
            self.waits_for_cb.eq(generator.waiting),
            self.waits_for_ls.eq(self.ls.request.valid & ~self.ls.request.ready),
        ]
        with m.If(takes != leaves):
            m.d.sync += n_taken.eq(n_taken + takes - leaves)
        in_flight = self._elaborate_answer(m, takes, address, fifo)
        m.d.comb += self.settled.eq(~in_flight & ~reporter.pending)
        self._elaborate_nest(m, generator)
        return m

    def _elaborate_nest(self, m: Module, generator: AddressGenerator) -> None:
        """Start a nest, and remember where its words come from."""
        following = Signal()  # of the nest taken last; the one before may have an address left
        addresses = generator.addresses
        m.d.comb += [
            generator.nest.valid.eq(self.nest.valid),
            self.nest.ready.eq(generator.nest.ready),
            generator.nest.payload.eq(self.nest.payload.nest),
        ]
        with m.If(self.nest.valid & self.nest.ready):
            m.d.sync += following.eq(self.nest.payload.from_mlu)
        with m.If(~addresses.valid | addresses.ready):
            m.d.sync += self.from_mlu.eq(following)

    def _elaborate_answer(
        self, m: Module, takes: Signal, address: data.View, fifo: StreamFifo
    ) -> Signal:
        """What is known of a read walks beside it; returns whether one is under way."""
        note_shape = _note_layout(self.address_width, self.word_bytes)
        valid, note = takes, Signal(note_shape)
        m.d.comb += [
            note.address.eq(address.address),
            note.last.eq(address.last),
            note.cb.eq(address.cb),
            note.outside.eq(address.outside),
        ]
        in_flight = []
        for stage in range(1, LS_LATENCY + 1):
            next_valid = Signal(name=f"valid{stage}")
            next_note = Signal(note_shape, name=f"note{stage}", reset_less=True)
            m.d.sync += [next_valid.eq(valid), next_note.eq(note)]
            valid, note = next_valid, next_note
            in_flight.append(valid)
        m.d.comb += [
            fifo.i.valid.eq(valid),
            fifo.i.payload.data.eq(self.ls.response.payload.data),
            fifo.i.payload.note.eq(note),
            fifo.i.payload.note.error.eq(self.ls.response.payload.error),
        ]
        any_in_flight = Signal()
        m.d.comb += any_in_flight.eq(sum(in_flight) != 0)
        return any_in_flight
