# SPDX-License-Identifier: Apache-2.0
"""How a product is cut for a grid: rows, columns and K among elements, and what each keeps.

Columns of C are dealt to columns of the grid. Rows of the grid form chains of `k_parts` elements,
from north to south: each chain has some rows of C, and each element of it some of K. Sums go down
the chain over the reduction links, and the last element finishes and stores them.

The choice follows a model: a product takes as long as its slowest part, which is multiplying, or
what all elements read and write together, or what one of them does; and before that the operands of
the first block must come, behind it the last block must leave.
"""

import dataclasses
import math

from hw.arch.csr import N_GROUPS
from hw.config import ChipConfig
from sw.kernels.gemm import GemmProblem
from sw.kernels.gemm.sizes import Sizes

__all__ = ["GridSplit", "choose_split", "estimate", "parts", "split"]

_LATENCY = 60
"""Cycles from the start of a job to the first operand, and from the last store to its report."""
_WAIT, _DRAM_WAIT = 30, 100
"""Cycles from a shared read to the next one that takes its room."""
_HOP = 20
"""Cycles by which an element of a chain is behind its northern neighbour."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridSplit:
    """A cut of a product."""

    k_parts: int
    """Elements of a chain."""
    held_blocks: int
    """Column blocks whose B an element holds, see `sw.kernels.gemm.sizes.Sizes`."""
    cycles: int
    """What the model expects."""
    multicast: bool = True
    """Whether elements that fetch the same operands share their reads."""


def split(size: int, tile: int, n_parts: int) -> list[tuple[int, int]]:
    """Cut `size` rows or columns into at most `n_parts` runs of whole tiles, as equal as can be.

    Gives first and length of each; only the last run may end within a tile.
    """
    n_tiles = -(-size // tile)
    n_parts = min(n_parts, n_tiles)
    bounds = [n_tiles * part // n_parts * tile for part in range(n_parts)] + [size]
    return [(first, end - first) for first, end in zip(bounds, bounds[1:], strict=False)]


def parts(
    config: ChipConfig, problem: GemmProblem, k_parts: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]]]:
    """First and length of each run of rows, columns and K, with chains of `k_parts` elements."""
    k_tile = config.pe.ls.word_bytes // problem.element_bytes
    k_runs = split(problem.k, k_tile, k_parts)
    rows = split(problem.m, config.pe.dpe.tile_rows, config.rows // len(k_runs))
    return rows, _columns(config, problem), k_runs


def _columns(config: ChipConfig, problem: GemmProblem) -> list[tuple[int, int]]:
    """Runs of columns, which begin with a line of B and C if that makes none of them longer."""
    tile = config.pe.dpe.columns
    line = max(tile, config.pe.link_bytes // problem.element_bytes)
    fine, coarse = (split(problem.n, size, config.cols) for size in (tile, line))
    n_tiles = [max(-(-length // tile) for _, length in runs) for runs in (fine, coarse)]
    return coarse if n_tiles[1] <= n_tiles[0] else fine


def choose_split(
    config: ChipConfig, problem: GemmProblem, memory: str, *, multicast: bool = True
) -> GridSplit:
    """The cut that the model expects to be the fastest; of equal ones that with short chains."""
    lengths = [length for length in range(1, config.rows + 1) if config.rows % length == 0]
    found = []
    for k_parts in lengths:
        most = _largest(config, problem, k_parts)
        held = Sizes(config.pe, most).most_held_blocks() if most.m and most.n else 0
        for blocks in {0, held}:
            found.append(estimate(config, problem, memory, k_parts, blocks, multicast=multicast))
    return min(found, key=lambda cut: (cut.cycles, cut.k_parts, cut.held_blocks))


def estimate(
    config: ChipConfig,
    problem: GemmProblem,
    memory: str,
    k_parts: int,
    held_blocks: int,
    *,
    multicast: bool = True,
) -> GridSplit:
    """What the model expects of one cut."""
    part = _largest(config, problem, k_parts)
    rows, columns, k_runs = parts(config, problem, k_parts)
    n_elements = len(rows) * len(columns) * len(k_runs)
    sizes = Sizes(config.pe, part, held_blocks=held_blocks)
    row_blocks = math.ceil(part.m / (sizes.m_tiles * sizes.tile))
    column_blocks = math.ceil(part.n / (sizes.n_tiles * sizes.tile))
    a_times, b_times = column_blocks, 1 if sizes.resident else row_blocks
    if held_blocks:
        a_times, b_times = math.ceil(column_blocks / held_blocks), 1
    a_bytes, b_bytes = (size * part.k * part.element_bytes for size in (part.m, part.n))
    written = part.m * part.n * part.out_bytes
    a_share, b_share = _shares(config, len(rows), len(columns), len(k_runs), multicast)
    memories = _Memories(config, memory, n_elements)
    tiles = math.ceil(part.m / sizes.tile) * math.ceil(part.n / sizes.tile)
    work = tiles * sizes.tile * sizes.k_steps
    # The first block is multiplied as its operands come, the last one leaves by itself.
    first = memories.cycles(a_bytes // row_blocks / a_share + b_bytes // column_blocks / b_share)
    fill = max(0, first - work // (row_blocks * column_blocks))
    last = written // (row_blocks * column_blocks) / config.pe.link_bytes
    fetched = (a_times * a_bytes, b_times * b_bytes)
    cycles = max(
        work + fill + last,
        memories.cycles(fetched[0] / a_share + fetched[1] / b_share + written / len(k_runs)),
        sum(fetched) / config.pe.link_bytes,
        written / config.pe.link_bytes,
        *(
            memories.shared_cycles(size)
            for size, share in zip(fetched, (a_share, b_share), strict=True)
            if share > 1
        ),
    )
    return GridSplit(
        k_parts=len(k_runs),
        held_blocks=held_blocks,
        cycles=round(cycles) + 2 * _LATENCY + _HOP * (len(k_runs) - 1),
        multicast=multicast,
    )


@dataclasses.dataclass(frozen=True)
class _Memories:
    """How long it takes to move operands."""

    config: ChipConfig
    memory: str
    n_elements: int

    def cycles(self, n_bytes: float) -> float:
        """So many bytes of each element, from and to all memories together."""
        bandwidth = self.config.sram.slices * self.config.sram.bytes_per_cycle
        if self.memory == "dram":
            bandwidth = self.config.dram.total_bytes_per_cycle
        return n_bytes * self.n_elements / bandwidth

    def shared_cycles(self, n_bytes: float) -> float:
        """So many bytes that one engine shares, as many lines at a time as it has room for."""
        wait = _DRAM_WAIT if self.memory == "dram" else _WAIT
        rate = min(1, self.config.pe.fi.shared_reads / wait)
        return n_bytes / self.config.pe.link_bytes / rate


def _shares(
    config: ChipConfig, n_rows: int, n_columns: int, n_k: int, multicast: bool
) -> tuple[int, int]:
    """Elements that fetch each line of A together, and each line of B."""
    lanes = config.multicast_lanes if multicast else 0
    # A column of elements has a group for each part of K.
    return n_columns if lanes >= 1 else 1, n_rows if lanes >= 2 and n_k <= N_GROUPS else 1


def _largest(config: ChipConfig, problem: GemmProblem, k_parts: int) -> GemmProblem:
    """What the element with the most work does."""
    rows, columns, k_runs = parts(config, problem, k_parts)
    m, n, k = (max(length for _, length in runs) for runs in (rows, columns, k_runs))
    return dataclasses.replace(problem, m=m, n=n, k=k)
