# SPDX-License-Identifier: Apache-2.0
"""The reduction engine: accumulates, preloads, drains and reduces."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import COMMANDS, Opcode, Source
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import State
from hw.config.element import ReConfig
from hw.iface.command_view import view
from hw.iface.pe import (
    BankPort,
    CbPort,
    LsReadPort,
    LsWritePort,
    UnitControl,
    bank_row_layout,
)
from hw.lib.clock_gate import Gated
from hw.pe.re.accumulator import Accumulator
from hw.pe.re.array import AccumulatorArray
from hw.pe.re.banks import BankStates
from hw.pe.re.copies import AccumulatorCopies
from hw.pe.re.drain import DrainPath
from hw.pe.re.preload import PreloadPath
from hw.pe.re.sequencer import Sequencer

__all__ = ["ReductionEngine"]


class ReductionEngine(wiring.Component):
    """Accumulator banks between the dot-product engine and everything behind it.

    Operation: (1) rows from the DPE are added to the bank they name, in every cycle. (2) DRAIN
    sends rows of full banks to local memory or to a neighbour, after adding a neighbour's row if
    asked to, or in their place each row's minimum and maximum. (3) PRELOAD copies a row of local
    memory to all rows of a free bank. Commands run one at a time and in order, while rows come in.
    (4) The first error traps: wrong parity of an accumulator or of the row that is preloaded, an
    address outside local memory, a link that the engine does not have.

    Timing: accumulation and drain one row per cycle each, at the same time. A row of a bank may
    come again after `latency` cycles. A DRAIN of n rows takes n + 10 cycles from `command` to
    `completion` and a PRELOAD of a bank 4 * columns / word_bytes + tile_rows + 13, when nothing is
    waited for; `RowCombiner` and `RowMinMax` add their latencies. Without floating point a PRELOAD
    takes (tile_rows + 1) * 4 * columns / word_bytes + 13, and where rows leave from the memory's
    register (`DrainPath`) 2 more, and a DRAIN 2 n + 12. `status`, but for its bank, is a cycle
    late.

    Numerics: INT32 wraps. FP32 adds as `Fp32Adder`, first acc + partial, at a link own + incoming.
    Minimum and maximum as in `RowMinMax`.

    Parameters
    ----------
    config : number of banks.
    columns : values of a row.
    tile_rows : rows of a bank.
    word_bytes : bytes of a word of local memory.
    address_width : bits of its word addresses.
    with_fp : whether FP32 is there.
    with_links : whether the ports to and from neighbours are there.
    with_se : whether `to_se` is there.
    with_inject : whether `inject` is there, for tests of parity.
    one_memory : whether Verilator sees the banks as one memory (see `hw.pe.re.array`).

    Members
    -------
    control : Out(UnitControl).
    cb_out, cb_in : Out(CbPort), for rows written and rows preloaded.
    rows : In(valid-only stream of bank_row_layout), from the DPE; values come `row_lead` cycles
        after the rest.
    banks : In(BankPort), to the DPE.
    ls_out : Out(LsWritePort).array(4 * columns / word_bytes).
    ls_in : Out(LsReadPort).
    in_north, in_west, out_south, out_east, to_se : streams of ArrayLayout(32, columns).
    inject : In(1), inverts the parity of column 0 in what is written in this cycle.

    Raises: ValueError when rows do not divide into words or indices do not fit the command set.

    Resources: banks x tile_rows x columns x 33 bits of 1R1W memory; `columns` FP32 adders, twice
    that with links.
    """

    def __init__(
        self,
        *,
        config: ReConfig,
        columns: int,
        tile_rows: int,
        word_bytes: int,
        address_width: int,
        with_fp: bool = True,
        with_links: bool = True,
        with_se: bool = True,
        with_inject: bool = False,
        one_memory: bool = True,
    ) -> None:
        config.validate()
        for name, value in (("columns", columns), ("tile_rows", tile_rows)):
            if value < 2 or value & (value - 1):
                raise ValueError(f"{name} is {value}; it must be a power of two, at least 2.")
        if word_bytes < 4 or 4 * columns % word_bytes:
            raise ValueError(
                f"word_bytes is {word_bytes}; it must be 4 or more and divide a row of"
                f" {4 * columns} bytes."
            )
        self.config = config
        self.columns = columns
        self.tile_rows = tile_rows
        self.with_fp = with_fp
        self.with_inject = with_inject
        sizes: dict[str, Any] = {"banks": config.banks, "rows": tile_rows, "columns": columns}
        memory = {"address_width": address_width, "word_bytes": word_bytes}
        self.accumulator = Accumulator(**sizes, with_fp=with_fp)
        self.drain = DrainPath(
            **sizes,
            **memory,
            with_fp=with_fp,
            with_links=with_links,
            with_se=with_se,
            fast_minmax=config.fast_minmax,
        )
        # Where rows take several cycles items may, too.
        self.sequencer = Sequencer(**sizes, **memory, staged=self.drain.row_in_memory)
        self.preload = PreloadPath(**sizes, **memory, by_word=not with_fp)
        self.memories: Any = (
            AccumulatorArray(**sizes, one_memory=one_memory)
            if with_fp
            else AccumulatorCopies(
                **sizes, lane=word_bytes // 4, row_register=self.drain.row_in_memory
            )
        )
        row = stream.Signature(data.ArrayLayout(32, columns))
        self.link_ports = [*self.drain.sources.values(), *self.drain.links.values()]
        members = {
            "control": Out(UnitControl()),
            "cb_out": Out(CbPort()),
            "cb_in": Out(CbPort()),
            "rows": In(
                stream.Signature(
                    bank_row_layout(columns, config.banks, tile_rows), always_ready=True
                )
            ),
            "banks": In(BankPort(banks=config.banks)),
            "ls_out": Out(LsWritePort(**memory)).array(4 * columns // word_bytes),
            "ls_in": Out(LsReadPort(**memory)),
        }
        members |= {name: In(row) for name in self.drain.sources.values()}
        members |= {name: Out(row) for name in self.drain.links.values()}
        if with_inject:
            members["inject"] = In(1)
        super().__init__(members)

    @property
    def latency(self) -> int:
        """Cycles after which a row of a bank may come again."""
        return self.accumulator.latency

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        sequencer, accumulator = self.sequencer, self.accumulator
        drain, preload = self.drain, self.preload
        # What has nothing to do has no clock.
        for name, path, enable in (
            (
                "sequencer",
                sequencer,
                self.control.command.valid | sequencer.running | sequencer.unreported,
            ),
            ("accumulator", accumulator, self.rows.valid | accumulator.busy),
            ("drain", drain, drain.items.valid | drain.busy),
            ("preload", preload, preload.items.valid | preload.busy),
        ):
            m.submodules[name] = Gated(path, enable=enable, rests=True)
        m.submodules.memories = self.memories
        m.submodules.states = states = BankStates(banks=self.config.banks)
        # Registers, since everything hangs on them.
        stop, legal = Signal(), Signal()
        m.d.sync += stop.eq(self.control.halt | self.control.trap.valid)
        self._elaborate_ports(m, states)
        self._elaborate_memories(m, states)
        self._elaborate_items(m, stop, legal)
        self._elaborate_traps(m, legal)
        self._elaborate_status(m, stop)
        return m

    def _elaborate_ports(self, m: Module, states: BankStates) -> None:
        """Connect what goes straight through."""
        sequencer, drain, preload = self.sequencer, self.drain, self.preload
        for outer, inner in (
            (self.cb_in, sequencer.cb_in),
            (self.cb_out, sequencer.cb_out),
            (self.rows, self.accumulator.i),
            (self.banks, states.port),
            (self.ls_in, preload.ls_in),
            (self.control.command, sequencer.command),
            (self.control.completion, sequencer.completion),
            *zip(self.ls_out, drain.ls_out, strict=True),
            *((getattr(self, name), getattr(drain, name)) for name in self.link_ports),
        ):
            wiring.connect(m, wiring.flipped(outer), inner)

    def _elaborate_memories(self, m: Module, states: BankStates) -> None:
        """Connect banks, their states, and the three paths that use them."""
        memories, accumulator = self.memories, self.accumulator
        drain, preload = self.drain, self.preload
        for ours, theirs, user in (
            ("accumulate", "read", accumulator),
            ("drain", "read", drain),
        ):
            for what in ("en", "bank", "row"):
                port = getattr(memories, f"{ours}_{what}")
                m.d.comb += port.eq(getattr(user, f"{theirs}_{what}"))
        if self.with_fp:
            self._elaborate_writers(m)
        else:
            self._elaborate_one_writer(m)
        m.d.comb += [
            accumulator.old.eq(memories.accumulate_data),
            accumulator.parity.eq(memories.accumulate_parity),
            drain.own.eq(memories.drain_data),
            drain.parity.eq(memories.drain_parity),
            *(
                getattr(states, name).eq(getattr(accumulator, name))
                for name in ("close", "close_bank", "close_done")
            ),
            states.drain.eq(drain.drain),
            states.free.eq(drain.free),
            states.free_bank.eq(drain.free_bank),
            states.fill.eq(preload.fill),
            states.ready.eq(preload.ready),
            states.bank.eq(Mux(preload.fill | preload.ready, preload.bank, drain.drain_bank)),
            drain.states.eq(states.states),
            preload.states.eq(states.states),
        ]
        if self.with_inject:
            m.d.comb += memories.inject.eq(self.inject)

    def _elaborate_writers(self, m: Module) -> None:
        """The banks have a port for everyone that writes."""
        memories, accumulator, preload = self.memories, self.accumulator, self.preload
        for user in ("integer", "floating"):
            for what in ("en", "bank", "row", "data"):
                port = getattr(memories, f"{user}_{what}")
                m.d.comb += port.eq(getattr(accumulator, f"{user}_{what}"))
        m.d.comb += [
            preload.write_ready.eq(1),
            memories.fill_en.eq(preload.write_en),
            memories.fill_bank.eq(preload.bank),
            memories.fill_row.eq(preload.write_row),
            memories.fill_data.eq(preload.write_data),
        ]

    def _elaborate_one_writer(self, m: Module) -> None:
        """Sums are written, or where there is none, what is preloaded."""
        memories, accumulator, preload = self.memories, self.accumulator, self.preload
        drain = self.drain
        m.d.comb += [
            preload.write_ready.eq(accumulator.fill_ready),
            accumulator.fill_data.eq(preload.write_data),
            memories.write_en.eq(accumulator.integer_en | preload.write_en),
            memories.write_bank.eq(preload.bank),
            memories.write_row.eq(preload.write_row),
            memories.write_mask.eq(
                preload.write_mask | accumulator.integer_en.replicate(self.columns)
            ),
            memories.write_data.eq(accumulator.integer_data),
            memories.drain_zero.eq(drain.read_zero),
            memories.drain_take.eq(drain.read_take),
        ]
        with m.If(accumulator.integer_en):
            m.d.comb += [
                memories.write_bank.eq(accumulator.integer_bank),
                memories.write_row.eq(accumulator.integer_row),
            ]

    def _elaborate_items(self, m: Module, stop: Signal, legal: Signal) -> None:
        """Give the sequencer's items to the path that they are for.

        Items come several cycles after their command, so there is time to say what it is: `legal`
        is for a DRAIN that this engine can do.
        """
        sequencer, drain, preload = self.sequencer, self.drain, self.preload
        command = view(sequencer.current, Opcode.DRAIN)
        destinations = [int(d) for d in self.drain.destinations]
        sources = [int(Source.NONE), *(int(s) for s in self.drain.sources)]
        m.d.sync += legal.eq(
            ~sequencer.is_preload
            & _one_of(command.destination, destinations)
            & _one_of(command.source, sources)
        )
        m.d.comb += [
            drain.items.payload.eq(sequencer.items.payload),
            preload.items.payload.eq(sequencer.items.payload),
            drain.items.valid.eq(sequencer.items.valid & legal),
            preload.items.valid.eq(sequencer.items.valid & sequencer.is_preload),
            sequencer.items.ready.eq(preload.items.ready | (drain.items.ready & legal)),
            drain.mode.is_float.eq(command.format == Format.FP32),
            drain.mode.destination.eq(command.destination),
            drain.mode.source.eq(command.source),
            drain.mode.minmax.eq(command.minmax),
            # What has a fault does not end before it has trapped.
            sequencer.settled.eq(~drain.busy & ~preload.busy & ~self.control.trap.valid),
            sequencer.stop.eq(stop),
            drain.stop.eq(stop),
            preload.stop.eq(stop),
            sequencer.step.valid.eq(drain.step.valid),
            sequencer.step.payload.eq(drain.step.payload),
            drain.step.ready.eq(sequencer.step.ready),
        ]
        with m.If(sequencer.is_preload):
            m.d.comb += [
                sequencer.step.valid.eq(preload.step.valid),
                sequencer.step.payload.eq(preload.step.payload),
                preload.step.ready.eq(sequencer.step.ready),
            ]

    def _elaborate_traps(self, m: Module, legal: Signal) -> None:
        """Keep the first error.

        Only what it was is kept: a command that trapped stays in the sequencer.
        """
        accumulator, drain, preload = self.accumulator, self.drain, self.preload
        command = view(self.sequencer.current, Opcode.DRAIN)
        trap = self.control.trap
        item_bank = self.sequencer.items.payload.bank
        illegal = self.sequencer.items.valid & ~self.sequencer.is_preload & ~legal
        faults = (
            (illegal, Trap.ILLEGAL_FIELD, item_bank),
            (drain.fault_outside, Trap.LS_RANGE, drain.fault_bank),
            (preload.fault_outside, Trap.LS_RANGE, item_bank),
            (preload.fault_parity, Trap.LS_PARITY, item_bank),
            (drain.fault_parity, Trap.ACCUMULATOR_PARITY, drain.fault_parity_bank),
            (accumulator.fault, Trap.ACCUMULATOR_PARITY, accumulator.fault_bank),
        )
        caught = Signal(len(faults))
        bank, row = Signal(8), Signal.like(accumulator.fault_row)
        with m.If(~trap.valid):
            m.d.sync += [caught.eq(Cat(fault for fault, _, _ in faults)), bank.eq(item_bank)]
            for fault, _, fault_bank in faults:
                with m.If(fault):
                    m.d.sync += bank.eq(fault_bank)
            m.d.sync += row.eq(accumulator.fault_row)
        m.d.comb += [
            trap.valid.eq(caught.any()),
            trap.opcode.eq(command.opcode),
            trap.tag.eq(command.tag),
            trap.info.eq(bank),
        ]
        for kept, (_, cause, _) in zip(caught, faults, strict=True):
            with m.If(kept):
                m.d.comb += trap.cause.eq(cause)
        field = COMMANDS[Opcode.DRAIN].field
        destinations = [int(d) for d in drain.destinations]
        with m.If(caught[0]):
            m.d.comb += trap.info.eq(
                Mux(
                    _one_of(command.destination, destinations),
                    field("source").offset,
                    field("destination").offset,
                )
            )
        # The command that sent the row is the DPE's.
        with m.If(caught[-1]):
            m.d.comb += [
                trap.opcode.eq(Opcode.MML),
                trap.tag.eq(0),
                trap.info.eq(Cat(bank, row)),
            ]

    def _elaborate_status(self, m: Module, stop: Signal) -> None:
        """Tell what the engine is doing."""
        sequencer, drain, preload = self.sequencer, self.drain, self.preload
        command = view(sequencer.current, Opcode.DRAIN)
        status = self.control.status
        m.d.comb += [
            self.control.idle.eq(~sequencer.running & ~drain.writing & ~preload.reading),
            status.bank.eq(Mux(drain.queued, drain.read_bank, sequencer.items.payload.bank)),
        ]
        # What is counted stands behind everything, so it comes a cycle late; so does the command
        # that it is counted for.
        m.d.sync += [
            status.state.eq(State.IDLE),
            *(status[name].eq(0) for name in ("cb", "tag", "opcode")),
        ]
        with m.If(sequencer.running & ~stop):
            m.d.sync += [status[name].eq(command[name]) for name in ("cb", "tag", "opcode")]
        with m.If(stop):
            m.d.sync += status.state.eq(State.HALTED)
        with m.Elif(sequencer.running):
            m.d.sync += status.state.eq(State.BUSY)
            for waits, state in (
                (sequencer.waits_for_cb & sequencer.is_preload, State.WAIT_CB_DATA),
                (sequencer.waits_for_cb & ~sequencer.is_preload, State.WAIT_CB_ROOM),
                (drain.waits_bank | preload.waits_bank, State.WAIT_BANK),
                (drain.waits_neighbour, State.WAIT_NEIGHBOUR),
                (drain.waits_ls | preload.waits_ls, State.WAIT_LS),
            ):
                with m.If(waits):
                    m.d.sync += status.state.eq(state)
        ended = Signal()
        items = sequencer.items
        m.d.sync += ended.eq(items.valid & items.ready & items.payload.last)
        with m.If(ended):
            m.d.sync += status.steps.eq(status.steps + 1)


def _one_of(value: Any, allowed: list[int]) -> Any:
    """Whether `value` is one of the constants."""
    return Cat(value == one for one in allowed).any()
