# SPDX-License-Identifier: Apache-2.0
"""Fills the shadow of the held block from the words of B."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.lib.elastic import StreamFifo
from hw.pe.dpe.array import load_layout
from hw.pe.dpe.faults import fault_layout, report_fault
from hw.pe.dpe.masks import keep_below, masked
from hw.pe.dpe.word_queue import READS_AHEAD, word_layout

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
    last one it is full, and stays so until `swap`, which frees it at once. In the last iteration
    of `k_level` only `k_tail` bytes of K count, in that of `n_level` only `n_tail` columns; the
    rest is loaded as zeros. Which bytes of a word count is worked out while the word is under way,
    in two steps: first the limits of its block, then the bytes. A word outside, or with wrong
    parity in a byte that counts, is a fault.

    Timing: a beat per cycle, of a word that comes 3 cycles after its `flags` or later; a command's
    first word 3 cycles after the last one of the command before. The shadow is full
    from the cycle after the last beat on. A block that takes as many rows as it has beats therefore
    follows its predecessor without a gap.

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
    flags : In(valid-only stream of LEVELS bits)
        Levels at their last iteration, of each word in order.
    words : In(stream of word_layout)
        The words of B.
    swap : In(1)
        The shadow becomes active.
    full_next : Out(1)
        A whole block will wait in the shadow in the next cycle.
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
                "flags": In(stream.Signature(LEVELS, always_ready=True)),
                "words": In(stream.Signature(word_layout(address_width, k_bytes))),
                "swap": In(1),
                "full_next": Out(1),
                "load_valid": Out(1),
                "load": Out(load_layout(columns, k_bytes)),
                "fault": Out(fault_layout()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        info, word = self.info.payload, self.words.payload
        beat, block_end = Signal(), Signal()
        full = Signal()
        m.submodules.known = ahead = StreamFifo(shape=self._known_layout, depth=2)
        known = ahead.o.payload
        self._elaborate_known(m, ahead.i, beat & known.ends)
        m.d.comb += [
            beat.eq(self.words.valid & ahead.o.valid & (~full | self.swap)),
            ahead.o.ready.eq(beat),
            block_end.eq(known.index == self.columns - 1),
            self.words.ready.eq(beat),
            self.info.ready.eq(beat & known.ends),
            self.load_valid.eq(beat),
            self.load.data.eq(masked(word.data, known.keep)),
            self.load.index.eq(known.index),
            self.load.format.eq(info.format),
            self.load.by_row.eq(info.by_row),
        ]
        report_fault(m, self.fault, word, beat, known.keep, info.tag)
        m.d.comb += self.full_next.eq((beat & block_end) | (full & ~self.swap))
        m.d.sync += full.eq(self.full_next)
        return m

    @property
    def _known_layout(self) -> data.StructLayout:
        """What is known of a word before it comes."""
        return data.StructLayout(
            {
                "keep": self.k_bytes,  # bytes that count
                "index": range(self.columns),  # of its beat
                "ends": 1,  # the command's last one
            }
        )

    @property
    def _limit_layout(self) -> data.StructLayout:
        """What counts in a block, and how it is laid out."""
        k, n = range(self.k_bytes + 1), range(self.columns + 1)
        return data.StructLayout({"k": k, "n": n, "ends": 1, "by_row": 1, "is_float": 1})

    def _elaborate_known(self, m: Module, known: stream.Interface, ends: Value) -> None:
        """Work out what is known of the next words, until the command `ends`."""
        m.submodules.flags = flags = StreamFifo(shape=LEVELS, depth=READS_AHEAD)
        limit = Signal(self._limit_layout)
        has_limit = Signal()
        ending = Signal()  # the command's last word is under way: `info` is not the next word's
        index = Signal(range(self.columns))
        m.d.comb += [
            flags.i.valid.eq(self.flags.valid),
            flags.i.payload.eq(self.flags.payload),
            flags.o.ready.eq(self.info.valid & ~ending & (~has_limit | known.ready)),
            known.valid.eq(has_limit),
            known.payload.keep.eq(self._keep(limit, index)),
            known.payload.index.eq(index),
            known.payload.ends.eq(limit.ends),
        ]
        with m.If(flags.o.valid & flags.o.ready):
            m.d.sync += [has_limit.eq(1), ending.eq(flags.o.payload.all())]
            self._elaborate_limits(m, limit, flags.o.payload)
        with m.Elif(known.ready):
            m.d.sync += has_limit.eq(0)
        with m.If(known.valid & known.ready):
            m.d.sync += index.eq(Mux(index == self.columns - 1, 0, index + 1))
        with m.If(ends):
            m.d.sync += ending.eq(0)

    def _elaborate_limits(self, m: Module, limit: data.View, at_last: Value) -> None:
        """Columns and bytes of K that count in a word's block."""
        info = self.info.payload
        # Levels inside the block have no place of their own: only one that runs once is at its end.
        levels = zip(info.inside, info.ones, at_last, strict=True)
        last = Signal(LEVELS)
        m.d.comb += last.eq(Cat(Mux(inside, once, at) for inside, once, at in levels))
        for name, size in (("k", self.k_bytes), ("n", self.columns)):
            tail, level = info[f"{name}_tail"], info[f"{name}_level"]
            in_tail = (tail != 0) & last.bit_select(level, 1)
            m.d.sync += limit[name].eq(Mux(in_tail, tail, size))
        m.d.sync += [
            limit.ends.eq(at_last.all()),
            limit.by_row.eq(info.by_row),
            limit.is_float.eq(info.format[1]),
        ]

    def _keep(self, limit: data.View, index: Signal) -> Value:
        """Bytes that count in the beat `index`: those of which column and place in K do."""
        is_float = limit.is_float
        # By column: the beat's place in K, and its first column.
        k = Mux(is_float, index & (self.k_bytes // 2 - 1), index & (self.k_bytes - 1))
        first = index - k
        by_row = (index < limit.n).replicate(self.k_bytes) & keep_below(limit.k, self.k_bytes)
        columns = Cat(
            (first + Mux(is_float, byte // 2, byte))[: len(index)] < limit.n
            for byte in range(self.k_bytes)
        )
        by_column = ((k << is_float) < limit.k).replicate(self.k_bytes) & columns
        return Mux(limit.by_row, by_row, by_column)
