# SPDX-License-Identifier: Apache-2.0
"""Fills accumulator banks with a row of local memory."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import BankState, LsReadPort
from hw.lib.elastic import StreamFifo
from hw.lib.word_writer import wrapped_address
from hw.pe.re.sequencer import item_layout

__all__ = ["PreloadPath"]

_MOST_UNDER_WAY = 3
"""Words that local memory has accepted and not answered yet."""


class PreloadPath(wiring.Component):
    """Reads one row of local memory and writes it to every row of a free bank.

    Operation: (1) the row's words are read one after another. (2) When all have come the step is
    reported. (3) When the bank is free, it is filled, and becomes ready. The item is taken when
    that begins.

    Timing: `4 * columns / word_bytes + rows + 8` cycles per bank, when nothing is waited for. With
    `by_word` the words lie in a LUT RAM in place of registers, and a cycle writes one word of one
    row: `(rows + 1) * 4 * columns / word_bytes + 8` cycles. An address is a register before it is
    queued for local memory, whose `ready` goes no further than that queue.

    Parameters
    ----------
    banks, rows, columns : sizes.
    address_width, word_bytes : local memory.
    by_word : writes a word of a row at a time.

    Members
    -------
    items : In(stream of item_layout), banks to fill.
    states : In, states of the banks.
    ls_in : Out(LsReadPort).
    write_en, bank, write_row, write_data : Out, to the banks.
    write_mask : Out(columns), columns to write.
    write_ready : In(1), a row can be written in this cycle.
    fill, ready : Out(1), events of `bank` for `BankStates`.
    step : Out(stream of cb and advance), steps that have been read.
    stop : In(1), start nothing new.
    reading : Out(1), requests or answers of local memory are under way.
    busy : Out(1), or a bank is being filled, or just was.
    fault_parity, fault_outside : Out(1), a byte of the row has wrong parity; the row reaches beyond
        local memory.
    waits_bank, waits_ls : Out(1), why nothing is done.
    """

    def __init__(
        self,
        *,
        banks: int,
        rows: int,
        columns: int,
        address_width: int,
        word_bytes: int,
        by_word: bool = False,
    ) -> None:
        self.by_word = by_word
        self.rows = rows
        self.columns = columns
        self.word_bytes = word_bytes
        self.n_words = 4 * columns // word_bytes
        items = item_layout(banks, rows, columns, address_width)
        super().__init__(
            {
                "items": In(stream.Signature(items)),
                "states": In(data.ArrayLayout(BankState, banks)),
                "ls_in": Out(LsReadPort(address_width=address_width, word_bytes=word_bytes)),
                "bank": Out(range(banks)),
                "write_en": Out(1),
                "write_ready": In(1),
                "write_row": Out(range(rows)),
                "write_data": Out(32 * columns),
                "write_mask": Out(columns),
                "fill": Out(1),
                "ready": Out(1),
                "step": Out(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "stop": In(1),
                "reading": Out(1),
                "busy": Out(1),
                "fault_parity": Out(1),
                "fault_outside": Out(1),
                "waits_bank": Out(1),
                "waits_ls": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        item = self.items.payload
        n_read = Signal(range(self.n_words + 1))
        asks, again = Signal(), Signal()  # words are asked for; the next item's will be
        written, row_end, opens, opened = Signal(), Signal(), Signal(), Signal()
        filling = Signal()
        word = self._elaborate_words(m, n_read, written)
        self._elaborate_requests(m, asks, again)
        with m.If(again):
            m.d.sync += n_read.eq(0)
        with m.Elif(self.ls_in.response.valid):
            m.d.sync += n_read.eq(n_read + 1)
        m.d.comb += [
            self.step.payload.cb.eq(item.place.cb),
            self.step.payload.advance.eq(item.place.advance),
            row_end.eq(written & (word == self.n_words - 1 if self.by_word else 1)),
            self.items.ready.eq(opened),
            self.fill.eq(opened),
            self.busy.eq(self.reading | filling | self.ready),
        ]
        # Events come a cycle late, as registers.
        m.d.sync += [opened.eq(opens), self.ready.eq(0)]
        with m.If(row_end):
            m.d.sync += self.write_row.eq(self.write_row + 1)
        with m.If(~filling):
            m.d.sync += self.bank.eq(item.bank)
        with m.FSM():
            with m.State("READ"):
                m.d.comb += asks.eq(self.items.valid & ~self.stop)
                with m.If(asks & (n_read == self.n_words)):
                    m.d.comb += again.eq(1)
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += self.step.valid.eq(item.place.step_end & ~self.stop)
                with m.If(self.step.ready | ~item.place.step_end):
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += self.waits_bank.eq(self.states[self.bank] != BankState.FREE)
                with m.If(~self.waits_bank & ~self.stop):
                    m.d.comb += opens.eq(1)
                    m.next = "FILL"
            with m.State("FILL"):
                m.d.comb += [
                    filling.eq(1),
                    self.write_en.eq(1),
                    written.eq(self.write_ready),
                ]
                with m.If(row_end & (self.write_row == self.rows - 1)):
                    m.d.sync += self.ready.eq(1)
                    m.next = "READ"
        return m

    def _elaborate_requests(self, m: Module, asks: Signal, again: Signal) -> None:
        """Ask for the words of the item, one after the other."""
        place = self.items.payload.place
        n_asked = Signal(range(self.n_words + 1))
        # The next address and whether it lies outside, in a register in front of the queue.
        address, outside, there = Signal.like(place.address), Signal(), Signal()
        m.submodules.asking = asking = StreamFifo(shape=address.shape(), depth=2)
        wiring.connect(m, wiring.flipped(self.ls_in.request), asking.o)
        more, moves = Signal(), Signal()
        following = wrapped_address(m, place, n_asked, word_bytes=self.word_bytes)
        m.d.comb += [
            more.eq(n_asked != self.n_words),
            moves.eq(asking.i.ready | ~there),
            asking.i.valid.eq(there & ~outside & ~self.stop),
            asking.i.payload.eq(address),
        ]
        with m.If(moves):
            m.d.sync += there.eq(asks & more)
        with m.If(moves & asks & more):
            m.d.sync += [
                Cat(address, outside).eq(Cat(following[:-1], following[-1] | place.outside)),
                n_asked.eq(n_asked + 1),
            ]
        with m.If(again):
            m.d.sync += n_asked.eq(0)
        # A word that lies outside is not read, so nothing goes on until the trap.
        response, accepted = self.ls_in.response, Signal()
        n_under_way = Signal(range(_MOST_UNDER_WAY + 1))
        m.d.sync += [
            self.fault_outside.eq(there & outside),
            self.waits_ls.eq(asking.o.valid & ~asking.o.ready),
        ]
        with m.If(accepted != response.valid):
            m.d.sync += n_under_way.eq(Mux(accepted, n_under_way + 1, n_under_way - 1))
        m.d.comb += [
            accepted.eq(asking.o.valid & asking.o.ready),
            self.reading.eq(asking.o.valid | (n_under_way != 0)),
            self.fault_parity.eq(response.valid & response.payload.error.any()),
        ]

    def _elaborate_words(self, m: Module, n_read: Signal, written: Signal) -> Value:
        """Keep the words, and offer them; returns the number of the one that is offered."""
        answer = self.ls_in.response
        low = Signal(range(max(self.n_words, 2)))
        if not self.by_word:
            m.d.comb += self.write_mask.eq(Const(-1, self.columns))
            word = Signal(8 * self.word_bytes)
            m.d.comb += word.eq(answer.payload.data)
            for number in range(self.n_words):
                with m.If(answer.valid & (n_read == number)):
                    m.d.sync += self.write_data.word_select(number, len(word)).eq(word)
            return low
        m.submodules.words = words = memory.Memory(
            shape=8 * self.word_bytes, depth=max(self.n_words, 2), init=[]
        )
        write, read = words.write_port(), words.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(answer.valid),
            write.addr.eq(n_read[: len(low)]),
            write.data.eq(answer.payload.data),
            read.addr.eq(low),
            self.write_data.eq(Cat(read.data for _ in range(self.n_words))),
            self.write_mask.eq(
                Cat((low == 4 * column // self.word_bytes) for column in range(self.columns))
            ),
        ]
        with m.If(written):
            m.d.sync += low.eq(0 if self.n_words == 1 else low + 1)
        return low
