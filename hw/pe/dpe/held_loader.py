# SPDX-License-Identifier: Apache-2.0
"""Fills the shadow of the held block from the words of B."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.pe.dpe.array import load_layout
from hw.pe.dpe.faults import fault_layout, report_fault
from hw.pe.dpe.masks import keep_below, masked
from hw.pe.dpe.operand_reader import word_layout

__all__ = ["HeldLoader", "block_layout"]


def block_layout(columns: int, k_bytes: int) -> data.StructLayout:
    """What a command says about its held blocks."""
    return data.StructLayout(
        {
            "format": 2,
            "by_row": 1,
            "k_level": 3,
            "n_level": 3,
            "k_tail": range(k_bytes + 1),  # bytes; 0: all
            "n_tail": range(columns + 1),  # columns; 0: all
            "inside": LEVELS,  # levels that one block serves
            "ones": LEVELS,  # levels that run once
            "tag": 16,
        }
    )


class HeldLoader(wiring.Component):
    """Turns words of B into beats of the shadow.

    Operation: every block takes `columns` words. Beats go on while the shadow is free; with the
    last one it is `full`, and stays so until `swap`, which frees it at once. In the last iteration
    of `k_level` only `k_tail` bytes of K count, in that of `n_level` only `n_tail` columns; the
    rest is loaded as zeros. A word outside, or with wrong parity in a byte that counts, is a fault.

    Timing: a beat per cycle; `full` is high from the cycle after the last beat. A block that takes
    as many rows as it has beats therefore follows its predecessor without a gap.

    Parameters
    ----------
    columns, k_bytes : int
        The tile.
    address_width : int
        Bits of a word address.

    Members
    -------
    info : In(stream of block_layout)
        One for every command, in order.
    words : In(stream of word_layout)
        The words of B.
    swap : In(1)
        The shadow becomes active.
    stop : In(1)
        Load nothing.
    full : Out(1)
        A whole block waits in the shadow.
    load_valid : Out(1)
        A beat, to `DotProductArray`.
    load : Out(load_layout)
        The beat.
    fault : Out(fault_layout)
        High for one cycle.
    """

    def __init__(self, *, columns: int, k_bytes: int, address_width: int) -> None:
        self.columns = columns
        self.k_bytes = k_bytes
        super().__init__(
            {
                "info": In(stream.Signature(block_layout(columns, k_bytes))),
                "words": In(stream.Signature(word_layout(address_width, k_bytes))),
                "swap": In(1),
                "stop": In(1),
                "full": Out(1),
                "load_valid": Out(1),
                "load": Out(load_layout(columns, k_bytes)),
                "fault": Out(fault_layout()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        info, word = self.info.payload, self.words.payload
        index = Signal(range(self.columns))
        beat, block_end = Signal(), Signal()
        keep = Signal(self.k_bytes)
        m.d.comb += [
            beat.eq(self.words.valid & self.info.valid & (~self.full | self.swap) & ~self.stop),
            block_end.eq(index == self.columns - 1),
            keep.eq(keep_below(self._elaborate_limit(m, index), self.k_bytes)),
            self.words.ready.eq(beat),
            self.info.ready.eq(beat & word.note.last.all()),
            self.load_valid.eq(beat),
            self.load.data.eq(masked(word.data, keep)),
            self.load.index.eq(index),
            self.load.format.eq(info.format),
            self.load.by_row.eq(info.by_row),
        ]
        report_fault(m, self.fault, word, beat, keep, info.tag)
        with m.If(beat):
            m.d.sync += index.eq(Mux(block_end, 0, index + 1))
        with m.If(beat & block_end):
            m.d.sync += self.full.eq(1)
        with m.Elif(self.swap):
            m.d.sync += self.full.eq(0)
        return m

    def _elaborate_limit(self, m: Module, index: Signal) -> Signal:
        """Bytes that count in the beat `index`."""
        info = self.info.payload
        is_float = info.format[1]
        # Levels inside the block have no place of their own: only one that runs once is at its end.
        levels = zip(info.inside, info.ones, self.words.payload.note.last, strict=True)
        last = Signal(LEVELS)
        k_limit = Signal(range(self.k_bytes + 1))
        n_limit = Signal(range(self.columns + 1))
        m.d.comb += [
            last.eq(Cat(Mux(inside, once, at) for inside, once, at in levels)),
            k_limit.eq(self.k_bytes),
            n_limit.eq(self.columns),
        ]
        with m.If((info.k_tail != 0) & last.bit_select(info.k_level, 1)):
            m.d.comb += k_limit.eq(info.k_tail)
        with m.If((info.n_tail != 0) & last.bit_select(info.n_level, 1)):
            m.d.comb += n_limit.eq(info.n_tail)

        # By column: elements of one beat, the beat's k, and its first column.
        width = Mux(is_float, self.k_bytes // 2, self.k_bytes)
        k = Signal(range(self.k_bytes))
        first = Signal(range(self.columns))
        n_columns = Signal(range(self.columns + 1))
        m.d.comb += [
            k.eq(index & (width - 1)),
            first.eq(index - k),
            n_columns.eq(Mux(n_limit > first, n_limit - first, 0)),
        ]
        limit = Signal(range(self.k_bytes + 1))
        with m.If(info.by_row):
            m.d.comb += limit.eq(Mux(index < n_limit, k_limit, 0))
        with m.Elif((k << is_float) < k_limit):
            m.d.comb += limit.eq(Mux(n_columns > width, width, n_columns) << is_float)
        return limit
