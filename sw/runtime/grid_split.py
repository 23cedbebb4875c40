# SPDX-License-Identifier: Apache-2.0
"""How a product is cut for a grid: rows, columns and K among elements, and what each keeps.

Columns of C are dealt to columns of the grid. Rows of the grid form chains of `k_parts` elements,
from north to south: each chain has some rows of C, and each element of it some of K. Sums go down
the chain over the reduction links, and the last element finishes and stores them.

The choice follows a model, `sw.runtime.grid_model`.
"""

import dataclasses
import itertools

from hw.config import ChipConfig
from sw.kernels.gemm import GemmProblem
from sw.kernels.gemm.sizes import Sizes
from sw.runtime.grid_bounds import Cut
from sw.runtime.grid_model import GridModel

__all__ = ["GridSplit", "choose_split", "estimate", "parts", "split"]

_EQUAL = 1.003
"""The model is no better than that."""


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
    line = config.pe.link_bytes // problem.element_bytes
    k_tile = config.pe.ls.word_bytes // problem.element_bytes
    k_runs = _by_lines(problem.k, k_tile, line, k_parts)
    rows = split(problem.m, config.pe.dpe.tile_rows, config.rows // len(k_runs))
    return rows, _by_lines(problem.n, config.pe.dpe.columns, line, config.cols), k_runs


def _by_lines(size: int, tile: int, line: int, n_parts: int) -> list[tuple[int, int]]:
    """Runs that begin with a line of memory, unless that makes the longest one more than a
    sixteenth longer: what begins within a line is fetched twice in part."""
    fine, coarse = (split(size, unit, n_parts) for unit in (tile, max(tile, line)))
    longest = [max(-(-length // tile) for _, length in runs) for runs in (fine, coarse)]
    same = len(fine) == len(coarse)
    return coarse if same and longest[1] <= longest[0] * 17 / 16 else fine


def choose_split(
    config: ChipConfig, problem: GemmProblem, memory: str, *, multicast: bool = True
) -> GridSplit:
    """The cut that the model ranks first; of those that are hardly worse, the one with the shortest
    chains."""
    lengths = [length for length in range(1, config.rows + 1) if config.rows % length == 0]
    found = []
    for k_parts in lengths:
        most = _largest(config, problem, k_parts)
        held = Sizes(config.pe, most).most_held_blocks() if most.m and most.n else 0
        if held and not _all_hold(config, problem, k_parts, held):
            held = 0
        # Where A can be held it is: nothing is fetched more often for that.
        holds_a = held and Sizes(config.pe, most, held_blocks=held).holds_a
        for blocks in {held} if holds_a else {0, held}:
            found.append(_model(config, problem, memory, k_parts, blocks, multicast=multicast))
    most = min(round(model.rank()) for model in found) * _EQUAL
    good = [model for model in found if round(model.rank()) <= most]
    return _split(min(good, key=lambda m: (m.cut.k_parts, round(m.rank()), m.cut.held_blocks)))


def estimate(
    config: ChipConfig,
    problem: GemmProblem,
    memory: str,
    k_parts: int,
    held_blocks: int,
    *,
    multicast: bool = True,
) -> GridSplit:
    """What the model expects of one cut; `memory` is one of `sw.runtime.placement.PLACES`."""
    return _split(_model(config, problem, memory, k_parts, held_blocks, multicast=multicast))


def _split(model: GridModel) -> GridSplit:
    """The cut of a model."""
    cut = model.cut
    return GridSplit(
        k_parts=cut.k_parts,
        held_blocks=cut.held_blocks,
        cycles=model.cycles(),
        multicast=cut.multicast,
    )


def _model(
    config: ChipConfig,
    problem: GemmProblem,
    memory: str,
    k_parts: int,
    held_blocks: int,
    *,
    multicast: bool,
) -> GridModel:
    """The model of one cut."""
    rows, columns, k_runs = parts(config, problem, k_parts)
    cut = Cut(
        part=_largest(config, problem, k_parts),
        n_rows=len(rows),
        n_columns=len(columns),
        k_parts=len(k_runs),
        held_blocks=held_blocks,
        multicast=multicast,
    )
    a_memory, b_memory = ("sram", "dram") if memory == "weights" else (memory, memory)
    return GridModel(config, cut, a_memory, b_memory)


def _all_hold(config: ChipConfig, problem: GemmProblem, k_parts: int, held_blocks: int) -> bool:
    """Whether every element can hold so many blocks: one with less to do may have blocks of
    another shape."""
    lengths = [{length for _, length in runs} for runs in parts(config, problem, k_parts)]
    try:
        for m, n, k in itertools.product(*lengths):
            Sizes(config.pe, dataclasses.replace(problem, m=m, n=n, k=k), held_blocks=held_blocks)
    except ValueError:
        return False
    return True


def _largest(config: ChipConfig, problem: GemmProblem, k_parts: int) -> GemmProblem:
    """What the element with the most work does."""
    rows, columns, k_runs = parts(config, problem, k_parts)
    m, n, k = (max(length for _, length in runs) for runs in (rows, columns, k_runs))
    return dataclasses.replace(problem, m=m, n=n, k=k)
