# SPDX-License-Identifier: Apache-2.0
"""Pointer model of the circular-buffer table: four pointers that only grow, in Python integers.

A buffer is right as long as release <= claim <= commit <= reserve <= release + depth; the model
keeps these pointers as they are, without wrapping them and without amounts.
"""

from dataclasses import dataclass, field

from hw.arch.traps import Trap

__all__ = ["CbError", "CbTableModel", "CircularBuffer", "Grant"]


class CbError(Exception):
    """An operation that traps, with its cause."""

    def __init__(self, cause: Trap) -> None:
        super().__init__(cause.name)
        self.cause = cause


@dataclass(frozen=True)
class Grant:
    """Where a granted step lies, in 64-byte units."""

    base: int
    depth: int
    pointer: int


@dataclass
class CircularBuffer:
    """One buffer: where it lies, who uses it, and its four pointers since it was set up."""

    base: int
    depth: int
    shared: bool = False
    reserve: int = 0
    commit: int = 0
    claim: int = 0
    release: int = 0
    users: dict[bool, int] = field(default_factory=dict[bool, int])
    """Unit that uses the consumer's (False) and the producer's (True) side."""

    @property
    def room(self) -> int:
        """Units that a producer may reserve."""
        return self.release + self.depth - self.reserve

    @property
    def filled(self) -> int:
        """Units that a consumer may claim."""
        return self.commit - self.claim

    def check(self) -> None:
        """The order of the pointers, which no sequence of operations may break."""
        assert self.release <= self.claim <= self.commit <= self.reserve
        assert self.reserve <= self.release + self.depth


class CbTableModel:
    """All buffers of an element."""

    def __init__(self) -> None:
        self.buffers: dict[int, CircularBuffer] = {}

    def setup(self, cb: int, *, base: int, depth: int, shared: bool = False) -> None:
        """CB command; `CbError` while granted steps are not done."""
        old = self.buffers.get(cb)
        if old and (old.reserve != old.commit or old.claim != old.release):
            raise CbError(Trap.CB_BUSY)
        self.buffers[cb] = CircularBuffer(base, depth, shared)

    def acquire(
        self, cb: int, *, producer: bool, extent: int, advance: int, unit: int
    ) -> Grant | None:
        """Start a step; None if it has to wait, `CbError` if it can never start."""
        buffer = self._buffer(cb)
        if buffer.users.get(producer, unit) != unit and not buffer.shared:
            raise CbError(Trap.CB_SHARED)
        if max(extent, advance) > buffer.depth:
            raise CbError(Trap.CB_TOO_SMALL)
        if max(extent, advance) > (buffer.room if producer else buffer.filled):
            return None
        pointer = (buffer.reserve if producer else buffer.claim) % buffer.depth
        if producer:
            buffer.reserve += advance
        else:
            buffer.claim += advance
        buffer.users[producer] = unit
        buffer.check()
        return Grant(buffer.base, buffer.depth, pointer)

    def done(self, cb: int, *, producer: bool, advance: int) -> None:
        """A step's data was read (landed); `CbError` beyond what was granted."""
        buffer = self._buffer(cb)
        left = buffer.reserve - buffer.commit if producer else buffer.claim - buffer.release
        if advance > left:
            raise CbError(Trap.CB_UNDERFLOW)
        if producer:
            buffer.commit += advance
        else:
            buffer.release += advance
        buffer.check()

    def _buffer(self, cb: int) -> CircularBuffer:
        if cb not in self.buffers:
            raise CbError(Trap.CB_UNINITIALISED)
        return self.buffers[cb]
