# SPDX-License-Identifier: Apache-2.0
"""Reads one operand of the dot-product engine from local memory, word after word."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.iface.pe import CbPort, CbRole, LsReadPort
from hw.lib.address_generator import AddressGenerator, nest_layout
from hw.lib.elastic import StreamFifo
from hw.lib.step_announcer import StepAnnouncer
from hw.pe.dpe.word_queue import WordQueue, word_layout

__all__ = ["OperandReader", "STRIDE_WIDTH", "operand_layout"]

STRIDE_WIDTH = 16
"""Bits of an operand's strides and offset in MML."""
# In each cycle one comes and one goes; 3 come after it was seen that they are two.
_READS_WAITING = 4


def operand_layout() -> data.StructLayout:
    """One operand of a command."""
    return data.StructLayout({"nest": nest_layout(STRIDE_WIDTH), "from_mlu": 1, "k_level": 3})


class OperandReader(wiring.Component):
    """Walks one operand's loop nest and offers its words in order.

    Operation
        1. `nest` starts a nest. Every address of a granted step takes a place for its word, and
           its read waits in a short queue for its turn at the port.
        2. A read that is offered stays offered until it is granted. `from_mlu` asks the layout
           unit for a word in its place (see `OperandFeed`), when no read is under way, so that
           answers come in order.
        3. An address outside of the circular buffer or of local memory is not read: its word comes
           with `outside` set, and none behind it.
        4. The step's end is reported to the CB table when its last word was granted.
        5. `stop` offers no further read, and asks the layout unit no more.

    Timing
        A word per cycle while local memory grants every read and words are taken; first word
        9 cycles and local memory's latency (3 at most) after `nest` when the step is granted at
        once; n words of a step take max(n, 4) cycles. What is offered comes from registers, and a
        grant leads to no further than the registers of the port and its queue.

    Parameters
    ----------
    address_width : int
        Bits of a word address.
    word_bytes : int
        Bytes of a word.
    held : bool
        A nest stays at `nest` until its last address (see `AddressGenerator`).

    Members
    -------
    nest : In(stream of operand_layout)
        Nests to walk.
    cb : Out(CbPort)
        The operand's circular buffer.
    ls : Out(LsReadPort)
        Read slot.
    from_mlu : Out(1)
        A word of the layout unit is asked for, in place of a read.
    flags : Out(valid-only stream of LEVELS bits)
        Of each word as its read is known: levels at their last iteration.
    words : Out(stream of word_layout)
        The words.
    stop : In(1)
        Read no more.
    settled : Out(1)
        No read and no report is under way.
    waits_for_cb : Out(1)
        A step is not granted.
    waits_for_ls : Out(1)
        A read was not granted in the cycle before.
    """

    def __init__(self, *, address_width: int, word_bytes: int, held: bool) -> None:
        self.address_width = address_width
        self.word_bytes = word_bytes
        self.held = held
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

    @property
    def _read_layout(self) -> data.StructLayout:
        """A read that waits for its turn."""
        return data.StructLayout(
            {
                "address": self.address_width,
                "from_mlu": 1,
                "outside": 1,  # takes no turn
                "step_end": 1,  # with it a step has moved, which is to be reported
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.generator = generator = AddressGenerator(
            address_width=self.address_width,
            unit_bytes=self.word_bytes,
            role=CbRole.CONSUMER,
            stride_width=STRIDE_WIDTH,
            staged=True,
            held=self.held,
        )
        m.submodules.steps = steps = StepAnnouncer(role=CbRole.CONSUMER)
        m.submodules.queue = queue = WordQueue(
            address_width=self.address_width, word_bytes=self.word_bytes
        )
        m.submodules.reads = reads = StreamFifo(shape=self._read_layout, depth=_READS_WAITING)
        wiring.connect(m, generator.acquire, wiring.flipped(self.cb.acquire))
        wiring.connect(m, wiring.flipped(self.cb.grant), generator.grant)
        wiring.connect(m, steps.done, wiring.flipped(self.cb.done))
        wiring.connect(m, wiring.flipped(self.ls.response), queue.answers)
        wiring.connect(m, queue.words, wiring.flipped(self.words))
        m.d.comb += [
            generator.nest.valid.eq(self.nest.valid),
            self.nest.ready.eq(generator.nest.ready),
            generator.nest.payload.eq(self.nest.payload.nest),
            generator.stop.eq(self.stop),
            self.waits_for_cb.eq(generator.waiting),
        ]
        self._elaborate_addresses(m, generator, steps, queue, reads)
        moves = self._elaborate_port(m, reads, steps)
        m.d.comb += self.settled.eq(~moves & ~steps.moved & ~steps.pending)
        return m

    def _elaborate_addresses(
        self,
        m: Module,
        generator: AddressGenerator,
        steps: StepAnnouncer,
        queue: WordQueue,
        reads: StreamFifo,
    ) -> None:
        """An address goes to all who need to know of it; each of them has room."""
        from_mlu, k_level = Signal(), Signal(3)
        with m.If(self.nest.ready | self.held):  # a held one is there while it is walked
            m.d.sync += [
                from_mlu.eq(self.nest.payload.from_mlu),
                k_level.eq(self.nest.payload.k_level),
            ]
        address, read = generator.addresses.payload, reads.i.payload
        goes = Signal()
        # A register, as all of the walk hangs on it. An address goes 2 cycles after this was seen,
        # so as many more are on their way; of them two at most end a step.
        m.d.sync += generator.room.eq(queue.room & (reads.level < 2) & steps.room)
        m.d.comb += [
            goes.eq(generator.addresses.valid & ~queue.ended),
            read.address.eq(address.address),
            read.from_mlu.eq(from_mlu),
            read.outside.eq(address.outside),
            read.step_end.eq(address.step_end & (address.advance != 0)),
            reads.i.valid.eq(goes),
            queue.notes.valid.eq(goes),
            *(
                queue.notes.payload[name].eq(address[name])
                for name in ("address", "last", "cb", "outside")
            ),
            queue.notes.payload.k_last.eq(
                (k_level == 0) | address.last.bit_select(k_level, 1),
            ),
            steps.step.valid.eq(goes & read.step_end),
            steps.step.payload.cb.eq(address.cb),
            steps.step.payload.advance.eq(address.advance),
            self.flags.valid.eq(goes),
            self.flags.payload.eq(address.last),
        ]

    def _elaborate_port(self, m: Module, reads: StreamFifo, steps: StepAnnouncer) -> Signal:
        """The read that is offered; returns whether one is offered or under way."""
        read = reads.o.payload
        n_under_way = Signal(2)  # in local memory
        step_end, free, granted = Signal(), Signal(), Signal()
        may, moves = Signal(), Signal()
        request, answered = self.ls.request, self.ls.response.valid
        offered = request.valid | self.from_mlu
        m.d.comb += [
            moves.eq(request.valid | (n_under_way != 0)),
            may.eq(reads.o.valid & ~read.outside & ~self.stop & ~(read.from_mlu & moves)),
            free.eq(~offered | request.ready),
            granted.eq(offered & request.ready),
            reads.o.ready.eq(free & may),
        ]
        with m.If(free):
            m.d.sync += [
                request.valid.eq(may & ~read.from_mlu),
                self.from_mlu.eq(may & read.from_mlu),
                request.payload.eq(read.address),
                step_end.eq(may & read.step_end),
            ]
        with m.If(self.stop):
            # The layout unit may have come to a stop as well, and never answer.
            m.d.sync += self.from_mlu.eq(0)
        with m.If(granted != answered):
            m.d.sync += n_under_way.eq(Mux(granted, n_under_way + 1, n_under_way - 1))
        m.d.sync += [steps.moved.eq(granted & step_end), self.waits_for_ls.eq(~free)]
        return moves
