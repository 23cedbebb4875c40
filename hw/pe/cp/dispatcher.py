# SPDX-License-Identifier: Apache-2.0
"""The dispatcher: takes commands, checks them, runs the short ones, issues the long ones.

Stage 1 chooses a source whose next command can go, stage 2 checks and acts. Stage 2 never stalls,
so everything a command has to wait for is decided in stage 1.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS, Opcode
from hw.arch.traps import Trap
from hw.arch.units import UNITS_OF_OPCODE, Unit
from hw.iface.command_view import view
from hw.lib.arbiter import RoundRobin
from hw.pe.cp.cb_table import CbSetup
from hw.pe.cp.checker import CommandChecker
from hw.pe.cp.contexts import ContextStore
from hw.pe.cp.limits import CheckLimits
from hw.pe.cp.signal_counters import CounterUpdate, CounterWatch

__all__ = ["DispatchFault", "Dispatcher", "N_UNITS"]

N_UNITS = Unit.CP
"""Units that can have a queue, hence bits of a unit mask."""


class DispatchFault(data.Struct):
    """A command that failed its checks; valid for one cycle."""

    valid: unsigned(1)
    cause: unsigned(8)
    opcode: unsigned(8)
    tag: unsigned(16)
    info: unsigned(10)


class Dispatcher(wiring.Component):
    """Takes commands of several sources, each in its order, and issues them to the units.

    Operation
        1. A source whose command has to wait does not hold up the others: for room in its unit's
           queue; FENCE and END for units to be quiet; WAIT for its counter. Among those that can
           go it is round robin.
        2. A command that fails its checks goes nowhere and is reported on `fault`.
        3. A long command goes to its unit's queue, or with `store` into a context; RUN takes it
           from there. Short commands take place in stage 2. Any of them with `signal_en`
           increments its counter then, SIGNAL always; SET_COUNTER has no signal.
        4. While `halt` is high no command is taken, and the one in stage 2 is dropped.

    Timing
        A command that can go is taken in the cycle in which it comes, and takes place in the next;
        one command per cycle. Combinational paths from every input but `sources` payloads of others
        to the readys of `sources`.

    Parameters
    ----------
    limits : what the element can do.
    n_sources : command sources.

    Members
    -------
    sources : In(stream.Signature(512)).array(n_sources), commands, short ones in the low 128 bits.
    halt : In(1), take no commands.
    full, one_left : In(7), units whose queues have no room, or room for one command.
    quiet : In(7), units that have nothing to do.
    signals_waiting, remote_room, remote_empty : In(1), from the counters.
    watches : Out(CounterWatch).array(n_sources), what each source would wait for.
    reached : In(n_sources), whether that is reached.
    issue : Out(7), units that get `command` in this cycle.
    command : Out(512), checked command.
    update : Out(CounterUpdate), work of a short command on a counter.
    setup : Out(stream.Signature(CbSetup, always_ready=True)), CB commands.
    job_done : Out(1), an END command takes place in this cycle.
    status : Out(32), its status.
    fault : Out(DispatchFault), a command that failed.
    ran : Out(1), a command took place in this cycle without being issued to a unit.
    waiting : Out(n_sources), sources whose command has to wait.
    """

    def __init__(self, *, limits: CheckLimits, n_sources: int) -> None:
        self.limits = limits
        self.n_sources = n_sources
        super().__init__(
            {
                "sources": In(stream.Signature(LONG_BITS)).array(n_sources),
                "halt": In(1),
                "full": In(N_UNITS),
                "one_left": In(N_UNITS),
                "quiet": In(N_UNITS),
                "signals_waiting": In(1),
                "remote_room": In(1),
                "remote_empty": In(1),
                "watches": Out(CounterWatch).array(n_sources),
                "reached": In(n_sources),
                "issue": Out(N_UNITS),
                "command": Out(LONG_BITS),
                "update": Out(CounterUpdate),
                "setup": Out(stream.Signature(CbSetup, always_ready=True)),
                "job_done": Out(1),
                "status": Out(32),
                "fault": Out(DispatchFault),
                "ran": Out(1),
                "waiting": Out(n_sources),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.chooser = chooser = RoundRobin(n_requests=self.n_sources)
        m.submodules.contexts = contexts = ContextStore(
            n_contexts=self.limits.contexts, n_targets=N_UNITS, n_lookups=self.n_sources
        )
        # Stage 2.
        self._busy, self._command = Signal(), Signal(LONG_BITS)
        self._targets, self._source = Signal(N_UNITS), Signal(self.n_sources)
        self._stores, self._updates = Signal(), Signal()

        for i, source in enumerate(self.sources):
            may_go, targets, updates = Signal(), Signal(N_UNITS), Signal()
            self._elaborate_source(m, i, contexts, may_go, targets, updates)
            m.d.comb += [
                chooser.requests[i].eq(source.valid & may_go & ~self.halt),
                source.ready.eq(chooser.grant[i]),
                self.waiting[i].eq(source.valid & ~may_go),
            ]
            with m.If(chooser.grant[i]):
                m.d.sync += [
                    self._command.eq(source.payload),
                    self._targets.eq(targets),
                    self._updates.eq(updates),
                ]
        m.d.comb += chooser.served.eq(chooser.grant)
        m.d.sync += [self._busy.eq(chooser.grant.any()), self._source.eq(chooser.grant)]
        self._elaborate_action(m, contexts)
        return m

    def _elaborate_source(
        self,
        m: Module,
        i: int,
        contexts: ContextStore,
        may_go: Signal,
        targets: Signal,
        updates: Signal,
    ) -> None:
        """Stage 1: where the command of source i goes, and whether it can go now."""
        command = self.sources[i].payload
        opcode = command[:8]
        short, long = view(command, Opcode.SIGNAL), view(command, Opcode.MML)
        wait, run = view(command, Opcode.WAIT), view(command, Opcode.RUN)
        m.d.comb += [
            contexts.lookups[i].eq(run.ctx),
            self.watches[i].counter.eq(wait.counter),
            self.watches[i].value.eq(wait.value),
        ]
        # A context that is being stored, and a counter that this source's last command changes,
        # are seen one cycle later.
        follows = self._busy & self._source[i]
        busy_units = ~self.quiet | Mux(self._busy, self._targets, 0)
        no_room = self.full | (self.one_left & Mux(self._busy, self._targets, 0))
        remote = (short.signal_row | short.signal_col) != 0
        room = Signal(name=f"room{i}")
        m.d.comb += [room.eq((targets & no_room) == 0), may_go.eq(room)]
        with m.Switch(opcode):
            for code in UNITS_OF_OPCODE:
                with m.Case(code):
                    m.d.comb += targets.eq(Mux(long.store, 0, _units_of(command, code)))
            with m.Case(Opcode.RUN):
                m.d.comb += [
                    targets.eq(contexts.targets_of[i]),
                    may_go.eq(room & ~(self._busy & self._stores)),
                ]
            with m.Default():
                # Counters change one at a time; a waiting signal of a unit gets its turn.
                m.d.comb += [
                    updates.eq(
                        short.signal_en | (opcode == Opcode.SIGNAL) | (opcode == Opcode.SET_COUNTER)
                    ),
                    may_go.eq(
                        self._condition(command, i, follows, busy_units)
                        & (~updates | ~self.signals_waiting | ~(self._busy & self._updates))
                        & (~updates | ~remote | self.remote_room)
                    ),
                ]

    def _condition(self, command: Value, i: int, follows: Value, busy_units: Value) -> Value:
        """What a FENCE, END or WAIT waits for; a counter that does not exist traps instead."""
        opcode = command[:8]
        fence, wait = view(command, Opcode.FENCE), view(command, Opcode.WAIT)
        n_busy = Mux(opcode == Opcode.END, busy_units, busy_units & fence.units[:N_UNITS]).any()
        waits = (
            (opcode == Opcode.WAIT)
            & (wait.counter < self.limits.counters)
            & (follows | ~self.reached[i])
        )
        fences = (opcode == Opcode.FENCE) & n_busy
        ends = (opcode == Opcode.END) & (n_busy | ~self.remote_empty)
        return ~(waits | fences | ends)

    def _elaborate_action(self, m: Module, contexts: ContextStore) -> None:
        """Stage 2: check, then act."""
        m.submodules.checker = checker = CommandChecker(limits=self.limits)
        opcode = self._command[:8]
        header, run = view(self._command, Opcode.MML), view(self._command, Opcode.RUN)
        is_run, empty, acts, keeps = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            checker.command.eq(self._command),
            is_run.eq(opcode == Opcode.RUN),
            empty.eq(is_run & ~contexts.present),
            acts.eq(self._busy & ~self.halt & ~checker.verdict.wrong & ~empty),
            contexts.context.eq(Mux(is_run, run.ctx, header.context)),
            contexts.run.eq(self._command),
            self.command.eq(Mux(is_run, contexts.moved, self._command)),
            self._stores.eq(opcode[6] & header.store),
            keeps.eq(is_run & run.keep),
            contexts.write.eq(acts & (self._stores | keeps)),
            contexts.data.eq(self.command),
            contexts.targets.eq(Mux(is_run, self._targets, self._own_units())),
            self.issue.eq(Mux(acts, self._targets, 0)),
            self.ran.eq(acts & (self._targets == 0)),
            self.fault.valid.eq(self._busy & ~self.halt & (checker.verdict.wrong | empty)),
            self.fault.cause.eq(Trap.CONTEXT_EMPTY),
            self.fault.info.eq(run.ctx),
            self.fault.opcode.eq(opcode),
            self.fault.tag.eq(header.tag),
        ]
        with m.If(checker.verdict.wrong):
            m.d.comb += [
                self.fault.cause.eq(checker.verdict.cause),
                self.fault.info.eq(checker.verdict.info),
            ]
        self._elaborate_short(m, acts)

    def _own_units(self) -> Value:
        """Units of the long command in stage 2."""
        masks = Cat(self._command[:8] == code for code in UNITS_OF_OPCODE)
        units = Value.cast(0)
        for is_code, code in zip(masks, UNITS_OF_OPCODE, strict=True):
            units = units | Mux(is_code, _units_of(self._command, code), 0)
        return units

    def _elaborate_short(self, m: Module, acts: Value) -> None:
        """What short commands do."""
        opcode = self._command[:8]
        setter, setup = view(self._command, Opcode.SET_COUNTER), view(self._command, Opcode.CB)
        sets = opcode == Opcode.SET_COUNTER
        m.d.comb += [
            self.update.valid.eq(acts & self._updates),
            self.update.is_set.eq(sets),
            self.update.counter.eq(Mux(sets, setter.counter, setter.signal_counter)),
            self.update.value.eq(setter.value),
            self.update.row.eq(setter.signal_row),
            self.update.col.eq(setter.signal_col),
            self.update.tag.eq(setter.tag),
            self.setup.valid.eq(acts & (opcode == Opcode.CB)),
            self.setup.payload.cb.eq(setup.cb),
            self.setup.payload.shared.eq(setup.shared),
            self.setup.payload.base.eq(setup.base),
            self.setup.payload.depth.eq(setup.depth),
            self.setup.payload.tag.eq(setup.tag),
            self.job_done.eq(acts & (opcode == Opcode.END)),
            self.status.eq(view(self._command, Opcode.END).status),
        ]


def _units_of(command: Value, opcode: Opcode) -> Value:
    """Mask of the unit that runs a long command."""
    units = UNITS_OF_OPCODE[opcode]
    if len(units) == 1:
        return Value.cast(1 << units[0])
    return Mux(view(command, opcode).column, 1 << units[1], 1 << units[0])
