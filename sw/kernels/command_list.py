# SPDX-License-Identifier: Apache-2.0
"""A command list under construction: encoded commands, one after another."""

from hw.arch.commands import QUAD_BYTES, Opcode, encode, is_long

__all__ = ["CommandList"]


class CommandList:
    """Collects commands; `bytes(list)` is what the work-queue engine reads from memory.

    A command without a tag gets its place in the list (modulo 2^16), so that traps, hangs and
    traces tell which one they mean.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.n_long = 0
        self.n_short = 0

    def add(self, opcode: Opcode, **fields: int) -> None:
        """Append one command; raises ValueError with a sentence if a field does not fit."""
        place = len(self._parts) & 0xFFFF
        self._parts.append(encode(opcode, **{"tag": place, **fields}))
        if is_long(opcode):
            self.n_long += 1
        else:
            self.n_short += 1

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)

    @property
    def n_quads(self) -> int:
        """Length in 16-byte quads."""
        return sum(len(part) for part in self._parts) // QUAD_BYTES
