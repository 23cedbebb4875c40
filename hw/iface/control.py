# SPDX-License-Identifier: Apache-2.0
"""Signature of the register network: 32-bit reads and writes of control registers."""

from amaranth.hdl import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import PAGE_BITS

__all__ = ["ControlPort", "ControlWrite", "control_write"]


def control_write(offset_bits: int = PAGE_BITS) -> data.StructLayout:
    """One 32-bit write; `offset` is a byte offset into the control region."""
    return data.StructLayout({"offset": offset_bits, "data": 32})


ControlWrite = control_write()
"""A write into one page."""


class ControlPort(wiring.Signature):
    """Register accesses, seen from the one who asks.

    Operation
        A write is taken in every cycle with `valid`. A read is answered after a bounded number of
        cycles; only one read is under way at a time. Offsets without a register read zero and
        ignore writes.

    Parameters
    ----------
    offset_bits : bits of a byte offset.
    """

    def __init__(self, *, offset_bits: int = PAGE_BITS) -> None:
        super().__init__(
            {
                "write": Out(stream.Signature(control_write(offset_bits), always_ready=True)),
                "read": Out(stream.Signature(unsigned(offset_bits))),
                "answer": In(stream.Signature(unsigned(32), always_ready=True)),
            }
        )
