# SPDX-License-Identifier: Apache-2.0
"""The four sides of the grid, their lanes, and which tiles a lane passes in which order.

A grid has `rows` x `columns` tiles; row 0 is next to N, column 0 next to W. W and E have a lane for
each row, N and S one for each column. Positions on a lane are counted from W, or from N, whichever
side the lane belongs to; so a tile has the same position on the lanes of both sides.
"""

from amaranth.hdl import Cat, Value
from amaranth.lib import enum

from hw.arch.interleave import Interleave

__all__ = [
    "Side",
    "corner_of",
    "entry_side",
    "hops",
    "is_of_rows",
    "lane_of",
    "n_lanes",
    "n_left",
    "place_of_slice",
    "position_of",
]


class Side(enum.IntEnum, shape=2):
    """A side of the grid; the numbers are those of `Interleave.place_of`."""

    W = 0
    E = 1
    N = 2
    S = 3


def is_of_rows(side: Side) -> bool:
    """Whether a side has lanes along rows, not along columns."""
    return side in (Side.W, Side.E)


def n_lanes(side: Side, *, rows: int, columns: int) -> int:
    """Lanes of a side."""
    return rows if is_of_rows(side) else columns


def hops(side: Side, *, rows: int, columns: int) -> tuple[int, ...]:
    """Positions of a lane in the order in which a flit from the side passes them."""
    positions = range(columns if is_of_rows(side) else rows)
    return tuple(positions if side in (Side.W, Side.N) else reversed(positions))


def n_left(side: Side, position: int, *, rows: int, columns: int) -> int:
    """Tiles of a lane that are farther from the side than the one at `position`."""
    order = hops(side, rows=rows, columns=columns)
    return len(order) - 1 - order.index(position)


def lane_of(side: Side, *, row: int, column: int) -> int:
    """Number of the side's lane that passes a tile."""
    return row if is_of_rows(side) else column


def position_of(side: Side, *, row: int, column: int) -> int:
    """Position of a tile on the side's lane that passes it."""
    return column if is_of_rows(side) else row


def place_of_slice(slice_number: int, interleave: Interleave) -> tuple[Side, int]:
    """The side that a slice is at, and its number there."""
    side, number = interleave.place_of(slice_number)
    return Side(side), number


def corner_of(side: Side) -> Side:
    """The side with which a side has a corner through which shared reads pass: W and N, E and S."""
    return Side(side ^ 2)


def entry_side(memory_side: Value, column: Value) -> Value:
    """The side whose lane a shared read of a row, or of a `column`, takes to memory at some side:
    that one, or the one beyond its corner."""
    return Cat(memory_side[0], column)
