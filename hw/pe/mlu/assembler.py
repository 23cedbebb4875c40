# SPDX-License-Identifier: Apache-2.0
"""The datapath: words that were read, or columns of a block, become words to write."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LayoutOp, LayoutTarget
from hw.pe.fi.lanes import below
from hw.pe.mlu.geometry import MluGeometry
from hw.pe.mlu.nibbles import merge_nibbles, select_nibbles

__all__ = ["WordAssembler"]


class WordAssembler(wiring.Component):
    """Does what beats say.

    Operation
        1. A word that is taken comes rotated to the lanes of its destination, and is kept for one
           beat (DIAGONAL: until the next one), since the next word may begin in it.
        2. Nibbles that are no data are zero; of words for local memory they are not written, in
           COPY and FILL.

    Timing
        A beat per cycle. Combinational paths from the inputs to `out`, from `beats` to `rotation`,
        and from `out.ready` to the inputs' `ready`.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    beats : In(stream.Signature(geometry.beat_layout)), what to do.
    rotation : Out(word_log2), bytes by which the word is to be rotated.
    words : In(stream.Signature(8 * word_bytes)), words of COPY and DIAGONAL, rotated.
    columns : In(stream.Signature(geometry.column_layout)), words of TRANSPOSE.
    out : Out(stream.Signature(geometry.out_layout)), words to write or to send.
    """

    def __init__(self, *, geometry: MluGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "beats": In(stream.Signature(geometry.beat_layout)),
                "rotation": Out(geometry.word_log2),
                "words": In(stream.Signature(8 * geometry.word_bytes)),
                "columns": In(stream.Signature(geometry.column_layout)),
                "out": Out(stream.Signature(geometry.out_layout)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size, n_nibbles = self.geometry.word_bytes, self.geometry.n_nibbles
        beat, out = self.beats.payload, self.out.payload
        operation = beat.setting.operation
        is_transpose = operation == LayoutOp.TRANSPOSE
        complete, goes = Signal(), Signal()
        m.d.comb += [
            complete.eq(
                self.beats.valid
                & (~beat.takes | self.words.valid)
                & (~beat.turns | self.columns.valid)
            ),
            goes.eq(complete & (self.out.ready | ~beat.gives)),
            self.out.valid.eq(complete & beat.gives),
            self.beats.ready.eq(goes),
            self.words.ready.eq(goes & beat.takes),
            self.columns.ready.eq(goes & beat.turns),
        ]
        kept, chosen, turned = Signal(8 * size), Signal(8 * size), Signal(8 * size)
        m.d.comb += [self.rotation.eq(beat.rotation), turned.eq(self.words.payload)]
        with m.If(goes & beat.takes):
            m.d.sync += kept.eq(turned)
        from_kept = Cat(lane.replicate(2) for lane in below(beat.n_kept, size))
        joined = merge_nibbles(m, from_kept, kept, turned, name="joined")
        m.d.comb += chosen.eq(
            Mux(
                operation == LayoutOp.FILL,
                beat.setting.value.replicate(size),
                Mux(is_transpose, self.columns.payload.data, joined),
            )
        )
        is_data = Signal(n_nibbles)
        high = Mux(is_transpose, self.columns.payload.n_rows, beat.high)
        by_byte = (operation == LayoutOp.COPY) | (operation == LayoutOp.FILL)
        partly = by_byte & (beat.out.target == LayoutTarget.LS)
        m.d.comb += [
            is_data.eq(below(high, n_nibbles) & ~below(beat.low, n_nibbles)),
            out.data.eq(select_nibbles(m, chosen, is_data, name="out")),
            out.strobe.eq(
                Mux(partly, Cat(is_data[2 * lane] for lane in range(size)), ~Const(0, size))
            ),
            out.to.eq(beat.out),
        ]
        return m
