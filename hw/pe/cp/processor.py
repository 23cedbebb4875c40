# SPDX-License-Identifier: Apache-2.0
"""The command processor: wiring of its parts, and the parameters it takes from an element."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS, QUAD_BITS, Opcode
from hw.arch.csr import COUNTERS
from hw.arch.units import CbPortId, State, Unit
from hw.iface.pe import BankState, CbPort, Completion, TrapReport, UnitControl, UnitStatus
from hw.iface.trace import TracePort
from hw.pe.cp.cb_table import CircularBufferTable
from hw.pe.cp.counter_file import EVENTS, CounterFile, event_bits, event_name
from hw.pe.cp.debug_port import DebugPort
from hw.pe.cp.dispatcher import Dispatcher
from hw.pe.cp.grant_stage import GrantStage
from hw.pe.cp.limits import CheckLimits
from hw.pe.cp.signal_counters import SignalCounters
from hw.pe.cp.traps import ElementTrap, TrapCollector
from hw.pe.cp.unit_queue import UnitQueue

__all__ = ["CB_PORT_UNITS", "SOURCES", "CommandProcessor"]

SOURCES = ("core_a", "core_b", "wqe")
"""Command sources, in the order of the debug port."""

CB_PORT_UNITS: dict[CbPortId, Unit] = {
    CbPortId.FI_IN_ROW: Unit.FI_IN_ROW,
    CbPortId.FI_IN_COL: Unit.FI_IN_COL,
    CbPortId.FI_OUT: Unit.FI_OUT,
    CbPortId.DPE_A: Unit.DPE,
    CbPortId.DPE_B: Unit.DPE,
    CbPortId.RE_IN: Unit.RE,
    CbPortId.RE_OUT: Unit.RE,
    CbPortId.MLU_IN: Unit.MLU,
    CbPortId.MLU_OUT: Unit.MLU,
    CbPortId.SE_A: Unit.SE,
    CbPortId.SE_B: Unit.SE,
    CbPortId.SE_OUT: Unit.SE,
    CbPortId.FI_IN_INDEX: Unit.FI_IN_ROW,
    CbPortId.FI_OUT_INDEX: Unit.FI_OUT,
}
"""Unit behind each port of the buffer table."""

_OWN_EVENTS = ("cp.commands", "cp.short_commands")


class CommandProcessor(wiring.Component):
    """Takes commands from three sources and runs one element with them.

    Operation
        1. Each source's commands are decoded in order, checked, and run (short ones) or queued for
           their unit (long ones); see `Dispatcher`.
        2. Every unit takes its queue's commands in order. Steps are granted by the circular-buffer
           table. When a command is complete its signal increments a counter, here or elsewhere.
        3. The first trap of a unit, of a command, of the buffer table or of the work-queue engine,
           or `halt_request`, halts the element until reset: no more commands, empty queues, then
           `halt` to all units. `quiet` rises when all are idle.

    Timing
        A command that can go is taken a cycle after it came; its unit sees it 3 cycles later. One
        command per cycle over all sources. `debug_data` and `counter_data` follow their selects
        after some cycles, see `DebugPort` and `CounterFile`.

    Parameters
    ----------
    limits : what the element can do, also its table sizes.
    queue_depth : commands that wait in each unit's queue.
    sources : which of `SOURCES` are present.

    Members
    -------
    source_core_a, source_core_b, source_wqe : In(stream.Signature(512)), commands of the present
        sources; short ones in the low 128 bits.
    <unit> : Out(flipped UnitControl) for each present unit (`fi_in_row` ... `se`).
    cb_<port> : In(CbPort()) for each port of a present unit (`cb_fi_in_row` ... `cb_se_out`).
    row, col : In(4), the element's place in the grid.
    remote_signal : Out(stream.Signature(Completion)), signals for other elements; row and col are
        counted from the grid's origin.
    signal_in : In(stream.Signature(Completion)), signals from other elements.
    job_done : Out(1), an END command takes place; status : Out(32), its status, held.
    trap : Out(ElementTrap), the first error; halt_request : In(1), abort; quiet : Out(1).
    wqe_trap : In(TrapReport), wqe_idle : In(1), wqe_halt : Out(1), the work-queue engine's.
    debug_select : In(32), debug_data : Out(32), see `DebugPort`.
    bank_states : In(ArrayLayout(BankState, banks)), for the debug port.
    progress : Out(32), counts cycles of useful work, two cycles after them.
    trace : Out(TracePort()), what units and buffers do, for whoever records it.
    counter_enable, counter_clear, snapshot : In(1); counter_index, counter_word : In;
        counter_data : Out(32); event_<name> : In; see `CounterFile`.

    Raises: ValueError when `queue_depth` is less than 2.
    """

    def __init__(
        self, *, limits: CheckLimits, queue_depth: int, sources: tuple[str, ...] = SOURCES
    ) -> None:
        if queue_depth < 2:
            raise ValueError(
                f"CommandProcessor queue_depth must be at least 2 commands, not {queue_depth!r}."
            )
        self.sources = sources
        self.n_sources = len(sources)
        self.limits = limits
        self.queue_depth = queue_depth
        self.units = tuple(sorted(limits.units))
        self.cb_ports = tuple(port for port in CbPortId if CB_PORT_UNITS[port] in self.units)
        external = [name for name in EVENTS if name not in _OWN_EVENTS]
        super().__init__(
            {
                **{f"source_{name}": In(stream.Signature(LONG_BITS)) for name in sources},
                **{unit.name.lower(): In(UnitControl()) for unit in self.units},
                **{f"cb_{port.name.lower()}": In(CbPort()) for port in self.cb_ports},
                "row": In(4),
                "col": In(4),
                "remote_signal": Out(stream.Signature(Completion)),
                "signal_in": In(stream.Signature(Completion)),
                "job_done": Out(1),
                "status": Out(32),
                "trap": Out(ElementTrap),
                "halt_request": In(1),
                "quiet": Out(1),
                "wqe_trap": In(TrapReport),
                "wqe_idle": In(1),
                "wqe_halt": Out(1),
                "debug_select": In(32),
                "debug_data": Out(32),
                "bank_states": In(data.ArrayLayout(BankState, limits.banks)),
                "progress": Out(32),
                "trace": Out(TracePort()),
                "counter_enable": In(1),
                "counter_clear": In(1),
                "snapshot": In(1),
                "counter_index": In(range(len(COUNTERS))),
                "counter_word": In(1),
                "counter_data": Out(32),
                **{event_name(name): In(event_bits(name)) for name in external},
            }
        )

    def control(self, unit: Unit) -> Any:
        """Port of a present unit."""
        return getattr(self, unit.name.lower())

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.dispatcher = self._dispatcher = Dispatcher(
            limits=self.limits, depth=self.queue_depth, n_sources=self.n_sources
        )
        m.submodules.cbs = self._cbs = CircularBufferTable(
            n_cbs=self.limits.cbs,
            n_units=self.limits.ls_units,
            owners=tuple(int(CB_PORT_UNITS[port]) for port in self.cb_ports),
        )
        m.submodules.counters = self._counters = SignalCounters(
            n_counters=self.limits.counters, n_signals=len(self.units), n_watches=self.n_sources
        )
        m.submodules.traps = self._traps = TrapCollector(
            n_reports=len(self.units) + 3, n_idle=len(self.units) + 1
        )
        self._queues = {unit: UnitQueue(depth=self.queue_depth) for unit in self.units}
        for unit, queue in self._queues.items():
            m.submodules[f"queue_{unit.name.lower()}"] = queue
        self._statuses = self._elaborate_statuses(m)
        self._elaborate_dispatch(m)
        self._elaborate_units(m)
        self._elaborate_signals(m)
        self._elaborate_traps(m)
        self._elaborate_debug(m)
        self._elaborate_counters(m)
        self._elaborate_trace(m)
        return m

    def _elaborate_statuses(self, m: Module) -> dict[Unit, data.View]:
        """Status of each unit in the cycle before: nothing waits for the way from there."""
        statuses = {}
        for unit in self.units:
            statuses[unit] = Signal(UnitStatus, name=f"status_{unit.name.lower()}")
            m.d.sync += statuses[unit].eq(self.control(unit).status)
        return statuses

    def _elaborate_dispatch(self, m: Module) -> None:
        """Sources, buffer table and END."""
        dispatcher, table = self._dispatcher, self._cbs
        for name, port in zip(self.sources, dispatcher.sources, strict=True):
            wiring.connect(m, wiring.flipped(getattr(self, f"source_{name}")), port)
        m.submodules.grants = grants = GrantStage(n_ports=len(self.cb_ports))
        for number, port_id in enumerate(self.cb_ports):
            outer = getattr(self, f"cb_{port_id.name.lower()}")
            wiring.connect(m, wiring.flipped(outer), grants.ports[number])
            wiring.connect(m, grants.table[number], table.ports[number])
        wiring.connect(m, dispatcher.setup, table.setup)
        m.d.comb += [dispatcher.halt.eq(self._traps.halt), table.halt.eq(self._traps.halt)]
        m.d.sync += self.job_done.eq(dispatcher.job_done)
        with m.If(dispatcher.job_done):
            m.d.sync += self.status.eq(dispatcher.status)

    def _elaborate_units(self, m: Module) -> None:
        """A queue for each present unit; an absent one is quiet, and never full, so that a command
        for it goes on and traps."""
        dispatcher, halt = self._dispatcher, self._traps.halt
        for unit in range(Unit.CP):
            if unit not in self._queues:
                m.d.comb += dispatcher.quiet[unit].eq(1)
        for unit, queue in self._queues.items():
            port = self.control(unit)
            wiring.connect(m, queue.command, wiring.flipped(port.command))
            wiring.connect(m, wiring.flipped(port.completion), queue.completion)
            m.d.comb += [
                *(
                    getattr(queue, name).eq(getattr(dispatcher, name)[unit])
                    for name in ("reserve", "issue", "fetch", "deliver")
                ),
                queue.bus.eq(dispatcher.command),
                dispatcher.wants[unit].eq(queue.wants),
                dispatcher.tails[unit].eq(queue.tail),
                dispatcher.fronts[unit].eq(queue.front),
                queue.halt.eq(halt),
                queue.idle.eq(port.idle),
                port.halt.eq(self._traps.units_halt),
                dispatcher.quiet[unit].eq(queue.quiet),
                dispatcher.full[unit].eq(queue.full),
            ]

    def _elaborate_signals(self, m: Module) -> None:
        """Signal counters, between units, dispatcher and other elements."""
        dispatcher, counters = self._dispatcher, self._counters
        for queue, port in zip(self._queues.values(), counters.signals, strict=True):
            wiring.connect(m, queue.signal, port)
        wiring.connect(m, wiring.flipped(self.signal_in), counters.arriving)
        wiring.connect(m, counters.remote, wiring.flipped(self.remote_signal))
        m.d.comb += [
            counters.row.eq(self.row),
            counters.col.eq(self.col),
            counters.update.eq(dispatcher.update),
            dispatcher.signals_waiting.eq(counters.waiting),
            dispatcher.remote_room.eq(counters.remote_room),
            dispatcher.remote_empty.eq(counters.remote_empty),
            dispatcher.reached.eq(counters.reached),
            *(
                mine.eq(theirs)
                for mine, theirs in zip(counters.watches, dispatcher.watches, strict=True)
            ),
        ]

    def _elaborate_traps(self, m: Module) -> None:
        """Every place that reports errors, units first."""
        traps, fault, wrong = self._traps, self._cbs.fault, self._dispatcher.fault
        table, command, engine = traps.reports[-3:]
        faulty = Signal.like(traps.units[-3], init=Unit.CP)  # unit at fault at the buffer table
        setup_tag = Signal.like(fault.tag)
        for i, unit in enumerate(self.units):
            m.d.comb += [traps.reports[i].eq(self.control(unit).trap), traps.units[i].eq(unit)]
        m.d.sync += [
            table.valid.eq(fault.valid),
            table.cause.eq(fault.cause),
            table.info.eq(fault.cb),
        ]
        m.d.comb += [
            command.valid.eq(wrong.valid),
            *(command[name].eq(wrong[name]) for name in ("cause", "opcode", "tag", "info")),
            engine.eq(self.wqe_trap),
            traps.units[-3].eq(faulty),
            *(unit.eq(Unit.CP) for unit in traps.units[-2:]),
            traps.halt_request.eq(self.halt_request),
            traps.idle.eq(Cat(self.wqe_idle, *(self.control(unit).idle for unit in self.units))),
            self.trap.eq(traps.trap),
            self.quiet.eq(traps.quiet),
            self.wqe_halt.eq(traps.units_halt),
        ]
        m.d.sync += [faulty.eq(Mux(fault.setup, Unit.CP, fault.unit)), setup_tag.eq(fault.tag)]
        with m.Switch(faulty):
            for unit, status in self._statuses.items():
                with m.Case(unit):
                    m.d.comb += [table.opcode.eq(status.opcode), table.tag.eq(status.tag)]
            with m.Default():
                m.d.comb += [table.opcode.eq(Opcode.CB), table.tag.eq(setup_tag)]

    def _elaborate_debug(self, m: Module) -> None:
        """The debug port, looking at everybody."""
        m.submodules.debug = debug = DebugPort(
            units=self.units,
            sources=tuple(SOURCES.index(name) for name in self.sources),
            n_banks=self.limits.banks,
            cb_width=self._cbs.width,
        )
        for unit, queue in self._queues.items():
            m.d.comb += [
                debug.statuses[unit].eq(self._statuses[unit]),
                debug.n_waiting[unit].eq(queue.n_waiting),
                debug.stored[unit].eq(queue.stored),
            ]
        for i, name in enumerate(self.sources):
            m.d.comb += debug.quads[i].eq(getattr(self, f"source_{name}").payload[:QUAD_BITS])
        m.d.comb += [
            debug.select.eq(self.debug_select),
            self.debug_data.eq(debug.data),
            self._cbs.peek_cb.eq(debug.cb),
            debug.row.eq(self._cbs.peek),
            debug.row_valid.eq(self._cbs.peek_valid),
            self._counters.peek_counter.eq(debug.counter),
            debug.counter_value.eq(self._counters.peek),
            debug.source_waiting.eq(self._dispatcher.waiting),
            self._dispatcher.peeks.eq(debug.peeks),
            self._dispatcher.peek_unit.eq(debug.queue),
            self._dispatcher.peek_word.eq(debug.queue_word),
            debug.queued.eq(self._dispatcher.peek),
            debug.banks.eq(self.bank_states),
        ]

    def _elaborate_counters(self, m: Module) -> None:
        """Performance counters and the progress word."""
        m.submodules.file = file = CounterFile()
        issues = Signal()
        m.d.comb += [
            issues.eq(self._dispatcher.issue.any()),
            file.event_cp_commands.eq(issues),
            file.event_cp_short_commands.eq(self._dispatcher.ran),
            file.enable.eq(self.counter_enable),
            file.clear.eq(self.counter_clear),
            file.snapshot.eq(self.snapshot),
            file.index.eq(self.counter_index),
            file.word.eq(self.counter_word),
            self.counter_data.eq(file.data),
            *(file.states[unit].eq(self.control(unit).status.state) for unit in self.units),
        ]
        for name in EVENTS:
            if name not in _OWN_EVENTS:
                m.d.comb += getattr(file, event_name(name)).eq(getattr(self, event_name(name)))
        works = Signal()
        busy = Cat(status.state == State.BUSY for status in self._statuses.values())
        m.d.sync += works.eq(issues | self._dispatcher.ran | busy.any())
        with m.If(works):
            m.d.sync += self.progress.eq(self.progress + 1)

    def _elaborate_trace(self, m: Module) -> None:
        """What units and buffers do."""
        wiring.connect(m, self._cbs.moved, wiring.flipped(self.trace.buffer))
        for unit in self.units:
            status = self.control(unit).status
            for name in ("state", "opcode", "tag"):
                m.d.comb += self.trace.units[unit][name].eq(status[name])
