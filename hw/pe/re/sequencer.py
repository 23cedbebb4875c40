# SPDX-License-Identifier: Apache-2.0
"""Takes commands of the reduction engine and turns them into rows (DRAIN) and banks (PRELOAD)."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS, LONG_BITS, Destination, Opcode
from hw.iface.command_view import view
from hw.iface.pe import CbPort, CbRole, Completion
from hw.lib.address_generator import AddressGenerator, StepReporter
from hw.lib.elastic import StreamFifo
from hw.lib.loop_nest import LoopOffset
from hw.lib.word_writer import place_layout

__all__ = ["Sequencer", "item_layout"]

_BANK_BITS = 4
_ADDRESSES_AHEAD = 4


def item_layout(banks: int, rows: int, columns: int, address_width: int) -> data.StructLayout:
    """One row to drain, or one bank to preload."""
    return data.StructLayout(
        {
            "bank": range(banks),
            "row": range(rows),
            "first": 1,  # of its bank
            "last": 1,
            "n_valid": range(columns + 1),  # columns that count for minimum and maximum
            "place": place_layout(address_width),
        }
    )


class Sequencer(wiring.Component):
    """Walks the nest of one command at a time, with the shared address generator.

    Operation: (1) a command is taken a cycle after it is seen and the one before is complete, and
    its nest goes to the generator in that cycle, so that only the rest of it is kept here. (2)
    `items` offers one item for each iteration of its nest, as soon as its address is there. (3) The
    command is complete when all items were taken, `settled` is high and the CB table knows of all
    steps. (4) `stop` drops the command and takes none.

    One generator serves both directions, since commands run one at a time; a step of DRAIN is
    produced into a circular buffer at `cb_out`, one of PRELOAD consumed from one at `cb_in`. Rows
    for a link are one step that needs no grant; their addresses mean nothing.

    Timing: first item 6 cycles after the command where its step is granted at once; then an item
    per cycle, except between steps of fewer than 3 items. With `staged` it is 8 cycles, and steps
    of fewer than 4 items.

    Parameters
    ----------
    banks, rows, columns : sizes.
    address_width, word_bytes : local memory.
    staged : the generator has registers before its sums, for a faster clock.

    Members
    -------
    command : In(stream of 512 bits), commands.
    completion : Out(valid-only stream of Completion).
    cb_in, cb_out : Out(CbPort).
    items : Out(stream of item_layout).
    step : In(stream of cb and advance), a step's data has moved.
    settled : In(1), nothing of the items taken is under way.
    stop : In(1), drop everything.
    running : Out(1), a command is under way.
    is_preload : Out(1), it is a PRELOAD.
    current : Out(512), it.
    unreported : Out(1), a step's news waits for the CB table.
    waits_for_cb : Out(1), no item is there because a step is not granted.
    """

    def __init__(
        self,
        *,
        banks: int,
        rows: int,
        columns: int,
        address_width: int,
        word_bytes: int,
        staged: bool,
    ) -> None:
        self.staged = staged
        self.banks = banks
        self.rows = rows
        self.columns = columns
        self.address_width = address_width
        self.word_bytes = word_bytes
        step = data.StructLayout({"cb": 6, "advance": 16})
        items = item_layout(banks, rows, columns, address_width)
        super().__init__(
            {
                "command": In(stream.Signature(LONG_BITS)),
                "completion": Out(stream.Signature(Completion, always_ready=True)),
                "cb_in": Out(CbPort()),
                "cb_out": Out(CbPort()),
                "items": Out(stream.Signature(items)),
                "step": In(stream.Signature(step)),
                "settled": In(1),
                "stop": In(1),
                "running": Out(1),
                "is_preload": Out(1),
                "current": Out(LONG_BITS),
                "unreported": Out(1),
                "waits_for_cb": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        command = view(self.current, Opcode.DRAIN)
        starting = view(self.command.payload, Opcode.DRAIN)
        m.submodules.generator = generator = AddressGenerator(
            address_width=self.address_width,
            unit_bytes=self.word_bytes,
            role=CbRole.PRODUCER,
            stride_width=16,
            queued=not self.staged,
            staged=self.staged,
        )
        addresses = self._elaborate_queue(m, generator) if self.staged else generator.addresses
        m.submodules.reporter = reporter = StepReporter(role=CbRole.PRODUCER)
        m.submodules.walk = walk = LoopOffset(offset_width=_BANK_BITS)
        wiring.connect(m, wiring.flipped(self.step), reporter.step)
        addressed = Signal()
        # As registers, since whoever may move on hangs on them.
        with m.If(walk.start):
            m.d.sync += [
                self.is_preload.eq(starting.opcode == Opcode.PRELOAD),
                addressed.eq(_is_addressed(starting)),
            ]
        m.d.comb += [
            generator.stop.eq(self.stop),
            self.unreported.eq(reporter.pending),
        ]
        self._elaborate_ports(m, generator, reporter, addressed)
        self._elaborate_nests(m, starting, generator)
        m.d.comb += self.waits_for_cb.eq(generator.waiting)
        self._elaborate_items(m, command, addresses, walk)
        m.d.comb += walk.origin.eq(starting.bank.as_signed())
        self._elaborate_control(m, command, generator, walk, reporter)
        return m

    def _elaborate_queue(self, m: Module, generator: AddressGenerator) -> Any:
        """Keeps addresses of a staged generator until they are taken."""
        queue = StreamFifo(shape=generator.addresses.payload.shape(), depth=_ADDRESSES_AHEAD)
        m.submodules.queue = ResetInserter(self.stop)(queue)
        m.d.comb += [
            queue.i.valid.eq(generator.addresses.valid),
            queue.i.payload.eq(generator.addresses.payload),
            # One may come now, and one in the next cycle.
            generator.room.eq(queue.level < _ADDRESSES_AHEAD - 1),
        ]
        return queue.o

    def _elaborate_ports(
        self, m: Module, generator: AddressGenerator, reporter: StepReporter, addressed: Value
    ) -> None:
        """Connect generator and reporter to the port of the direction that the command has."""
        with m.If(~addressed):
            m.d.comb += [generator.acquire.ready.eq(1), generator.grant.valid.eq(1)]
        for port, role, chosen in (
            (self.cb_in, CbRole.CONSUMER, self.is_preload),
            (self.cb_out, CbRole.PRODUCER, ~self.is_preload & addressed),
        ):
            m.d.comb += [
                port.acquire.payload.eq(generator.acquire.payload),
                port.acquire.payload.role.eq(role),
                port.acquire.valid.eq(generator.acquire.valid & chosen),
                port.done.payload.eq(reporter.done.payload),
                port.done.payload.role.eq(role),
                port.done.valid.eq(reporter.done.valid & chosen),
            ]
            with m.If(chosen):
                m.d.comb += [
                    generator.acquire.ready.eq(port.acquire.ready),
                    generator.grant.valid.eq(port.grant.valid),
                    generator.grant.payload.eq(port.grant.payload),
                    reporter.done.ready.eq(port.done.ready),
                ]

    def _elaborate_nests(self, m: Module, command: Any, generator: AddressGenerator) -> None:
        """The nest of the command that starts."""
        nest = generator.nest.payload
        m.d.comb += [
            *(nest.counts[level].eq(command[f"count{level}"]) for level in range(LEVELS)),
            nest.tail_level.eq(command.m_level),
            nest.tail_count.eq(Mux(command.opcode == Opcode.PRELOAD, 0, command.m_tail)),
            *(nest.strides[level].eq(command[f"stride{level}"]) for level in range(LEVELS)),
            *(
                getattr(nest, name).eq(command[name])
                for name in ("offset", "cb", "adv_level", "need", "adv")
            ),
            nest.step_level.eq(Mux(_is_addressed(command), command.step_level, LEVELS)),
        ]

    def _elaborate_items(
        self,
        m: Module,
        command: Any,
        addresses: Any,
        walk: LoopOffset,
    ) -> None:
        """Join banks and addresses."""
        item = self.items.payload
        row = Signal(range(self.rows))
        source = addresses.payload
        in_n_tail = Cat(source.last, 0, 0, 0).bit_select(command.n_level, 1)
        m.d.comb += [
            item.bank.eq(walk.offset),
            item.row.eq(row),
            item.first.eq(row == 0),
            item.last.eq(source.last[0]),
            item.n_valid.eq(Mux(in_n_tail & (command.n_tail != 0), command.n_tail, self.columns)),
            *(
                getattr(item.place, name).eq(getattr(source, name))
                for name in ("address", "outside", "base", "depth", "cb", "step_end", "advance")
            ),
            walk.strides[0].eq(0),
            *(
                walk.strides[level].eq(command[f"bank_stride{level}"].as_signed())
                for level in range(1, LEVELS)
            ),
            walk.goes_on.eq(~source.last),
            self.items.valid.eq(addresses.valid),
            walk.step.eq(self.items.valid & self.items.ready),
            addresses.ready.eq(walk.step),
        ]
        with m.If(walk.start):
            m.d.sync += row.eq(0)
        with m.Elif(walk.step):
            m.d.sync += row.eq(Mux(source.last[0], 0, row + 1))

    def _elaborate_control(
        self,
        m: Module,
        command: Any,
        generator: AddressGenerator,
        walk: LoopOffset,
        reporter: StepReporter,
    ) -> None:
        """Take a command, start its nests, wait for its end."""
        # LUT RAM: what else is said of the command changes only when the next one is taken.
        m.submodules.kept = kept = memory.Memory(shape=LONG_BITS, depth=2, init=[])
        write, read = kept.write_port(), kept.read_port(domain="comb")
        # Words take turns: a LUT RAM is timed from its address, so that must change with the word.
        which = Signal()
        m.d.comb += [
            write.addr.eq(~which),
            write.en.eq(walk.start),
            write.data.eq(self.command.payload),
            read.addr.eq(which),
            self.current.eq(read.data),
        ]
        with m.If(walk.start):
            m.d.sync += which.eq(~which)
        fields = ("tag", "signal_en", "signal_counter", "signal_row", "signal_col")
        m.d.comb += [getattr(self.completion.payload, name).eq(command[name]) for name in fields]
        # A register, since it reaches so many.
        m.d.sync += walk.start.eq(0)
        m.d.comb += [self.command.ready.eq(walk.start), generator.nest.valid.eq(walk.start)]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.command.valid & generator.nest.ready):
                    m.d.sync += walk.start.eq(1)
                    m.next = "START"
            with m.State("START"):
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.running.eq(1)
                with m.If(walk.step & ~walk.goes_on.any()):
                    m.next = "FINISH"
                with m.If(self.stop):
                    m.next = "IDLE"
            with m.State("FINISH"):
                m.d.comb += self.running.eq(1)
                with m.If(self.stop):
                    m.next = "IDLE"
                with m.Elif(self.settled & ~reporter.pending):
                    m.d.comb += self.completion.valid.eq(1)
                    m.next = "IDLE"


def _is_addressed(command: Any) -> Value:
    """Whether rows of a command go to, or come from, local memory."""
    return (command.opcode == Opcode.PRELOAD) | (command.destination == Destination.LS)
