# SPDX-License-Identifier: Apache-2.0
"""The work-queue engine: feeds the command processor from a command list in memory."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.commands import LONG_BITS, QUAD_BITS, QUAD_BYTES, Opcode
from hw.arch.traps import Trap
from hw.iface.memory import MemoryReadPort
from hw.iface.pe import TrapReport

__all__ = ["ListStart", "WorkQueueEngine"]

_N_LINES = 4


class ListStart(data.Struct):
    """Where a command list lies."""

    address: unsigned(ADDRESS_BITS)
    quads: unsigned(32)


class WorkQueueEngine(wiring.Component):
    """Reads a command list, a line at a time and `n_lines` ahead, and offers its commands in order.

    Operation
        1. `start` begins a list. Lines are read in order; answers may come in any order.
        2. Lines are cut into quads, and quads are collected until a command is complete: one quad
           if the opcode is short, four if it is long. Then it is offered on `command`.
        3. After END nothing more is offered or read; `start` is ready again when the last line has
           arrived.
        4. Traps: LIST_OVERRUN (info: address behind the list) when the list ends without END, or
           inside a command; ILLEGAL_FIELD (info 0) for an address that is no multiple of 16;
           MEMORY_ERROR and MEMORY_POISON (info: address of the line) when a line that is needed
           could not be read. After a trap, as under `halt`, nothing is offered or read any more.

    Timing
        First command: memory latency + 3 cycles after `start` for a short one (+ 3 for a long one).
        Then one quad per cycle, and a cycle in which the command is taken: a short command in two
        cycles, a long one in five, while n_lines * link_bytes / 16 quads cover the memory's
        latency. No combinational path from inputs to outputs but from `halt` to the valids.

    Parameters
    ----------
    link_bytes : bytes of a line, a power of two from 16 to 256.
    n_lines : lines that are read ahead, a power of two, at least 2.

    Members
    -------
    start : In(stream.Signature(ListStart)), lists to run; taken while no list runs.
    memory : Out(MemoryReadPort(link_bytes, tag_width)), to the fabric.
    command : Out(stream.Signature(512)), commands, short ones in the low 128 bits.
    halt : In(1), stop.
    idle : Out(1), no list runs or the engine is stopped, and no line is on its way.
    trap : Out(TrapReport), first error, held until reset.

    Raises: ValueError when a parameter is out of range.
    """

    def __init__(self, *, link_bytes: int, n_lines: int = _N_LINES) -> None:
        if link_bytes not in (16, 32, 64, 128, 256):
            raise ValueError(
                "WorkQueueEngine link_bytes must be a power of two from 16 to 256, "
                f"not {link_bytes!r}."
            )
        if n_lines < 2 or n_lines & (n_lines - 1):
            raise ValueError(
                f"WorkQueueEngine n_lines must be a power of two, at least 2, not {n_lines!r}."
            )
        self.link_bytes = link_bytes
        self.n_lines = n_lines
        self.tag_width = self.tag_bits(n_lines)
        self.line_log2 = link_bytes.bit_length() - 1
        super().__init__(
            {
                "start": In(stream.Signature(ListStart)),
                "memory": Out(MemoryReadPort(link_bytes=link_bytes, tag_width=self.tag_width)),
                "command": Out(stream.Signature(LONG_BITS)),
                "halt": In(1),
                "idle": Out(1),
                "trap": Out(TrapReport),
            }
        )

    @staticmethod
    def tag_bits(n_lines: int = _N_LINES) -> int:
        """Bits of a tag of `memory`."""
        return (n_lines - 1).bit_length()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._running, self._stop = Signal(), Signal()
        begins, ends = Signal(), Signal()
        m.d.comb += [
            self._stop.eq(self.halt | self.trap.valid),
            self.start.ready.eq(self.idle & ~self._stop),
            begins.eq(self.start.valid & self.start.ready),
        ]
        with m.If(begins):
            m.d.sync += self._running.eq(1)
        with m.Elif(ends | self._stop):
            m.d.sync += self._running.eq(0)
        quad, quad_valid, quad_ready = Signal(QUAD_BITS), Signal(), Signal()
        errors = Signal(2)  # error and poison of the line that the quad is in
        self._elaborate_lines(m, begins, quad, quad_valid, quad_ready, errors)
        self._elaborate_commands(m, begins, ends, quad, quad_valid, quad_ready, errors)
        return m

    def _elaborate_lines(
        self,
        m: Module,
        begins: Signal,
        quad: Signal,
        quad_valid: Signal,
        quad_ready: Signal,
        errors: Signal,
    ) -> None:
        """Read lines ahead into slots, whose numbers are the tags, and cut them into quads."""
        self._arrived, self._on_way = Signal(self.n_lines), Signal(self.n_lines)
        self._head_slot, leaves = Signal(self.tag_width), Signal()
        self._elaborate_requests(m, begins)
        failed, line = self._elaborate_answers(m)
        with m.If(leaves):
            m.d.sync += [
                self._head_slot.eq(self._head_slot + 1),
                self._arrived.bit_select(self._head_slot, 1).eq(0),
            ]
        place = Signal(max(1, self.line_log2 - 4))  # of the quad in its line
        last_place = self._last_place
        m.d.comb += [
            quad.eq(line.word_select(place, QUAD_BITS) if last_place else line),
            quad_valid.eq(
                self._arrived.bit_select(self._head_slot, 1) & self._running & ~self._stop
            ),
            errors.eq(failed[self._head_slot]),
            leaves.eq(quad_valid & quad_ready & (place == last_place)),
        ]
        with m.If(quad_valid & quad_ready):
            m.d.sync += place.eq(Mux(leaves, 0, place + 1))
        with m.If(begins):
            m.d.sync += [
                place.eq(self.start.payload.address[4 : self.line_log2] if last_place else 0),
                self._head_slot.eq(0),
                self._arrived.eq(0),
            ]

    @property
    def _last_place(self) -> int:
        """Place of a line's last quad."""
        return self.link_bytes // QUAD_BYTES - 1

    def _elaborate_requests(self, m: Module, begins: Signal) -> None:
        """Ask for the next line whenever its slot is free."""
        request, asks = self.memory.request, Signal()
        ask_line = Signal(ADDRESS_BITS - self.line_log2)  # next line to read
        end_line = Signal.like(ask_line)  # first line behind the list
        ask_slot = Signal(self.tag_width)
        offering = Signal()  # a request was offered and not yet taken
        slot_free = ~(self._arrived | self._on_way).bit_select(ask_slot, 1)
        goes_on = self._running & ~self._stop & slot_free & (ask_line != end_line)
        m.d.comb += [
            # A request that waits is not taken back: it counts as on its way from its first cycle.
            request.valid.eq(offering | goes_on),
            request.payload.address.eq(ask_line << self.line_log2),
            request.payload.tag.eq(ask_slot),
            asks.eq(request.valid & request.ready),
            self.idle.eq(~self._running & ~self._on_way.any() & ~offering),
        ]
        m.d.sync += offering.eq(request.valid & ~request.ready)
        with m.If(asks):
            m.d.sync += [
                ask_line.eq(ask_line + 1),
                ask_slot.eq(ask_slot + 1),
                self._on_way.bit_select(ask_slot, 1).eq(1),
            ]
        with m.If(begins):
            first, quads = self.start.payload.address, self.start.payload.quads
            behind = first[4:] + quads + self._last_place  # rounded up to a whole line
            m.d.sync += [
                ask_line.eq(first[self.line_log2 :]),
                end_line.eq(behind[self.line_log2 - 4 :]),
                ask_slot.eq(0),
            ]

    def _elaborate_answers(self, m: Module) -> tuple[data.View, Value]:
        """Put lines into their slots; returns each slot's errors, and the line at the head."""
        response = self.memory.response
        m.submodules.lines = lines = memory.Memory(
            shape=8 * self.link_bytes, depth=self.n_lines, init=[]
        )
        write, read = lines.write_port(), lines.read_port(domain="comb")
        failed = Signal(data.ArrayLayout(2, self.n_lines))
        m.d.comb += [
            response.ready.eq(1),
            write.en.eq(response.valid),
            write.addr.eq(response.payload.tag),
            write.data.eq(response.payload.data),
            read.addr.eq(self._head_slot),
        ]
        with m.If(response.valid):
            tag = response.payload.tag
            m.d.sync += [
                self._on_way.bit_select(tag, 1).eq(0),
                self._arrived.bit_select(tag, 1).eq(1),
                failed[tag].eq(Cat(response.payload.error, response.payload.poison)),
            ]
        return failed, read.data

    def _elaborate_commands(
        self,
        m: Module,
        begins: Signal,
        ends: Signal,
        quad: Signal,
        quad_valid: Signal,
        quad_ready: Signal,
        errors: Signal,
    ) -> None:
        """Collect quads until a command is complete, and offer it."""
        left = Signal(32)  # quads of the list that were not collected
        address = Signal(32)  # low bits of the next quad's, for traps
        n_collected, n_missing = Signal(2), Signal(2)  # quads of the command at hand
        complete = Signal()  # the command at hand is offered
        taken, collects = Signal(), Signal()
        is_end, there, right = Signal(), Signal(), Signal()
        m.d.comb += [
            self.command.valid.eq(complete & ~self._stop),
            taken.eq(self.command.valid & self.command.ready),
            is_end.eq(self.command.payload[:8] == Opcode.END),
            ends.eq(taken & is_end),
            there.eq(quad_valid & (left != 0)),  # and the engine is not stopped
            right.eq(there & (errors == 0)),
            # Not while a command is being taken: that is known late, and has far to go.
            collects.eq(right & ~complete),
            quad_ready.eq(collects),
        ]
        with m.If(taken):
            m.d.sync += complete.eq(0)
        with m.If(collects):
            is_last = Mux(n_collected == 0, ~quad[6], n_missing == 1)  # bit 6: a long command
            m.d.sync += [
                self.command.payload.word_select(n_collected, QUAD_BITS).eq(quad),
                n_collected.eq(Mux(is_last, 0, n_collected + 1)),
                n_missing.eq(Mux(n_collected == 0, 3, n_missing - 1)),
                complete.eq(is_last),
                left.eq(left - 1),
                address.eq(address + QUAD_BYTES),
            ]
        with m.If(self._stop):
            m.d.sync += complete.eq(0)
        with m.If(begins):
            m.d.sync += [
                left.eq(self.start.payload.quads),
                complete.eq(0),
                n_collected.eq(0),
                address.eq(self.start.payload.address[:32]),
            ]

        line = address & ~(self.link_bytes - 1)
        self._trap_when(m, there & ~complete & errors[1], Trap.MEMORY_POISON, line)
        self._trap_when(m, there & ~complete & errors[0], Trap.MEMORY_ERROR, line)
        overrun = self._running & (left == 0) & ~complete
        self._trap_when(m, overrun, Trap.LIST_OVERRUN, address)
        self._trap_when(m, begins & (self.start.payload.address[:4] != 0), Trap.ILLEGAL_FIELD, 0)

    def _trap_when(self, m: Module, condition: Value, cause: Trap, info: Any) -> None:
        """Keep the first error; of two in one cycle the one named last."""
        with m.If(condition & ~self._stop):
            m.d.sync += [self.trap.valid.eq(1), self.trap.cause.eq(cause), self.trap.info.eq(info)]
