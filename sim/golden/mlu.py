# SPDX-License-Identifier: Apache-2.0
"""The memory layout unit: which bytes a LAYOUT command takes, and what it makes of them.

`LayoutCommand.runs` gives the runs of a command with offsets from the granted CB pointers, for a
simulator that keeps buffers itself; `layout` runs a whole command on local memory.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import LEVELS, NEVER, LayoutOp, LayoutTarget
from sim.golden.address import CB_UNIT_BYTES, Buffer, Nest, Step, walk

__all__ = ["LayoutCommand", "LayoutResult", "LayoutRun", "layout", "transposed"]

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class LayoutRun:
    """One run (COPY, FILL), block (TRANSPOSE) or source word (DIAGONAL)."""

    command: "LayoutCommand"
    index: tuple[int, ...]
    """Iteration of every level; level 0 is 0."""
    length: int
    """Bytes of a run, rows of a block, elements of a source word."""
    n_out: int
    """Words of a block or source word; 0 for COPY and FILL."""
    source: Offsets
    """Bytes to read, from the granted pointer of the source."""
    target: Offsets
    """Where the bytes of `result` go, from the granted pointer of the destination."""

    def result(self, data: Bytes) -> Bytes:
        """What is written (or sent), from the bytes at `source`."""
        command = self.command
        if command.operation is LayoutOp.COPY:
            return data
        if command.operation is LayoutOp.FILL:
            return np.full(self.length, command.value, np.uint8)
        if command.operation is LayoutOp.TRANSPOSE:
            rows = np.zeros((self.length, command.word_bytes), np.uint8)
            rows[:, : len(data) // self.length] = data.reshape(self.length, -1)
            return transposed(rows, command.bits)[: self.n_out].reshape(-1)
        return self._diagonal(data)

    def words(self, data: Bytes) -> Bytes:
        """The words for the dot-product engine, one row each; a run's last one ends in zeros."""
        result = self.result(data)
        size = self.command.word_bytes
        out = np.zeros(-(-result.size // size) * size, np.uint8)
        out[: result.size] = result
        return out.reshape(-1, size)

    def _diagonal(self, data: Bytes) -> Bytes:
        command = self.command
        elements = np.zeros(command.elements, np.uint32)
        given = _elements(data.reshape(1, -1), command.bits)[0][: self.length]
        elements[: self.length] = given
        out = np.zeros((self.n_out, command.elements), np.uint32)
        first = self.index[1] * command.elements
        for row in range(first, min(first + self.length, self.n_out)):
            out[row, row - first] = elements[row - first]
        return _words(out, command.bits).reshape(-1)


@dataclass(frozen=True)
class LayoutCommand:
    """A decoded LAYOUT command for words of `word_bytes` bytes."""

    fields: dict[str, int]
    word_bytes: int

    @property
    def operation(self) -> LayoutOp:
        """What to do."""
        return LayoutOp(self.fields["operation"])

    @property
    def value(self) -> int:
        """Byte of FILL."""
        return self.fields["value"]

    @property
    def bits(self) -> int:
        """Bits of an element."""
        return 4 << self.fields["element"]

    @property
    def elements(self) -> int:
        """Elements of a word."""
        return 8 * self.word_bytes // self.bits

    @property
    def reads(self) -> bool:
        """Whether the source operand is used."""
        return self.operation is not LayoutOp.FILL

    @property
    def writes(self) -> bool:
        """Whether the destination operand is used; else words go to the dot-product engine."""
        return self.fields["target"] == LayoutTarget.LS

    def illegal(self) -> str | None:
        """The first field (by offset) with which the unit traps ILLEGAL_FIELD, or None."""
        fields, by_element = self.fields, self.operation in (LayoutOp.TRANSPOSE, LayoutOp.DIAGONAL)
        if by_element and fields["count0"] > self.elements:
            return "count0"
        if fields["target"] > LayoutTarget.DPE_B or not (self.reads or self.writes):
            return "target"
        if self.operation is LayoutOp.TRANSPOSE and fields["out_count"] > self.elements:
            return "out_count"
        if by_element and not fields["tail_inner"] and fields["tail_count"] > self.elements:
            return "tail_count"
        return None

    def nest(self, prefix: str) -> Nest:
        """Runs of one operand (`"src_"` or `""`) as the address generator walks them."""
        fields = self.fields
        return Nest(
            counts=(1, *(fields[f"count{level}"] for level in range(1, LEVELS))),
            strides=(0, *(fields[f"{prefix}stride{level}"] for level in range(1, LEVELS))),
            offset=fields[f"{prefix}offset"],
            cb=fields[f"{prefix}cb"],
            step_level=max(fields[f"{prefix}step_level"], 1),
            adv_level=max(fields[f"{prefix}adv_level"], 1),
            need=fields[f"{prefix}need"],
            adv=fields[f"{prefix}adv"],
            tail_level=fields["tail_level"],
            tail_inner=1,
            tail_count=fields["tail_count"] if fields["tail_inner"] else 0,
        )

    def runs(self) -> Iterator[LayoutRun]:
        """The runs in order."""
        counts = [self.fields[f"count{level}"] for level in range(LEVELS)]
        for high in itertools.product(*(range(count) for count in reversed(counts[1:]))):
            index = (0, *reversed(high))
            n_inner = counts[1]
            if self.fields["tail_inner"] and self._in_tail(index, counts, 2):
                n_inner = self.fields["tail_count"]
            if index[1] < n_inner:
                yield self._run(index, [counts[0], n_inner, *counts[2:]])

    def _in_tail(self, index: tuple[int, ...], counts: list[int], lowest: int) -> bool:
        level = self.fields["tail_level"]
        if not self.fields["tail_count"] or not lowest <= level < LEVELS:
            return False
        return index[level] == counts[level] - 1

    def _run(self, index: tuple[int, ...], counts: list[int]) -> LayoutRun:
        fields, length = self.fields, counts[0]
        if not fields["tail_inner"] and self._in_tail(index, counts, 1):
            length = fields["tail_count"]
        if self.operation in (LayoutOp.COPY, LayoutOp.FILL):
            position = np.arange(length)
            source = self._pieces("src_", index, position) if self.reads else position[:0]
            target = self._pieces("", index, position)
            return LayoutRun(self, index, length, 0, source, target)
        level, n_out = fields["out_level"], self.elements
        narrow = level == NEVER or (1 <= level < LEVELS and index[level] == counts[level] - 1)
        if narrow and fields["out_count"]:
            n_out = fields["out_count"]
        is_transpose = self.operation is LayoutOp.TRANSPOSE
        n_rows, n_used = (length, n_out) if is_transpose else (1, length)
        source = self._words("src_", index, n_rows, -(-n_used * self.bits // 8))
        return LayoutRun(
            self, index, length, n_out, source, self._words("", index, n_out, self.word_bytes)
        )

    def _start(self, prefix: str, index: tuple[int, ...]) -> int:
        strides = (self.fields[f"{prefix}stride{level}"] for level in range(1, LEVELS))
        moved = sum(i * stride for i, stride in zip(index[1:], strides, strict=True))
        return self.fields[f"{prefix}offset"] + moved

    def _word_stride(self, prefix: str) -> int:
        return self.fields[f"{prefix}stride0"] // self.word_bytes * self.word_bytes

    def _pieces(self, prefix: str, index: tuple[int, ...], position: Offsets) -> Offsets:
        """The bytes of a run, in pieces of a word."""
        start, size = self._start(prefix, index), self.word_bytes
        word, lane = np.divmod(start % size + position, size)
        return start - start % size + word * self._word_stride(prefix) + lane

    def _words(self, prefix: str, index: tuple[int, ...], n_words: int, n_bytes: int) -> Offsets:
        """The first bytes of words."""
        start = self._start(prefix, index) // self.word_bytes * self.word_bytes
        words = start + np.arange(n_words) * self._word_stride(prefix)
        return (words[:, None] + np.arange(n_bytes)).reshape(-1)


@dataclass
class LayoutResult:
    """What one command does beside changing local memory."""

    words: list[bytes] = field(default_factory=list[bytes])
    """For the dot-product engine."""
    source_steps: list[Step] = field(default_factory=list[Step])
    target_steps: list[Step] = field(default_factory=list[Step])


def layout(
    fields: dict[str, int], local: Bytes, buffers: dict[int, Buffer], word_bytes: int
) -> LayoutResult:
    """Run a decoded LAYOUT on the bytes of local memory; moves the buffers' pointers."""
    command, result = LayoutCommand(fields, word_bytes), LayoutResult()
    runs = list(command.runs())
    source = [np.zeros(0, np.int64)] * len(runs)
    target = source
    if command.reads:
        source = _places(command, "src_", runs, buffers, result.source_steps)
    if command.writes:
        target = _places(command, "", runs, buffers, result.target_steps)
    for run, at, to in zip(runs, source, target, strict=True):
        if command.writes:
            local[to] = run.result(local[at])
        else:
            result.words += [word.tobytes() for word in run.words(local[at])]
    return result


def transposed(words: Bytes, bits: int) -> Bytes:
    """Words whose elements are the columns of `words` (at most as many as a word has elements)."""
    elements = 8 * words.shape[1] // bits
    block = np.zeros((elements, elements), np.uint32)
    block[: len(words)] = _elements(words, bits)
    return _words(block.T, bits)


def _places(
    command: LayoutCommand,
    prefix: str,
    runs: list[LayoutRun],
    buffers: dict[int, Buffer],
    steps: list[Step],
) -> list[Offsets]:
    """Addresses of every run's bytes."""
    nest = command.nest(prefix)
    buffer = buffers[nest.cb]
    base, size = buffer.base * CB_UNIT_BYTES, buffer.depth * CB_UNIT_BYTES
    places: list[Offsets] = []
    for step in walk(nest, buffer, 1):
        pointer = buffer.pointer * CB_UNIT_BYTES
        steps.append(step)
        for _ in step.addresses:
            run = runs[len(places)]
            offsets = run.source if prefix else run.target
            places.append(base + (pointer + offsets) % size)
    return places


def _elements(words: Bytes, bits: int) -> NDArray[np.uint32]:
    """Elements of each word, low bits first."""
    if bits == 4:
        return np.stack([words & 15, words >> 4], axis=2).reshape(len(words), -1).astype(np.uint32)
    n_bytes = bits // 8
    whole = np.zeros((len(words), -(-words.shape[1] // n_bytes) * n_bytes), np.uint8)
    whole[:, : words.shape[1]] = words
    return whole.view(f"<u{n_bytes}").astype(np.uint32)


def _words(elements: NDArray[np.uint32], bits: int) -> Bytes:
    """The reverse of `_elements`."""
    if bits == 4:
        pairs = elements.reshape(len(elements), -1, 2)
        return (pairs[:, :, 0] | pairs[:, :, 1] << 4).astype(np.uint8)
    return np.ascontiguousarray(elements.astype(f"<u{bits // 8}")).view(np.uint8)
