# SPDX-License-Identifier: Apache-2.0
"""What the parts of a memory-side cache must agree on: sizes, and the layouts between them."""

import dataclasses

from amaranth.hdl import Cat, Value
from amaranth.lib import data, enum

from hw.arch.cache import MAX_CACHE_WAYS
from hw.iface.memory import MemoryReadPort, MemoryWritePort

__all__ = ["CacheShape", "Kind"]


class Kind(enum.Enum, shape=3):
    """What is asked of the tags."""

    READ = 0
    WRITE = 1
    PREFETCH = 2
    FLUSH = 3
    INVALIDATE = 4
    DROP = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class CacheShape:
    """Sizes of one cache.

    A slice consists of `n_ways` ways of `n_sets` lines each. Way w of the cache is the slice's way
    `n_ways - 1 - w`, so the cache takes the upper ways and the scratchpad keeps the lower ones. A
    line of the memory behind lies in the set that the low bits of its number say.

    Parameters
    ----------
    n_lines : lines of the memory behind, a power of two.
    slice_lines : lines of the slice, a power of two.
    n_ways : ways that the slice consists of, a power of two.
    link_bytes : bytes of a line.
    tag_width : bits of a request's tag.

    Raises: ValueError when a way has less than two lines, or for a number of ways out of range.
    """

    n_lines: int
    slice_lines: int
    n_ways: int
    link_bytes: int
    tag_width: int

    def __post_init__(self) -> None:
        ways = self.n_ways
        if not 2 <= ways <= MAX_CACHE_WAYS or ways & (ways - 1):
            raise ValueError(
                f"CacheShape n_ways must be a power of two, 2 to {MAX_CACHE_WAYS}, not {ways!r}."
            )
        if self.n_sets < 2:
            raise ValueError(
                f"CacheShape slice_lines must be at least {2 * ways}, two in each of {ways} ways,"
                f" not {self.slice_lines!r}."
            )

    @property
    def n_sets(self) -> int:
        """Lines of a way."""
        return self.slice_lines // self.n_ways

    @property
    def set_bits(self) -> int:
        """Bits of a set's number."""
        return self.n_sets.bit_length() - 1

    @property
    def way_bits(self) -> int:
        """Bits of a way's number."""
        return self.n_ways.bit_length() - 1

    @property
    def line_bits(self) -> int:
        """Bits of the number of a line of the memory behind."""
        return max(self.n_lines.bit_length() - 1, self.set_bits + 1)

    @property
    def line_log2(self) -> int:
        """Bits of an address within a line."""
        return self.link_bytes.bit_length() - 1

    @property
    def entry(self) -> data.StructLayout:
        """What the tags hold of a line. `valid` has a bit for each byte that is there. A line that
        is `pending` waits for DRAM; nobody else touches it."""
        return data.StructLayout(
            {
                "valid": self.link_bytes,
                "tag": self.line_bits - self.set_bits,
                "present": 1,
                "pending": 1,
                "dirty": 1,
            }
        )

    @property
    def request(self) -> data.StructLayout:
        """What passes the tags."""
        return data.StructLayout(
            {
                "data": 8 * self.link_bytes,
                "strobe": self.link_bytes,
                "line": self.line_bits,
                "tag": self.tag_width,
                "kind": Kind,
            }
        )

    @property
    def update(self) -> data.StructLayout:
        """A change of the tags."""
        return data.StructLayout({"entry": self.entry, "set": self.set_bits, "way": self.n_ways})

    def read_port(self, tag_width: int) -> MemoryReadPort:
        """A port that reads lines."""
        return MemoryReadPort(link_bytes=self.link_bytes, tag_width=tag_width)

    def write_port(self, tag_width: int) -> MemoryWritePort:
        """A port that writes lines."""
        return MemoryWritePort(link_bytes=self.link_bytes, tag_width=tag_width)

    def set_of(self, line: Value) -> Value:
        """Set of a line."""
        return line[: self.set_bits]

    def tag_of(self, line: Value) -> Value:
        """What the tags must hold for it."""
        return line[self.set_bits :]

    def slice_address(self, set_number: Value, way: Value) -> Value:
        """Address in the slice of what way number `way` has in a set."""
        return Cat(set_number, ~way) << self.line_log2
