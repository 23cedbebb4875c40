# SPDX-License-Identifier: Apache-2.0
"""Transposition of blocks: words that are rows in, words that are columns out."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import PipeStage
from hw.lib.sram import DualPortSram
from hw.pe.mlu.geometry import MluGeometry
from hw.pe.mlu.nibbles import rotate_nibbles

__all__ = ["Transposer"]


class Transposer(wiring.Component):
    """Transposes square blocks of 4, 8, 16 or 32-bit elements; one fills while the other drains.

    Operation
        1. Every nibble of a word has a memory of its own. Row r comes rotated by r elements
           (`turn`, in nibbles) and is stored, in all of them, at r; element c of it is then in
           lane (r + c), so that a column lies in different lanes: lane l has its element of column
           c at address (l - c).
        2. All addresses and rotations count in nibbles, a row or column of k nibbles at multiples
           of k; so one subtraction, with the low bits cleared, serves every element size.
        3. A block ends with a word that has `run_end`; then its first `n_columns` columns leave as
           words; `n_rows` says how many of their nibbles are of rows that came.

    Timing
        A word per cycle in and one out, for ever, when blocks have as many rows as columns. From
        a block's last row to its first column at `columns`: 2 cycles.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    turn : Out(nibble_log2), nibbles by which the next row is to be rotated.
    rows : In(stream.Signature(geometry.word_layout)), words of blocks, rotated.
    columns : Out(stream.Signature(geometry.column_layout)), their columns.
    busy : Out(1), something is in it.
    """

    def __init__(self, *, geometry: MluGeometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "rows": In(stream.Signature(geometry.word_layout)),
                "columns": Out(stream.Signature(geometry.column_layout)),
                "turn": Out(geometry.nibble_log2),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        blocks = [self._block(number) for number in range(2)]
        lanes = self._elaborate_fill(m, blocks)
        self._elaborate_drain(m, blocks, lanes)
        return m

    def _block(self, number: int) -> Signal:
        """What is known of one of the two blocks."""
        places = self.geometry.nibble_log2
        layout = data.StructLayout(
            {
                "full": 1,
                "element": 2,
                "last_column": places,  # in nibbles
                "n_rows": places + 1,  # in nibbles
            }
        )
        return Signal(layout, name=f"block{number}")

    def _elaborate_fill(self, m: Module, blocks: list[data.View]) -> list[DualPortSram]:
        """Write rows, which come rotated."""
        n_nibbles = self.geometry.n_nibbles
        word, note = self.rows.payload, self.rows.payload.note
        which = Signal()
        row = Signal(self.geometry.nibble_log2)
        row_end = Signal(self.geometry.nibble_log2 + 1)
        takes = Signal()
        m.d.comb += [
            row_end.eq(row + (Const(1) << note.element)),
            self.rows.ready.eq(~Mux(which, blocks[1].full, blocks[0].full)),
            takes.eq(self.rows.valid & self.rows.ready),
        ]
        with m.If(takes):
            m.d.sync += row.eq(Mux(word.run_end, 0, row_end))
            with m.If(word.run_end):
                m.d.sync += which.eq(~which)
        for number, block in enumerate(blocks):
            with m.If(takes & word.run_end & (which == number)):
                m.d.sync += [
                    block.full.eq(1),
                    block.element.eq(note.element),
                    block.last_column.eq((note.n_columns - 1) << note.element),
                    block.n_rows.eq(row_end),
                ]
        m.d.comb += self.turn.eq(row)
        lanes = []
        for lane in range(n_nibbles):
            memory = DualPortSram(width=4, depth=2 * n_nibbles)
            m.submodules[f"lane{lane}"] = memory
            m.d.comb += [
                memory.w_addr.eq(Cat(row, which)),
                memory.w_mask.eq(takes),
                memory.w_data.eq(word.data[4 * lane : 4 * lane + 4]),
            ]
            lanes.append(memory)
        return lanes

    def _elaborate_drain(
        self, m: Module, blocks: list[data.View], lanes: list[DualPortSram]
    ) -> None:
        """Read columns, one address for each lane; a cycle later turn them back."""
        places = self.geometry.nibble_log2
        which = Signal()
        column = Signal(places)
        block = Signal(blocks[0].shape(), name="block")
        m.submodules.stage = stage = PipeStage(
            shape=data.StructLayout({"column": places, "n_rows": places + 1})
        )
        ends, reads = Signal(), Signal()
        m.d.comb += [
            block.eq(Mux(which, blocks[1].as_value(), blocks[0].as_value())),
            ends.eq(column == block.last_column),
            stage.i.valid.eq(block.full),
            stage.i.payload.column.eq(column),
            stage.i.payload.n_rows.eq(block.n_rows),
            reads.eq(stage.i.valid & stage.i.ready),
            self.columns.valid.eq(stage.o.valid),
            stage.o.ready.eq(self.columns.ready),
            self.busy.eq(blocks[0].full | blocks[1].full | stage.o.valid),
        ]
        with m.If(reads):
            m.d.sync += column.eq(Mux(ends, 0, column + (Const(1) << block.element)))
            with m.If(ends):
                m.d.sync += which.eq(~which)
        for number, other in enumerate(blocks):
            with m.If(reads & ends & (which == number)):
                m.d.sync += other.full.eq(0)

        low = Signal(3)  # address bits inside an element
        m.d.comb += low.eq((Const(1, 4) << block.element) - 1)
        for lane, memory in enumerate(lanes):
            distance = Signal(places, name=f"distance{lane}")
            m.d.comb += [
                distance.eq(lane - column),
                memory.r_addr.eq(Cat(distance[:3] & ~low, distance[3:], which)),
                memory.r_en.eq(reads),
            ]
        back = Signal(places)
        m.d.comb += back.eq(-stage.o.payload.column)
        turned = rotate_nibbles(m, Cat(memory.r_data for memory in lanes), back, name="back")
        m.d.comb += [
            self.columns.payload.data.eq(turned),
            self.columns.payload.n_rows.eq(stage.o.payload.n_rows),
        ]
