# SPDX-License-Identifier: Apache-2.0
"""Golden model of the memory-side cache while no line has to make room for another.

Then what software sees after each command is certain, and so are all counts. With evictions it may
only see less of what it dropped: whatever was written back before stays in DRAM.
"""

from dataclasses import dataclass, field

__all__ = ["CachedLine", "CacheModel"]


@dataclass
class CachedLine:
    """A line in the cache: its bytes, which of them are there, and whether DRAM has others."""

    data: bytearray
    valid: int = 0
    dirty: bool = False


@dataclass(kw_only=True)
class CacheModel:
    """A cache in front of `memory`.

    Parameters
    ----------
    memory : what DRAM holds.
    line_bytes : bytes of a line.
    """

    memory: bytearray
    line_bytes: int
    lines: dict[int, CachedLine] = field(default_factory=dict[int, CachedLine], init=False)
    hits: int = 0
    misses: int = 0
    writebacks: int = 0
    prefetches: int = 0

    def read(self, line: int) -> bytes:
        """What a read of a line answers."""
        there = self.lines.get(line)
        if there is not None and there.valid == self._full:
            self.hits += 1
        else:
            self.misses += 1
            there = self._fetch(line)
        return bytes(there.data)

    def write(self, line: int, data: bytes, strobe: int) -> None:
        """Write the bytes of `data` whose bit of `strobe` is set."""
        if line in self.lines:
            self.hits += 1
        else:
            self.misses += 1
            self.lines[line] = CachedLine(bytearray(self.line_bytes))
        there = self.lines[line]
        for at in range(self.line_bytes):
            if strobe >> at & 1:
                there.data[at] = data[at]
        there.valid |= strobe
        there.dirty = True

    def flush(self, first: int, last: int) -> None:
        """Write changed lines from `first` to `last` back; they stay."""
        for line in self._inside(first, last):
            there = self.lines[line]
            if there.dirty:
                self.writebacks += 1
                there.dirty = False
                for at in range(self.line_bytes):
                    if there.valid >> at & 1:
                        self.memory[line * self.line_bytes + at] = there.data[at]

    def invalidate(self, first: int, last: int) -> None:
        """Write changed lines back; none stays."""
        self.flush(first, last)
        self.drop(first, last)

    def drop(self, first: int, last: int) -> None:
        """No line stays, changed or not."""
        for line in self._inside(first, last):
            del self.lines[line]

    def prefetch(self, first: int, last: int) -> None:
        """Fetch what is not there."""
        for line in range(first, last + 1):
            there = self.lines.get(line)
            if there is None or there.valid != self._full:
                self.prefetches += 1
                self._fetch(line)

    @property
    def _full(self) -> int:
        return (1 << self.line_bytes) - 1

    def _inside(self, first: int, last: int) -> list[int]:
        return [line for line in self.lines if first <= line <= last]

    def _fetch(self, line: int) -> CachedLine:
        """Bytes that are not there come from DRAM."""
        there = self.lines.setdefault(line, CachedLine(bytearray(self.line_bytes)))
        for at in range(self.line_bytes):
            if not there.valid >> at & 1:
                there.data[at] = self.memory[line * self.line_bytes + at]
        there.valid = self._full
        return there
