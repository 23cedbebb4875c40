# SPDX-License-Identifier: Apache-2.0
"""Rows and columns of C cut into equal blocks and a rest."""

import dataclasses
import math

__all__ = ["MOST", "Span", "spans"]

MOST = 0xFFFF
"""Iterations of one loop level."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
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

    def blocks(self) -> list["Span"]:
        """Its blocks as spans of their own."""
        starts = range(self.start, self.start + self.count * self.size, self.size)
        return [dataclasses.replace(self, start=start, count=1) for start in starts]

    @property
    def last(self) -> int:
        """Rows (columns) of the last tile, or 0 if it is whole."""
        return self.size % self.tile


def spans(total: int, block: int, tile: int, most: int) -> list[Span]:
    """Cut `total` into whole blocks, at most `most` in one span, and a rest."""
    whole, rest = divmod(total, block)
    found = [
        Span(start=first * block, size=block, count=min(most, whole - first), tile=tile)
        for first in range(0, whole, most)
    ]
    if rest:
        found.append(Span(start=whole * block, size=rest, count=1, tile=tile))
    return found
