# SPDX-License-Identifier: Apache-2.0
"""What travels on the signal lanes: along each row, to side W and from there into another row."""

from amaranth.lib import data

__all__ = ["RUN_BITS", "message_layout", "received_layout", "sent_layout"]

RUN_BITS = 8
"""Bits of a run, the number of a job's start (modulo 256)."""

_SIGNAL = {"counter": 5, "run": RUN_BITS}


def sent_layout() -> data.StructLayout:
    """A signal on its way to W: for the element at `row` and `column`, of those that are used; it
    comes from column `origin`."""
    return data.StructLayout({**_SIGNAL, "row": 4, "column": 4, "origin": 4})


def received_layout(n_positions: int) -> data.StructLayout:
    """A signal on its way from W, along the row of the element that is meant."""
    return data.StructLayout({**_SIGNAL, "mask": n_positions})


def message_layout() -> data.StructLayout:
    """A signal for the host, and the element that has sent it."""
    return data.StructLayout({"counter": 5, "column": 4, "row": 4})
