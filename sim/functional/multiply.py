# SPDX-License-Identifier: Apache-2.0
"""MML on NumPy, as a coroutine; see `sim.functional.units`."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import LayoutTarget
from hw.arch.formats import Format
from sim.functional.faults import Issued
from sim.functional.operand import Operand, Receiving, Waiting
from sim.functional.state import BankState
from sim.functional.units import bank_of, check_rows, follow, tile_nest, until_bank
from sim.golden.address import Index
from sim.golden.dot import dot_chunk
from sim.golden.fp import decode_fp, fp32_add, storage

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["mml"]

_TYPES = {
    Format.INT8: np.int8,
    Format.UINT8: np.uint8,
    Format.FP16: np.uint16,
    Format.BF16: np.uint16,
}
Bytes = NDArray[np.uint8]


class _Multiplier:
    """One MML: the held block, and one visit at a time."""

    def __init__(self, machine: "FunctionalMachine", command: Issued) -> None:
        self.machine, self.fields = machine, command.fields
        fields, word = command.fields, machine.word
        self.a_format, self.b_format = Format(fields["a_format"]), Format(fields["b_format"])
        self.a = Operand(machine, command, tile_nest(fields, word, "a_"), producer=False)
        self.b = Operand(machine, command, tile_nest(fields, word, "b_"), producer=False)
        self.nest = self.a.nest
        self.elements = word // self.a_format.n_bytes
        self._held_key: Index | None = None
        self._held: NDArray = np.zeros(0)

    def _is_last(self, level: int, index: Index) -> bool:
        return index[level] == self.nest.counts[level] - 1

    def is_first_k(self, index: Index) -> bool:
        """Whether a bank's first visit is at `index`."""
        return not self.fields["k_level"] or not index[self.fields["k_level"]]

    def is_last_k(self, index: Index) -> bool:
        """Whether a bank's last visit is at `index`."""
        return not self.fields["k_level"] or self._is_last(self.fields["k_level"], index)

    def _depth(self, index: Index) -> int:
        """Elements of K that count; a tail of less than one element is none."""
        tail = self.fields["k_tail"] // self.a_format.n_bytes
        return tail if tail and self.is_last_k(index) else self.elements

    def _columns(self, index: Index) -> int:
        tail = self.fields["n_tail"]
        is_tail = tail and self._is_last(self.fields["n_level"], index)
        return tail if is_tail else self.machine.columns

    def _words(self, operand: Operand, starts: NDArray[np.int64], used: NDArray[np.bool_]) -> Bytes:
        """Words at offsets, one row each; bytes that are not `used` are not looked at, and zero."""
        words = np.zeros(used.shape, np.uint8)
        words[used] = operand.read((starts[:, None] + np.arange(used.shape[1]))[used])
        return words

    def hold(self, index: Index) -> Waiting:
        """Load the held block of `index` as B[k, column], zero beyond K and N."""
        level, b = self.fields["held_level"], self.b
        if index[level:] == self._held_key:
            return
        yield from b.enter(index)
        words = yield from self._held_words(index)
        self.machine.state.counters.held_blocks += 1
        self._held_key, self._held = index[level:], self._block(words)
        if self._held_step_ends(index):
            b.leave_before(None)

    def _held_words(self, index: Index) -> Receiving:
        machine, nest = self.machine, self.b.nest
        used = self._used(self._depth(index), self._columns(index))
        if self.fields["b_from_mlu"]:
            words = yield from machine.words[LayoutTarget.DPE_B].receive(machine.columns)
            return np.where(used, words, 0).astype(np.uint8)
        beats = np.arange(machine.columns) * nest.strides[0]
        return self._words(self.b, nest.relative(index, self.fields["held_level"]) + beats, used)

    def _held_step_ends(self, index: Index) -> bool:
        """Whether the block is the last of its step of B: then it is released once loaded."""
        levels = range(self.fields["held_level"], self.b.nest.step_level)
        return all(self._is_last(level, index) for level in levels if level < len(index))

    def _used(self, depth: int, columns: int) -> NDArray[np.bool_]:
        """Which bytes of the block's words lie inside K and N."""
        machine, size = self.machine, self.b_format.n_bytes
        k = np.arange(machine.word) // size
        beat = np.arange(machine.columns)[:, None]
        if self.fields["by_row"]:
            return (k < depth) & (beat < columns)
        group, own_k = beat // self.elements, beat % self.elements
        return (own_k < depth) & (group * self.elements + k < columns)

    def _block(self, words: Bytes) -> NDArray:
        block = np.ascontiguousarray(words).view(_TYPES[self.b_format])
        if not self.fields["by_row"]:
            groups = self.machine.columns // self.elements
            block = block.reshape(groups, self.elements, self.elements).transpose(0, 2, 1)
            block = block.reshape(self.machine.columns, self.elements)
        return block.T.copy()

    def stream(self, index: Index) -> Receiving:
        """Partial results of one visit as 32-bit patterns, one row per streamed row."""
        machine, nest = self.machine, self.nest
        n_rows = nest.counts_at(index)[0]
        n_bytes = self._depth(index) * self.a_format.n_bytes
        used = np.broadcast_to(np.arange(machine.word) < n_bytes, (n_rows, machine.word))
        if self.fields["a_from_mlu"]:
            words = yield from machine.words[LayoutTarget.DPE_A].receive(n_rows)
            words = np.where(used, words, 0).astype(np.uint8)
        else:
            starts = nest.relative(index, 1) + np.arange(n_rows) * nest.strides[0]
            words = self._words(self.a, starts, used)
        machine.state.counters.rows += n_rows
        return self._partial(np.ascontiguousarray(words).view(_TYPES[self.a_format]))

    def _partial(self, streamed: NDArray) -> NDArray[np.uint32]:
        if not self.a_format.is_float:
            return (streamed.astype(np.int32) @ self._held.astype(np.int32)).view(np.uint32)
        left = decode_fp(storage(streamed, self.a_format), self.a_format)
        right = decode_fp(storage(self._held, self.b_format), self.b_format)
        return dot_chunk(left, right).view(np.uint32)

    def open_bank(self, index: Index) -> Waiting:
        """Wait until the visit's bank may be written; open it on its first visit."""
        machine = self.machine
        if self.is_first_k(index):
            bank = bank_of(machine, self.fields, index)
            wanted = BankState.FREE if self.fields["init"] else BankState.READY
            yield from until_bank(machine, bank, wanted)
            machine.bank_states[bank] = BankState.OPEN
            machine.state.steps += 1

    def accumulate(self, index: Index, partial: NDArray[np.uint32]) -> None:
        """Add one visit's rows to its bank, and close it after the last."""
        machine, fields = self.machine, self.fields
        bank, n_rows = bank_of(machine, fields, index), partial.shape[0]
        rows = machine.banks[bank, :n_rows]
        if fields["init"] and self.is_first_k(index):
            rows[:] = partial
            machine.row_known[bank, :n_rows] = 1
        else:
            check_rows(machine, bank, n_rows)
            if self.a_format.is_float:
                total = fp32_add(rows.view(np.float32), partial.view(np.float32))
                rows[:] = total.view(np.uint32)
            else:
                rows += partial
        if self.is_last_k(index):
            machine.bank_states[bank] = BankState.FULL if fields["done"] else BankState.READY


def mml(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """MML: multiply and accumulate."""
    unit = _Multiplier(machine, command)
    for index, following in follow(unit.nest):
        yield from unit.hold(index)
        yield from unit.open_bank(index)
        yield from unit.a.enter(index)
        partial = yield from unit.stream(index)
        unit.accumulate(index, partial)
        unit.a.leave_before(following)
