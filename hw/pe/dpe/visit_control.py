# SPDX-License-Identifier: Apache-2.0
"""Streams rows of A into the array, visit by visit."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.iface.pe import BankPort, BankState
from hw.lib.elastic import PipeStage
from hw.lib.loop_nest import LoopOffset
from hw.pe.dpe.array import row_layout
from hw.pe.dpe.faults import fault_layout, report_fault
from hw.pe.dpe.masks import masked
from hw.pe.dpe.operand_reader import word_layout

__all__ = ["VisitControl", "stream_layout", "tag_layout"]

_BANK_BITS = 4


def stream_layout(k_bytes: int) -> data.StructLayout:
    """What a command says about its streamed rows and its banks."""
    return data.StructLayout(
        {
            "format": 2,
            "k_level": 3,
            "k_keep": k_bytes,  # bytes that count in the last iteration of `k_level`
            "inside": LEVELS,  # levels that one held block serves
            "bank": _BANK_BITS,
            "bank_strides": data.ArrayLayout(_BANK_BITS, LEVELS),
            "init": 1,
            "done": 1,
            "tag": 16,
        }
    )


def tag_layout(banks: int, rows: int) -> data.StructLayout:
    """What walks through the array beside a row."""
    return data.StructLayout(
        {
            "bank": range(banks),
            "row": range(rows),
            "overwrite": 1,
            "close": 1,
            "done": 1,
            "ends": 1,  # the command is complete with this row
        }
    )


class VisitControl(wiring.Component):
    """Decides when a visit of a bank may start, and streams its rows.

    Operation: one iteration of level 1 is a visit. It starts when its first row is there, its bank
    allows it, and the bank's last visit is so long ago that each row comes at least `re_latency`
    cycles after the same row of that visit. Within a visit rows go on as they come. Before the
    array they go through a register, where the first row of a held block waits until the block is
    complete in the shadow. The first visit of a bank is the one with
    `k_level` at its first iteration, the last one with `k_level` at its last; with `k_level` 0
    every visit is both. In the last iteration of `k_level` only bytes of `k_keep` count.

    Timing: a row per cycle, 1 cycle from `words` to `row`; a visit follows another without a gap
    unless it must wait. What states
    allow is seen a cycle late: a bank that was just visited rests long enough for that.

    Parameters
    ----------
    banks, rows : int
        Accumulator banks and rows of one.
    k_bytes : int
        Bytes of a row.
    address_width : int
        Bits of a word address.
    re_latency : int
        Cycles after which the reduction engine may get the same row of a bank again, at least 2.

    Members
    -------
    info : In(stream of stream_layout)
        One for every command, in order.
    words : In(stream of word_layout)
        The words of A.
    banks_port : Out(BankPort)
        States of the banks.
    held_full : In(1)
        A held block waits in the shadow; goes low after a row with `swap`.
    stop : In(1)
        Start no row, and let none go to the array.
    row_valid : Out(1)
        A row, to `DotProductArray`.
    row : Out(row_layout)
        The row; its tag is a `tag_layout`.
    fault : Out(fault_layout)
        High for one cycle.
    bank : Out(4)
        Bank of the present visit.
    visit_end : Out(1)
        The last row of a visit is taken.
    waits_for_held, waits_for_bank : Out(1)
        Why the first row of a visit waits.
    """

    def __init__(
        self, *, banks: int, rows: int, k_bytes: int, address_width: int, re_latency: int
    ) -> None:
        self.banks = banks
        self.rows = rows
        self.k_bytes = k_bytes
        self.re_latency = re_latency
        self.tag_shape = tag_layout(banks, rows)
        super().__init__(
            {
                "info": In(stream.Signature(stream_layout(k_bytes))),
                "words": In(stream.Signature(word_layout(address_width, k_bytes))),
                "banks_port": Out(BankPort(banks=banks)),
                "held_full": In(1),
                "stop": In(1),
                "row_valid": Out(1),
                "row": Out(row_layout(k_bytes, self.tag_shape.size)),
                "fault": Out(fault_layout()),
                "bank": Out(_BANK_BITS),
                "visit_end": Out(1),
                "waits_for_held": Out(1),
                "waits_for_bank": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        info, word = self.info.payload, self.words.payload
        row = Signal(range(self.rows))
        new_block = Signal(init=1)  # the visit is the first with its held block
        k_first = Signal(init=1)
        k_last = Signal()
        k_any = info.k_level == 0
        first, last = k_first | k_any, k_last
        there, starts, row_goes = Signal(), Signal(), Signal()
        row_end = word.note.last[0]
        m.submodules.out = out = PipeStage(shape=self.row.shape())

        bank = self._elaborate_bank(m, self.visit_end)
        allowed = self._elaborate_allowed(m, first)
        rests = self._elaborate_rests(m, bank, row, out.i.ready)
        m.d.comb += [
            k_last.eq(word.note.last.bit_select(info.k_level, 1) | k_any),
            there.eq(self.words.valid & self.info.valid & ~self.stop),
            self.waits_for_held.eq(out.o.valid & out.o.payload.swap & ~self.held_full),
            self.waits_for_bank.eq(there & (row == 0) & (~allowed.bit_select(bank, 1) | rests)),
            row_goes.eq(there & out.i.ready & ~self.waits_for_bank),
            self.visit_end.eq(row_goes & row_end),
            starts.eq(row_goes & (row == 0)),
            self.words.ready.eq(row_goes),
            self.info.ready.eq(row_goes & word.note.last.all()),
            self.bank.eq(bank),
            self.banks_port.visit.eq(starts),
            self.banks_port.bank.eq(bank),
            self.banks_port.last.eq(last),
        ]
        self._elaborate_row(m, out, row_goes, starts & new_block, row, bank, first, last)

        with m.If(row_goes):
            m.d.sync += row.eq(Mux(row_end, 0, row + 1))
        with m.If(self.visit_end):
            # The lowest level that goes on; those below begin anew.
            moves = ~word.note.last & -(~word.note.last)
            k_bit = Signal(LEVELS)
            m.d.comb += k_bit.eq(1 << info.k_level)
            m.d.sync += new_block.eq((word.note.last | ~info.inside).all())
            with m.If((moves & k_bit).any()):
                m.d.sync += k_first.eq(0)
            with m.Elif((moves > k_bit) | word.note.last.all()):
                m.d.sync += k_first.eq(1)
        return m

    def _elaborate_row(
        self,
        m: Module,
        out: PipeStage,
        goes: Signal,
        swap: Value,
        row: Signal,
        bank: Signal,
        first: Value,
        last: Value,
    ) -> None:
        """The row as the array takes it, and the register in which it waits."""
        info, word = self.info.payload, self.words.payload
        row_out = out.i.payload
        keep = Signal(self.k_bytes)
        tag = Signal(self.tag_shape)
        m.d.comb += [
            keep.eq(info.k_keep | ~last.replicate(self.k_bytes)),
            tag.bank.eq(bank),
            tag.row.eq(row),
            tag.overwrite.eq(first & info.init),
            tag.close.eq(last & word.note.last[0]),
            tag.done.eq(info.done),
            tag.ends.eq(word.note.last.all()),
            out.i.valid.eq(goes),
            row_out.data.eq(masked(word.data, keep)),
            row_out.format.eq(info.format),
            row_out.swap.eq(swap),
            row_out.tag.eq(tag),
            out.o.ready.eq(~self.waits_for_held & ~self.stop),
            self.row_valid.eq(out.o.valid & out.o.ready),
            self.row.eq(out.o.payload),
        ]
        report_fault(m, self.fault, word, goes, keep, info.tag)

    def _elaborate_bank(self, m: Module, visit_end: Value) -> Signal:
        """Bank of the present visit: the start, moved as the levels walk."""
        info, last = self.info.payload, self.words.payload.note.last
        m.submodules.walk = walk = LoopOffset(offset_width=_BANK_BITS)
        bank = Signal(range(self.banks))
        m.d.comb += [
            *(walk.strides[i].eq(info.bank_strides[i]) for i in range(LEVELS)),
            walk.origin.eq(0),
            walk.start.eq(visit_end & last.all()),
            walk.goes_on.eq(~last),
            walk.step.eq(visit_end),
            bank.eq(info.bank + walk.offset),
        ]
        return bank

    def _elaborate_allowed(self, m: Module, first: Value) -> Signal:
        """Whether states allow a visit, for each bank that it might be of."""
        allowed = Signal(self.banks)
        init = self.info.payload.init
        for index in range(self.banks):
            state = self.banks_port.states[index]
            free, ready, opened = (
                Signal(name=f"{name}{index}") for name in ("free", "ready", "opened")
            )
            m.d.sync += [
                free.eq(state == BankState.FREE),
                ready.eq(state == BankState.READY),
                opened.eq(state == BankState.OPEN),
            ]
            m.d.comb += allowed[index].eq(Mux(first, Mux(init, free, ready), opened))
        return allowed

    def _elaborate_rests(self, m: Module, bank: Signal, row: Signal, moves: Value) -> Value:
        """Whether the bank was visited too short ago.

        Only a visit of fewer than `re_latency` rows may be: afterwards its bank rests for the
        difference, counted while rows move on to the array. The last visits that ended are kept
        with the cycles that their banks rest, of which each step takes one.
        """
        longest = self.re_latency - 1
        rests: Value = Cat(self.visit_end & (row < longest - at) for at in range(longest))
        of, resting = bank, []
        for step in range(longest):
            bank_q = Signal.like(bank, name=f"rest_bank{step}", reset_less=True)
            rests_q = Signal(longest - step, name=f"rests{step}")
            with m.If(moves):
                m.d.sync += [bank_q.eq(of), rests_q.eq(rests)]
            resting.append(rests_q[0] & (bank_q == bank))
            of, rests = bank_q, rests_q[1:]
        return Cat(resting).any()
