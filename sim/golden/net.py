# SPDX-License-Identifier: Apache-2.0
"""Models of the memory network where it is more than a queue: who collects a multicast read."""

from collections import deque
from dataclasses import dataclass, field

__all__ = ["HASH_BITS", "CollectorModel", "Note", "Release", "line_hash"]

HASH_BITS = 8
"""Bits by which a member tells which address it means."""


def line_hash(address: int) -> int:
    """The exclusive or of the bytes of a number."""
    folded = 0
    while address:
        folded ^= address & (1 << HASH_BITS) - 1
        address >>= HASH_BITS
    return folded


@dataclass(frozen=True)
class Note:
    """That a member has room for a line."""

    hashed: int
    tag: int
    leader: int


@dataclass(frozen=True)
class Release:
    """A read that left the collector."""

    group: int
    address: int
    tag: int
    mask: int


@dataclass
class CollectorModel:
    """What becomes of reads and notes, whatever the order in which they arrive.

    `released` has the reads of each group that go to memory, `refused` the tags of each position's
    notes that are answered with a mismatch; both in order.
    """

    n_positions: int
    n_groups: int
    released: list[list[Release]] = field(init=False)
    refused: list[list[int]] = field(init=False)
    failed: int = field(init=False, default=0)
    _reads: list[deque[Release]] = field(init=False)
    _notes: list[deque[Note]] = field(init=False)

    def __post_init__(self) -> None:
        self.released = [[] for _ in range(self.n_groups)]
        self.refused = [[] for _ in range(self.n_positions)]
        self._reads = [deque() for _ in range(self.n_groups)]
        self._notes = [deque() for _ in range(self.n_positions)]

    def read(self, group: int, address: int, tag: int, mask: int) -> None:
        """A group's leader asks."""
        self._reads[group].append(Release(group, address, tag, mask))
        self._settle()

    def note(self, position: int, note: Note) -> None:
        """A member has reserved room for its next line."""
        self._notes[position].append(note)
        self._settle()

    def fail(self, positions: int) -> None:
        """From now on these positions, one bit each, and no others, have failed."""
        self.failed = positions
        self._settle()

    def _settle(self) -> None:
        moved = True
        while moved:
            moved = any(self._drop(at) for at in range(self.n_positions))
            moved |= any(self._complete(queue) for queue in self._reads)

    def _drop(self, position: int) -> bool:
        """Refuse the oldest note if no read that leads anywhere will take it."""
        notes = self._notes[position]
        if not notes or notes[0].leader == position:
            return False
        if not self.failed >> position & 1 and not self.failed >> notes[0].leader & 1:
            return False
        self.refused[position].append(notes.popleft().tag)
        return True

    def _complete(self, reads: deque[Release]) -> bool:
        """Let the oldest read of a group go, or refuse its notes, if all of them are there."""
        if not reads:
            return False
        read = reads[0]
        named = [at for at in range(self.n_positions) if read.mask >> at & 1]
        members = [at for at in named if not self.failed >> at & 1]
        if self.failed >> named[0] & 1:
            members = named[:1]
        if not all(self._notes[at] for at in members):
            return False
        reads.popleft()
        taken = {at: self._notes[at].popleft() for at in members}
        wanted = (line_hash(read.address), read.tag)
        if all((note.hashed, note.tag) == wanted for note in taken.values()) and not (
            self.failed & read.mask
        ):
            self.released[read.group].append(read)
        else:
            for at, note in taken.items():
                self.refused[at].append(note.tag)
        return True
