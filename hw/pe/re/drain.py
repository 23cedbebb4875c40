# SPDX-License-Identifier: Apache-2.0
"""The way of rows out of the accumulator banks."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Destination, Source
from hw.iface.pe import BankState
from hw.lib.clock_gate import Gated
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.pe.re.combiner import RowCombiner
from hw.pe.re.min_max import RowMinMax
from hw.pe.re.parity_check import ParityCheck
from hw.pe.re.row_writer import RowWriter, spread_place
from hw.pe.re.sequencer import item_layout
from hw.pe.re.serial_min_max import SerialMinMax

__all__ = ["DrainPath", "mode_layout"]

_WAY_DEPTH = 16
_ITEMS_AHEAD = 3


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
    which stop when they do not. With `SerialMinMax` a row that is asked for its minimum takes as
    many cycles as values count, and 3 more; it looks at the row in the register from which rows are
    written, which is cleared when both were found.

    Without floating point, where nothing else looks at rows before that register, it is the output
    register of the memory (`row_in_memory`): `own` is the row in it. It is cleared by a read of
    zeros, so the row after it is not read ahead.

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
    drain, free, free_bank : Out, to `BankStates`.
    ls_out : Out(LsWritePort).array(4 * columns / word_bytes).
    in_north, in_west, out_south, out_east, to_se : streams of rows, where the engine has them.
    step : Out(stream of cb and advance), steps that are in local memory.
    stop : In(1), start nothing new and drop what has no request yet.
    queued : Out(1), a row waits to be read.
    busy : Out(1), rows or writes are under way, or a link has not taken its row.
    writing : Out(1), writes are under way.
    fault_parity, fault_parity_bank : Out, a row that moved on 1 cycle ago (2 with `row_in_memory`)
        had a fault.
    fault_outside, fault_bank : Out, one that would move on lies outside.
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
        self.with_links = with_links
        self.fast_minmax = fast_minmax
        self.row_in_memory = not (with_fp or with_links or fast_minmax)
        self._link_left = Signal()  # a link takes the row
        self.writer = RowWriter(columns=columns, address_width=address_width, word_bytes=word_bytes)
        row = stream.Signature(data.ArrayLayout(32, columns))
        self._seeks = Signal()  # minimum and maximum of rows in the register are asked for
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
                "read_zero": Out(1),
                "read_take": Out(1),
                "read_bank": Out(range(banks)),
                "read_row": Out(range(rows)),
                "own": In(32 * columns),
                "parity": In(columns),
                "drain": Out(1),
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
        m.submodules.writer = self.writer
        # Places of the rows on their way, in order.
        m.submodules.way = way = StreamFifo(shape=self.writer.place.shape(), depth=_WAY_DEPTH)
        wiring.connect(m, wiring.flipped(self.step), self.writer.step)
        for outer, inner in zip(self.ls_out, self.writer.ls_out, strict=True):
            wiring.connect(m, wiring.flipped(outer), inner)
        at_memory = Signal()  # a row is at the memory's output
        moves = Signal()  # it moves on
        advance = Signal()  # so do all rows behind
        linking = Signal()  # a row waits at a link
        seeking = Signal()  # the minimum of the row in the register is not found yet
        leaves = Signal()  # a row is written, or offered at a link, from the next cycle on
        n_valid = Signal(range(self.columns + 1))
        may_read = ~at_memory | moves
        if self.row_in_memory:
            may_read &= ~self.mode.minmax | (~at_memory & (~seeking | leaves))
        self._elaborate_read(m, at_memory, moves, n_valid, way, may_read)
        on_way = self._elaborate_check(m, moves)
        row, valid, count, more = self._elaborate_stages(m, at_memory, moves, advance, n_valid)
        on_way = on_way + more
        row = self._elaborate_out(m, row, valid, advance, count, way, linking, seeking, leaves)
        on_way = on_way + self._elaborate_ports(m, row, linking)
        m.d.comb += [
            self.writing.eq(self.writer.busy),
            self.busy.eq(
                Cat(self.queued, at_memory, seeking, linking, self.writer.busy, *on_way).any()
            ),
            self.waits_neighbour.eq(at_memory & ~moves & ~self.waits_ls),
        ]
        return m

    def _elaborate_items(self, m: Module, way: StreamFifo) -> Any:
        """Queue items, so that the walk over them does not depend on who takes rows.

        Returns the queue's output. Where a row goes is computed before it is queued.
        """
        source = self.items.payload
        fields = ("bank", "row", "first", "last", "n_valid")
        shape = data.StructLayout({name: self.item_layout[name].shape for name in fields})
        m.submodules.queue = queue = StreamFifo(shape=shape, depth=_ITEMS_AHEAD)
        takes = self.items.valid & self.items.ready
        m.d.comb += [
            self.items.ready.eq(queue.i.ready & way.i.ready & ~self.stop),
            queue.i.valid.eq(takes),
            *(queue.i.payload[name].eq(source[name]) for name in fields),
            way.i.valid.eq(takes),
            self.queued.eq(queue.o.valid),
        ]
        spread_place(
            m,
            way.i.payload,
            source.place,
            n_slots=self.writer.n_slots,
            word_bytes=self.writer.word_bytes,
        )
        return queue.o

    def _elaborate_read(
        self,
        m: Module,
        at_memory: Signal,
        moves: Signal,
        n_valid: Signal,
        way: StreamFifo,
        may_read: Value,
    ) -> None:
        """Read rows, and free a bank when its last row moves on."""
        reads = Signal()
        item = self._elaborate_items(m, way)
        last = Signal()
        bank_ready = Signal()
        m.d.comb += [
            bank_ready.eq(~item.payload.first | (self.states[item.payload.bank] == BankState.FULL)),
            item.ready.eq(bank_ready & may_read & ~self.stop),
            reads.eq(item.valid & item.ready),
            self.read_en.eq(reads | (moves & self.mode.minmax & self.row_in_memory)),
            self.read_zero.eq(~reads),
            self.read_bank.eq(item.payload.bank),
            self.read_row.eq(item.payload.row),
            self.drain.eq(reads & item.payload.first),
            self.free.eq(moves & last),
            self.waits_bank.eq(item.valid & ~bank_ready),
        ]
        with m.If(reads):
            m.d.sync += [
                at_memory.eq(1),
                last.eq(item.payload.last),
                n_valid.eq(item.payload.n_valid),
                self.free_bank.eq(item.payload.bank),
            ]
        with m.Elif(moves | self.stop):
            m.d.sync += at_memory.eq(0)
        m.d.comb += self.fault_bank.eq(self.free_bank)

    def _elaborate_check(self, m: Module, moves: Signal) -> list[Value]:
        """Check rows that move on; returns whether that is under way."""
        m.submodules.check = check = ParityCheck(
            columns=self.columns, place_width=len(self.free_bank), late=not self.with_fp
        )
        m.d.comb += [
            check.row.eq(self.own),
            check.parity.eq(self.parity),
            check.check.eq(moves),
            check.place.eq(self.free_bank),
            self.fault_parity.eq(check.fault),
            self.fault_parity_bank.eq(check.fault_place),
        ]
        if not self.row_in_memory:
            return []
        moved, checked = Signal(), Signal()
        place = Signal.like(self.free_bank, name="checked_bank")
        m.d.sync += [moved.eq(moves), checked.eq(moved), place.eq(self.free_bank)]
        m.d.comb += [check.check.eq(moved), check.place.eq(place)]
        return [moved, checked]

    def _elaborate_stages(
        self,
        m: Module,
        at_memory: Signal,
        moves: Signal,
        advance: Signal,
        n_valid: Signal,
    ) -> tuple[Value, Value, Value, list[Value]]:
        """Add the neighbour's row, find minimum and maximum of a row per cycle.

        Returns row, valid, the number of its values that count, and valid bits on the way.
        """
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
        if not self.fast_minmax:
            return row, valid, n_valid, on_way
        final = Signal(32 * self.columns)
        final_valid = Signal()
        found, there, more = self._elaborate_fast(m, row, valid, advance, n_valid)
        m.d.comb += [final.eq(row), final_valid.eq(valid)]
        with m.If(self.mode.minmax):
            m.d.comb += [final.eq(found), final_valid.eq(there)]
        return final, final_valid, n_valid, on_way + more

    def _elaborate_fast(
        self, m: Module, row: Value, valid: Value, advance: Signal, n_valid: Value
    ) -> tuple[Value, Value, list[Value]]:
        """Minimum and maximum of a row per cycle: result, valid, and valid bits on the way."""
        finder = RowMinMax(columns=self.columns)
        stages = self._delay(m, valid & self.mode.minmax, finder.latency, advance, "minmax")
        m.submodules.min_max = Gated(finder, enable=advance & Cat(stages[:-1]).any())
        m.d.comb += [
            finder.row.eq(row),
            finder.is_float.eq(self.mode.is_float),
            finder.n_valid.eq(n_valid),
        ]
        return finder.o, stages[-1], stages[1:]

    def _elaborate_serial(
        self, m: Module, row: Value, taken: Value, leaves: Value, n_valid: Value, seeking: Signal
    ) -> tuple[Value, Value]:
        """Minimum and maximum of the row in the register: whether both are found, and they."""
        m.submodules.min_max = finder = SerialMinMax(columns=self.columns)
        count = Signal.like(n_valid)
        m.d.comb += [
            finder.row.eq(row),
            finder.is_float.eq(self.mode.is_float if self.with_fp else 0),
            finder.n_valid.eq(count),
            finder.start.eq(seeking),
            finder.taken.eq(leaves),
        ]
        with m.If(taken & self.mode.minmax):
            m.d.sync += [seeking.eq(1), count.eq(n_valid)]
        with m.Elif(leaves):
            m.d.sync += seeking.eq(0)
        with m.If(self.stop):
            m.d.sync += seeking.eq(0)
        return finder.done & seeking, finder.o

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
        n_valid: Value,
        way: StreamFifo,
        linking: Signal,
        seeking: Signal,
        leaves: Signal,
    ) -> Value:
        """A register from which rows go to local memory or to a link; returns what is in it."""
        to_memory, free, taken = Signal(), Signal(), Signal()
        writer = self.writer
        result = row if self.row_in_memory else Signal(32 * self.columns, reset_less=True)
        waits, pair = valid, Const(0, 64)
        if not self.fast_minmax:
            found, pair = self._elaborate_serial(m, result, taken, leaves, n_valid, seeking)
            waits = Mux(self._seeks, found, valid)
        # When a pair is found the register gets zeros.
        both = Signal(32 * self.columns)
        m.d.comb += both.eq(result | Mux(self._seeks, pair, 0))
        m.d.comb += [
            self._seeks.eq(self.mode.minmax & (not self.fast_minmax)),
            to_memory.eq(self.mode.destination == Destination.LS),
            free.eq((~(writer.busy | linking) | writer.left | self._link_left) & ~seeking),
            leaves.eq(waits & (free | self._seeks) & ~self.stop),
            taken.eq(valid & free & ~self.stop),
            advance.eq(~valid | taken),
            self.read_take.eq(taken | (leaves & self._seeks)),
            writer.place.eq(way.o.payload),
            # Behind a row that is not written nothing is, so it may move on.
            writer.load.eq(leaves & to_memory & ~writer.outside),
            writer.row.eq(both),
            writer.short.eq(self.mode.minmax),
            self.fault_outside.eq(leaves & to_memory & writer.outside),
            self.waits_ls.eq(valid & to_memory & ~free),
            way.o.ready.eq(leaves | self.stop),
        ]
        if not self.row_in_memory:
            with m.If(taken):
                m.d.sync += result.eq(row)
            with m.Elif(leaves & self._seeks):
                m.d.sync += result.eq(0)
        with m.If(leaves & ~to_memory):
            m.d.sync += linking.eq(1)
        with m.Elif(self._link_left):
            m.d.sync += linking.eq(0)
        return both

    def _elaborate_ports(self, m: Module, register: Value, linking: Signal) -> list[Value]:
        """Offer the row in the register; on its way to another element it is kept once more."""
        kept: list[Value] = []
        for destination, name in self.links.items():
            port = getattr(self, name)
            chosen = linking & (self.mode.destination == destination)
            if destination != Destination.SE:
                m.submodules[f"{name}_skid"] = skid = SkidBuffer(shape=port.payload.shape())
                wiring.connect(m, wiring.flipped(port), skid.o)
                port = skid.i
                kept.append(skid.o.valid)
            m.d.comb += [port.valid.eq(chosen), port.payload.eq(register)]
            with m.If(chosen):
                m.d.comb += self._link_left.eq(port.ready)
        return kept
