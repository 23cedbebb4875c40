# SPDX-License-Identifier: Apache-2.0
"""How a GEMM divides an element: tiles of a block, local memory among the circular buffers."""

import math

from hw.config import PeConfig
from sw.kernels.gemm.problem import GemmProblem
from sw.kernels.gemm.spans import MOST, Span

__all__ = ["UNIT", "Sizes"]

UNIT = 64
"""Bytes of one unit of circular-buffer arithmetic."""


class Sizes:
    """Sizes shared by all regions of one problem.

    Parameters
    ----------
    pe : PeConfig
        The element.
    problem : GemmProblem
        What to compute.
    held_blocks : int
        Column blocks whose B stays in local memory while all rows pass; of one row of blocks it
        is A that stays, and B passes. See `most_held_blocks`. 0: operands are fetched for one
        column of blocks at a time.

    Raises
    ------
    ValueError
        If one block of results takes more than a quarter of local memory.
    """

    def __init__(self, pe: PeConfig, problem: GemmProblem, *, held_blocks: int = 0) -> None:
        self.pe, self.problem, self.held_blocks = pe, problem, held_blocks
        self.word = pe.ls.word_bytes
        self.tile = pe.dpe.columns
        self.step_elements = self.word // problem.element_bytes
        self.k_steps = math.ceil(problem.k / self.step_elements)
        self.k_tail_bytes = problem.k * problem.element_bytes % self.word
        self.k_parts = [
            range(first, min(first + MOST, self.k_steps)) for first in range(0, self.k_steps, MOST)
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
        """Depths of the circular buffers in bytes, K steps of one A chunk, and whether B is
        resident."""
        rows, columns = self.m_tiles * self.tile, self.n_tiles * self.tile
        size = self.pe.ls.size_bytes
        block = rows * columns * self.problem.out_bytes
        self.out_bytes = min(2 * block, size // 4)
        if self.out_bytes < block:
            raise ValueError(
                f"One output block of {block} bytes needs more than a quarter of the local memory"
                f" ({size} bytes)."
            )
        self._place_vectors()
        a_step, b_step = self.a_step_bytes(rows), self.b_step_bytes(self.n_tiles)
        panel = self.k_steps * b_step
        if self.holds_a:
            self._hold_a(a_step, b_step)
        elif self.held_blocks:
            self._hold(block, a_step, panel)
        else:
            self._share(rows, a_step, b_step, panel)
        self.chunk = max(1, min(self._run_steps(), self.k_steps, self.a_bytes // (3 * a_step)))

    def _run_steps(self) -> int:
        """K steps of A that are fetched at once: a line, as the first ones are waited for; more
        where rows begin within a line, since each run fetches what is around it too."""
        is_aligned = (self.problem.a_address | self.problem.a_pitch) % UNIT == 0
        return max(1, (UNIT if is_aligned else 4 * UNIT) // self.word)

    def _share(self, rows: int, a_step: int, b_step: int, panel: int) -> None:
        """B of one column of blocks at a time, all of it if that fits."""
        left = self.pe.ls.size_bytes - self.out_bytes - self.vector_bytes
        fits = panel + min(panel, 4 * b_step) <= left // 2
        self.resident = self.problem.m > rows and fits and len(self.k_parts) == 1
        b_bytes = min(2 * panel, left * 5 // 8) if self.resident else left // 2
        self.b_bytes = b_bytes // UNIT * UNIT
        self.a_bytes = (left - self.b_bytes) // UNIT * UNIT

    @property
    def _is_one_row(self) -> bool:
        """Whether there is one row of blocks, so that no B is used twice."""
        return self.problem.m <= self.m_tiles * self.tile

    @property
    def holds_a(self) -> bool:
        """Whether A stays, and B passes."""
        return self.held_blocks > 0 and self._is_one_row

    def _hold_a(self, a_step: int, b_step: int) -> None:
        """A of the row of blocks, twice if that leaves enough for B: the next region's comes while
        this one's is in use."""
        if self.problem.to_south:
            self.out_bytes = 0
        self.resident, self.most_column_blocks = False, self.held_blocks
        left, a_bytes = self.pe.ls.size_bytes - self.out_bytes, self.k_steps * a_step
        self.a_bytes = 2 * a_bytes if 4 * a_bytes <= left else a_bytes
        self.b_bytes = (left - self.a_bytes) // UNIT * UNIT
        if self.vector_bytes or len(self.k_parts) > 1 or self.b_bytes < 2 * b_step:
            raise ValueError(f"A of {self.k_steps} steps of K does not fit.")

    def _hold(self, block: int, a_step: int, panel: int) -> None:
        """B of `held_blocks` columns of blocks; A of one row of blocks, and some of the next."""
        size, self.resident = self.pe.ls.size_bytes, False
        if self.problem.to_south:
            self.out_bytes = 0
        self.most_column_blocks = self.held_blocks
        self.b_bytes = self.held_blocks * panel
        least = self._least_a_bytes(a_step)
        if size - self.out_bytes - self.b_bytes < least:
            self.out_bytes = block
        self.a_bytes = (size - self.out_bytes - self.b_bytes) // UNIT * UNIT
        if self.vector_bytes or len(self.k_parts) > 1 or self.a_bytes < least:
            raise ValueError(f"B of {self.held_blocks} column blocks does not fit.")

    def _least_a_bytes(self, a_step: int) -> int:
        """A of a row of blocks, and as much as is fetched at once of the next."""
        return (self.k_steps + min(self.k_steps, self._run_steps())) * a_step

    def _place_vectors(self) -> None:
        """Room for bias and factors: those of two regions, so that the next region's are fetched
        under the present one; a region has as many column blocks as a 32nd of the memory
        serves."""
        block = self.vector_block_bytes(self.n_tiles)
        if not block:
            self.vector_bytes, self.most_column_blocks = 0, MOST
            return
        blocks = math.ceil(self.problem.n / (self.n_tiles * self.tile))
        self.most_column_blocks = max(1, min(self.pe.ls.size_bytes // 32 // block, blocks))
        self.vector_bytes = 2 * self.most_column_blocks * block

    def most_held_blocks(self) -> int:
        """The most column blocks whose B can be held, up to all, or with which A can; 0 where
        holding is no use."""
        if self.vector_bytes or len(self.k_parts) > 1:
            return 0
        rows, columns = self.m_tiles * self.tile, self.n_tiles * self.tile
        block = rows * columns * self.problem.out_bytes
        if self._is_one_row:
            a_bytes = self.k_steps * self.a_step_bytes(rows)
            fits = a_bytes + 2 * self.b_step_bytes(self.n_tiles) + 2 * block
            n_blocks = math.ceil(self.problem.n / columns)
            return min(n_blocks, MOST) if n_blocks > 1 and fits <= self.pe.ls.size_bytes else 0
        panel = self.k_steps * self.b_step_bytes(self.n_tiles)
        left = self.pe.ls.size_bytes - block - self._least_a_bytes(self.a_step_bytes(rows))
        return max(0, min(left // panel, math.ceil(self.problem.n / columns)))

    def operands_fit(self) -> bool:
        """Whether all of A and B fit into their circular buffers, as one block."""
        one_block = self.problem.m <= self.m_tiles * self.tile and (
            self.problem.n <= self.n_tiles * self.tile
        )
        a_bytes = self.k_steps * self.a_step_bytes(self.problem.m)
        b_bytes = self.k_steps * self.b_step_bytes(self.n_tiles)
        return one_block and a_bytes <= self.a_bytes and b_bytes <= self.b_bytes

    def holds_block(self, rows: Span, columns: Span) -> bool:
        """Whether local memory has room for all operands of a block, so that they can be used more
        than once."""
        a_bytes = self.k_steps * self.a_step_bytes(rows.size)
        b_bytes = self.k_steps * self.b_step_bytes(columns.tiles)
        return len(self.k_parts) == 1 and a_bytes <= self.a_bytes and b_bytes <= self.b_bytes

    def a_step_bytes(self, rows: int) -> int:
        """Bytes of one K step of A in local memory: whole 64-byte units."""
        unit = max(1, UNIT // self.word)
        return math.ceil(rows / unit) * unit * self.word

    def b_step_bytes(self, tiles: int) -> int:
        """Bytes of one K step of B in local memory."""
        return tiles * self.tile * self.word

    def vector_block_bytes(self, tiles: int) -> int:
        """Bytes of bias and factors of one block of columns in local memory."""
        n_bytes = tiles * 4 * self.tile * self.problem.epilogue.n_vectors
        return math.ceil(n_bytes / UNIT) * UNIT

    def out_pitch_bytes(self, columns: Span) -> int:
        """Bytes from row to row of a result block in local memory."""
        return columns.tiles * self.tile * self.problem.out_bytes

    def out_block_bytes(self, rows: Span, columns: Span) -> int:
        """Bytes of one result block in local memory."""
        return math.ceil(rows.size * self.out_pitch_bytes(columns) / UNIT) * UNIT
