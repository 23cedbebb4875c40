# SPDX-License-Identifier: Apache-2.0
"""Models of the memory network where it is more than a queue: who collects a multicast read."""

from collections import deque
from dataclasses import dataclass, field

from hw.arch.address_map import ADDRESS_BITS

__all__ = ["HASH_BITS", "CollectorModel", "Release", "line_hash"]

HASH_BITS = 8
"""Bits by which a member tells which line it means."""


def line_hash(address: int, tag: int) -> int:
    """The exclusive or of the bytes of a number with the tag above the address."""
    number, folded = tag << ADDRESS_BITS | address, 0
    while number:
        folded ^= number & (1 << HASH_BITS) - 1
        number >>= HASH_BITS
    return folded


@dataclass(frozen=True)
class Release:
    """A read that left the collector."""

    group: int
    address: int
    tag: int
    mask: int
    mismatch: bool


@dataclass
class CollectorModel:
    """Which reads go, and how, whatever the order in which reads and notes arrive.

    `read`, `note` and `clear` return the reads that go because of them, group after group.
    """

    n_positions: int
    n_groups: int
    reads: list[deque[Release]] = field(init=False)
    notes: list[deque[int]] = field(init=False)
    cleared: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.reads = [deque() for _ in range(self.n_groups)]
        self.notes = [deque() for _ in range(self.n_positions)]

    def read(self, group: int, address: int, tag: int, mask: int) -> list[Release]:
        """A group's leader asks."""
        self.reads[group].append(Release(group, address, tag, mask, False))
        return self._released()

    def note(self, position: int, hashed: int) -> list[Release]:
        """A member has reserved room for its next line."""
        if not self.cleared >> position & 1:
            self.notes[position].append(hashed)
        return self._released()

    def clear(self, positions: int) -> list[Release]:
        """From now on these positions, one bit each, and no others, are being reset."""
        self.cleared = positions
        for position in range(self.n_positions):
            if positions >> position & 1:
                self.notes[position].clear()
        return self._released()

    def _released(self) -> list[Release]:
        gone = []
        for queue in self.reads:
            while queue and (release := self._complete(queue[0])):
                gone.append(release)
                queue.popleft()
        return gone

    def _complete(self, read: Release) -> Release | None:
        """The read as it goes, with its notes taken, or nothing while one is missing."""
        named = [at for at in range(self.n_positions) if read.mask >> at & 1]
        members = [at for at in named if not self.cleared >> at & 1]
        if not all(self.notes[at] for at in members):
            return None
        meant = [self.notes[at].popleft() for at in members]
        agreed = all(note == line_hash(read.address, read.tag) for note in meant)
        mask = sum(1 << at for at in members)
        return Release(read.group, read.address, read.tag, mask, not agreed or members != named)
