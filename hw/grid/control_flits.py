# SPDX-License-Identifier: Apache-2.0
"""What travels on the register network: along each row, from side W into the grid and back."""

from amaranth.lib import data, enum

from hw.arch.csr import N_JOBS, PAGE_BITS

__all__ = ["Report", "access_layout", "ended_layout", "report_layout"]


class Report(enum.Enum, shape=1):
    """What an element has to say."""

    ANSWER = 0
    """To a read; `data` is the register's value."""
    ENDED = 1
    """A job ended; `data` is the cause if it failed."""


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
