# SPDX-License-Identifier: Apache-2.0
"""What travels on the register network: along each row, from side W into the grid and back."""

from amaranth.lib import data, enum

from hw.arch.csr import N_JOBS, PAGE_BITS

__all__ = ["Report", "access_layout", "check_grid", "ended_layout", "report_layout"]

_MOST = 16
"""Rows, or columns, that the pages of elements can name."""


class Report(enum.Enum, shape=1):
    """What an element has to say."""

    ANSWER = 0
    """To a read; `data` is the register's value."""
    ENDED = 1
    """A job ended; `data` is the cause if it failed."""


def check_grid(who: str, *, rows: int, columns: int, n_positions: int) -> None:
    """Raise ValueError when a grid cannot be controlled through these flits."""
    for name, value in (("rows", rows), ("columns", columns)):
        if not 1 <= value <= _MOST:
            raise ValueError(f"{who} {name} must be 1 to {_MOST}, not {value!r}.")
    if n_positions < columns:
        raise ValueError(
            f"{who} n_positions must be at least {columns}, one per column, not {n_positions!r}."
        )


def ended_layout() -> data.StructLayout:
    """A job that ended on an element."""
    return data.StructLayout({"cause": 8, "job": range(N_JOBS), "failed": 1})


def access_layout(n_positions: int) -> data.StructLayout:
    """A register access, to the elements in `mask`; to one only if it is a read."""
    return data.StructLayout({"data": 32, "mask": n_positions, "offset": PAGE_BITS, "is_read": 1})


def report_layout(n_positions: int) -> data.StructLayout:
    """What the element at `position` reports."""
    return data.StructLayout(
        {
            "data": 32,
            "position": range(n_positions),
            "kind": Report,
            "job": range(N_JOBS),
            "failed": 1,
        }
    )
