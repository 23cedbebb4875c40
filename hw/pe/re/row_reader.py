# SPDX-License-Identifier: Apache-2.0
"""Reads rows of accumulator banks, and computes where they go."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import BankState
from hw.lib.elastic import StreamFifo
from hw.pe.re.row_writer import row_place_layout, spread_place
from hw.pe.re.sequencer import item_layout

__all__ = ["RowReader"]

_WAY_DEPTH = 16
"""More than there can be rows on their way: 4 in the queue, 1 at the memory, 9 in stages."""
_ITEMS_AHEAD = 4


class RowReader(wiring.Component):
    """Walks over items and reads the row of each into the memory's output, when its bank is full.

    Operation: (1) items are queued, so that the walk over them does not depend on who takes rows.
    Where a row goes is computed before it is queued, and waits with the places of all rows on their
    way. (2) A row is read when the one before has moved on; the
    first one of a bank when the bank is full. (3) When the last row of a bank has moved on the bank
    is free.

    Timing: with `ahead` a row is read while the one before moves on, so one per cycle. Else the row
    before is gone, and whether the bank is full is known since the cycle before: a row every 2
    cycles, and nothing stands between whoever moves a row and the memory's address.

    Parameters
    ----------
    banks, rows, columns : sizes.
    address_width, word_bytes, n_slots : local memory, and words of a row.
    ahead : whether a row is read in the cycle in which the one before moves on.

    Members
    -------
    items : In(stream of item_layout), rows to read.
    states : In, states of the banks.
    stop : In(1), read nothing, and forget what was read.
    hold : In(1), read nothing.
    moves : In(1), the row at the output moves on.
    en, bank, row : Out, to the banks.
    there : Out(1), a row is at the memory's output; n_valid : Out, its columns that count;
        its_bank : Out(range(banks)).
    moved : Out(1), one moved on a cycle ago; moved_bank : Out(range(banks)), from there.
    drain, free : Out(1), events of `its_bank` and `moved_bank` for `BankStates`, a cycle after the
        read and the move.
    place : Out(row_place_layout), where the first of the rows on their way goes; goes : In(1), it
        does.
    waits_bank : Out(1), the next row's bank is not full; without `ahead` a cycle later.
    queued : Out(1), a row waits to be read.
    """

    def __init__(
        self,
        *,
        banks: int,
        rows: int,
        columns: int,
        address_width: int,
        word_bytes: int,
        n_slots: int,
        ahead: bool,
    ) -> None:
        self.word_bytes = word_bytes
        self.n_slots = n_slots
        self.ahead = ahead
        self.item_layout = item_layout(banks, rows, columns, address_width)
        super().__init__(
            {
                "items": In(stream.Signature(self.item_layout)),
                "states": In(data.ArrayLayout(BankState, banks)),
                "stop": In(1),
                "hold": In(1),
                "moves": In(1),
                "en": Out(1),
                "bank": Out(range(banks)),
                "row": Out(range(rows)),
                "there": Out(1),
                "n_valid": Out(range(columns + 1)),
                "its_bank": Out(range(banks)),
                "moved": Out(1),
                "moved_bank": Out(range(banks)),
                "drain": Out(1),
                "free": Out(1),
                "place": Out(row_place_layout(address_width, n_slots)),
                "goes": In(1),
                "waits_bank": Out(1),
                "queued": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        item = self._elaborate_items(m)
        last = Signal()
        m.d.comb += [
            self.en.eq(self._elaborate_choice(m, item) & ~self.hold & ~self.stop),
            item.ready.eq(self.en),
            self.bank.eq(item.payload.bank),
            self.row.eq(item.payload.row),
            self.queued.eq(item.valid),
        ]
        with m.If(self.en):
            m.d.sync += [
                self.there.eq(1),
                last.eq(item.payload.last),
                self.n_valid.eq(item.payload.n_valid),
                self.its_bank.eq(item.payload.bank),
            ]
        with m.Elif(self.moves | self.stop):
            m.d.sync += self.there.eq(0)
        m.d.sync += [
            self.drain.eq(self.en & item.payload.first),
            self.free.eq(self.moves & last),
            self.moved.eq(self.moves),
            self.moved_bank.eq(self.its_bank),
        ]
        return m

    def _elaborate_items(self, m: Module) -> Any:
        """Queue items and their places; returns the queue's output."""
        source = self.items.payload
        fields = ("bank", "row", "first", "last", "n_valid")
        shape = data.StructLayout({name: self.item_layout[name].shape for name in fields})
        m.submodules.queue = queue = StreamFifo(shape=shape, depth=_ITEMS_AHEAD)
        # No queue, since nobody asks whether it is full or empty: rows tell.
        m.submodules.way = way = memory.Memory(shape=self.place.shape(), depth=_WAY_DEPTH, init=[])
        write, read = way.write_port(), way.read_port(domain="comb")
        m.d.comb += [
            self.items.ready.eq(queue.i.ready),
            queue.i.valid.eq(self.items.valid),
            *(queue.i.payload[name].eq(source[name]) for name in fields),
            self.place.eq(read.data),
        ]
        # A row goes on two cycles after its item came at the earliest.
        place, comes = Signal.like(source.place, reset_less=True), Signal()
        m.d.sync += [place.eq(source.place), comes.eq(self.items.valid & self.items.ready)]
        m.d.comb += write.en.eq(comes)
        spread_place(m, write.data, place, n_slots=self.n_slots, word_bytes=self.word_bytes)
        for port, moves_on in ((write, write.en), (read, self.goes)):
            number = Signal(range(_WAY_DEPTH))
            m.d.comb += port.addr.eq(number)
            with m.If(moves_on):
                m.d.sync += number.eq(number + 1)
        return queue.o

    def _elaborate_choice(self, m: Module, item: Any) -> Value:
        """Whether the next row may be read."""
        allowed = Signal()
        full = self.states[item.payload.bank] == BankState.FULL
        # A bank whose first row was just read still looks full.
        drained = self.drain & (self.its_bank == item.payload.bank)
        m.d.comb += allowed.eq(~item.payload.first | (full & ~drained))
        waits = item.valid & ~allowed
        if self.ahead:
            m.d.comb += self.waits_bank.eq(waits)
            return item.valid & allowed & (~self.there | self.moves)
        # A row is there in the cycle after a read, in which this is still what the read was told.
        known = Signal()
        m.d.sync += [known.eq(item.valid & allowed), self.waits_bank.eq(waits)]
        return known & ~self.there
