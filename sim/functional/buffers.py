# SPDX-License-Identifier: Apache-2.0
"""Circular buffers as the command processor keeps them, with unbounded pointers."""

import dataclasses

from hw.arch.traps import Trap

__all__ = ["UNIT_BYTES", "CircularBuffer", "FunctionalTrap"]

UNIT_BYTES = 64
"""Unit of every circular-buffer amount."""


class FunctionalTrap(Exception):
    """A command that the hardware would trap on."""

    def __init__(self, cause: Trap, text: str) -> None:
        super().__init__(text)
        self.cause = cause


@dataclasses.dataclass
class CircularBuffer:
    """One buffer; pointers count 64-byte units since set-up and never wrap."""

    base: int
    depth: int
    shared: bool = False
    reserve: int = 0
    commit: int = 0
    claim: int = 0
    release: int = 0

    @property
    def busy(self) -> bool:
        """Whether anything is in it or on its way."""
        return self.reserve != self.release

    def try_acquire(self, producer: bool, extent: int, advance: int) -> int | None:
        """Grant a step: return its pointer in bytes, or None if it must wait."""
        if max(extent, advance) > self.depth:
            raise FunctionalTrap(
                Trap.CB_TOO_SMALL,
                f"A step needs {max(extent, advance)} units of a buffer that is {self.depth} deep.",
            )
        if producer:
            if self.reserve - self.release + max(extent, advance) > self.depth:
                return None
            pointer, self.reserve = self.reserve, self.reserve + advance
        else:
            if self.commit - self.claim < max(extent, advance):
                return None
            pointer, self.claim = self.claim, self.claim + advance
        return pointer % self.depth * UNIT_BYTES

    def done(self, producer: bool, advance: int) -> None:
        """A step's data has moved."""
        if producer:
            self.commit += advance
        else:
            self.release += advance
        if self.commit > self.reserve or self.release > self.claim:
            raise FunctionalTrap(Trap.CB_UNDERFLOW, "A pointer was moved past the one it follows.")
