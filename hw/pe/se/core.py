# SPDX-License-Identifier: Apache-2.0
"""Everything of the SIMD engine, without the gate of its clock."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.arch.commands import BMode, Opcode
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.iface.command_view import view
from hw.pe.se.beat_reader import BeatReader
from hw.pe.se.control import Control
from hw.pe.se.drain_stage import DrainStage
from hw.pe.se.float_path import FloatPath
from hw.pe.se.issue import Issue
from hw.pe.se.nests import a_nest, b_nest, out_nest
from hw.pe.se.placer import Placer
from hw.pe.se.sizes import Sizes

__all__ = ["Core"]


class Core(wiring.Component):
    """The parts of the engine and the wires between them; see `SimdEngine`.

    Parameters
    ----------
    sizes : see `Sizes`.
    members : the engine's ports.

    Members
    -------
    awake : Out(1), the clock must run.
    All others : see `SimdEngine`.
    """

    def __init__(self, *, sizes: Sizes, members: dict[str, Any]) -> None:
        self.sizes = sizes
        self.unit = Control(sizes=sizes)
        self.reader_a = BeatReader(sizes=sizes) if sizes.with_fp else None
        self.reader_b = BeatReader(sizes=sizes)
        self.issue = Issue(sizes=sizes)
        self.drain = DrainStage(sizes=sizes)
        self.placer = Placer(sizes=sizes)
        self.lanes = FloatPath(sizes=sizes) if sizes.with_fp else None
        super().__init__(members | {"awake": Out(1)})

    @property
    def readers(self) -> list[BeatReader]:
        """Of operand b, and of a where there is one."""
        return [self.reader_b] if self.reader_a is None else [self.reader_b, self.reader_a]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        m.submodules.reader_b = self.reader_b
        m.submodules.issue = self.issue
        m.submodules.drain = self.drain
        m.submodules.placer = self.placer
        if self.reader_a is not None and self.lanes is not None:
            m.submodules.reader_a = self.reader_a
            m.submodules.lanes = self.lanes
        stop = Signal()  # a register of its own, as much hangs on it
        self._elaborate_ports(m)
        self._elaborate_control(m, stop)
        self._elaborate_nests(m)
        self._elaborate_issue(m)
        self._elaborate_paths(m)
        self._elaborate_traps(m, stop)
        self._elaborate_status(m, stop)
        return m

    def _elaborate_ports(self, m: Module) -> None:
        """Connect what goes straight through."""
        for outer, inner in (
            (self.control.command, self.unit.command),
            (self.control.completion, self.unit.completion),
            (self.cb_b, self.reader_b.cb),
            (self.cb_out, self.placer.cb),
            # Slots that no part needs stay quiet.
            *zip(self.ls_b, self.reader_b.ls, strict=False),
            *zip(self.ls_out, self.placer.ls, strict=False),
            (self.rows_in, self.issue.rows_in),
        ):
            wiring.connect(m, wiring.flipped(outer), inner)
        if self.reader_a is not None:
            wiring.connect(m, wiring.flipped(self.cb_a), self.reader_a.cb)
            for slot, port in zip(self.ls_a, self.reader_a.ls, strict=True):
                wiring.connect(m, wiring.flipped(slot), port)
            wiring.connect(m, self.reader_a.beats, self.issue.a)
        wiring.connect(m, self.reader_b.beats, self.issue.b)
        m.d.comb += self.event_elements.eq(self.issue.n_elements)

    def _elaborate_control(self, m: Module, stop: Signal) -> None:
        """Start and end of commands."""
        unit = self.unit
        parts = (*self.readers, self.placer)
        nests = [part.nest for part in parts]
        m.d.comb += [
            unit.stop.eq(stop),
            self.issue.stop.eq(stop),
            *(part.stop.eq(stop) for part in parts),
            unit.ready.eq(Cat(nest.ready for nest in nests).all()),
            unit.settled.eq(~self.issue.running & ~Cat(part.busy for part in parts).any()),
            self.reader_b.nest.valid.eq(unit.reads_b),
            self.placer.nest.valid.eq(unit.start),
            self.issue.start.eq(unit.start),
            self.drain.start.eq(unit.start),
        ]
        if self.reader_a is not None:
            m.d.comb += self.reader_a.nest.valid.eq(unit.reads_a)

    def _elaborate_nests(self, m: Module) -> None:
        """What the address generators walk."""
        sizes, settings = self.sizes, self.unit.settings
        command = view(self.unit.current, Opcode.SIMD)
        b_nest(m, sizes, command, settings, self.reader_b.nest.payload)
        out_nest(m, sizes, command, settings, self.placer.nest.payload)
        wide = 4 * sizes.lanes > sizes.word_bytes
        b_wide = (settings.b_mode == BMode.HELD) | (
            (settings.b_mode == BMode.ELEMENT) & (settings.b_size == 2)
        )
        if self.reader_a is not None:
            a_nest(m, sizes, command, settings, self.reader_a.nest.payload)
            m.d.comb += self.reader_a.two_words.eq((settings.a_size == 2) & wide)
        m.d.comb += [
            self.reader_b.two_words.eq(b_wide & wide),
            self.reader_b.pairs.eq((settings.b_mode == BMode.ROW) & settings.b_pair),
            self.placer.settings.eq(settings),
        ]

    def _elaborate_issue(self, m: Module) -> None:
        """What the issue of beats needs to know."""
        unit, issue = self.unit, self.issue
        m.d.comb += [
            issue.command.eq(unit.current),
            issue.program.eq(unit.program),
            issue.settings.eq(unit.settings),
            issue.drain_program.eq(unit.drain_program),
            issue.drain_ready.eq(self.drain.ready),
        ]

    def _elaborate_paths(self, m: Module) -> None:
        """Beats on both ways."""
        unit, issue, drain, lanes = self.unit, self.issue, self.drain, self.lanes
        m.d.comb += [
            drain.settings.eq(unit.drain),
            drain.integers.eq(unit.settings.integers),
            drain.active.eq(issue.running),
            drain.valid.eq(issue.drain_valid),
            drain.values.eq(issue.drain_values),
            drain.biases.eq(issue.drain_biases),
            drain.scales.eq(issue.drain_scales),
        ]
        wiring.connect(m, drain.words, self.placer.words)
        if lanes is None:
            return
        wiring.connect(m, lanes.o, self.placer.beats)
        m.d.comb += [
            lanes.program.eq(unit.program),
            lanes.settings.eq(unit.settings),
            lanes.config.eq(unit.front),
            lanes.start.eq(unit.start),
            lanes.valid.eq(issue.valid),
            lanes.info.eq(issue.info),
            lanes.row_first.eq(issue.row_first),
            lanes.a.eq(issue.a_values),
            lanes.b.eq(issue.b_values),
            lanes.c.eq(issue.c_values),
            issue.room.eq(lanes.room),
        ]

    def _elaborate_traps(self, m: Module, stop: Signal) -> None:
        """Keep the first error, and stop for it, or when told to."""
        unit = self.unit
        # A wrong beat stays where it is, so that the trap need not be told in the same cycle.
        fault = Signal(self.issue.fault.shape())
        command = view(unit.current, Opcode.SIMD)
        trap = self.control.trap
        m.d.sync += [fault.eq(self.issue.fault), stop.eq(self.control.halt | trap.valid)]
        with m.If(~trap.valid & unit.running):
            for wrong, cause, info in (
                (unit.illegal, Trap.ILLEGAL_FIELD, unit.bit),
                (self.placer.outside, Trap.LS_RANGE, command.cb),
                (fault.valid, fault.cause, fault.info),
            ):
                with m.If(wrong):
                    m.d.sync += [
                        stop.eq(1),
                        trap.valid.eq(1),
                        trap.cause.eq(cause),
                        trap.opcode.eq(command.opcode),
                        trap.tag.eq(command.tag),
                        trap.info.eq(info),
                    ]

    def _elaborate_status(self, m: Module, stop: Signal) -> None:
        """Tell what the engine is doing."""
        unit, issue, placer = self.unit, self.issue, self.placer
        command = view(unit.current, Opcode.SIMD)
        status = self.control.status
        quiet = Cat(reader.settled for reader in self.readers).all() & ~placer.writing
        m.d.comb += [
            self.control.idle.eq(~unit.running & quiet),
            self.awake.eq(unit.running | ~quiet),
            status.state.eq(State.IDLE),
        ]
        with m.If(placer.step):
            m.d.sync += status.steps.eq(status.steps + 1)
        with m.If(stop):
            m.d.comb += status.state.eq(State.HALTED)
        with m.Elif(unit.running):
            m.d.comb += [
                status.state.eq(State.BUSY),
                status.cb.eq(command.cb),
                status.tag.eq(command.tag),
                status.opcode.eq(command.opcode),
            ]
            reads = issue.running & ~issue.waits_room & (issue.n_elements == 0)
            writes = issue.waits_room | ~issue.running
            operands = list(zip(self.readers, (command.b_cb, command.a_cb), strict=False))
            for waits, state, cb in (
                *((reads & x.waits_for_ls, State.WAIT_LS, cb) for x, cb in reversed(operands)),
                (issue.waits_rows, State.WAIT_NEIGHBOUR, command.cb),
                *((reads & x.waits_for_cb, State.WAIT_CB_DATA, cb) for x, cb in operands),
                (writes & placer.waits_for_ls, State.WAIT_LS, command.cb),
                (writes & placer.waits_for_cb, State.WAIT_CB_ROOM, command.cb),
            ):
                with m.If(waits):
                    m.d.comb += [status.state.eq(state), status.cb.eq(cb)]
