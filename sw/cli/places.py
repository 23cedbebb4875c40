# SPDX-License-Identifier: Apache-2.0
"""Elements of a grid, as the command line names them."""

import re

from hw.config import ChipConfig
from sim.trace.grid_log import Place
from sw.errors import UserError

__all__ = ["parse_place", "parse_places"]


def parse_place(option: str, text: str, member: ChipConfig) -> Place:
    """Row and column of `2,3`.

    Raises
    ------
    UserError
        If the text is no place, or the member has no such element.
    """
    if not (found := re.fullmatch(r"(\d{1,4}),(\d{1,4})", text)):
        raise UserError(f"{option} is {text!r}; an element is named by row and column, as 0,1.")
    row, column = int(found[1]), int(found[2])
    if row >= member.rows or column >= member.cols:
        raise UserError(
            f"{option} names element {row},{column}; {member.name} has rows 0 to {member.rows - 1}"
            f" and columns 0 to {member.cols - 1}."
        )
    return row, column


def parse_places(option: str, text: str, member: ChipConfig) -> set[Place]:
    """The elements of `0,0:1,1`, or all of them.

    Raises
    ------
    UserError
        As `parse_place`.
    """
    if text == "all":
        return {(row, column) for row in range(member.rows) for column in range(member.cols)}
    return {parse_place(option, part, member) for part in text.split(":")}
