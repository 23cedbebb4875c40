# SPDX-License-Identifier: Apache-2.0
"""Plans C[M,N] = A[M,K] @ B[K,N] for one processing element: problem in, command list out.

The element computes C in blocks of `m_tiles x n_tiles` accumulator tiles. Five commands run side
by side and meet in circular buffers and banks: two DMA_INs fetch A and B, one MML multiplies, one
DRAIN empties the banks, one DMA_OUT stores. Each covers a whole *region* of equal blocks; ragged
edges make at most four regions.

        columns: whole blocks     rest
    rows: whole   region 0      region 2
          rest    region 1      region 3

All of A is fetched once per column of blocks. B is either fetched again for every row of blocks,
or, where its panel of one block column fits into local memory, once (`resident`).
"""

import dataclasses
import math

from hw.arch.commands import Opcode
from hw.arch.formats import Format
from hw.arch.units import Unit
from hw.config import PeConfig
from sw.kernels.command_list import CommandList

__all__ = ["GemmPlan", "GemmProblem", "plan_gemm"]

CB_A, CB_B, CB_OUT = 0, 1, 2
_MOST = 0xFFFF
"""Iterations of one loop level."""
UNIT = 64
"""Bytes of one unit of circular-buffer arithmetic."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GemmProblem:
    """C = A @ B with row-major operands in memory; pitches are bytes from row to row."""

    m: int
    n: int
    k: int
    a_format: Format
    b_format: Format
    a_address: int
    b_address: int
    c_address: int
    a_pitch: int
    b_pitch: int
    c_pitch: int

    @property
    def element_bytes(self) -> int:
        """Bytes of an element of A, which must be those of B."""
        return self.a_format.n_bytes

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return self.m * self.n * self.k


@dataclasses.dataclass(frozen=True, kw_only=True)
class GemmPlan:
    """A command list and what the planner expects of it."""

    problem: GemmProblem
    commands: CommandList
    block_rows: int
    block_columns: int
    k_chunk_steps: int
    resident: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Span:
    """`count` equal blocks of `size` rows (columns), the first at `start`, of `tiles` tiles
    each."""

    start: int
    size: int
    count: int
    tile: int

    @property
    def tiles(self) -> int:
        """Tiles of one block."""
        return math.ceil(self.size / self.tile)

    def blocks(self) -> list["_Span"]:
        """Its blocks as spans of their own."""
        starts = range(self.start, self.start + self.count * self.size, self.size)
        return [dataclasses.replace(self, start=start, count=1) for start in starts]

    @property
    def last(self) -> int:
        """Rows (columns) of the last tile, or 0 if it is whole."""
        return self.size % self.tile


def _spans(total: int, block: int, tile: int, most: int) -> list[_Span]:
    """Cut `total` into whole blocks, at most `most` in one span, and a rest."""
    whole, rest = divmod(total, block)
    spans = [
        _Span(start=first * block, size=block, count=min(most, whole - first), tile=tile)
        for first in range(0, whole, most)
    ]
    if rest:
        spans.append(_Span(start=whole * block, size=rest, count=1, tile=tile))
    return spans


class _Planner:
    """Sizes shared by all regions of one problem, and one method per command."""

    def __init__(self, pe: PeConfig, problem: GemmProblem, load_first: bool) -> None:
        self.pe, self.problem, self.load_first = pe, problem, load_first
        self.word = pe.ls.word_bytes
        self.tile = pe.dpe.columns
        self.commands = CommandList()
        self.step_elements = self.word // problem.element_bytes
        self.k_steps = math.ceil(problem.k / self.step_elements)
        self.k_tail_bytes = problem.k * problem.element_bytes % self.word
        self.k_parts = [
            range(first, min(first + _MOST, self.k_steps))
            for first in range(0, self.k_steps, _MOST)
        ]
        self.m_tiles, self.n_tiles = self._block_tiles()
        self._divide_local_memory()

    def _block_tiles(self) -> tuple[int, int]:
        """Tiles of a block: all banks, as square as the problem's edges allow."""
        banks = self.pe.re.banks
        m_limit = math.ceil(self.problem.m / self.tile)
        n_limit = math.ceil(self.problem.n / self.tile)
        best = (1, 1)
        for m_tiles in range(1, min(banks, m_limit) + 1):
            n_tiles = min(banks // m_tiles, n_limit)
            key = (m_tiles * n_tiles, -abs(m_tiles - n_tiles), m_tiles)
            if key > (best[0] * best[1], -abs(best[0] - best[1]), best[0]):
                best = (m_tiles, n_tiles)
        return best

    def _divide_local_memory(self) -> None:
        """Depths of the three circular buffers in bytes, K steps of one A chunk, and whether B is
        resident."""
        rows, columns = self.m_tiles * self.tile, self.n_tiles * self.tile
        size = self.pe.ls.size_bytes
        self.out_bytes = min(2 * rows * columns * 4, size // 4)
        if self.out_bytes < rows * columns * 4:
            raise ValueError(
                f"One output block of {rows * columns * 4} bytes needs more than a quarter of the"
                f" local memory ({size} bytes)."
            )
        left = size - self.out_bytes
        a_step, b_step = self.a_step_bytes(rows), self.b_step_bytes(self.n_tiles)
        panel = self.k_steps * b_step
        fits = panel + min(panel, 4 * b_step) <= left // 2
        self.resident = self.problem.m > rows and fits and len(self.k_parts) == 1
        b_bytes = min(2 * panel, left * 5 // 8) if self.resident else left // 2
        self.b_bytes = b_bytes // UNIT * UNIT
        self.a_bytes = (left - self.b_bytes) // UNIT * UNIT
        wanted = max(1, 256 // self.word)
        self.chunk = max(1, min(wanted, self.k_steps, self.a_bytes // (3 * a_step)))

    def operands_fit(self) -> bool:
        """Whether all of A and B fit into their circular buffers, as one block."""
        one_block = self.problem.m <= self.m_tiles * self.tile and (
            self.problem.n <= self.n_tiles * self.tile
        )
        a_bytes = self.k_steps * self.a_step_bytes(self.problem.m)
        b_bytes = self.k_steps * self.b_step_bytes(self.n_tiles)
        return one_block and a_bytes <= self.a_bytes and b_bytes <= self.b_bytes

    def padded_rows(self, rows: int) -> int:
        """Rows of an A step in local memory: whole 64-byte units."""
        unit = max(1, UNIT // self.word)
        return math.ceil(rows / unit) * unit

    def a_step_bytes(self, rows: int) -> int:
        """Bytes of one K step of A in local memory."""
        return self.padded_rows(rows) * self.word

    def b_step_bytes(self, tiles: int) -> int:
        """Bytes of one K step of B in local memory."""
        return tiles * self.tile * self.word

    def set_up_buffers(self) -> None:
        """CB commands for A, B and the results."""
        base = 0
        for cb, size in ((CB_A, self.a_bytes), (CB_B, self.b_bytes), (CB_OUT, self.out_bytes)):
            self.commands.add(Opcode.CB, cb=cb, base=base // UNIT, depth=size // UNIT)
            base += size

    def fetch_a(self, rows: _Span, columns: _Span, part: range) -> None:
        """A, one chunk of K steps at a time, for every block of the region."""
        p, step = self.problem, self.a_step_bytes(rows.size)
        chunks = math.ceil(len(part) / self.chunk)
        last_steps = len(part) - (chunks - 1) * self.chunk
        run = self.chunk * self.word
        end = min(part.stop * self.word, p.k * p.element_bytes)
        last_run = end - part.start * self.word - (chunks - 1) * run
        self.commands.add(
            Opcode.DMA_IN,
            mem_addr=p.a_address + rows.start * p.a_pitch + part.start * self.word,
            count0=run,
            stride0=step,
            zero_fill=1,
            count1=rows.size,
            mem_stride1=p.a_pitch,
            stride1=self.word,
            count2=chunks,
            mem_stride2=run,
            count3=rows.count,
            mem_stride3=rows.size * p.a_pitch,
            count4=columns.count,
            cb=CB_A,
            step_level=2,
            adv_level=2,
            need=self.chunk * step // UNIT,
            adv=self.chunk * step // UNIT,
            tail_level=2,
            tail_count=last_run,
            tail_adv=last_steps * step // UNIT,
        )

    def fetch_b(self, rows: _Span, columns: _Span, part: range) -> None:
        """B, one K step at a time: runs are rows of B within the block, pieces are column
        groups."""
        p, step = self.problem, self.b_step_bytes(columns.tiles)
        repeats = 1 if self.resident else rows.count
        first_row = part.start * self.step_elements
        last_rows = min(p.k - (part.stop - 1) * self.step_elements, self.step_elements)
        self.commands.add(
            Opcode.DMA_IN,
            column=1,
            mem_addr=p.b_address + columns.start * p.element_bytes + first_row * p.b_pitch,
            count0=columns.size * p.element_bytes,
            stride0=self.step_elements * self.word,
            zero_fill=1,
            count1=self.step_elements,
            mem_stride1=p.b_pitch,
            stride1=self.word,
            count2=len(part),
            mem_stride2=self.step_elements * p.b_pitch,
            count3=repeats,
            count4=columns.count,
            mem_stride4=columns.size * p.element_bytes,
            cb=CB_B,
            step_level=2,
            adv_level=2,
            need=step // UNIT,
            adv=step // UNIT,
            tail_level=2,
            tail_inner=1,
            tail_count=last_rows,
        )

    def multiply(self, rows: _Span, columns: _Span, part: range, blocks: int) -> None:
        """One MML over `blocks` blocks; with a resident B these share one panel of B."""
        is_last = part.stop == self.k_steps
        p = self.problem
        a_step, b_step = self.a_step_bytes(rows.size), self.b_step_bytes(columns.tiles)
        b_words = b_step // self.word
        b_last = {"b_adv_level": 3, "b_adv": b_step // UNIT}
        if self.resident:
            b_last = {
                "b_adv_level": 5,
                "b_adv": self.k_steps * b_step // UNIT,
                "b_stride3": b_words,
            }
        self.commands.add(
            Opcode.MML,
            count0=min(rows.size, self.tile),
            count1=rows.tiles,
            count2=columns.tiles,
            count3=len(part),
            count4=blocks,
            a_cb=CB_A,
            a_stride0=1,
            a_stride1=self.tile,
            a_step_level=3,
            a_adv_level=3,
            a_need=a_step // UNIT,
            a_adv=a_step // UNIT,
            b_cb=CB_B,
            b_stride0=1,
            b_stride2=self.tile,
            b_step_level=3,
            b_need=b_step // UNIT,
            **b_last,
            bank_stride1=1,
            bank_stride2=rows.tiles % self.pe.re.banks,
            held_level=2,
            k_level=3,
            m_level=1,
            n_level=2,
            k_tail=self.k_tail_bytes if is_last else 0,
            m_tail=rows.last,
            n_tail=columns.last,
            a_format=p.a_format,
            b_format=p.b_format,
            init=part.start == 0,
            done=is_last,
        )

    def drain(self, rows: _Span, columns: _Span) -> None:
        """Banks to row-major result blocks in local memory."""
        pitch = columns.tiles * self.tile * 4 // self.word
        block = self.out_block_bytes(rows, columns) // UNIT
        self.commands.add(
            Opcode.DRAIN,
            count0=min(rows.size, self.tile),
            count1=rows.tiles,
            count2=columns.tiles,
            count3=rows.count,
            count4=columns.count,
            cb=CB_OUT,
            stride0=pitch,
            stride1=self.tile * pitch,
            stride2=self.tile * 4 // self.word,
            step_level=3,
            adv_level=3,
            need=block,
            adv=block,
            bank_stride1=1,
            bank_stride2=rows.tiles % self.pe.re.banks,
            m_level=1,
            m_tail=rows.last,
            format=self.problem.a_format.accumulator,
        )

    def out_block_bytes(self, rows: _Span, columns: _Span) -> int:
        """Bytes of one result block in local memory."""
        return math.ceil(rows.size * columns.tiles * self.tile * 4 / UNIT) * UNIT

    def store(self, rows: _Span, columns: _Span) -> None:
        """Result blocks to memory."""
        p = self.problem
        block = self.out_block_bytes(rows, columns) // UNIT
        self.commands.add(
            Opcode.DMA_OUT,
            mem_addr=p.c_address + rows.start * p.c_pitch + columns.start * 4,
            count0=columns.size * 4,
            stride0=self.word,
            count1=rows.size,
            mem_stride1=p.c_pitch,
            stride1=columns.tiles * self.tile * 4,
            count2=rows.count,
            mem_stride2=rows.size * p.c_pitch,
            count3=columns.count,
            mem_stride3=columns.size * 4,
            cb=CB_OUT,
            step_level=2,
            adv_level=2,
            need=block,
            adv=block,
        )

    def region(self, rows: _Span, columns: _Span) -> None:
        """The five commands (more MMLs with a resident B) of one region."""
        whole = self.k_parts[0]
        self.fetch_a(rows, columns, whole)
        self.fetch_b(rows, columns, whole)
        if self.load_first:
            self.commands.add(Opcode.FENCE, units=1 << Unit.FI_IN_ROW | 1 << Unit.FI_IN_COL)
        # A resident panel is popped when its command ends, so there is one command per panel.
        blocks = [rows.count] * columns.count if self.resident else [rows.count * columns.count]
        self.multiply(rows, columns, whole, blocks[0])
        self.drain(rows, columns)
        self.store(rows, columns)
        for count in blocks[1:]:
            self.multiply(rows, columns, whole, count)

    def long_k(self, rows: _Span, columns: _Span) -> None:
        """A region whose K has more steps than a level counts: block by block, part by part."""
        for row in rows.blocks():
            for column in columns.blocks():
                # First, since the unit queues might be full of the parts' commands later.
                self.drain(row, column)
                self.store(row, column)
                for part in self.k_parts:
                    self.fetch_a(row, column, part)
                    self.fetch_b(row, column, part)
                    self.multiply(row, column, part, 1)

    def plan(self) -> GemmPlan:
        """Build the whole list."""
        self.set_up_buffers()
        add = self.region if len(self.k_parts) == 1 else self.long_k
        for rows in _spans(self.problem.m, self.m_tiles * self.tile, self.tile, _MOST):
            most = _MOST // rows.count
            for columns in _spans(self.problem.n, self.n_tiles * self.tile, self.tile, most):
                add(rows, columns)
        self.commands.add(Opcode.END)
        return GemmPlan(
            problem=self.problem,
            commands=self.commands,
            block_rows=self.m_tiles * self.tile,
            block_columns=self.n_tiles * self.tile,
            k_chunk_steps=self.chunk,
            resident=self.resident,
        )


def plan_gemm(pe: PeConfig, problem: GemmProblem, *, load_first: bool = False) -> GemmPlan:
    """Return the command list that computes `problem` on one element.

    With `load_first` the multiplication starts only when all operands are in local memory (to
    measure it alone); they must fit.

    Raises
    ------
    ValueError
        If the formats of A and B cannot be multiplied with each other, a dimension is less than 1,
        or the member has no floating datapath; one sentence.
    """
    a, b = problem.a_format, problem.b_format
    if a.is_float != b.is_float or a.n_bytes > 2 or (a.is_float and a != b):
        raise ValueError(
            f"{a.name} and {b.name} cannot be multiplied; both must be 8-bit integers (in any mix),"
            " or both FP16, or both BF16."
        )
    if a.is_float and not pe.dpe.with_fp:
        raise ValueError(
            "This member has no floating-point datapath; give it int8 or uint8 operands."
        )
    for name in ("m", "n", "k"):
        if getattr(problem, name) < 1:
            raise ValueError(f"{name.upper()} is {getattr(problem, name)}; it must be at least 1.")
    planner = _Planner(pe, problem, load_first)
    if load_first and not planner.operands_fit():
        raise ValueError(
            "The operands do not fit into local memory, so they cannot be loaded first."
        )
    return planner.plan()
