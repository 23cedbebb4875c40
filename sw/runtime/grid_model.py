# SPDX-License-Identifier: Apache-2.0
"""How many cycles a product on a grid is expected to take.

A product takes as long as its slowest part: multiplying, or fetching A or B, or what memories or
lanes carry together; before that the first operands must come, behind it the last results must
leave. Constants were fitted to cycles of `mtia100` (docs/grid.md, "Products").
"""

import dataclasses
import math
from functools import cached_property

from hw.arch.csr import N_GROUPS
from hw.config import ChipConfig
from sw.kernels.gemm import GemmProblem
from sw.kernels.gemm.compute import in_strips
from sw.kernels.gemm.sizes import Sizes
from sw.kernels.gemm.spans import MOST, spans

__all__ = ["Cut", "GridModel"]

_START = 230
"""Cycles from the start of a job to the first multiplication, and from the last acknowledgement to
the report."""
_HOP = 25
"""Cycles by which an element of a chain is behind its northern neighbour, beside a tile's rows."""
_LATENCY = {"sram": 72, "dram": 140}
"""Cycles from a read to the next one that takes its place, on a busy chip."""
_RATE = 0.45
"""Lines per cycle of an engine that fetches the operands of small blocks, at the most."""
_LANE = 0.67
"""Share of its rate that a lane of writes reaches under random traffic."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut:
    """How a product is cut: the part of the element with the most work, and how many do what."""

    part: GemmProblem
    n_rows: int
    """Runs of rows, which is chains in a column of elements."""
    n_columns: int
    k_parts: int
    """Elements of a chain."""
    held_blocks: int
    multicast: bool


class GridModel:
    """What bounds one cut of a product.

    Parameters
    ----------
    config : the member.
    cut : how the product is cut.
    a_memory, b_memory : `sram` or `dram`, where A and C lie, and where B does.
    """

    def __init__(self, config: ChipConfig, cut: Cut, a_memory: str, b_memory: str) -> None:
        self.config, self.cut = config, cut
        self.a_memory, self.b_memory = a_memory, b_memory
        self.sizes = Sizes(config.pe, cut.part, held_blocks=cut.held_blocks)
        self.line = config.pe.link_bytes
        self.n_elements = cut.n_rows * cut.n_columns * cut.k_parts
        self.rows = spans(cut.part.m, self.sizes.m_tiles * self.sizes.tile, self.sizes.tile, MOST)
        self.columns = spans(
            cut.part.n, self.sizes.n_tiles * self.sizes.tile, self.sizes.tile, MOST
        )

    @cached_property
    def shares(self) -> tuple[int, int]:
        """Elements that fetch each line of A together, and each line of B."""
        cut = self.cut
        lanes = self.config.multicast_lanes if cut.multicast else 0
        # A column of elements has a group for each part of K.
        by_column = lanes >= 2 and cut.k_parts <= N_GROUPS
        return cut.n_columns if lanes >= 1 else 1, cut.n_rows if by_column else 1

    @cached_property
    def lines(self) -> tuple[float, float, float]:
        """Lines of A and B that an element fetches, and of C that it stores."""
        cut, part, sizes = self.cut, self.cut.part, self.sizes
        row_blocks = sum(span.count for span in self.rows)
        column_blocks = sum(span.count for span in self.columns)
        a_times, b_times = column_blocks, 1 if sizes.resident else row_blocks
        if cut.held_blocks:
            a_times, b_times = math.ceil(column_blocks / cut.held_blocks), 1
        a = self._runs(part.k * part.element_bytes, sizes.chunk * sizes.word, part.a_pitch)
        b = self._over_columns(part.element_bytes, part.b_pitch)
        c = self._over_columns(part.out_bytes, part.c_pitch)
        return part.m * a * a_times, part.k * b * b_times, part.m * c

    def _over_columns(self, size: int, pitch: int) -> float:
        """Lines of a row of B or C, block by block."""
        return sum(
            span.count * self._runs(span.size * size, span.size * size, pitch)
            for span in self.columns
        )

    def _runs(self, n_bytes: int, run: int, pitch: int) -> float:
        """Lines of so many bytes that are fetched in such runs; where rows begin anywhere in a
        line, each run touches one more."""
        beside = 0 if pitch % self.line == 0 else 1 - 1 / self.line
        whole, rest = divmod(n_bytes, run)
        return sum(
            times * (math.ceil(length / self.line) if not beside else length / self.line + beside)
            for times, length in ((whole, run), (bool(rest), rest))
        )

    def work(self) -> float:
        """Cycles of multiplication; less than a tile's rows do not hide that the next tile of B is
        loaded."""
        m, tile = self.cut.part.m, self.sizes.tile
        rows, columns = (
            sum(span.count * span.tiles for span in spans_) for spans_ in (self.rows, self.columns)
        )
        return rows * columns * (tile + m if m < tile else tile) * self.sizes.k_steps

    def fetches(self) -> float:
        """Cycles of the engine that fetches longer, and of its reads' way."""
        fi, longest = self.config.pe.fi, 0.0
        for lines, share, memory in zip(
            self.lines[:2], self.shares, (self.a_memory, self.b_memory), strict=True
        ):
            window = fi.shared_reads if share > 1 else fi.reads_in_flight
            longest = max(longest, lines / min(_RATE, window / _LATENCY[memory]))
        alone = sum(n for n, share in zip(self.lines[:2], self.shares, strict=True) if share == 1)
        return max(longest, alone * _LATENCY["sram"] / fi.reads_in_flight)

    def memories(self, c: float) -> float:
        """Cycles of all memories together; an element stores `c` lines."""
        a, b, _ = self.lines
        totals = {"sram": 0.0, "dram": 0.0}
        totals[self.a_memory] += self.n_elements * (a / self.shares[0] + c / self.cut.k_parts)
        totals[self.b_memory] += self.n_elements * b / self.shares[1]
        sram = self.config.sram.slices * self.config.sram.bytes_per_cycle
        dram = self.config.dram.total_bytes_per_cycle
        return max(totals["sram"] / sram, totals["dram"] / dram) * self.line

    def stores(self, lines: float) -> float:
        """Cycles in which the last elements of all chains store so many lines each."""
        n_sides = min(4, self.config.sram.slices)
        in_lane = max(self.cut.n_columns, self.cut.n_rows if n_sides == 4 else 0)
        return max(lines, lines * in_lane / n_sides / _LANE)

    def last_lines(self) -> float:
        """Lines that are still to be stored when the last multiplication ends."""
        rows, columns = self.rows[-1], self.columns[-1]
        n_rows = min(rows.size, self.sizes.tile) if in_strips(self.sizes) else rows.size
        part = self.cut.part
        run = columns.size * part.out_bytes
        return n_rows * self._runs(run, run, part.c_pitch)

    def cycles(self) -> int:
        """From the start of the job to its end."""
        c = self.lines[2]
        last = self.last_lines()
        blocks = sum(r.count for r in self.rows) * sum(c.count for c in self.columns)
        first = self.work() / blocks
        stream = max(self.work(), self.fetches(), self.memories(0), first + self.stores(c - last))
        whole = max(stream + self.stores(last), self.memories(c))
        hop = _HOP + min(self.cut.part.m, self.sizes.tile)
        return round(_START + whole + hop * (self.cut.k_parts - 1))
