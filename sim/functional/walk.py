# SPDX-License-Identifier: Apache-2.0
"""Loop nests as the address generators walk them: indices, and the steps of one operand."""

import dataclasses
import itertools
from collections.abc import Iterator

from hw.arch.commands import LEVELS, NEVER
from sim.functional.buffers import UNIT_BYTES

__all__ = ["Nest", "OperandSteps"]


@dataclasses.dataclass(frozen=True)
class Nest:
    """Five counts, level 0 first, and a tail: fewer iterations of one level in the last of
    another."""

    counts: tuple[int, ...]
    tail_level: int = 0
    tail_inner: int = 0
    tail_count: int = 0

    @classmethod
    def of(cls, fields: dict[str, int], tail: tuple[str, str] | None = None) -> "Nest":
        """Nest of a decoded command; `tail` names the fields of level and count (DMA: by
        default)."""
        counts = tuple(fields[f"count{level}"] for level in range(LEVELS))
        if tail is not None:
            return cls(counts, fields[tail[0]], 0, fields[tail[1]])
        if "tail_level" in fields:
            return cls(counts, fields["tail_level"], fields["tail_inner"], fields["tail_count"])
        return cls(counts)

    def count(self, level: int, index: tuple[int, ...]) -> int:
        """Iterations of `level` when the levels are at `index` (level 0 first)."""
        if self.tail_count and level == self.tail_inner and self.in_tail(index):
            return self.tail_count
        return self.counts[level]

    def in_tail(self, index: tuple[int, ...]) -> bool:
        """Whether the tail level is at its last iteration."""
        return index[self.tail_level] == self.counts[self.tail_level] - 1

    def outer(self) -> Iterator[tuple[int, ...]]:
        """Indices of levels 1 and up, in order; level 0 is given as 0."""
        ranges = [range(count) for count in reversed(self.counts[1:])]
        for outer in itertools.product(*ranges):
            index = (0, *reversed(outer))
            if index[1] < self.count(1, index):
                yield index


@dataclasses.dataclass(frozen=True)
class OperandSteps:
    """One operand of a command: its strides in bytes and where its steps begin and end."""

    nest: Nest
    cb: int
    offset: int
    strides: tuple[int, ...]
    step_level: int
    adv_level: int
    need: int
    adv: int
    tail_adv: int = 0

    @classmethod
    def of(
        cls, fields: dict[str, int], nest: Nest, prefix: str = "", unit_bytes: int = 1
    ) -> "OperandSteps":
        """Operand of a decoded command."""
        return cls(
            nest=nest,
            cb=fields[f"{prefix}cb"],
            offset=fields[f"{prefix}offset"] * unit_bytes,
            strides=tuple(fields[f"{prefix}stride{level}"] * unit_bytes for level in range(LEVELS)),
            step_level=fields[f"{prefix}step_level"],
            adv_level=fields[f"{prefix}adv_level"],
            need=fields[f"{prefix}need"],
            adv=fields[f"{prefix}adv"],
            tail_adv=fields.get("tail_adv", 0),
        )

    def relative(self, index: tuple[int, ...], lowest: int = 0) -> int:
        """Byte offset from the granted pointer at `index`, counting levels from `lowest` up."""
        return self.offset + sum(
            index[level] * self.strides[level] for level in range(lowest, LEVELS)
        )

    def step_key(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Which step `index` belongs to."""
        return index[self.step_level :]

    def demand(self, index: tuple[int, ...]) -> tuple[int, int]:
        """Extent and advance of the step that `index` belongs to, in 64-byte units."""
        need, adv = self.need, self.adv
        if self.tail_adv and self.nest.tail_count and self.nest.in_tail(index):
            need = adv = self.tail_adv
        start = self.relative(index, self.step_level)
        extent = -(-start // UNIT_BYTES) + need
        return extent, adv if self._ends_group(index) else 0

    def _ends_group(self, index: tuple[int, ...]) -> bool:
        if self.adv_level == NEVER:
            return False
        return all(
            index[level] == self.nest.counts[level] - 1
            for level in range(self.step_level, self.adv_level)
        )
