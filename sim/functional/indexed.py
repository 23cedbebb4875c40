# SPDX-License-Identifier: Apache-2.0
"""GATHER and SCATTER as coroutines on `sim.golden.indexed`."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from hw.arch.commands import LEVELS, ScatterMode
from hw.arch.formats import Format
from hw.arch.traps import Trap
from sim.functional.faults import FunctionalTrap, Issued
from sim.functional.operand import Operand, Waiting
from sim.functional.units import follow, run_offsets
from sim.golden.address import Index, Nest
from sim.golden.indexed import INDEX_BYTES, Indexed, IndexOutOfRange, add_row, row_address

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["gather", "scatter"]


class _List:
    """The index list: one step for the whole command."""

    def __init__(self, machine: "FunctionalMachine", command: Issued) -> None:
        fields = command.fields
        self.nest = Nest.of(fields)
        self.job = Indexed(
            nest=self.nest, mem_addr=fields["mem_addr"], row_pitch=fields["row_pitch"],
            index_limit=fields["index_limit"],
        )  # fmt: skip
        single = dataclasses.replace(
            self.nest, counts=(1,) * LEVELS, strides=(0,) * LEVELS, cb=fields["index_cb"],
            offset=INDEX_BYTES * fields["index_offset"], step_level=LEVELS, adv_level=LEVELS,
            need=fields["index_need"], adv=fields["index_adv"],
        )  # fmt: skip
        self.operand = Operand(machine, command, single, producer=False)
        self._number = 0

    def enter(self) -> Waiting:
        """Wait for the list."""
        yield from self.operand.enter((0,) * LEVELS)

    def next_address(self) -> int:
        """Where the next row of the table lies."""
        start = self.operand.nest.offset + INDEX_BYTES * self._number
        self._number += 1
        index = int(self.operand.read(start + np.arange(INDEX_BYTES)).view(np.uint32)[0])
        try:
            return row_address(self.job, index)
        except IndexOutOfRange as error:
            raise FunctionalTrap(Trap.INDEX_RANGE, error.index) from None

    def leave_before(self, following: Index | None) -> None:
        """Give the list back after the last row."""
        if following is None:
            self.operand.leave_before(None)


def gather(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """GATHER: rows of a table to local memory."""
    fields, word = command.fields, machine.word
    indices = _List(machine, command)
    nest = indices.nest
    operand = Operand(machine, command, nest, producer=True)
    yield from indices.enter()
    for index, following in follow(nest):
        yield from operand.enter(index)
        data = machine.read_memory(indices.next_address(), nest.counts[0])
        rest = -(nest.relative(index, 1) + data.size) % word if fields["zero_fill"] else 0
        offsets = run_offsets(nest, index, data.size + rest, word)
        operand.write(offsets, np.concatenate([data, np.zeros(rest, np.uint8)]))
        operand.leave_before(following)
        indices.leave_before(following)


def scatter(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """SCATTER: rows of local memory to a table."""
    fields = command.fields
    indices = _List(machine, command)
    nest = indices.nest
    operand = Operand(machine, command, nest, producer=False)
    yield from indices.enter()
    for index, following in follow(nest):
        yield from operand.enter(index)
        row = operand.read(run_offsets(nest, index, nest.counts[0], machine.word))
        address = indices.next_address()
        if fields["mode"] == ScatterMode.ADD:
            there = machine.peek_memory(address, row.size).tobytes()
            row = np.frombuffer(add_row(there, row.tobytes(), Format(fields["format"])), np.uint8)
        machine.write_memory(address, row)
        operand.leave_before(following)
        indices.leave_before(following)
