# SPDX-License-Identifier: Apache-2.0
"""The fixed-function units as coroutines: each takes one command and yields whenever it must wait.

A unit yields a sentence that says what it waits for; the machine resumes it later. None of them
keeps time.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Destination, Opcode, Source
from hw.arch.formats import Format
from hw.arch.traps import Trap
from sim.functional.buffers import UNIT_BYTES, FunctionalTrap
from sim.functional.walk import Nest, OperandSteps
from sim.golden.dot import dot_chunk
from sim.golden.fp import decode_fp, fp32_add, storage
from sim.golden.re import min_max

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["UNITS", "Fields", "Waiting"]

Fields = dict[str, int]
Waiting = Iterator[str]
"""A unit at work: yields why it waits."""


class _Operand:
    """One operand of a running command: acquires steps as the loop enters them, reports them done
    as it leaves."""

    def __init__(self, machine: "FunctionalMachine", steps: OperandSteps, producer: bool) -> None:
        self.machine, self.steps, self.producer = machine, steps, producer
        self.buffer = machine.buffer(steps.cb)
        self._key: tuple[int, ...] | None = None
        self._pointer = 0
        self._advance = 0

    def enter(self, index: tuple[int, ...]) -> Waiting:
        """Make the step of `index` current, waiting for data or room."""
        key = self.steps.step_key(index)
        if key == self._key:
            return
        self.leave()
        extent, advance = self.steps.demand(index)
        while (pointer := self.buffer.try_acquire(self.producer, extent, advance)) is None:
            what = "room in" if self.producer else "data in"
            yield f"waits for {what} CB {self.steps.cb}"
        self._key, self._pointer, self._advance = key, pointer, advance
        self.machine.steps += 1

    def leave(self) -> None:
        """Report the current step done."""
        if self._key is not None and self._advance:
            self.buffer.done(self.producer, self._advance)
        self._key, self._advance = None, 0

    def address(self, relative: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """Local-memory byte address of an offset from the granted pointer."""
        size = self.buffer.depth * UNIT_BYTES
        address = self.buffer.base * UNIT_BYTES + (self._pointer + np.asarray(relative)) % size
        if address.size and address.max() >= self.machine.ls.size:
            raise FunctionalTrap(Trap.LS_RANGE, f"Address {address.max()} is outside local memory.")
        return address

    def pieces(self, index: tuple[int, ...], n_bytes: int, word: int) -> NDArray[np.int64]:
        """Addresses of the `n_bytes` bytes of a DMA run: words `stride0` apart."""
        start = self.steps.relative(index, 1)
        position = start % word + np.arange(n_bytes)
        return self.address(start - start % word + position // word * self.steps.strides[0]) + (
            position % word
        )

    def words(self, relative: NDArray[np.int64], word: int) -> NDArray[np.uint8]:
        """Words at offsets from the granted pointer, one row each."""
        return self.machine.ls[self.address(relative)[:, None] + np.arange(word)]


def _memory_address(fields: Fields, index: tuple[int, ...]) -> int:
    return fields["mem_addr"] + sum(index[i] * fields[f"mem_stride{i}"] for i in range(1, 5))


def dma_in(machine: "FunctionalMachine", fields: Fields) -> Waiting:
    """DMA_IN: memory to local memory."""
    nest, word = Nest.of(fields), machine.word
    operand = _Operand(machine, OperandSteps.of(fields, nest), producer=True)
    for index in nest.outer():
        yield from operand.enter(index)
        run = nest.count(0, index)
        data = machine.memory.read(_memory_address(fields, index), run)
        start = operand.steps.relative(index, 1) % word
        total = run if not fields["zero_fill"] else -(-(start + run) // word) * word - start
        where = operand.pieces(index, total, word)
        machine.ls[where] = np.concatenate([data, np.zeros(total - run, np.uint8)])
    operand.leave()


def dma_out(machine: "FunctionalMachine", fields: Fields) -> Waiting:
    """DMA_OUT: local memory to memory."""
    nest = Nest.of(fields)
    operand = _Operand(machine, OperandSteps.of(fields, nest), producer=False)
    for index in nest.outer():
        yield from operand.enter(index)
        where = operand.pieces(index, nest.count(0, index), machine.word)
        machine.memory.write(_memory_address(fields, index), machine.ls[where])
    operand.leave()


def _bank(machine: "FunctionalMachine", fields: Fields, index: tuple[int, ...]) -> int:
    total = sum(index[level] * fields[f"bank_stride{level}"] for level in range(1, 5))
    return (fields["bank"] + total) % machine.n_banks


class _Multiplier:
    """One MML: the held block, and one visit at a time."""

    def __init__(self, machine: "FunctionalMachine", fields: Fields) -> None:
        self.machine, self.fields = machine, fields
        self.a_format, self.b_format = Format(fields["a_format"]), Format(fields["b_format"])
        self.nest = Nest.of(fields, ("m_level", "m_tail"))
        word = machine.word
        self.a = _Operand(machine, OperandSteps.of(fields, self.nest, "a_", word), producer=False)
        self.b = _Operand(machine, OperandSteps.of(fields, self.nest, "b_", word), producer=False)
        self.elements = word // self.a_format.n_bytes
        self._held_key: tuple[int, ...] | None = None
        self._held: NDArray = np.zeros(0)

    def _is_last(self, level: str, index: tuple[int, ...]) -> bool:
        at = self.fields[level]
        return index[at] == self.nest.counts[at] - 1

    def _k_valid(self, index: tuple[int, ...]) -> int:
        tail = self.fields["k_tail"]
        if tail and self._is_last("k_level", index):
            return tail // self.a_format.n_bytes
        return self.elements

    def hold(self, index: tuple[int, ...]) -> None:
        """Load the held block of `index` as B[k, column], zero beyond K and N."""
        fields, machine = self.fields, self.machine
        key = index[fields["held_level"] :]
        if key == self._held_key:
            return
        start = self.b.steps.relative(index, fields["held_level"])
        beats = start + np.arange(machine.columns) * self.b.steps.strides[0]
        words = self.b.words(beats, machine.word)
        block = words.view(_TYPES[self.b_format])
        if not fields["by_row"]:
            groups = machine.columns // self.elements
            block = block.reshape(groups, self.elements, self.elements).transpose(0, 2, 1)
            block = block.reshape(machine.columns, self.elements)
        held = block.T.copy()
        held[self._k_valid(index) :] = 0
        n_tail = fields["n_tail"]
        if n_tail and self._is_last("n_level", index):
            held[:, n_tail:] = 0
        self._held_key, self._held = key, held

    def partial(self, index: tuple[int, ...]) -> NDArray[np.uint32]:
        """Partial results of one visit as 32-bit patterns, one row per streamed row."""
        rows = self.nest.count(0, index)
        start = self.a.steps.relative(index, 1)
        words = self.a.words(start + np.arange(rows) * self.a.steps.strides[0], self.machine.word)
        streamed = words.view(_TYPES[self.a_format]).copy()
        streamed[:, self._k_valid(index) :] = 0
        if not self.a_format.is_float:
            return (streamed.astype(np.int32) @ self._held.astype(np.int32)).view(np.uint32)
        left = decode_fp(storage(streamed, self.a_format), self.a_format)
        right = decode_fp(storage(self._held, self.b_format), self.b_format)
        return dot_chunk(left, right).view(np.uint32)

    def open_bank(self, index: tuple[int, ...]) -> Waiting:
        """Wait until the visit's bank may be written; open it on its first visit."""
        machine, fields = self.machine, self.fields
        if index[fields["k_level"]]:
            return
        bank = _bank(machine, fields, index)
        wanted = "free" if fields["init"] else "ready"
        while machine.bank_states[bank] != wanted:
            yield f"waits until bank {bank} is {wanted}"
        machine.bank_states[bank] = "open"
        machine.steps += 1

    def accumulate(self, index: tuple[int, ...]) -> None:
        """Add one visit's rows to its bank, and close it after the last."""
        machine, fields = self.machine, self.fields
        partial = self.partial(index)
        bank = _bank(machine, fields, index)
        rows = machine.banks[bank, : partial.shape[0]]
        if fields["init"] and not index[fields["k_level"]]:
            rows[:] = partial
        elif self.a_format.is_float:
            rows[:] = fp32_add(rows.view(np.float32), partial.view(np.float32)).view(np.uint32)
        else:
            rows += partial
        if self._is_last("k_level", index):
            machine.bank_states[bank] = "full" if fields["done"] else "ready"


_TYPES = {
    Format.INT8: np.int8,
    Format.UINT8: np.uint8,
    Format.FP16: np.uint16,
    Format.BF16: np.uint16,
}


def mml(machine: "FunctionalMachine", fields: Fields) -> Waiting:
    """MML: multiply and accumulate."""
    unit = _Multiplier(machine, fields)
    for index in unit.nest.outer():
        yield from unit.b.enter(index)
        unit.hold(index)
        yield from unit.open_bank(index)
        yield from unit.a.enter(index)
        unit.accumulate(index)
    unit.a.leave()
    unit.b.leave()


def drain(machine: "FunctionalMachine", fields: Fields) -> Waiting:
    """DRAIN: accumulator banks to local memory (an element alone has no neighbours)."""
    if fields["destination"] != Destination.LS or fields["source"] != Source.NONE:
        raise FunctionalTrap(Trap.ILLEGAL_FIELD, "An element alone has no reduction neighbours.")
    nest = Nest.of(fields, ("m_level", "m_tail"))
    operand = _Operand(machine, OperandSteps.of(fields, nest, "", machine.word), producer=True)
    for index in nest.outer():
        bank = _bank(machine, fields, index)
        yield from operand.enter(index)
        while machine.bank_states[bank] != "full":
            yield f"waits until bank {bank} is full"
        rows = machine.banks[bank, : nest.count(0, index)]
        if fields["minmax"]:
            columns = machine.columns
            if fields["n_tail"] and index[fields["n_level"]] == nest.counts[fields["n_level"]] - 1:
                columns = fields["n_tail"]
            rows = min_max(rows, Format(fields["format"]), columns)
        for row, values in enumerate(np.ascontiguousarray(rows).view(np.uint8)):
            start = operand.steps.relative((row, *index[1:]))
            words = operand.address(start + np.arange(0, values.size, machine.word))
            where = (words[:, None] + np.arange(min(machine.word, values.size))).ravel()
            machine.ls[where] = values
        machine.bank_states[bank] = "free"
        machine.steps += 1
    operand.leave()


def preload(machine: "FunctionalMachine", fields: Fields) -> Waiting:
    """PRELOAD: one row of local memory to every row of free banks."""
    nest = Nest.of(fields)
    operand = _Operand(machine, OperandSteps.of(fields, nest, "", machine.word), producer=False)
    for index in nest.outer():
        bank = _bank(machine, fields, index)
        yield from operand.enter(index)
        while machine.bank_states[bank] != "free":
            yield f"waits until bank {bank} is free"
        row_bytes = 4 * machine.columns
        start = operand.steps.relative(index)
        row = operand.words(start + np.arange(0, row_bytes, machine.word), machine.word)
        machine.banks[bank] = row.reshape(-1)[:row_bytes].view(np.uint32)
        machine.bank_states[bank] = "ready"
        machine.steps += 1
    operand.leave()


UNITS: dict[Opcode, Callable[["FunctionalMachine", Fields], Waiting]] = {
    Opcode.DMA_IN: dma_in,
    Opcode.DMA_OUT: dma_out,
    Opcode.MML: mml,
    Opcode.DRAIN: drain,
    Opcode.PRELOAD: preload,
}
"""What runs each long command."""
