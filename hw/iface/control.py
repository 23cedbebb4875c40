# SPDX-License-Identifier: Apache-2.0
"""Signature of the register network: 32-bit reads and writes of control registers."""

from amaranth.hdl import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CONTROL_BYTES", "ControlPort", "ControlWrite"]

CONTROL_BYTES = 0x1000
"""How much of the control region exists."""


class ControlWrite(data.Struct):
    """One 32-bit write; `offset` is a byte offset into the control region."""

    offset: unsigned(12)
    data: unsigned(32)


class ControlPort(wiring.Signature):
    """Register accesses, seen from the one who asks.

    Operation
        A write is taken in every cycle with `valid`. A read is answered after a bounded number of
        cycles; only one read is under way at a time. Offsets without a register read zero and
        ignore writes.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "write": Out(stream.Signature(ControlWrite, always_ready=True)),
                "read": Out(stream.Signature(unsigned(12))),
                "answer": In(stream.Signature(unsigned(32), always_ready=True)),
            }
        )
