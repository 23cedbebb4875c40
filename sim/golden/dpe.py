# SPDX-License-Identifier: Apache-2.0
"""The dot-product engine, command by command: what rows it sends, what it asks of its buffers."""

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import LEVELS
from hw.arch.formats import Format
from sim.golden.address import Address, Buffer, Nest, Step, walk
from sim.golden.dot import gemm_golden
from sim.golden.fp import storage

__all__ = ["DpeModel", "MmlResult", "Row"]


@dataclass(frozen=True)
class Row:
    """One row of partial results."""

    bank: int
    row: int
    values: tuple[int, ...]
    """Bit patterns, one per column."""
    is_float: bool
    overwrite: bool
    close: bool
    done: bool


@dataclass
class MmlResult:
    """What one MML does."""

    rows: list[Row] = field(default_factory=list[Row])
    steps_a: list[Step] = field(default_factory=list[Step])
    steps_b: list[Step] = field(default_factory=list[Step])


@dataclass(frozen=True, kw_only=True)
class DpeModel:
    """An engine of `columns` held vectors of `k_bytes` bytes, and `banks` accumulator banks."""

    columns: int
    k_bytes: int
    banks: int

    def mml(
        self,
        fields: dict[str, int],
        memory: NDArray[np.uint8],
        buffers: dict[int, Buffer],
        feeds: dict[str, deque[bytes]] | None = None,
    ) -> MmlResult:
        """Run a decoded MML on local memory (`memory[word, byte]`); moves the buffers' pointers.

        Levels below `held_level` do not move the held block. Tails: docs/commands.md. An operand
        that comes from the layout unit takes its words from `feeds["a"]` or `["b"]`.
        """
        result = MmlResult()
        counts = tuple(fields[f"count{level}"] for level in range(LEVELS))
        nest_a = self._nest(fields, "a_", counts)
        held_level = fields["held_level"]
        held_counts = (
            self.columns,
            *(1 if level < held_level else counts[level] for level in range(1, LEVELS)),
        )
        nest_b = self._nest(fields, "b_", held_counts)
        result.steps_a = list(walk(nest_a, buffers[nest_a.cb], self.k_bytes))
        result.steps_b = list(walk(nest_b, buffers[nest_b.cb], self.k_bytes))
        words, addresses = {}, {}
        for name, steps in (("a", result.steps_a), ("b", result.steps_b)):
            words[name], addresses[name] = memory, _flat(steps)
            if fields[f"{name}_from_mlu"]:
                words[name], addresses[name] = _fed(addresses[name], (feeds or {})[name])
        blocks = self._blocks(fields, counts, words["b"], addresses["b"])
        for visit in _visits(addresses["a"]):
            held = blocks[visit[0].index[held_level:]]
            result.rows += self._visit(fields, counts, words["a"], visit, held)
        return result

    def _nest(self, fields: dict[str, int], prefix: str, counts: tuple[int, ...]) -> Nest:
        """One operand's nest; only A has a shorter last tile of rows."""
        is_a = prefix == "a_"
        return Nest(
            counts=counts,
            strides=tuple(fields[f"{prefix}stride{level}"] for level in range(LEVELS)),
            offset=fields[f"{prefix}offset"],
            cb=fields[f"{prefix}cb"],
            step_level=fields[f"{prefix}step_level"],
            adv_level=fields[f"{prefix}adv_level"],
            need=fields[f"{prefix}need"],
            adv=fields[f"{prefix}adv"],
            tail_level=fields["m_level"] if is_a else 0,
            tail_count=fields["m_tail"] if is_a else 0,
        )

    def _blocks(
        self,
        fields: dict[str, int],
        counts: tuple[int, ...],
        memory: NDArray[np.uint8],
        addresses: list[Address],
    ) -> dict[tuple[int, ...], NDArray]:
        """Held blocks [K, columns] by the iteration of the levels that hold them."""
        blocks: dict[tuple[int, ...], NDArray] = {}
        fmt = Format(fields["b_format"])
        per_word = self.k_bytes // fmt.n_bytes
        for low in range(0, len(addresses), self.columns):
            beats = addresses[low : low + self.columns]
            index = (0, *beats[0].index[1:])
            words = memory[[beat.address for beat in beats]]
            if fields["by_row"]:
                held = _elements(words, fmt).T.copy()
            else:
                groups = _elements(words, fmt).reshape(-1, per_word, per_word)
                held = np.concatenate(list(groups), axis=1)
            held[self._k_limit(fields, counts, index) // fmt.n_bytes :] = 0
            if fields["n_tail"] and _is_last(index, counts, fields["n_level"]):
                held[:, fields["n_tail"] :] = 0
            blocks[index[fields["held_level"] :]] = held
        return blocks

    def _k_limit(
        self, fields: dict[str, int], counts: tuple[int, ...], index: tuple[int, ...]
    ) -> int:
        """Bytes of K that count; half a 16-bit element does not, and none left means all."""
        level = fields["k_level"]
        if not fields["k_tail"] or (level and not _is_last(index, counts, level)):
            return self.k_bytes
        size = Format(fields["a_format"]).n_bytes
        return fields["k_tail"] // size * size or self.k_bytes

    def _visit(
        self,
        fields: dict[str, int],
        counts: tuple[int, ...],
        memory: NDArray[np.uint8],
        visit: list[Address],
        held: NDArray,
    ) -> list[Row]:
        """The rows of one visit."""
        index = (0, *visit[0].index[1:])
        level = fields["k_level"]
        first = not level or index[level] == 0
        last = not level or _is_last(index, counts, level)
        bank = fields["bank"] + sum(index[i] * fields[f"bank_stride{i}"] for i in range(1, LEVELS))
        fmt = Format(fields["a_format"])
        words = memory[[address.address for address in visit]].copy()
        words[:, self._k_limit(fields, counts, index) :] = 0
        values = gemm_golden(
            storage(_elements(words, fmt), fmt),
            storage(held, Format(fields["b_format"])),
            fmt_a=fmt,
            fmt_b=Format(fields["b_format"]),
            chunk=self.k_bytes // 2,
        ).view(np.uint32)
        return [
            Row(
                bank=bank % self.banks,
                row=number,
                values=tuple(row.tolist()),
                is_float=fmt.is_float,
                overwrite=bool(fields["init"] and first),
                close=last and number == len(visit) - 1,
                done=bool(fields["done"]),
            )
            for number, row in enumerate(values)
        ]


def _elements(words: NDArray[np.uint8], fmt: Format) -> NDArray:
    """Words as elements: bit patterns of 16-bit formats, values of integers."""
    kind = np.uint16 if fmt.n_bytes == 2 else np.int8 if fmt is Format.INT8 else np.uint8
    return np.ascontiguousarray(words).view(kind)


def _flat(steps: list[Step]) -> list[Address]:
    return [address for step in steps for address in step.addresses]


def _fed(addresses: list[Address], feed: deque[bytes]) -> tuple[NDArray[np.uint8], list[Address]]:
    """The next words of the layout unit, and where each address finds its own."""
    words = np.frombuffer(b"".join(feed.popleft() for _ in addresses), np.uint8)
    places = [replace(address, address=number) for number, address in enumerate(addresses)]
    return words.reshape(len(addresses), -1), places


def _visits(addresses: list[Address]) -> list[list[Address]]:
    """Rows of A, visit by visit."""
    visits: list[list[Address]] = []
    for address in addresses:
        if address.index[0] == 0:
            visits.append([])
        visits[-1].append(address)
    return visits


def _is_last(index: tuple[int, ...], counts: tuple[int, ...], level: int) -> bool:
    return index[level] == counts[level] - 1
