# SPDX-License-Identifier: Apache-2.0
"""The way of rows out of the accumulator banks."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Destination, Source
from hw.iface.pe import BankState
from hw.lib.clock_gate import Gated
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.pe.re.combiner import RowCombiner
from hw.pe.re.min_max import RowMinMax
from hw.pe.re.row_writer import RowWriter
from hw.pe.re.sequencer import item_layout

__all__ = ["DrainPath", "mode_layout"]

_WAY_DEPTH = 16


def mode_layout() -> data.StructLayout:
    """What a DRAIN command does with its rows; the same from its first row to its last."""
    return data.StructLayout({"is_float": 1, "destination": 2, "source": 2, "minmax": 1})


class DrainPath(wiring.Component):
    """Reads a row of a bank per cycle and sends it on.

    Operation: (1) a row is read when its bank is full (its first row) and the row before moves on.
    (2) With a source it waits for the neighbour's row, and they are added. (3) With `minmax` its
    minimum and maximum become its first two values, and the others zero. (4) It is written to
    local memory, or offered at a link. A bank is free when its last row has left its memory.

    Timing: one row per cycle. From reading to the request at local memory 2 cycles, plus the
    latencies of `RowCombiner` and `RowMinMax` when they take part. Those have clocks of their own,
    which stop when they do not.

    Parameters
    ----------
    banks, rows, columns : sizes.
    address_width, word_bytes : local memory.
    with_fp, with_links, with_se : what the engine has.

    Members
    -------
    items : In(stream of item_layout), rows to drain.
    mode : In(mode_layout()).
    states : In, states of the banks.
    read_en, read_bank, read_row : Out, to `AccumulatorBanks`; own, wrong : In, from there.
    drain, free, free_bank : Out, to `BankStates`.
    ls_out : Out(LsWritePort).array(4 * columns / word_bytes).
    in_north, in_west, out_south, out_east, to_se : streams of rows, where the engine has them.
    step : Out(stream of cb and advance), steps that are in local memory.
    stop : In(1), start nothing new and drop what has no request yet.
    busy : Out(1), rows or writes are under way, or a link has not taken its row.
    writing : Out(1), writes are under way.
    fault_parity, fault_outside, fault_bank : Out, a fault of the row that would move on.
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
    ) -> None:
        self.columns = columns
        self.with_fp = with_fp
        self.with_links = with_links
        self.writer = RowWriter(columns=columns, address_width=address_width, word_bytes=word_bytes)
        row = stream.Signature(data.ArrayLayout(32, columns))
        self.destinations = {Destination.LS: ""}
        self.sources = {}
        if with_links:
            self.destinations |= {Destination.SOUTH: "out_south", Destination.EAST: "out_east"}
            self.sources = {Source.NORTH: "in_north", Source.WEST: "in_west"}
        if with_se:
            self.destinations |= {Destination.SE: "to_se"}
        self.links = {k: v for k, v in self.destinations.items() if v}
        ports = {name: Out(row) for name in self.links.values()}
        ports |= {name: In(row) for name in self.sources.values()}
        self.item_layout = item_layout(banks, rows, columns, address_width)
        writer = self.writer.signature.members
        super().__init__(
            ports
            | {
                "items": In(stream.Signature(self.item_layout)),
                "mode": In(mode_layout()),
                "states": In(data.ArrayLayout(BankState, banks)),
                "read_en": Out(1),
                "read_bank": Out(range(banks)),
                "read_row": Out(range(rows)),
                "own": In(32 * columns),
                "wrong": In(columns),
                "drain": Out(1),
                "free": Out(1),
                "free_bank": Out(range(banks)),
                "ls_out": writer["ls_out"],
                "step": writer["step"],
                "stop": In(1),
                "busy": Out(1),
                "writing": Out(1),
                "fault_parity": Out(1),
                "fault_outside": Out(1),
                "fault_bank": Out(range(banks)),
                "waits_bank": Out(1),
                "waits_ls": Out(1),
                "waits_neighbour": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.writer = self.writer
        # Places of the rows on their way, in order.
        m.submodules.way = way = StreamFifo(shape=self.item_layout["place"].shape, depth=_WAY_DEPTH)
        wiring.connect(m, wiring.flipped(self.step), self.writer.step)
        for outer, inner in zip(self.ls_out, self.writer.ls_out, strict=True):
            wiring.connect(m, wiring.flipped(outer), inner)
        at_memory = Signal()  # a row is at the memory's output
        moves = Signal()  # it moves on
        advance = Signal()  # so do all rows behind
        linking = Signal()  # a row waits at a link
        n_valid = Signal(range(self.columns + 1))
        self._elaborate_read(m, at_memory, moves, n_valid, way)
        m.d.comb += self.waits_ls.eq(self.writer.i.valid & ~self.writer.i.ready)
        row, valid, on_way = self._elaborate_stages(m, at_memory, moves, advance, n_valid)
        self._elaborate_out(m, row, valid, advance, way, linking)
        m.d.comb += [
            self.writing.eq(self.writer.busy),
            self.busy.eq(at_memory | Cat(on_way).any() | linking | self.writer.busy),
            self.waits_neighbour.eq(at_memory & ~moves & ~self.waits_ls),
        ]
        return m

    def _elaborate_read(
        self, m: Module, at_memory: Signal, moves: Signal, n_valid: Signal, way: StreamFifo
    ) -> None:
        """Read rows, and free a bank when its last row moves on."""
        item = self.items.payload
        last = Signal()
        bank_ready = Signal()
        m.d.comb += [
            bank_ready.eq(~item.first | (self.states[item.bank] == BankState.FULL)),
            self.items.ready.eq(bank_ready & (~at_memory | moves) & ~self.stop),
            self.read_en.eq(self.items.valid & self.items.ready),
            self.read_bank.eq(item.bank),
            self.read_row.eq(item.row),
            self.drain.eq(self.read_en & item.first),
            self.free.eq(moves & last),
            self.waits_bank.eq(self.items.valid & ~bank_ready),
            way.i.valid.eq(self.read_en),
            way.i.payload.eq(item.place),
        ]
        with m.If(self.read_en):
            m.d.sync += [
                at_memory.eq(1),
                last.eq(item.last),
                n_valid.eq(item.n_valid),
                self.free_bank.eq(item.bank),
            ]
        with m.Elif(moves | self.stop):
            m.d.sync += at_memory.eq(0)
        m.d.comb += [
            self.fault_parity.eq(moves & self.wrong.any()),
            self.fault_bank.eq(self.free_bank),
        ]

    def _elaborate_stages(
        self, m: Module, at_memory: Signal, moves: Signal, advance: Signal, n_valid: Signal
    ) -> tuple[Value, Value, list[Value]]:
        """Add the neighbour's row, find minimum and maximum; row and valid at the end of it."""
        neighbour = Signal(init=1)  # the neighbour's row is there, or not needed
        complete = Signal()
        m.d.comb += [
            complete.eq(at_memory & neighbour),
            moves.eq(complete & advance & ~self.stop),
        ]
        row: Value = self.own
        valid: Value = complete
        on_way: list[Value] = []
        if self.with_links:
            row, valid, n_valid, on_way = self._elaborate_combiner(
                m, neighbour, complete, moves, advance, n_valid
            )
        finder = RowMinMax(columns=self.columns)
        stages = self._delay(m, valid & self.mode.minmax, finder.latency, advance, "minmax")
        m.submodules.min_max = Gated(finder, enable=advance & Cat(stages[:-1]).any())
        m.d.comb += [
            finder.row.eq(row),
            finder.is_float.eq(self.mode.is_float),
            finder.n_valid.eq(n_valid),
        ]
        final = Signal(32 * self.columns)
        final_valid = Signal()
        m.d.comb += [final.eq(row), final_valid.eq(valid)]
        with m.If(self.mode.minmax):
            m.d.comb += [final.eq(finder.o), final_valid.eq(stages[-1])]
        return final, final_valid, on_way + stages[1:]

    def _elaborate_combiner(
        self,
        m: Module,
        neighbour: Signal,
        complete: Signal,
        moves: Signal,
        advance: Signal,
        n_valid: Signal,
    ) -> tuple[Value, Value, Value, list[Value]]:
        """Rows of a neighbour, if any: they are taken when the own row moves on."""
        combiner = RowCombiner(columns=self.columns, with_fp=self.with_fp)
        has_source = self.mode.source != Source.NONE
        with m.If(has_source):
            m.d.comb += neighbour.eq(0)
        for source, name in self.sources.items():
            port = getattr(self, name)
            with m.If(self.mode.source == source):
                m.d.comb += [
                    combiner.incoming.eq(port.payload),
                    neighbour.eq(port.valid),
                    port.ready.eq(moves),
                ]
        stages = self._delay(m, complete & has_source, combiner.latency, advance, "combine")
        m.submodules.combiner = Gated(combiner, enable=advance & Cat(stages[:-1]).any())
        counts: Value = n_valid
        for stage in range(combiner.latency):
            following = Signal.like(n_valid, name=f"n_valid{stage}")
            with m.If(advance):
                m.d.sync += following.eq(counts)
            counts = following
        row = Signal(32 * self.columns, name="combined")
        valid = Signal(name="combined_valid")
        counted = Signal.like(n_valid, name="combined_n_valid")
        m.d.comb += [
            combiner.own.eq(self.own),
            combiner.is_float.eq(self.mode.is_float),
            row.eq(self.own),
            valid.eq(complete),
            counted.eq(n_valid),
        ]
        with m.If(has_source):
            m.d.comb += [row.eq(combiner.o), valid.eq(stages[-1]), counted.eq(counts)]
        return row, valid, counted, stages[1:]

    def _delay(
        self, m: Module, first: Value, n_stages: int, advance: Signal, name: str
    ) -> list[Value]:
        """A valid bit and its way through `n_stages` registers."""
        stages = [first]
        for stage in range(n_stages):
            following = Signal(name=f"{name}_valid{stage}")
            with m.If(self.stop):
                m.d.sync += following.eq(0)
            with m.Elif(advance):
                m.d.sync += following.eq(stages[-1])
            stages.append(following)
        return stages

    def _elaborate_out(
        self,
        m: Module,
        row: Value,
        valid: Value,
        advance: Signal,
        way: StreamFifo,
        linking: Signal,
    ) -> None:
        """Hand rows to local memory or to a link."""
        to_memory = self.mode.destination == Destination.LS
        writer = self.writer.i
        taken = Signal()
        m.d.comb += [
            writer.valid.eq(valid & to_memory & ~self.stop),
            writer.payload.row.eq(row),
            writer.payload.short.eq(self.mode.minmax),
            writer.payload.place.eq(way.o.payload),
            self.fault_outside.eq(self.writer.outside),
            taken.eq(writer.ready),
            advance.eq(~valid | taken),
            way.o.ready.eq((valid & taken) | self.stop),
        ]
        if not self.links:
            return
        shape = data.StructLayout({"row": 32 * self.columns, "destination": 2})
        m.submodules.link = link = SkidBuffer(shape=shape)
        m.d.comb += [
            link.i.valid.eq(valid & ~to_memory & ~self.stop),
            link.i.payload.row.eq(row),
            link.i.payload.destination.eq(self.mode.destination),
            linking.eq(link.o.valid),
        ]
        with m.If(~to_memory):
            m.d.comb += taken.eq(link.i.ready)
        for destination, name in self.links.items():
            port = getattr(self, name)
            chosen = link.o.payload.destination == destination
            m.d.comb += port.payload.eq(link.o.payload.row)
            with m.If(chosen):
                m.d.comb += [port.valid.eq(link.o.valid), link.o.ready.eq(port.ready)]
