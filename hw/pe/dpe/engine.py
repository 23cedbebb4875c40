# SPDX-License-Identifier: Apache-2.0
"""The dot-product engine: from MML commands to rows of partial results."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from hw.arch.commands import LEVELS, LONG_BITS, Opcode
from hw.arch.units import State
from hw.config.element import DpeConfig
from hw.iface.command_view import view
from hw.iface.pe import (
    BankPort,
    CbPort,
    Completion,
    LsReadPort,
    UnitControl,
    bank_row_layout,
    row_lead,
)
from hw.lib.elastic import StreamFifo
from hw.pe.dpe.array import DotProductArray
from hw.pe.dpe.held_loader import HeldLoader
from hw.pe.dpe.masks import keep_below
from hw.pe.dpe.operand_reader import OperandReader
from hw.pe.dpe.visit_control import VisitControl

__all__ = ["DotProductEngine"]

# Commands whose operands are read while the first of them still streams.
_COMMANDS_AHEAD = 2


class DotProductEngine(wiring.Component):
    """Runs MML: holds blocks of B, streams rows of A past them, sends partial results on.

    Operation
        1. A command starts two operand readers; B's words fill the shadow of the held block, A's
           wait until their visit may start (`VisitControl` says when).
        2. Every row of A gives one row of `columns` results for the reduction engine.
        3. The next command's B, and its first words of A, are read while one still streams.
        4. A command is complete when its last row of results has left.
        5. A word outside of local memory or of its circular buffer traps LS_RANGE (info: the
           circular buffer), a byte in use with wrong parity LS_PARITY (info: byte address of the
           word). From the second cycle of a trap or `halt` on no read, visit or row starts.

    Timing
        A row per cycle. First row of a command after an idle engine: `columns` + 9 cycles and
        local memory's latency when steps and reads are granted at once (the held block loads
        first); then without a gap as
        long as a held block serves at least `columns` rows. Rows leave `latency` cycles later,
        their values `row_lead` cycles after them.

    Numerics: `docs/numerics.md`, "Dot-product engine".

    Parameters
    ----------
    config : DpeConfig
        The tile.
    banks : int
        Accumulator banks.
    address_width : int
        Bits of a word address in local memory.
    re_latency : int
        Cycles after which the reduction engine may get the same row of a bank again, at least 2.

    Members
    -------
    control : Out(UnitControl)
        Commands, completions, halt, traps, status.
    cb_a, cb_b : Out(CbPort)
        Circular buffers of the two operands.
    ls_a, ls_b : Out(LsReadPort)
        Read slots of the two operands.
    a_from_mlu, b_from_mlu : Out(1)
        A word of the layout unit is asked for, in place of a read (see `OperandFeed`).
    banks : Out(BankPort)
        States of the accumulator banks.
    rows : Out(stream of bank_row_layout, always ready)
        Rows of partial results.
    event_held_blocks : Out(1)
        A new held block comes into use.
    """

    def __init__(
        self, *, config: DpeConfig, banks: int, address_width: int, re_latency: int
    ) -> None:
        config.validate()
        if re_latency < 2:
            raise ValueError(f"re_latency is {re_latency}; it must be at least 2.")
        self.config = config
        self.n_banks = banks
        self.address_width = address_width
        self.re_latency = re_latency
        port = LsReadPort(address_width=address_width, word_bytes=config.k_bytes)
        rows = bank_row_layout(config.columns, banks, config.tile_rows)
        super().__init__(
            {
                "control": Out(UnitControl()),
                "cb_a": Out(CbPort()),
                "cb_b": Out(CbPort()),
                "ls_a": Out(port),
                "ls_b": Out(port),
                "a_from_mlu": Out(1),
                "b_from_mlu": Out(1),
                "banks": Out(BankPort(banks=banks)),
                "rows": Out(stream.Signature(rows, always_ready=True)),
                "event_held_blocks": Out(1),
            }
        )
        self._visits = VisitControl(
            banks=banks,
            rows=config.tile_rows,
            k_bytes=config.k_bytes,
            address_width=address_width,
            re_latency=re_latency,
        )
        self._array = DotProductArray(
            columns=config.columns,
            k_bytes=config.k_bytes,
            with_fp=config.with_fp,
            tag_width=self._visits.tag_shape.size,
            lead=row_lead(config.with_fp),
            lut_columns=config.lut_columns,
        )

    @property
    def _n_commands_max(self) -> int:
        """Commands that are taken and not complete: those ahead, and one in each row under way."""
        return _COMMANDS_AHEAD + self._array.latency + 3

    @property
    def latency(self) -> int:
        """Cycles from a row of A entering the array to its row of results, without the values."""
        return self._array.latency - self._array.lead

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.array = array = self._array
        m.submodules.visits = visits = self._visits
        m.submodules.loader = loader = HeldLoader(
            columns=self.config.columns,
            k_bytes=self.config.k_bytes,
            address_width=self.address_width,
        )
        readers = {}
        stop = Signal()
        for name in ("a", "b"):
            readers[name] = reader = OperandReader(
                address_width=self.address_width,
                word_bytes=self.config.k_bytes,
                held=name == "a",  # in a queue, see below
            )
            m.submodules[f"reader_{name}"] = reader
            wiring.connect(m, reader.cb, wiring.flipped(getattr(self, f"cb_{name}")))
            wiring.connect(m, reader.ls, wiring.flipped(getattr(self, f"ls_{name}")))
            m.d.comb += [
                reader.stop.eq(stop),
                getattr(self, f"{name}_from_mlu").eq(reader.from_mlu),
            ]
        wiring.connect(m, readers["a"].words, visits.words)
        wiring.connect(m, readers["b"].words, loader.words)
        wiring.connect(m, readers["b"].flags, loader.flags)
        wiring.connect(m, visits.banks_port, wiring.flipped(self.banks))
        m.d.comb += [
            array.load_valid.eq(loader.load_valid),
            array.load.eq(loader.load),
            array.row_valid.eq(visits.row_valid),
            array.row.eq(visits.row),
            visits.held_next.eq(loader.full_next),
            loader.swap.eq(visits.swap),
            self.event_held_blocks.eq(loader.swap),
            visits.stop.eq(stop),
        ]
        accept = self._elaborate_command(m, readers, loader, visits, stop)
        self._elaborate_result(m, array)
        self._elaborate_completion(m, accept)
        self._elaborate_state(m, accept, readers, loader, visits, array, stop)
        return m

    def _elaborate_command(
        self,
        m: Module,
        readers: dict[str, OperandReader],
        loader: HeldLoader,
        visits: VisitControl,
        stop: Signal,
    ) -> Signal:
        """Split a command into the nests of its operands and what their users need to know."""
        command = Signal(LONG_BITS)
        m.d.comb += command.eq(self.control.command.payload)
        mml = view(command, Opcode.MML)
        parts = {
            "nest_a": (readers["a"].nest, 2),  # one that is walked, and the next one
            "info_a": (visits.info, _COMMANDS_AHEAD + 1),
            "walk": (visits.walk, _COMMANDS_AHEAD + 1),
            "info_b": (loader.info, _COMMANDS_AHEAD + 1),
        }
        # The last word of B is read long before the last one of A: its nest need not wait.
        inputs = {"nest_b": readers["b"].nest}
        for name, (target, depth) in parts.items():
            m.submodules[name] = fifo = StreamFifo(shape=target.payload.shape(), depth=depth)
            wiring.connect(m, fifo.o, target)
            inputs[name] = fifo.i
        operands = {name: inputs[f"nest_{name}"].payload for name in ("a", "b")}
        self._elaborate_nests(m, mml, operands["a"].nest, operands["b"].nest)
        for name, operand in operands.items():
            m.d.comb += [
                operand.from_mlu.eq(mml[f"{name}_from_mlu"]),
                operand.k_level.eq(mml.k_level),
            ]
        walk = inputs["walk"].payload
        self._elaborate_info(m, mml, inputs["info_a"].payload, walk, inputs["info_b"].payload)

        accept = Signal()
        room = Cat(port.ready for port in inputs.values()).all()
        m.d.comb += [
            self.control.command.ready.eq(room | stop),  # a halted unit drops its commands
            accept.eq(self.control.command.valid & room & ~stop),
            *(port.valid.eq(accept) for port in inputs.values()),
        ]
        return accept

    def _elaborate_nests(
        self, m: Module, mml: data.View, nest_a: data.View, nest_b: data.View
    ) -> None:
        """Loop nests of both operands."""
        for prefix, nest in (("a", nest_a), ("b", nest_b)):
            m.d.comb += [
                nest[name].eq(getattr(mml, f"{prefix}_{name}"))
                for name in ("offset", "cb", "step_level", "adv_level", "need", "adv")
            ]
        m.d.comb += [nest_a.tail_level.eq(mml.m_level), nest_a.tail_count.eq(mml.m_tail)]
        inside = _levels_below(mml.held_level)
        for level in range(LEVELS):
            count, stride_b = mml[f"count{level}"], mml[f"b_stride{level}"]
            m.d.comb += [
                nest_a.counts[level].eq(count),
                nest_a.strides[level].eq(mml[f"a_stride{level}"]),
                nest_b.strides[level].eq(stride_b),
                # One block is `columns` words; the levels that it serves do not move it.
                nest_b.counts[level].eq(
                    Mux(inside[level], 1, count) if level else self.config.columns
                ),
            ]

    def _elaborate_info(
        self,
        m: Module,
        mml: data.View,
        visits: data.View,
        walk: data.View,
        block: data.View,
    ) -> None:
        """What the users of the words need to know."""
        # Half an element of K does not exist.
        k_tail = Cat(mml.k_tail[0] & ~mml.a_format[1], mml.k_tail[1:])
        m.d.comb += [
            visits.format.eq(mml.a_format),
            walk.bank.eq(mml.bank),
            walk.bank_strides[0].eq(0),
            *(walk.bank_strides[i].eq(mml[f"bank_stride{i}"]) for i in range(1, LEVELS)),
            walk.init.eq(mml.init),
            visits.done.eq(mml.done),
            visits.tag.eq(mml.tag),
            block.format.eq(mml.b_format),
            block.by_row.eq(mml.by_row),
            block.n_level.eq(mml.n_level),
            block.n_tail.eq(mml.n_tail),
            block.ones.eq(Cat(mml[f"count{i}"] == 1 for i in range(LEVELS))),
            block.tag.eq(mml.tag),
        ]
        k_bytes = self.config.k_bytes
        m.d.comb += [
            visits.k_keep.eq(keep_below(Mux(k_tail == 0, k_bytes, k_tail), k_bytes)),
            block.k_tail.eq(k_tail),
        ]
        m.d.comb += [info.k_level.eq(mml.k_level) for info in (walk, block)]
        inside = _levels_below(mml.held_level)
        m.d.comb += [info.inside.eq(inside) for info in (walk, block)]

    def _elaborate_result(self, m: Module, array: DotProductArray) -> None:
        """Rows to the reduction engine; the last one of a command completes it."""
        tag = Signal(self._visits.tag_shape)
        row = self.rows.payload
        m.d.comb += [
            tag.eq(array.tag),
            self.rows.valid.eq(array.result_valid),
            row.values.eq(array.values),
            row.is_float.eq(array.is_float),
            *(row[name].eq(tag[name]) for name in ("bank", "row", "overwrite", "close", "done")),
            self.control.completion.valid.eq(array.result_valid & tag.ends),
        ]

    def _elaborate_completion(self, m: Module, accept: Signal) -> None:
        """Keep of every command what its completion says; the oldest one's tag is the status'."""
        mml = view(self.control.command.payload, Opcode.MML)
        m.submodules.completions = fifo = StreamFifo(shape=Completion, depth=self._n_commands_max)
        m.d.comb += [
            fifo.i.valid.eq(accept),
            *(
                fifo.i.payload[name].eq(getattr(mml, name))
                for name in ("tag", "signal_en", "signal_counter", "signal_row", "signal_col")
            ),
            self.control.completion.payload.eq(fifo.o.payload),
            fifo.o.ready.eq(self.control.completion.valid),
            self.control.status.tag.eq(fifo.o.payload.tag),
        ]

    def _elaborate_state(
        self,
        m: Module,
        accept: Signal,
        readers: dict[str, OperandReader],
        loader: HeldLoader,
        visits: VisitControl,
        array: DotProductArray,
        stop: Signal,
    ) -> None:
        """Trap, idle, and what triage shows."""
        trap, status = self.control.trap, self.control.status
        # Each word is looked at as if it were the fault, since whether it is one is known late; so
        # what the loader found waits a cycle, and then says which of the two is told.
        loaded = Signal.like(loader.fault)
        m.d.sync += loaded.eq(loader.fault)
        with m.If(~trap.valid):
            m.d.sync += [
                trap.valid.eq(loaded.valid | visits.fault.valid),
                trap.opcode.eq(Opcode.MML),
                *(
                    trap[name].eq(Mux(loaded.valid, loaded[name], visits.fault[name]))
                    for name in ("cause", "tag", "info")
                ),
            ]
        n_commands = Signal(range(self._n_commands_max + 1))
        m.d.sync += n_commands.eq(n_commands + accept - self.control.completion.valid)
        quiet = readers["a"].settled & readers["b"].settled & ~array.busy
        m.d.sync += stop.eq(self.control.halt | trap.valid)
        m.d.comb += [
            self.control.idle.eq(quiet & (stop | (n_commands == 0))),
        ]

        waits_for_b = Signal()
        m.d.comb += [
            waits_for_b.eq(visits.waits_for_held & readers["b"].waits_for_cb),
            status.bank.eq(visits.bank),
            status.opcode.eq(Mux(n_commands != 0, Opcode.MML, 0)),
            status.cb.eq(Mux(waits_for_b, _buffer_of(readers["b"]), _buffer_of(readers["a"]))),
        ]
        with m.If(visits.visit_end):
            m.d.sync += status.steps.eq(status.steps + 1)
        with m.If(stop):
            m.d.comb += status.state.eq(State.HALTED)
        with m.Elif(n_commands == 0):
            m.d.comb += status.state.eq(State.IDLE)
        with m.Elif(visits.row_valid):
            m.d.comb += status.state.eq(State.BUSY)
        with m.Elif(waits_for_b):
            m.d.comb += status.state.eq(State.WAIT_CB_DATA)
        with m.Elif(visits.waits_for_held):
            m.d.comb += status.state.eq(State.WAIT_HELD)
        with m.Elif(visits.waits_for_bank):
            m.d.comb += status.state.eq(State.WAIT_BANK)
        with m.Elif(readers["a"].waits_for_cb):
            m.d.comb += status.state.eq(State.WAIT_CB_DATA)
        with m.Elif(readers["a"].waits_for_ls):
            m.d.comb += status.state.eq(State.WAIT_LS)
        with m.Else():
            m.d.comb += status.state.eq(State.BUSY)


def _levels_below(level: Value) -> Value:
    """One bit per loop level, set for those below `level`."""
    return Cat(level > index for index in range(LEVELS))


def _buffer_of(reader: OperandReader) -> Value:
    """Circular buffer that a reader asks for, or asked for last."""
    return reader.cb.acquire.payload.cb
