# SPDX-License-Identifier: Apache-2.0
"""How many cycles a product on a grid is expected to take.

Operands are fetched, multiplied and stored side by side, so a product takes as long as the slowest
of these, and what cannot be side by side: before the first multiplication the first chunk of A must
have come, behind the last operands some work is left, behind that the last results. What bounds
fetches and stores are engines, lanes, and memories.

Constants are of two kinds: what the hardware's documents state, and what was fitted to the cycles
of `mtia100` in docs/grid.md, "Products", where their meaning is explained.
"""

import math
from functools import cached_property

from sw.kernels.gemm.compute import can_go_by_bank, in_strips
from sw.runtime.grid_bounds import GridBounds

__all__ = ["GridModel"]

_START = 176
"""Cycles of a job that do not depend on the product: its list and the first operands' way, the last
acknowledgement and the report. Fitted; 1 x 1 x 1 takes 203, of which 33 are its multiplication."""
_HOP = 2
"""Cycles by which an element of a chain is behind its northern neighbour, beside a tile's rows,
which go down the chain as a whole. Fitted."""
_FIXED, _LINK = 230, 25
"""What stands for the two above where cuts are chosen, see `rank`."""


class GridModel(GridBounds):
    """How long one cut of a product takes, and by what it is chosen."""

    @property
    def n_blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        rows, columns = (sum(span.count for span in spans_) for spans_ in (self.rows, self.columns))
        return rows, columns

    @cached_property
    def by_bank(self) -> bool:
        """Whether the last block is multiplied bank by bank."""
        is_alone = math.prod(self.n_blocks) == 1
        return not is_alone and can_go_by_bank(self.sizes, self.rows[-1], self.columns[-1])

    def last_lines(self) -> float:
        """Lines that are still to be stored when the last multiplication ends."""
        return self._strip_lines() if self.by_bank else self._block_lines()

    @property
    def _tile_rows(self) -> int:
        """Rows of a tile that there are."""
        return min(self.cut.part.m, self.sizes.tile)

    def _strip_lines(self) -> float:
        """Lines of the last rows of tiles of the last block."""
        return min(self.rows[-1].size, self.sizes.tile) * self._last_row_lines()

    def _block_lines(self) -> float:
        """Lines of the last block."""
        return self.rows[-1].size * self._last_row_lines()

    def _head(self, a: float, b: float) -> float:
        """Cycles until a chunk of A and a step of B have come, of `a` and `b` for all."""
        (rows, columns), sizes = self.n_blocks, self.sizes
        a_times = rows * columns
        if self.cut.held_blocks:
            a_times = rows * math.ceil(columns / self.cut.held_blocks)
        b_times = columns if sizes.resident or self.cut.held_blocks else rows * columns
        return max(a / a_times * sizes.chunk, b / b_times) / sizes.k_steps

    def _tails(self) -> tuple[float, float]:
        """Work that is left when the last chunk of A has come, and when the last step of B has."""
        sizes, block = self.sizes, self.work() / math.prod(self.n_blocks)
        n_banks = self.rows[-1].tiles * self.columns[-1].tiles if self.by_bank else 1
        first = block / n_banks
        a, b = (block - first + first * steps / sizes.k_steps for steps in (sizes.chunk, 1))
        return a, b

    def cycles(self) -> int:
        """From the start of the job to its end."""
        c, last, work = self.lines[2], self.last_lines(), self.work()
        (a, b), (a_tail, b_tail) = self.fetches(), self._tails()
        head, block = self._head(a, b), work / math.prod(self.n_blocks)
        stream = max(work + head, a + a_tail, b + b_tail, head + block + self.stores(c - last))
        tile_rows = self._tile_rows
        # Banks end one after the other, and with them strips.
        under = tile_rows * (self.rows[-1].tiles - 1)
        if self.by_bank or not in_strips(self.sizes):
            under = 0
        end = tile_rows + self.stores(last) - under + (_HOP + tile_rows) * (self.cut.k_parts - 1)
        return round(_START + max(stream + end, self.memories(c)))

    def rank(self) -> float:
        """By what cuts are chosen, the least first: what bounds large products, and a price for
        each element of a chain. It leaves out what `cycles` knows of small ones.

        Its choices are those that were measured (docs/grid.md). `cycles` alone would choose other
        cuts for some products; none of them has been measured yet.
        """
        c, block = self.lines[2], self.work() / math.prod(self.n_blocks)
        last = self._strip_lines() if in_strips(self.sizes) else self._block_lines()
        stream = max(
            self.work(),
            max(*self._by_engine(), self._alone()),
            self.memories(0),
            block + self._stores_by_lanes(c - last),
        )
        whole = max(stream + self._stores_by_lanes(last), self.memories(c))
        return _FIXED + whole + (_LINK + self._tile_rows) * (self.cut.k_parts - 1)
