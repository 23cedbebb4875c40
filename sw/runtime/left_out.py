# SPDX-License-Identifier: Apache-2.0
"""Rows of tiles and rows of elements, where one row of tiles is left out."""

from hw.config import ChipConfig
from sw.errors import UserError

__all__ = ["check_left_out", "tile_of"]

Place = tuple[int, int]


def check_left_out(config: ChipConfig, row: int) -> None:
    """Raise UserError unless a row of tiles can be left out."""
    if not config.spare_rows:
        raise UserError(f"{config.name} has no spare row, so no row can be left out.")
    if not 0 <= row < config.built_rows:
        raise UserError(
            f"Row {row} cannot be left out; {config.name} has rows of tiles 0 to"
            f" {config.built_rows - 1}."
        )


def tile_of(config: ChipConfig, element: Place, left_out_row: int | None) -> Place:
    """Row and column of an element's tile; without a row that is left out, it is the last."""
    row, column = element
    left_out = config.rows if left_out_row is None else left_out_row
    return row + (row >= left_out), column
