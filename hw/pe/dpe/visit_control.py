# SPDX-License-Identifier: Apache-2.0
"""Streams rows of A into the array, visit by visit."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.iface.pe import BankPort, BankState
from hw.lib.loop_nest import LoopOffset
from hw.pe.dpe.array import row_layout
from hw.pe.dpe.faults import fault_layout, report_fault
from hw.pe.dpe.masks import masked
from hw.pe.dpe.word_queue import word_layout

__all__ = ["VisitControl", "stream_layout", "tag_layout", "walk_layout"]

_BANK_BITS = 4


def stream_layout(k_bytes: int) -> data.StructLayout:
    """What a command says about its streamed rows."""
    return data.StructLayout(
        {
            "format": 2,
            "k_keep": k_bytes,  # bytes that count in the last iteration of `k_level`
            "done": 1,
            "tag": 16,
        }
    )


def walk_layout() -> data.StructLayout:
    """What a command says about its visits."""
    return data.StructLayout(
        {
            "k_level": 3,
            "inside": LEVELS,  # levels that one held block serves
            "bank": _BANK_BITS,
            "bank_strides": data.ArrayLayout(_BANK_BITS, LEVELS),
            "init": 1,
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

    Which bank the next visit is of, and whether the bank allows it, is found while the present
    visit streams (`_Walk`).

    Timing: a row per cycle, 1 cycle from `words` to `row`; a visit follows another without a gap
    unless it must wait, but 3 cycles after the start of the one before at the earliest, 4 after
    that of another command's. A bank's state is seen a cycle late.

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
    walk : In(stream of walk_layout)
        The same; taken when the command's last visit has started.
    words : In(stream of word_layout)
        The words of A.
    banks_port : Out(BankPort)
        States of the banks.
    held_next : In(1)
        A held block will wait in the shadow in the next cycle; not any more after `swap`.
    stop : In(1)
        Start no visit, and let no row go to the array.
    swap : Out(1)
        The row, one of those that swap, has its held block. A register, as much hangs on it.
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
                "walk": In(stream.Signature(walk_layout())),
                "words": In(stream.Signature(word_layout(address_width, k_bytes))),
                "banks_port": Out(BankPort(banks=banks)),
                "held_next": In(1),
                "stop": In(1),
                "swap": Out(1),
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
        word = self.words.payload
        row = Signal(range(self.rows))
        in_visit = Signal()  # its first row has gone
        last, there, starts, row_goes = Signal(), Signal(), Signal(), Signal()
        row_end = word.note.last[0]
        waits = Signal()  # the row before the array, for its held block
        m.submodules.visits = visits = _Walk(banks=self.banks)
        wiring.connect(m, wiring.flipped(self.walk), visits.info)

        visit = self._elaborate_visit(m, visits, starts, in_visit)
        m.d.comb += [
            visits.rests.eq(self._elaborate_rests(m, visits.bank, visit.bank, row, ~waits)),
            visits.starts.eq(starts),
            visits.last.eq(word.note.last),
            visits.states.eq(self.banks_port.states),
            visits.stop.eq(self.stop),
            last.eq(word.note.k_last),
            there.eq(self.words.valid & self.info.valid),
            self.waits_for_held.eq(waits),
            self.waits_for_bank.eq(there & ~in_visit & ~visits.allowed),
            row_goes.eq(there & ~waits & ~self.waits_for_bank),
            self.visit_end.eq(row_goes & row_end),
            starts.eq(row_goes & ~in_visit),
            self.words.ready.eq(row_goes),
            self.info.ready.eq(row_goes & word.note.last.all()),
            self.bank.eq(visit.bank),
            self.banks_port.visit.eq(starts),
            self.banks_port.bank.eq(visit.bank),
            self.banks_port.last.eq(last),
        ]
        self._elaborate_row(m, waits, row_goes, starts & visits.new_block, row, visit, last)
        with m.If(row_goes):
            m.d.sync += [row.eq(Mux(row_end, 0, row + 1)), in_visit.eq(~row_end)]
        return m

    def _elaborate_visit(
        self, m: Module, visits: "_Walk", starts: Signal, in_visit: Signal
    ) -> data.View:
        """Bank of the present visit, and whether its rows overwrite."""
        layout = data.StructLayout({"bank": range(self.banks), "overwrite": 1})
        visit, present = Signal(layout), Signal(layout, reset_less=True)
        with m.If(in_visit):
            m.d.comb += visit.eq(present)
        with m.Else():
            m.d.comb += [visit.bank.eq(visits.bank), visit.overwrite.eq(visits.overwrite)]
        with m.If(starts):
            m.d.sync += present.eq(visit)
        return visit

    def _elaborate_row(
        self,
        m: Module,
        waits: Signal,
        goes: Signal,
        swap: Value,
        row: Signal,
        visit: data.View,
        last: Value,
    ) -> None:
        """The row as the array takes it, and the register in which it waits."""
        info, word = self.info.payload, self.words.payload
        following, valid = Signal(self.row.shape()), Signal()
        keep = Signal(self.k_bytes)
        tag = Signal(self.tag_shape)
        m.d.comb += [
            keep.eq(info.k_keep | ~last.replicate(self.k_bytes)),
            tag.bank.eq(visit.bank),
            tag.row.eq(row),
            tag.overwrite.eq(visit.overwrite),
            tag.close.eq(last & word.note.last[0]),
            tag.done.eq(info.done),
            tag.ends.eq(word.note.last.all()),
            following.data.eq(masked(word.data, keep)),
            following.format.eq(info.format),
            following.swap.eq(swap),
            following.tag.eq(tag),
            # After a stop nothing goes on, so rows may get lost here.
            self.row_valid.eq(valid & ~waits & ~self.stop),
        ]
        with m.If(~waits):
            m.d.sync += [valid.eq(goes), self.row.eq(following)]
        swaps = waits | (goes & swap)
        m.d.sync += [self.swap.eq(swaps & self.held_next), waits.eq(swaps & ~self.held_next)]
        report_fault(m, self.fault, word, goes, keep, info.tag)

    def _elaborate_rests(
        self, m: Module, following: Value, present: Value, row: Signal, moves: Value
    ) -> Value:
        """Whether the following visit's bank will rest in the next cycle: it was visited too short
        ago.

        Only a visit of fewer than `re_latency` rows may be: afterwards its bank rests for the
        difference, counted while rows move on to the array. The last visits that ended are kept
        with the cycles that their banks rest, of which each step takes one.
        """
        longest = self.re_latency - 1
        rests: Value = Cat(self.visit_end & (row < longest - at) for at in range(longest))
        of, resting = present, [rests[0] & (present == following)]
        for step in range(longest):
            bank_q = Signal(range(self.banks), name=f"rest_bank{step}", reset_less=True)
            rests_q = Signal(longest - step, name=f"rests{step}")
            with m.If(moves):
                m.d.sync += [bank_q.eq(of), rests_q.eq(rests)]
            of, rests = bank_q, rests_q[1:]
            still = Mux(moves, rests[0], rests_q[0]) if len(rests) else rests_q[0] & ~moves
            resting.append(still & (bank_q == following))
        return Cat(resting).any()


class _Walk(wiring.Component):
    """Knows the next visit: its bank, whether that is its bank's first one, and whether it may be.

    Operation: as a visit starts, what it says of the levels moves the walk on, so that there are
    two cycles for what is known of the visit after it. `info` is taken in the cycle after the
    command's last visit started.

    Timing: everything but `allowed` counts when `allowed` is high, which is 3 cycles after a start
    at the earliest, 4 after that of a command's last visit, and 2 cycles after `info` came.

    Parameters
    ----------
    banks : accumulator banks.

    Members
    -------
    info : In(stream of walk_layout).
    starts : In(1), a visit starts; only with `allowed`.
    last : In(LEVELS), levels at their last iteration in it.
    states : In, states of the banks.
    stop : In(1), no visit may start.
    rests : In(1), the bank of the next visit rests in the next cycle.
    bank : Out(range(banks)), bank of the next visit.
    overwrite : Out(1), its rows overwrite.
    new_block : Out(1), it is the first one with its held block.
    allowed : Out(1), the bank's state allows it, and it does not rest.
    """

    def __init__(self, *, banks: int) -> None:
        self.banks = banks
        super().__init__(
            {
                "info": In(stream.Signature(walk_layout())),
                "starts": In(1),
                "last": In(LEVELS),
                "states": In(data.ArrayLayout(BankState, banks)),
                "stop": In(1),
                "rests": In(1),
                "bank": Out(range(banks)),
                "overwrite": Out(1),
                "new_block": Out(1, init=1),
                "allowed": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        info = self.info.payload
        started, last = Signal(), Signal(LEVELS)  # in the cycle before
        known = Signal()  # `bank` is of the command that `info` is of
        k_first = Signal(init=1)
        first, wanted = Signal(), Signal(BankState)
        m.submodules.sum = walk = LoopOffset(offset_width=_BANK_BITS)
        m.d.comb += [
            *(walk.strides[i].eq(info.bank_strides[i]) for i in range(LEVELS)),
            walk.origin.eq(info.bank.as_signed()),
            walk.start.eq(self.info.valid & ~known),
            walk.goes_on.eq(~last),
            walk.step.eq(started),
            self.bank.eq(walk.offset),
            self.info.ready.eq(started & last.all()),
            first.eq(k_first | (info.k_level == 0)),
            self.overwrite.eq(first & info.init),
            wanted.eq(Mux(first, Mux(info.init, BankState.FREE, BankState.READY), BankState.OPEN)),
        ]
        moves_on = self.starts | started
        m.d.sync += [
            started.eq(self.starts),
            # Level 0 walks the rows of the visit, so it has come to its end before the next one.
            last.eq(self.last | 1),
            known.eq(self.info.valid & ~self.info.ready),
            self.allowed.eq(
                known & ~moves_on & ~self.rests & ~self.stop & (self.states[self.bank] == wanted)
            ),
        ]
        with m.If(started):
            below = Cat(last[:level].all() for level in range(LEVELS))
            m.d.sync += self.new_block.eq((last | ~info.inside).all())
            # All levels below that of K begin anew, and it goes on, or begins anew as well.
            with m.If(below.bit_select(info.k_level, 1)):
                m.d.sync += k_first.eq(last.bit_select(info.k_level, 1))
        return m
