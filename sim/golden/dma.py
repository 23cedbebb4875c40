# SPDX-License-Identifier: Apache-2.0
"""DMA commands, byte by byte: which byte of memory belongs to which byte of local memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hw.arch.commands import LEVELS
from sim.golden.address import CB_UNIT_BYTES, Buffer, Nest, walk

__all__ = ["Dma", "Move", "Run", "moves", "runs", "runs_at"]


@dataclass(frozen=True, kw_only=True)
class Dma:
    """A DMA command; `nest` holds the local-memory side, its level 0 the run."""

    nest: Nest
    mem_addr: int
    mem_strides: tuple[int, ...] = (0, 0, 0, 0)
    """Bytes per iteration of levels 1 to 4."""
    zero_fill: bool = False


@dataclass(frozen=True)
class Move:
    """One byte; `memory` is None where local memory is cleared."""

    memory: int | None
    local: int


@dataclass(frozen=True)
class Run:
    """The moves of one run, and whether it ends a step with which advance."""

    moves: tuple[Move, ...]
    step_end: bool
    advance: int


def runs(dma: Dma, buffer: Buffer, word_bytes: int) -> Iterator[Run]:
    """Yield the runs of a command in order, moving `buffer.pointer` as steps are granted.

    Parameters
    ----------
    dma
        What to move.
    buffer
        The circular buffer that the local-memory side lies in.
    word_bytes
        Bytes of a local-memory word.
    """

    def address(number: int, index: tuple[int, ...]) -> int:
        strides = zip(index[1:], dma.mem_strides, strict=True)
        return dma.mem_addr + sum(count * stride for count, stride in strides)

    yield from runs_at(dma.nest, address, buffer, word_bytes, zero_fill=dma.zero_fill)


def runs_at(
    nest: Nest,
    address: Callable[[int, tuple[int, ...]], int],
    buffer: Buffer,
    word_bytes: int,
    *,
    zero_fill: bool,
) -> Iterator[Run]:
    """Yield the runs of a nest; `address` gives each one's place in memory.

    Parameters
    ----------
    nest, buffer, word_bytes
        As for `runs`.
    address
        Called in order with the number of the run and its loop index.
    zero_fill
        Whether the rest of a run's last word is cleared.
    """
    starts = replace(
        nest,
        counts=(1, *nest.counts[1:]),
        strides=(0, *nest.strides[1:]),
        step_level=max(nest.step_level, 1),
        adv_level=max(nest.adv_level, 1),
        tail_count=nest.tail_count if nest.tail_inner else 0,
        tail_adv=nest.tail_adv if nest.tail_count else 0,
    )
    n_runs = 0
    for step in walk(starts, buffer, 1):
        for number, start in enumerate(step.addresses):
            memory = address(n_runs, start.index)
            length = nest.counts[0]
            tail = nest.tail_level
            if nest.tail_count and not nest.tail_inner and 1 <= tail < LEVELS:
                if start.index[tail] == nest.counts[tail] - 1:
                    length = nest.tail_count
            moved = _run(nest, buffer, word_bytes, start.address, memory, length, zero_fill)
            yield Run(tuple(moved), number == len(step.addresses) - 1, step.advance)
            n_runs += 1


def moves(dma: Dma, buffer: Buffer, word_bytes: int) -> list[Move]:
    """Every byte of a command."""
    return [move for run in runs(dma, buffer, word_bytes) for move in run.moves]


def _run(
    nest: Nest,
    buffer: Buffer,
    word_bytes: int,
    local: int,
    memory: int,
    length: int,
    zero_fill: bool,
) -> Iterator[Move]:
    """The bytes of one run, then the cleared ones."""
    base, size = buffer.base * CB_UNIT_BYTES, buffer.depth * CB_UNIT_BYTES
    lane = local % word_bytes
    first_word = local - base - lane
    n_cleared = -(lane + length) % word_bytes if zero_fill else 0
    for number in range(length + n_cleared):
        word, byte = divmod(lane + number, word_bytes)
        place = base + (first_word + word * nest.strides[0]) % size + byte
        yield Move((memory + number) % (1 << 40) if number < length else None, place)
