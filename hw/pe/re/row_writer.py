# SPDX-License-Identifier: Apache-2.0
"""Writes rows into local memory, all words of a row at once."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from hw.lib.word_writer import WordWriter, place_layout

__all__ = ["RowWriter"]

_MINMAX_BYTES = 8


class RowWriter(wiring.Component):
    """Spreads each row over write slots, one for each of its words; see `WordWriter`.

    Operation: a row with `short` is 8 bytes long.

    Timing: as `WordWriter`.

    Parameters
    ----------
    columns : values of a row.
    address_width, word_bytes : local memory.

    Members
    -------
    i : In(stream of row, short, place), rows.
    ls_out : Out(LsWritePort).array(n_slots).
    step, outside, busy : see `WordWriter`.
    """

    def __init__(self, *, columns: int, address_width: int, word_bytes: int) -> None:
        self.word_bytes = word_bytes
        self.n_slots = 4 * columns // word_bytes
        self.writer = WordWriter(
            n_words=self.n_slots, address_width=address_width, word_bytes=word_bytes
        )
        row = data.StructLayout(
            {"row": 32 * columns, "short": 1, "place": place_layout(address_width)}
        )
        members = dict(self.writer.signature.members.items())
        super().__init__(members | {"i": In(stream.Signature(row))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.writer = writer = self.writer
        n_bytes = self.n_slots * self.word_bytes
        short = Cat(Const(1, 1).replicate(_MINMAX_BYTES), Const(0, n_bytes - _MINMAX_BYTES))
        item, row = writer.i.payload, self.i.payload
        m.d.comb += [
            writer.i.valid.eq(self.i.valid),
            self.i.ready.eq(writer.i.ready),
            item.words.as_value().eq(row.row),
            item.strobes.as_value().eq(Mux(row.short, short, ~Const(0, n_bytes))),
            item.place.eq(row.place),
            self.outside.eq(writer.outside),
            self.busy.eq(writer.busy),
        ]
        for outer, inner in zip(self.ls_out, writer.ls_out, strict=True):
            wiring.connect(m, wiring.flipped(outer), inner)
        wiring.connect(m, wiring.flipped(self.step), writer.step)
        return m
