# SPDX-License-Identifier: Apache-2.0
"""The way of rows out of the accumulator banks."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Destination, Source
from hw.iface.pe import BankState
from hw.lib.elastic import SkidBuffer
from hw.pe.re.parity_check import ParityCheck
from hw.pe.re.row_reader import RowReader
from hw.pe.re.row_stages import RowStages, mode_layout
from hw.pe.re.row_writer import RowWriter
from hw.pe.re.sequencer import item_layout
from hw.pe.re.serial_min_max import SerialMinMax

__all__ = ["DrainPath"]


class DrainPath(wiring.Component):
    """Reads rows of banks and sends them on.

    Operation: (1) `RowReader` reads rows when their banks are full. (2) `RowStages` adds a
    neighbour's row, and finds minimum and maximum, which `SerialMinMax` may do behind. (3) A row
    goes into a register, and from there to a link; rows for local memory go to `RowWriter`. One
    that would lie outside of local memory does not; nothing is written behind it.

    Timing: one row per cycle. From reading to the request at local memory 2 cycles, plus the
    latencies of `RowStages`. With `SerialMinMax` a row that is asked for its minimum takes as many
    cycles as values count, and 3 more; it looks at the row in the register, which is cleared when
    both were found.

    Without floating point, where nothing else looks at rows before that register, it is the output
    register of the memory (`row_in_memory`): `own` is the row in it, and it stays until the cycle
    after its words were written or a link took it, so a row takes 2 cycles, or with `SerialMinMax`
    4 more than values count. It is cleared by a read of zeros, so the row after it is not read
    ahead. Decisions come from registers: from reading to the request 3 cycles.

    Parameters
    ----------
    banks, rows, columns : sizes.
    address_width, word_bytes : local memory.
    with_fp, with_links, with_se : what the engine has.
    fast_minmax : `RowMinMax` in place of `SerialMinMax`.

    Members
    -------
    items : In(stream of item_layout), rows to drain.
    mode : In(mode_layout()).
    states : In, states of the banks.
    read_en, read_bank, read_row : Out, to the banks; own, parity : In, from there.
    read_zero, read_take : Out, to `AccumulatorCopies`.
    drain, drain_bank, free, free_bank : Out, to `BankStates`.
    ls_out : Out(LsWritePort).array(4 * columns / word_bytes).
    in_north, in_west, out_south, out_east, to_se : streams of rows, where the engine has them.
    step : Out(stream of cb and advance), steps that are in local memory.
    stop : In(1), start nothing new and drop what has no request yet.
    queued : Out(1), a row waits to be read.
    busy : Out(1), rows or writes are under way, or a link has not taken its row.
    writing : Out(1), writes are under way.
    fault_parity, fault_parity_bank : Out, a row that moved on 1 cycle ago (2 with `row_in_memory`)
        had a fault.
    fault_outside, fault_bank : Out, a row lay outside, from the next cycle on for ever.
    waits_bank, waits_ls, waits_neighbour : Out(1), why no row moves.
    """

    def __init__(
        self,
        *,
        banks: int,
        rows: int,
        columns: int,
        address_width: int,
        word_bytes: int,
        with_fp: bool,
        with_links: bool,
        with_se: bool,
        fast_minmax: bool = True,
    ) -> None:
        self.columns = columns
        self.with_fp = with_fp
        self.fast_minmax = fast_minmax
        self.row_in_memory = not (with_fp or with_links or fast_minmax)
        self.destinations = {Destination.LS: ""}
        self.sources = {}
        if with_links:
            self.destinations |= {Destination.SOUTH: "out_south", Destination.EAST: "out_east"}
            self.sources = {Source.NORTH: "in_north", Source.WEST: "in_west"}
        if with_se:
            self.destinations |= {Destination.SE: "to_se"}
        self.links = {k: v for k, v in self.destinations.items() if v}
        sizes = {"banks": banks, "rows": rows, "columns": columns}
        memory = {"address_width": address_width, "word_bytes": word_bytes}
        self.writer = RowWriter(columns=columns, **memory, queued=not self.row_in_memory)
        self.reader = RowReader(
            **sizes, **memory, n_slots=self.writer.n_slots, ahead=not self.row_in_memory
        )
        self.stages = RowStages(
            columns=columns, with_fp=with_fp, sources=self.sources, fast_minmax=fast_minmax
        )
        writer = self.writer.signature.members
        row = stream.Signature(data.ArrayLayout(32, columns))
        ports = {name: Out(row) for name in self.links.values()}
        ports |= {name: In(row) for name in self.sources.values()}
        super().__init__(
            ports
            | {
                "items": In(stream.Signature(item_layout(**sizes, address_width=address_width))),
                "mode": In(mode_layout()),
                "states": In(data.ArrayLayout(BankState, banks)),
                "read_en": Out(1),
                "read_zero": Out(1),
                "read_take": Out(1),
                "read_bank": Out(range(banks)),
                "read_row": Out(range(rows)),
                "own": In(32 * columns),
                "parity": In(columns),
                "drain": Out(1),
                "drain_bank": Out(range(banks)),
                "free": Out(1),
                "free_bank": Out(range(banks)),
                "ls_out": writer["ls_out"],
                "step": writer["step"],
                "stop": In(1),
                "queued": Out(1),
                "busy": Out(1),
                "writing": Out(1),
                "fault_parity": Out(1),
                "fault_parity_bank": Out(range(banks)),
                "fault_outside": Out(1),
                "fault_bank": Out(range(banks)),
                "waits_bank": Out(1),
                "waits_ls": Out(1),
                "waits_neighbour": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        reader, stages, writer = self.reader, self.stages, self.writer
        m.submodules.reader, m.submodules.stages, m.submodules.writer = reader, stages, writer
        for outer, inner in (
            (self.items, reader.items),
            (self.step, writer.step),
            *zip(self.ls_out, writer.ls_out, strict=True),
            *((getattr(self, name), getattr(stages, name)) for name in self.sources.values()),
        ):
            wiring.connect(m, wiring.flipped(outer), inner)
        linking = Signal()  # a row waits at a link
        link_left = Signal()  # it leaves
        seeking = Signal()  # minimum and maximum of the row in the register are not found yet
        self._elaborate_connections(m)
        register = self._elaborate_register(m, linking, link_left, seeking)
        kept, refused = self._elaborate_links(m, register, linking, link_left)
        on_way = [*kept, *self._elaborate_check(m)]
        # The last row, which nothing follows, may wait as well.
        alone = refused & ~reader.queued & ~reader.there
        parts = (reader.queued, reader.there, stages.busy, seeking, linking, writer.busy)
        m.d.comb += [
            self.writing.eq(writer.busy),
            # After a fault nothing may look complete before it has trapped.
            self.busy.eq(Cat(*parts, self.fault_outside, *on_way).any()),
            self.waits_neighbour.eq((reader.there & ~stages.moves & ~self.waits_ls) | alone),
        ]
        return m

    def _elaborate_connections(self, m: Module) -> None:
        """Connect reader and stages to each other, to the banks and to the outside."""
        reader, stages = self.reader, self.stages
        m.d.comb += [
            reader.states.eq(self.states),
            reader.stop.eq(self.stop),
            reader.moves.eq(stages.moves),
            self.read_en.eq(reader.en),
            self.read_zero.eq(~reader.en),
            self.read_bank.eq(reader.bank),
            self.read_row.eq(reader.row),
            self.drain.eq(reader.drain),
            self.drain_bank.eq(reader.its_bank),
            self.free.eq(reader.free),
            self.free_bank.eq(reader.moved_bank),
            self.queued.eq(reader.queued),
            self.waits_bank.eq(reader.waits_bank),
            stages.mode.eq(self.mode),
            stages.own.eq(self.own),
            stages.own_n_valid.eq(reader.n_valid),
            stages.there.eq(reader.there),
        ]
        if self.row_in_memory:
            # Zeros follow a row that is sought. There are no stages to stop.
            m.d.comb += self.read_en.eq(reader.en | (reader.moved & self.mode.minmax))
        else:
            m.d.comb += stages.stop.eq(self.stop)

    def _elaborate_check(self, m: Module) -> list[Value]:
        """Check rows that move on; returns whether that is under way."""
        reader = self.reader
        m.submodules.check = check = ParityCheck(
            columns=self.columns, place_width=len(self.free_bank), late=not self.with_fp
        )
        m.d.comb += [
            check.row.eq(self.own),
            check.parity.eq(self.parity),
            check.check.eq(self.stages.moves),
            check.place.eq(reader.its_bank),
            self.fault_parity.eq(check.fault),
            self.fault_parity_bank.eq(check.fault_place),
        ]
        if not self.row_in_memory:
            return []
        checked = Signal()
        m.d.sync += checked.eq(reader.moved)
        m.d.comb += [check.check.eq(reader.moved), check.place.eq(reader.moved_bank)]
        return [reader.moved, checked]

    def _elaborate_register(
        self, m: Module, linking: Signal, link_left: Signal, seeking: Signal
    ) -> Value:
        """A register from which rows go to a link, or are sought for minimum and maximum.

        Local memory's rows are given to the writer when they leave. Returns what is in it.
        """
        reader, stages, writer = self.reader, self.stages, self.writer
        free, taken = Signal(), Signal()
        closed = Signal()  # the row in the register stays: it is sought, or waits at a link
        leaves = Signal()  # a row is written, or offered at a link, from the next cycle on
        to_memory = self.mode.destination == Destination.LS
        if self.row_in_memory:
            result: Value = self.own
        else:
            result = Signal(32 * self.columns, reset_less=True)
        # Whoever takes rows out of the memory's register is not waited for: they come more slowly.
        opens = Const(0, 1) if self.row_in_memory else link_left
        seeks, found, pair = Const(0, 1), Const(0, 1), Const(0, 64)
        if not self.fast_minmax:
            seeks = self.mode.minmax
            found, pair = self._elaborate_serial(m, result, taken, seeking)
        # When a pair is found the register gets zeros.
        both = Signal(32 * self.columns)
        m.d.comb += [
            both.eq(result | Mux(seeks, pair, 0)),
            free.eq(writer.ready & (~closed | opens)),
            taken.eq(stages.valid & free),
            leaves.eq(Mux(seeks, found, taken)),
            reader.hold.eq(seeking & self.row_in_memory),
            stages.advance.eq(~stages.valid | taken),
            self.read_take.eq(taken | (leaves & seeks)),
            writer.place.eq(reader.place),
            writer.load.eq(leaves),
            writer.here.eq(to_memory),
            writer.row.eq(both if self.row_in_memory else Mux(seeks, pair, stages.row)),
            writer.short.eq(self.mode.minmax),
            self.fault_outside.eq(writer.fault),
            self.fault_bank.eq(reader.moved_bank),
            self.waits_ls.eq(stages.valid & to_memory & ~free),
            reader.goes.eq(leaves),
        ]
        with m.If(self.stop | (taken & (seeks | ~to_memory))):
            m.d.sync += closed.eq(1)
        with m.Elif(link_left | (found & to_memory)):
            m.d.sync += closed.eq(0)
        if not self.row_in_memory:
            with m.If(taken):
                m.d.sync += result.eq(stages.row)
            with m.Elif(leaves & seeks):
                m.d.sync += result.eq(0)
        with m.If(leaves & ~to_memory):
            m.d.sync += linking.eq(1)
        with m.Elif(link_left):
            m.d.sync += linking.eq(0)
        return both

    def _elaborate_serial(
        self, m: Module, row: Value, taken: Value, seeking: Signal
    ) -> tuple[Value, Value]:
        """Minimum and maximum of the row in the register: whether both are found, and they."""
        m.submodules.min_max = finder = SerialMinMax(columns=self.columns)
        m.d.comb += [
            finder.row.eq(row),
            finder.is_float.eq(self.mode.is_float if self.with_fp else 0),
            finder.start.eq(taken & self.mode.minmax),
            finder.n_valid.eq(self.stages.n_valid),
            finder.stop.eq(self.stop),
            seeking.eq(finder.busy),
        ]
        return finder.done, finder.o

    def _elaborate_links(
        self, m: Module, register: Value, linking: Signal, left: Signal
    ) -> tuple[list[Value], Value]:
        """Offer the row in the register; on its way to another element it is kept once more.

        Returns whether it is, and whether a row is offered and not taken.
        """
        kept: list[Value] = []
        refused: Value = linking & (self.mode.destination == Destination.SE) & ~left
        for destination, name in self.links.items():
            port = getattr(self, name)
            chosen = linking & (self.mode.destination == destination)
            if destination != Destination.SE:
                m.submodules[f"{name}_skid"] = skid = SkidBuffer(shape=port.payload.shape())
                wiring.connect(m, wiring.flipped(port), skid.o)
                port = skid.i
                kept.append(skid.o.valid)
                refused |= skid.o.valid & ~skid.o.ready
            m.d.comb += [port.valid.eq(chosen), port.payload.eq(register)]
            with m.If(chosen):
                m.d.comb += left.eq(port.ready)
        return kept, refused
