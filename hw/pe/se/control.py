# SPDX-License-Identifier: Apache-2.0
"""Takes commands of the SIMD engine: keeps programs, starts and ends SIMD commands."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS, BMode, Opcode
from hw.iface.command_view import view
from hw.iface.pe import Completion
from hw.lib.sram import DualPortSram
from hw.pe.se.drain_program import DrainDecoder, DrainProgram
from hw.pe.se.settings import Decoder, ProgramRules
from hw.pe.se.sizes import Sizes

__all__ = ["Control"]


class Control(wiring.Component):
    """Runs one command at a time, in order.

    Operation: SE_PROGRAM fills a slot. SIMD reads its program, checks itself, starts everybody
    (`start`) as soon as all are ready, and is complete when `settled` comes back. `stop` drops the
    command and takes none.

    Timing: SE_PROGRAM takes 2 + `DrainDecoder.latency` cycles. SIMD starts 3 cycles after it is
    taken at the earliest, and the next command is taken in the cycle after `settled`.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    command : In(stream of 512 bits); completion : Out(valid-only stream of Completion).
    stop : In(1).
    ready : In(1), everybody can start in the next cycle; start : Out(1), everybody does.
    reads_a, reads_b : Out(1), `start` for the operand that is read from local memory.
    settled : In(1), everybody is done.
    decoder : the decoded command; see `Decoder` for what it tells.
    current : Out(512), the command; program : Out(512), with FP32 lanes.
    drain_program : Out(DrainProgram).
    running : Out(1), a command is under way.
    illegal : Out(1), bit : Out(16), the command has a field that the engine does not take.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        self.decoder = Decoder(sizes=sizes)
        decoded = {
            name: self.decoder.signature.members[name] for name in ("settings", "front", "drain")
        }
        super().__init__(
            {
                "command": In(stream.Signature(LONG_BITS)),
                "completion": Out(stream.Signature(Completion, always_ready=True)),
                "stop": In(1),
                "ready": In(1),
                "start": Out(1),
                "reads_a": Out(1),
                "reads_b": Out(1),
                "settled": In(1),
                "current": Out(LONG_BITS),
                "program": Out(LONG_BITS),
                "drain_program": Out(DrainProgram),
                "running": Out(1),
                "illegal": Out(1),
                "bit": Out(16),
                **decoded,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.decoder = decoder = self.decoder
        m.submodules.rules = rules = ProgramRules(sizes=self.sizes)
        filled = Signal(self.sizes.config.programs)
        fetches, stores = Signal(), Signal()  # a program
        self._elaborate_program(m, filled)
        m.submodules.drain = drain = DrainDecoder()
        n_read = Signal(range(DrainDecoder.latency))  # cycles
        m.d.comb += drain.program.eq(self.current)
        self._elaborate_slots(m, "drain_programs", drain.o, self.drain_program, fetches, stores)
        if self.sizes.with_fp:
            self._elaborate_slots(m, "programs", self.current, self.program, fetches, stores)
        m.d.comb += [
            rules.program.eq(self.current),
            decoder.command.eq(self.current),
            decoder.program.eq(self.program),
            decoder.drain_program.eq(self.drain_program),
            self.front.eq(decoder.front),
            self.drain.eq(decoder.drain),
        ]
        # They are known before `start`, and every beat depends on them.
        m.d.sync += self.settings.eq(decoder.settings)
        m.d.sync += [flag.eq(0) for flag in (self.start, self.reads_a, self.reads_b)]
        with m.FSM():
            with m.State("IDLE"):
                self._elaborate_idle(m, fetches)
            with m.State("READ"):
                m.d.comb += [self.running.eq(1), drain.busy.eq(1)]
                m.d.sync += n_read.eq(n_read + 1)
                with m.If(n_read == DrainDecoder.latency - 1):
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.sync += n_read.eq(0)
                self._elaborate_store(m, rules, stores, filled)
            with m.State("START"):
                self._elaborate_begin(m)
            with m.State("BEGIN"):
                # `start` is a register, as it goes to all counters of everybody.
                m.d.comb += self.running.eq(1)
                with m.If(self.stop):
                    m.next = "IDLE"
                with m.Else():
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.running.eq(1)
                with m.If(self.stop):
                    m.next = "IDLE"
                with m.Elif(self.settled):
                    m.d.comb += self.completion.valid.eq(1)
                    m.next = "IDLE"
        return m

    def _elaborate_begin(self, m: Module) -> None:
        """Start the command whose program is there, unless that is illegal."""
        decoder, goes = self.decoder, Signal()
        m.d.comb += [
            self.running.eq(1),
            self.illegal.eq(decoder.illegal),
            self.bit.eq(decoder.bit),
            goes.eq(~decoder.illegal & ~self.stop & self.ready),
        ]
        m.d.sync += [
            self.start.eq(goes),
            self.reads_a.eq(goes & ~decoder.settings.from_re),
            self.reads_b.eq(goes & (decoder.settings.b_mode != BMode.NONE)),
        ]
        with m.If(decoder.illegal | self.stop):
            m.next = "IDLE"
        with m.Elif(self.ready):
            m.next = "BEGIN"

    def _elaborate_program(self, m: Module, filled: Signal) -> None:
        """Whether a command's slot was filled, and what its completion says."""
        command = view(self.current, Opcode.SIMD)
        there = command.program < self.sizes.config.programs
        m.d.comb += [
            self.decoder.filled.eq(there & filled.bit_select(command.program, 1)),
            *(
                getattr(self.completion.payload, name).eq(command[name])
                for name in ("tag", "signal_en", "signal_counter", "signal_row", "signal_col")
            ),
        ]

    def _elaborate_slots(
        self, m: Module, name: str, new: Value, shown: Value, fetches: Signal, stores: Signal
    ) -> None:
        """A memory of what programs say: `new` of the command is stored, or `shown` is fetched."""
        width = len(Value.cast(new))
        m.submodules[name] = slots = DualPortSram(width=width, depth=self.sizes.config.programs)
        m.d.comb += [
            slots.r_en.eq(fetches),
            slots.r_addr.eq(view(self.command.payload, Opcode.SIMD).program),
            slots.w_mask.eq(stores),
            slots.w_addr.eq(view(self.current, Opcode.SE_PROGRAM).program),
            slots.w_data.eq(new),
            Value.cast(shown).eq(slots.r_data),
        ]

    def _elaborate_idle(self, m: Module, fetches: Signal) -> None:
        """Take a command and read its program."""
        m.d.comb += self.command.ready.eq(~self.stop)
        with m.If(self.command.valid & ~self.stop):
            m.d.comb += fetches.eq(1)
            m.d.sync += self.current.eq(self.command.payload)
            arriving = view(self.command.payload, Opcode.SIMD)
            with m.If(arriving.opcode == Opcode.SE_PROGRAM):
                m.next = "READ"
            with m.Else():
                m.next = "START"

    def _elaborate_store(
        self, m: Module, rules: ProgramRules, stores: Signal, filled: Signal
    ) -> None:
        """Keep a program."""
        m.d.comb += [
            self.running.eq(1),
            self.illegal.eq(rules.illegal),
            self.bit.eq(rules.bit),
        ]
        with m.If(~rules.illegal & ~self.stop):
            m.d.comb += [stores.eq(1), self.completion.valid.eq(1)]
            slot = view(self.current, Opcode.SE_PROGRAM).program
            m.d.sync += filled.bit_select(slot, 1).eq(1)
        m.next = "IDLE"
