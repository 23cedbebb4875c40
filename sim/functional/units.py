# SPDX-License-Identifier: Apache-2.0
"""Fabric interface and reduction engine as coroutines: each takes one command and yields whenever
it must wait.

A unit yields a sentence that says what it waits for; the machine resumes it later. None of them
keeps time. Those that `sim.functional.native` has too are the reference for it, and stand in where
there is no compiler.
"""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hw.arch.commands import LEVELS, Destination, Source
from hw.arch.formats import Format
from sim.functional.faults import Issued, Rule, RuleBroken
from sim.functional.operand import Operand, Waiting
from sim.functional.state import BankState
from sim.golden.address import Index, Nest
from sim.golden.re import min_max

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["bank_of", "check_rows", "dma_in", "dma_nest", "dma_out", "drain", "follow", "preload",
           "run_offsets", "tile_nest", "until_bank"]  # fmt: skip

_ADDRESSES = 1 << 40


def follow(nest: Nest) -> Iterator[tuple[Index, Index | None]]:
    """Indices of levels 1 and up, each with the next one."""
    indices = itertools.chain(nest.indices(1), [None])
    for index, following in itertools.pairwise(indices):
        assert index is not None  # only the last one is None
        yield index, following


def dma_nest(fields: dict[str, int]) -> Nest:
    """Local-memory side of a DMA command."""
    tail = (fields["tail_level"], fields["tail_inner"], fields["tail_count"])
    return Nest.of(fields, tail=tail, tail_adv=fields["tail_adv"])


def tile_nest(fields: dict[str, int], word: int, prefix: str = "", tail: bool = True) -> Nest:
    """An operand in words of a command that walks accumulator banks."""
    rows = (fields["m_level"], 0, fields["m_tail"]) if tail else (0, 0, 0)
    return Nest.of(fields, prefix, unit_bytes=word, tail=rows)


def run_offsets(nest: Nest, index: Index, n_bytes: int, word: int) -> np.ndarray:
    """Offsets of the bytes of a run: in pieces of a word, `stride0` apart."""
    start = nest.relative(index, 1)
    number, lane = np.divmod(start % word + np.arange(n_bytes), word)
    return start - start % word + number * nest.strides[0] + lane


def _memory_address(fields: dict[str, int], index: Index) -> int:
    moved = sum(index[i] * fields[f"mem_stride{i}"] for i in range(1, LEVELS))
    return (fields["mem_addr"] + moved) % _ADDRESSES


def dma_in(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """DMA_IN: memory to local memory."""
    fields, word = command.fields, machine.word
    operand = Operand(machine, command, dma_nest(fields), producer=True)
    nest = operand.nest
    for index, following in follow(nest):
        yield from operand.enter(index)
        n_bytes = nest.counts_at(index)[0]
        data = machine.read_memory(_memory_address(fields, index), n_bytes)
        rest = -(nest.relative(index, 1) + n_bytes) % word if fields["zero_fill"] else 0
        offsets = run_offsets(nest, index, n_bytes + rest, word)
        operand.write(offsets, np.concatenate([data, np.zeros(rest, np.uint8)]))
        operand.leave_before(following)


def dma_out(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """DMA_OUT: local memory to memory."""
    fields = command.fields
    operand = Operand(machine, command, dma_nest(fields), producer=False)
    nest = operand.nest
    for index, following in follow(nest):
        yield from operand.enter(index)
        offsets = run_offsets(nest, index, nest.counts_at(index)[0], machine.word)
        machine.write_memory(_memory_address(fields, index), operand.read(offsets))
        operand.leave_before(following)


def bank_of(machine: "FunctionalMachine", fields: dict[str, int], index: Index) -> int:
    """Accumulator bank of a visit."""
    total = sum(index[level] * fields[f"bank_stride{level}"] for level in range(1, LEVELS))
    return (fields["bank"] + total) % machine.n_banks


def until_bank(machine: "FunctionalMachine", bank: int, state: BankState) -> Waiting:
    """Wait until a bank is in a state."""
    while machine.bank_states[bank] != state:
        yield f"waits until bank {bank} is {state.name.lower()}"


def check_rows(machine: "FunctionalMachine", bank: int, n_rows: int) -> None:
    """Accumulator rows that are used must have been written."""
    known = machine.row_known[bank, :n_rows]
    if machine.police and not known.all():
        raise unwritten_row(bank, int(known.argmin()))


def unwritten_row(bank: int, row: int) -> RuleBroken:
    """A read of an accumulator row that nothing wrote."""
    return RuleBroken(
        Rule.UNWRITTEN_ROW, f"uses row {row} of accumulator bank {bank}, which nothing has written"
    )


def _rows_to_send(machine: "FunctionalMachine", fields: dict[str, int], index: Index, n_rows: int,
                  counts: tuple[int, ...]) -> np.ndarray:  # fmt: skip
    """Rows that leave a full bank, or their minima and maxima."""
    bank = bank_of(machine, fields, index)
    check_rows(machine, bank, n_rows)
    rows = machine.banks[bank, :n_rows]
    if not fields["minmax"]:
        return rows
    last = index[fields["n_level"]] == counts[fields["n_level"]] - 1
    columns = fields["n_tail"] if fields["n_tail"] and last else machine.columns
    return min_max(rows, Format(fields["format"]), columns)


def _free(machine: "FunctionalMachine", bank: int) -> None:
    machine.bank_states[bank] = BankState.FREE
    machine.row_known[bank] = 0
    machine.state.steps += 1


def drain(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """DRAIN: accumulator banks to local memory or to the SIMD engine."""
    fields, word = command.fields, machine.word
    if fields["destination"] in (Destination.SOUTH, Destination.EAST) or fields["source"] in (
        Source.NORTH, Source.WEST,
    ):  # fmt: skip
        while True:
            yield "waits for a neighbour on a reduction link, which an element alone has not"
    to_engine = fields["destination"] == Destination.SE
    nest = tile_nest(fields, word)
    operand = None if to_engine else Operand(machine, command, nest, producer=True)
    for index, following in follow(nest):
        if operand is not None:
            yield from operand.enter(index)
        bank, n_rows = bank_of(machine, fields, index), nest.counts_at(index)[0]
        yield from until_bank(machine, bank, BankState.FULL)
        rows = np.ascontiguousarray(_rows_to_send(machine, fields, index, n_rows, nest.counts))
        if operand is None:
            yield from machine.rows.send(rows.copy())
        else:
            values = rows.view(np.uint8)
            starts = nest.relative(index, 1) + np.arange(n_rows) * nest.strides[0]
            operand.write(starts[:, None] + np.arange(values.shape[1]), values)
            operand.leave_before(following)
        _free(machine, bank)


def preload(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """PRELOAD: one row of local memory to every row of free banks."""
    fields = command.fields
    nest = tile_nest(fields, machine.word, tail=False)
    operand = Operand(machine, command, nest, producer=False)
    for index, following in follow(nest):
        yield from operand.enter(index)
        bank = bank_of(machine, fields, index)
        yield from until_bank(machine, bank, BankState.FREE)
        row = operand.read(nest.relative(index) + np.arange(4 * machine.columns))
        machine.banks[bank] = row.view(np.uint32)
        machine.row_known[bank] = 1
        machine.bank_states[bank] = BankState.READY
        machine.state.steps += 1
        operand.leave_before(following)
