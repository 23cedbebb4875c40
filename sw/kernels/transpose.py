# SPDX-License-Identifier: Apache-2.0
"""Transposes a matrix of 8-, 16- or 32-bit elements in memory.

The matrix is cut into pieces of `band` rows and `strip` columns, multiples of the elements E of a
word. A piece is fetched, its blocks of E x E elements are turned by the layout unit, a word a
cycle, and it is stored as `strip` rows of `band` elements. Three commands cover all whole pieces;
ragged edges make at most four sets of them, as in a GEMM.
"""

import math

from hw.arch.commands import NEVER, LayoutOp, Opcode
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.gemm.spans import MOST, Span, spans
from sw.kernels.rows import UNIT, RowArray

__all__ = ["plan_transpose"]

_IN, _OUT = 0, 1
_RUN_BYTES = 128
"""Bytes of a stored run: two lines or more, so that the link is used well."""
_ELEMENT_CODES = {1: 1, 2: 2, 4: 3}


class _Transposer:
    """Sizes, and one method per command."""

    def __init__(self, pe: PeConfig, x: RowArray, y: RowArray) -> None:
        self.x, self.y, self.word = x, y, pe.ls.word_bytes
        self.size = x.fmt.n_bytes
        self.block = self.word // self.size
        blocks = max(1, _RUN_BYTES // self.word)
        self.band = self.block * min(blocks, math.ceil(x.rows / self.block))
        piece_bytes = pe.ls.size_bytes // 4
        columns = piece_bytes // (self.band * self.word)  # blocks of columns
        self.strip = self.block * max(1, min(columns, math.ceil(x.elements / self.block)))
        self.buffer = math.ceil(self.band * self.strip * self.size / UNIT)
        self.commands = CommandList()

    def set_up(self) -> None:
        """Two pieces in, two out."""
        for cb in (_IN, _OUT):
            self.commands.add(Opcode.CB, cb=cb, base=2 * cb * self.buffer, depth=2 * self.buffer)

    def _step(self, prefix: str, cb: int, level: int, n_bytes: int) -> dict[str, int]:
        units = math.ceil(n_bytes / UNIT)
        return {
            f"{prefix}cb": cb,
            f"{prefix}step_level": level,
            f"{prefix}adv_level": level,
            f"{prefix}need": units,
            f"{prefix}adv": units,
        }

    def region(self, rows: Span, columns: Span) -> None:
        """The three commands of equal pieces."""
        in_pitch, out_pitch = columns.tiles * self.word, rows.tiles * self.word
        in_bytes = rows.size * in_pitch
        out_bytes = columns.size * out_pitch
        self.commands.add(
            Opcode.DMA_IN, count0=columns.size * self.size, stride0=self.word, zero_fill=1,
            mem_addr=self.x.address + rows.start * self.x.step + columns.start * self.size,
            count1=rows.size, mem_stride1=self.x.step, stride1=in_pitch,
            count2=columns.count, mem_stride2=columns.size * self.size,
            count3=rows.count, mem_stride3=rows.size * self.x.step,
            **self._step("", _IN, 2, in_bytes),
        )  # fmt: skip
        self.commands.add(
            Opcode.LAYOUT, operation=LayoutOp.TRANSPOSE, element=_ELEMENT_CODES[self.size],
            count0=min(rows.size, self.block), src_stride0=in_pitch, stride0=out_pitch,
            count1=columns.tiles, src_stride1=self.word, stride1=self.block * out_pitch,
            count2=rows.tiles, src_stride2=self.block * in_pitch, stride2=self.word,
            count3=columns.count * rows.count,
            out_level=1 if columns.last else NEVER, out_count=columns.last,
            tail_level=2, tail_count=rows.last,
            **self._step("src_", _IN, 3, in_bytes), **self._step("", _OUT, 3, out_bytes),
        )  # fmt: skip
        self.commands.add(
            Opcode.DMA_OUT, count0=rows.size * self.size, stride0=self.word,
            mem_addr=self.y.address + columns.start * self.y.step + rows.start * self.size,
            count1=columns.size, mem_stride1=self.y.step, stride1=out_pitch,
            count2=columns.count, mem_stride2=columns.size * self.y.step,
            count3=rows.count, mem_stride3=rows.size * self.size,
            **self._step("", _OUT, 2, out_bytes),
        )  # fmt: skip


def plan_transpose(pe: PeConfig, x: RowArray, y: RowArray) -> CommandList:
    """y[j, i] = x[i, j]."""
    planner = _Transposer(pe, x, y)
    planner.set_up()
    for rows in spans(x.rows, planner.band, planner.block, MOST):
        for columns in spans(x.elements, planner.strip, planner.block, MOST // rows.count):
            planner.region(rows, columns)
    planner.commands.add(Opcode.END)
    return planner.commands
