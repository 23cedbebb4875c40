# SPDX-License-Identifier: Apache-2.0
"""What bounds a product on a grid: multiplication, engines that fetch, lanes, memories.

Constants are of two kinds: what the hardware's documents state, and what was fitted to measured
cycles (docs/grid.md, "Products", explains them).
"""

import dataclasses
import math
from functools import cached_property

from hw.arch.csr import N_GROUPS
from hw.config import ChipConfig
from sw.kernels.gemm import GemmProblem
from sw.kernels.gemm.sizes import Sizes
from sw.kernels.gemm.spans import MOST, spans

__all__ = ["Cut", "GridBounds"]

_LATENCY = {"sram": 72, "dram": 140}
"""Cycles from a read to the next one that takes its place, on a busy chip of 8 x 8. Fitted."""
_PER_TILE, _TILES = 6, 8
"""So much less of it on a chip with fewer tiles along a lane than these: two hops for each, and
waiting there. Fitted to `tiny`."""
_RATE = 0.45
"""Lines per cycle of an engine that fetches the operands of small blocks, at the most. Fitted."""
_LANE = 0.7
"""Share of its rate that a lane of writes reaches under random traffic. Fitted."""
_SLICE = 0.88
"""Share of their rate that slices reach when all elements store at once. Fitted."""
_MERGE = 6
"""Cycles between writes of parts of words to ever new lines (docs/units/sram_slice.md)."""
_ECC_BYTES = 8
"""A write of less is one of a part."""
_UNEVEN = 0.4
"""Of n lines at random on two lanes the one that has more carries n / 2 + 0.4 sqrt(n): the mean
distance of n throws of a coin from their middle is sqrt(n / 2 pi)."""


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


class GridBounds:
    """What bounds one cut of a product: engines, lanes, memories.

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

    def lanes(self) -> float:
        """Lines of operands on the lane that carries most of them."""
        cut, n_sides = self.cut, min(4, self.config.sram.slices)
        in_row, in_column = cut.n_columns, cut.n_rows * cut.k_parts
        if n_sides < 4:  # no lanes along columns
            in_column = 0
        row, column = 0.0, 0.0
        (a, b, _), (a_share, b_share) = self.lines, self.shares
        for lines, share in ((a, a_share), (b, b_share)):
            if share == 1:
                row += in_row * lines / n_sides
                column += in_column * lines / n_sides
        if a_share > 1:
            row += a / min(2, n_sides)
        if b_share > 1:
            column += cut.k_parts * b * self._busier_lane()
        return max(row, column)

    def _busier_lane(self) -> float:
        """Share of a column's lines of B on the busier one of its two lanes: short rows of B lie in
        one line, whose reads follow each other."""
        pitch, window = self.cut.part.b_pitch, self.config.pe.fi.shared_reads
        at_once = max(1.0, window * pitch / self.line) * self.cut.k_parts
        return 0.5 + _UNEVEN / math.sqrt(at_once)

    def _by_engine(self, nearer: int = 0) -> tuple[float, float]:
        """Cycles in which an engine alone fetches A, and the other one B; memories are so many
        cycles nearer than on a chip of 8 x 8."""
        fi = self.config.pe.fi
        memories = (self.a_memory, self.b_memory)
        windows = (fi.shared_reads if share > 1 else fi.reads_in_flight for share in self.shares)
        a, b = (
            lines / min(_RATE, window / (_LATENCY[memory] - nearer))
            for lines, window, memory in zip(self.lines[:2], windows, memories, strict=True)
        )
        return a, b

    def _alone(self, nearer: int = 0) -> float:
        """Cycles of the reads' way, of all lines that an element shares with nobody."""
        lines = sum(n for n, share in zip(self.lines[:2], self.shares, strict=True) if share == 1)
        return lines * (_LATENCY["sram"] - nearer) / self.config.pe.fi.reads_in_flight

    def fetches(self) -> tuple[float, float]:
        """Cycles until the last line of A has come, and of B: as fast as its engine fetches, and
        as lanes, memories and the reads' way let both."""
        nearer = _PER_TILE * max(0, _TILES - max(self.config.rows, self.config.cols))
        (a, b, _), engines = self.lines, self._by_engine(nearer)
        both = max(self.lanes(), self.memories(0), self._alone(nearer)) / max(a, b)
        return max(engines[0], both * a), max(engines[1], both * b)

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
        cut, config = self.cut, self.config
        in_all = lines * cut.n_columns * cut.n_rows * self.line
        if self.a_memory == "sram":
            per_line = 1 + self._parts_of_words() * (_MERGE - 1)
            bandwidth = config.sram.slices * config.sram.bytes_per_cycle * _SLICE
            memory = in_all * per_line / bandwidth
        else:
            memory = in_all / config.dram.total_bytes_per_cycle
        return max(self._stores_by_lanes(lines), memory)

    def _stores_by_lanes(self, lines: float) -> float:
        """The same, as engines and lanes let them."""
        cut, n_sides = self.cut, min(4, self.config.sram.slices)
        in_lane = max(cut.n_columns, cut.n_rows if n_sides == 4 else 0)
        return max(lines, lines * in_lane / n_sides / _LANE)

    def _last_row_lines(self) -> float:
        """Lines of a row of the last block."""
        run = self.columns[-1].size * self.cut.part.out_bytes
        return self._runs(run, run, self.cut.part.c_pitch)

    def _parts_of_words(self) -> float:
        """Share of stored lines of which a word is written in part: those at the ends of rows that
        begin or end within a word."""
        part = self.cut.part
        run = self.columns[-1].size * part.out_bytes
        within = 1 - math.gcd(part.c_pitch, run, _ECC_BYTES) / _ECC_BYTES
        return min(1.0, 2 * within / self._last_row_lines())
