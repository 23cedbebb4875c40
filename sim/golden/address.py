# SPDX-License-Identifier: Apache-2.0
"""Loop nests over circular buffers in plain Python: the steps of a command and their addresses."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from hw.arch.commands import LEVELS, NEVER

__all__ = ["CB_UNIT_BYTES", "Address", "Buffer", "Nest", "Step", "walk"]

CB_UNIT_BYTES = 64
_NOT_GRANTABLE = 0xFFFF


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
    index: tuple[int, ...]


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
    units = CB_UNIT_BYTES // unit_bytes
    level = min(nest.step_level, LEVELS)
    outer = [range(count) for count in nest.counts[level:]]
    # product() counts its last argument fastest, and level 0 is the innermost.
    for high in itertools.product(*reversed(outer)):
        high = high[::-1]
        index = (0,) * level + high
        if any(i >= count for i, count in zip(index, _counts_at(nest, index), strict=True)):
            continue
        start = nest.offset + _dot(high, nest.strides[level:])
        ends = _ends(index, _counts_at(nest, index))
        advances = nest.adv_level != NEVER and all(ends[level : min(nest.adv_level, LEVELS)])
        need, adv = nest.need, nest.adv
        if nest.tail_adv and _in_tail(nest, index):
            need = adv = nest.tail_adv
        advance = adv if advances else 0
        extent = -(-start // units) + need
        if start < 0 or extent > _NOT_GRANTABLE:
            extent = _NOT_GRANTABLE
        yield Step(extent, advance, tuple(_inside(nest, buffer, units, level, high)))
        buffer.pointer = (buffer.pointer + advance) % buffer.depth


def _inside(
    nest: Nest, buffer: Buffer, units: int, level: int, high: tuple[int, ...]
) -> Iterator[Address]:
    """The addresses of one step."""
    for low in itertools.product(*(range(count) for count in reversed(nest.counts[:level]))):
        index = low[::-1] + high
        counts = _counts_at(nest, index)
        if index[0] >= counts[0] or index[1] >= counts[1]:
            continue
        place = (buffer.pointer * units + nest.offset + _dot(index, nest.strides)) % (
            buffer.depth * units
        )
        last = sum(end << at for at, end in enumerate(_ends(index, counts)))
        yield Address(buffer.base * units + place, last, index)


def _counts_at(nest: Nest, index: tuple[int, ...]) -> tuple[int, ...]:
    """The counts that hold at `index`: fewer of `tail_inner` in the tail level's last iteration."""
    if not (nest.tail_count and nest.tail_level > nest.tail_inner and _in_tail(nest, index)):
        return nest.counts
    counts = list(nest.counts)
    counts[nest.tail_inner] = nest.tail_count
    return tuple(counts)


def _in_tail(nest: Nest, index: tuple[int, ...]) -> bool:
    """Whether the tail level (1 or higher) is at its last iteration."""
    level = nest.tail_level
    return 1 <= level < LEVELS and index[level] == nest.counts[level] - 1


def _dot(index: tuple[int, ...], strides: tuple[int, ...]) -> int:
    return sum(i * stride for i, stride in zip(index, strides, strict=True))


def _ends(index: tuple[int, ...], counts: tuple[int, ...]) -> tuple[bool, ...]:
    return tuple(i == count - 1 for i, count in zip(index, counts, strict=True))
