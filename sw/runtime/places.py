# SPDX-License-Identifier: Apache-2.0
"""Elements of a grid by row and column."""

from collections.abc import Iterable

from hw.config import ChipConfig
from sw.errors import UserError

__all__ = ["Place", "check_place", "selection"]

Place = tuple[int, int]
"""Row and column of an element."""


def check_place(config: ChipConfig, place: Place) -> None:
    """Raise UserError if a member has no such element."""
    row, column = place
    if not (0 <= row < config.rows and 0 <= column < config.cols):
        raise UserError(
            f"There is no element ({row}, {column}); {config.name} has {config.rows} x"
            f" {config.cols}."
        )


def selection(places: Iterable[Place]) -> tuple[int, int]:
    """Rows and columns of these elements, a bit each."""
    rows, columns = ({place[at] for place in places} for at in range(2))
    return sum(1 << row for row in rows), sum(1 << column for column in columns)
