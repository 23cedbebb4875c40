# SPDX-License-Identifier: Apache-2.0
"""Streams rows of A into the array, visit by visit."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.iface.pe import BankPort, BankState, Completion
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
            "completion": Completion,
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
            "completion": Completion,
        }
    )


class VisitControl(wiring.Component):
    """Decides when a visit of a bank may start, and streams its rows.

    Operation: one iteration of level 1 is a visit. It starts when its first row is there, its held
    block waits in the shadow (if it needs a new one), its bank allows it, and the bank's last visit
    is so long ago that each row comes at least `re_latency` cycles after the same row of that
    visit. Within a visit rows go on as they come. The first visit of a bank is the one with
    `k_level` at its first iteration, the last one with `k_level` at its last; with `k_level` 0
    every visit is both. In the last iteration of `k_level` only bytes of `k_keep` count.

    Timing: a row per cycle; a visit follows another without a gap unless it must wait. What states
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
        A held block waits in the shadow.
    stop : In(1)
        Start no row.
    row_valid : Out(1)
        A row, to `DotProductArray`.
    row : Out(row_layout)
        The row; its tag is a `tag_layout`.
    fault : Out(fault_layout)
        High for one cycle.
    bank : Out(4)
        Bank of the present visit.
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

        bank = self._elaborate_bank(m, row_goes & row_end)
        allowed = self._elaborate_allowed(m, first, bank, row, row_goes & row_end)
        m.d.comb += [
            k_last.eq(word.note.last.bit_select(info.k_level, 1) | k_any),
            there.eq(self.words.valid & self.info.valid & ~self.stop),
            self.waits_for_held.eq(there & (row == 0) & new_block & ~self.held_full),
            self.waits_for_bank.eq(there & (row == 0) & ~allowed.bit_select(bank, 1)),
            row_goes.eq(there & ~self.waits_for_held & ~self.waits_for_bank),
            starts.eq(row_goes & (row == 0)),
            self.words.ready.eq(row_goes),
            self.info.ready.eq(row_goes & word.note.last.all()),
            self.bank.eq(bank),
            self.banks_port.visit.eq(starts),
            self.banks_port.bank.eq(bank),
            self.banks_port.last.eq(last),
        ]
        self._elaborate_row(m, row_goes, starts & new_block, row, bank, first, last)

        with m.If(row_goes):
            m.d.sync += row.eq(Mux(row_end, 0, row + 1))
        with m.If(row_goes & row_end):
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
        goes: Signal,
        swap: Value,
        row: Signal,
        bank: Signal,
        first: Value,
        last: Value,
    ) -> None:
        """The row as the array takes it."""
        info, word = self.info.payload, self.words.payload
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
            tag.completion.eq(info.completion),
            self.row_valid.eq(goes),
            self.row.data.eq(masked(word.data, keep)),
            self.row.format.eq(info.format),
            self.row.swap.eq(swap),
            self.row.tag.eq(tag),
        ]
        report_fault(m, self.fault, word.note, goes, keep, info.completion.tag)

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

    def _elaborate_allowed(
        self, m: Module, first: Value, bank: Signal, row: Signal, visit_end: Value
    ) -> Signal:
        """Whether the present visit could start, for each bank that it might be of.

        Only a visit of fewer than `re_latency` rows may be too short ago: afterwards the bank rests
        for the difference.
        """
        allowed = Signal(self.banks)
        init = self.info.payload.init
        for index in range(self.banks):
            rest = Signal(range(self.re_latency), name=f"rest{index}")
            with m.If(visit_end & (bank == index) & (row < self.re_latency - 1)):
                m.d.sync += rest.eq(self.re_latency - 1 - row)
            with m.Elif(rest != 0):
                m.d.sync += rest.eq(rest - 1)
            state = self.banks_port.states[index]
            free, ready, opened = (
                Signal(name=f"{name}{index}") for name in ("free", "ready", "opened")
            )
            m.d.sync += [
                free.eq(state == BankState.FREE),
                ready.eq(state == BankState.READY),
                opened.eq(state == BankState.OPEN),
            ]
            m.d.comb += allowed[index].eq(Mux(first, Mux(init, free, ready), opened) & (rest == 0))
        return allowed
