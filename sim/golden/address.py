# SPDX-License-Identifier: Apache-2.0
"""Loop nests over circular buffers in plain Python: the steps of a command and their addresses."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hw.arch.commands import LEVELS, NEVER

__all__ = ["CB_UNIT_BYTES", "Address", "Buffer", "Index", "Nest", "Step", "walk"]

CB_UNIT_BYTES = 64
_NOT_GRANTABLE = 0xFFFF

Index = tuple[int, ...]
"""Iteration of every level, level 0 first."""


@dataclass(frozen=True, kw_only=True)
class Nest:
    """Loop counts and one operand of a command, named as in the command."""

    counts: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    cb: int = 0
    step_level: int = 0
    adv_level: int = NEVER
    need: int = 0
    adv: int = 0
    tail_level: int = 0
    tail_inner: int = 0
    tail_count: int = 0
    tail_adv: int = 0

    @classmethod
    def of(
        cls,
        fields: Mapping[str, int],
        prefix: str = "",
        *,
        unit_bytes: int = 1,
        tail: tuple[int, int, int] = (0, 0, 0),
        tail_adv: int = 0,
    ) -> "Nest":
        """One operand of a decoded command, in bytes; `tail` is level, inner level and count."""
        return cls(
            counts=tuple(fields[f"count{level}"] for level in range(LEVELS)),
            strides=tuple(
                fields.get(f"{prefix}stride{level}", 0) * unit_bytes for level in range(LEVELS)
            ),
            offset=fields[f"{prefix}offset"] * unit_bytes,
            cb=fields[f"{prefix}cb"],
            step_level=fields[f"{prefix}step_level"],
            adv_level=fields[f"{prefix}adv_level"],
            need=fields[f"{prefix}need"],
            adv=fields[f"{prefix}adv"],
            tail_level=tail[0],
            tail_inner=tail[1],
            tail_count=tail[2],
            tail_adv=tail_adv if tail[2] else 0,
        )

    def in_tail(self, index: Index) -> bool:
        """Whether the tail level (1 or higher) is at its last iteration."""
        level = self.tail_level
        return 1 <= level < LEVELS and index[level] == self.counts[level] - 1

    def counts_at(self, index: Index) -> tuple[int, ...]:
        """The counts at `index`: fewer of `tail_inner` in the tail level's last iteration."""
        if not (self.tail_count and self.tail_level > self.tail_inner and self.in_tail(index)):
            return self.counts
        counts = list(self.counts)
        counts[self.tail_inner] = self.tail_count
        return tuple(counts)

    def indices(self, lowest: int) -> Iterator[Index]:
        """Iterations of levels `lowest` and up, in order; the levels below are given as 0."""
        ranges = [range(count) for count in reversed(self.counts[lowest:])]
        # product() counts its last argument fastest, and level 0 is the innermost.
        for high in itertools.product(*ranges):
            index = (0,) * lowest + high[::-1]
            counts = self.counts_at(index)
            if index[0] < counts[0] and index[1] < counts[1]:
                yield index

    def relative(self, index: Index, lowest: int = 0) -> int:
        """Offset from the granted pointer at `index`, counting levels from `lowest` up."""
        return self.offset + sum(index[i] * self.strides[i] for i in range(lowest, LEVELS))

    def demand(self, index: Index, unit_bytes: int = 1) -> tuple[int, int]:
        """Extent and advance of the step that begins at `index`, in units of the buffer."""
        need, adv = self.need, self.adv
        if self.tail_adv and self.in_tail(index):
            need = adv = self.tail_adv
        start = self.relative(index, self.step_level)
        extent = -(-start * unit_bytes // CB_UNIT_BYTES) + need
        if start < 0 or extent > _NOT_GRANTABLE:
            extent = _NOT_GRANTABLE
        return extent, adv if self._ends_group(index) else 0

    def _ends_group(self, index: Index) -> bool:
        if self.adv_level == NEVER:
            return False
        ends = _ends(index, self.counts_at(index))
        return all(ends[self.step_level : min(self.adv_level, LEVELS)])


@dataclass(kw_only=True)
class Buffer:
    """Where a circular buffer lies, and one of its grant pointers; 64-byte units."""

    base: int
    depth: int
    pointer: int = 0


@dataclass(frozen=True)
class Address:
    """One address: its place in local memory (operand units), and the levels that end with it."""

    address: int
    last: int
    index: Index


@dataclass(frozen=True)
class Step:
    """One step: what it asks of the buffer, and its addresses."""

    extent: int
    advance: int
    addresses: tuple[Address, ...]


def walk(nest: Nest, buffer: Buffer, unit_bytes: int) -> Iterator[Step]:
    """Yield the steps of `nest` in order, moving `buffer.pointer` as each is granted.

    Parameters
    ----------
    nest
        What to walk.
    buffer
        The circular buffer; a step is granted when the caller asks for the next one.
    unit_bytes
        Bytes of one unit of offset and strides.
    """
    for index in nest.indices(min(nest.step_level, LEVELS)):
        extent, advance = nest.demand(index, unit_bytes)
        yield Step(extent, advance, tuple(_inside(nest, buffer, unit_bytes, index)))
        buffer.pointer = (buffer.pointer + advance) % buffer.depth


def _inside(nest: Nest, buffer: Buffer, unit_bytes: int, start: Index) -> Iterator[Address]:
    """The addresses of one step."""
    units, level = CB_UNIT_BYTES // unit_bytes, min(nest.step_level, LEVELS)
    for low in itertools.product(*(range(count) for count in reversed(nest.counts[:level]))):
        index = low[::-1] + start[level:]
        counts = nest.counts_at(index)
        if index[0] >= counts[0] or index[1] >= counts[1]:
            continue
        place = (buffer.pointer * units + nest.relative(index)) % (buffer.depth * units)
        last = sum(end << at for at, end in enumerate(_ends(index, counts)))
        yield Address(buffer.base * units + place, last, index)


def _ends(index: Index, counts: tuple[int, ...]) -> tuple[bool, ...]:
    return tuple(i == count - 1 for i, count in zip(index, counts, strict=True))
