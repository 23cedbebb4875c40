# SPDX-License-Identifier: Apache-2.0
"""Cycles of systolic arrays by formula: an ideal one, and SCALE-Sim's.

A dataflow keeps an operand of S_R x S_C in the array while T values pass each of its places. One
array of R x C takes ceil(S_R / R) ceil(S_C / C) folds of 2 R + C + T - 2 cycles each: A. Samajdar
et al., "A Systematic Methodology for Characterizing Scalability of DNN Accelerators using
SCALE-Sim" (ISPASS 2020). SCALE-Sim 3.0.0 has R + C + T - 2 where outputs stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hw.config import ChipConfig
from scripts.grid_products import Product

__all__ = ["DATAFLOWS", "Arrays", "Mapping", "arrangements", "best_mappings", "ideal_cycles"]

DATAFLOWS = ("os", "ws", "is")
"""What stays: outputs, weights (B), inputs (A)."""

Shape = tuple[int, int, int]
"""M, N, K."""


@dataclass(frozen=True)
class Arrays:
    """Equal arrays that work side by side."""

    rows: int
    cols: int
    count: int = 1

    @property
    def name(self) -> str:
        """As the table shows it."""
        size = f"{self.rows}x{self.cols}"
        return size if self.count == 1 else f"{self.count} of {size}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle of all."""
        return self.rows * self.cols * self.count

    def splits(self) -> Iterator[tuple[int, int]]:
        """All ways to deal rows and columns of C to as many arrays."""
        for rows in range(1, self.count + 1):
            if self.count % rows == 0:
                yield rows, self.count // rows


@dataclass(frozen=True)
class Mapping:
    """A product on arrays by one dataflow."""

    arrays: Arrays
    dataflow: str
    split: tuple[int, int]
    """Into how many parts rows and columns of C are cut."""
    part: Shape
    """What the array with the most to do multiplies."""

    @property
    def cycles(self) -> int:
        """By SCALE-Sim's rules."""
        return scale_sim_cycles(self.arrays, self.dataflow, self.part)


def arrangements(config: ChipConfig, product: Product) -> tuple[Arrays, Arrays]:
    """The member's multipliers as one array, and as one array for each element."""
    k = config.pe.dpe.k_bytes // product.fmt.n_bytes
    n = config.pe.dpe.columns
    return Arrays(config.rows * n, config.cols * k), Arrays(n, k, config.rows * config.cols)


def ideal_cycles(arrays: Arrays, product: Product) -> int:
    """Of arrays that fill and drain once, in the best dataflow and split.

    One fold follows the other without a gap; where so little passes that the next fold's operand
    (the last one's result) takes longer to move, that limits.
    """
    return min(
        (_folds(arrays, dataflow, part) - 1) * max(_moving(dataflow, part), arrays.rows)
        + _fold(arrays, dataflow, part)
        for dataflow in DATAFLOWS
        for _, part in _parts(arrays, product)
    )


def scale_sim_cycles(arrays: Arrays, dataflow: str, part: Shape) -> int:
    """What SCALE-Sim counts for one array: each fold fills and drains by itself.

    It says the number of the last cycle, the first one being 0.
    """
    return _folds(arrays, dataflow, part) * _fold(arrays, dataflow, part) - 1


def best_mappings(arrays: Arrays, product: Product) -> list[Mapping]:
    """For each dataflow the best split (of equal ones that with the least to fetch), best first.

    K is not split: SCALE-Sim has no sums that go from array to array.
    """
    found = [
        min(
            (Mapping(arrays, dataflow, split, part) for split, part in _parts(arrays, product)),
            key=lambda mapping: (mapping.cycles, sum(mapping.part)),
        )
        for dataflow in DATAFLOWS
    ]
    return sorted(found, key=lambda mapping: mapping.cycles)


def _parts(arrays: Arrays, product: Product) -> Iterator[tuple[tuple[int, int], Shape]]:
    for rows, cols in arrays.splits():
        yield (rows, cols), (-(-product.m // rows), -(-product.n // cols), product.k)


def _folds(arrays: Arrays, dataflow: str, part: Shape) -> int:
    m, n, k = part
    rows, cols = {"os": (m, n), "ws": (k, n), "is": (k, m)}[dataflow]
    return -(-rows // arrays.rows) * -(-cols // arrays.cols)


def _fold(arrays: Arrays, dataflow: str, part: Shape) -> int:
    """Cycles of one fold, with filling and draining.

    Outputs leave while others of their fold are still at work, so R stands there once.
    """
    filling = arrays.rows if dataflow == "os" else 2 * arrays.rows
    return filling + arrays.cols + _moving(dataflow, part) - 2


def _moving(dataflow: str, part: Shape) -> int:
    """Values that pass each place of the array in a fold."""
    m, n, k = part
    return {"os": k, "ws": m, "is": n}[dataflow]
