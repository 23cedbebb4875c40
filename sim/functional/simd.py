# SPDX-License-Identifier: Apache-2.0
"""SIMD engine as a coroutine: programs in slots, rows through `sim.golden.simd`."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import COMMANDS, BMode, Function, Opcode, Post, Reduce, SimdOut, SimdSource
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.config import PeConfig
from sim.functional.faults import FunctionalTrap, Issued
from sim.functional.operand import Operand, Receiving, Waiting
from sim.golden.address import Index, Nest
from sim.golden.simd import Program, is_integer_drain, run_rows

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["program_fault", "se_program", "simd", "simd_fault", "simd_nests"]

_TIMES_ITSELF = (Function.TANH, Function.GELU, Function.SILU)
"""Functions that use the multiplier of `post` themselves."""
_VALUE_BYTES = 4
"""Bytes of an FP32 value."""
_TYPES = {1: np.uint8, 2: np.uint16, 4: np.uint32}
Bytes = NDArray[np.uint8]


def program_fault(program: Program, pe: PeConfig) -> str | None:
    """Field with which the engine refuses an SE_PROGRAM, or None."""
    times_itself = program.function in _TIMES_ITSELF
    uses_statistic = program.out is not SimdOut.ELEMENTS or program.post is Post.STATISTIC
    squares = program.reduce is Reduce.SUM_SQUARES
    held = program.b_mode is BMode.HELD
    for name, wrong in (
        ("post", times_itself and program.post is not Post.NONE),
        ("reduce", times_itself and program.reduce is not Reduce.NONE),
        ("reduce", uses_statistic and program.reduce is Reduce.NONE),
        ("stat_function", program.stat_function in _TIMES_ITSELF),
        ("b_format", held and program.b_format not in (Format.INT32, Format.FP32)),
        ("factor", squares and program.factor != 0),
        ("function", program.function != Function.NONE and not _has_functions(pe)),
        ("stat_function", program.stat_function != Function.NONE and not _has_functions(pe)),
    ):
        if wrong:
            return name
    return None


def _has_functions(pe: PeConfig) -> bool:
    return pe.se.with_functions and pe.se.with_fp


def simd_fault(program: Program | None, fields: dict[str, int], pe: PeConfig) -> str | None:
    """Field with which the engine refuses a SIMD command, or None; `program` is its slot's."""
    if program is None:
        return "program"
    from_re, accumulates = fields["source"] == SimdSource.RE, bool(fields["accumulate"])
    drains = from_re and not accumulates and is_integer_drain(program)
    on_lanes = program.out_format is not Format.INT32 and pe.se.with_fp
    n_beats = -(-fields["count0"] // pe.se.fp_lanes)
    too_long = program.post is Post.STATISTIC and n_beats > pe.se.row_beats
    too_wide = program.b_mode is BMode.HELD and fields["count0"] > pe.dpe.columns
    no_row = from_re and fields["count0"] != pe.dpe.columns
    for name, wrong in (
        ("program", not drains and not on_lanes),
        ("count0", too_long or too_wide or no_row),
        ("source", from_re and program.a_format not in (Format.INT32, Format.FP32)),
        ("count1", accumulates and fields["count1"] * n_beats > pe.se.sum_beats),
        ("accumulate", accumulates and program.reduce is Reduce.SUM_SQUARES),
    ):
        if wrong:
            return name
    return None


def _refuse(opcode: Opcode, name: str) -> FunctionalTrap:
    return FunctionalTrap(Trap.ILLEGAL_FIELD, COMMANDS[opcode].field(name).offset)


def se_program(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """SE_PROGRAM: fill a program slot."""
    program = Program.of(command.fields)
    if name := program_fault(program, machine.config.pe):
        raise _refuse(Opcode.SE_PROGRAM, name)
    machine.programs[command.fields["program"]] = program
    yield from ()


def simd_nests(program: Program, fields: dict[str, int], word: int) -> tuple[Nest, Nest, Nest]:
    """Nests of a, b and the output, in bytes."""
    tail = (fields["tail_level"], 1, fields["tail_count"])
    a = Nest.of(fields, "a_", unit_bytes=word, tail=tail)
    b_unit = _VALUE_BYTES if program.b_mode is BMode.ROW else word
    b = Nest.of(fields, "b_", unit_bytes=b_unit, tail=tail)
    if program.b_mode is BMode.HELD:
        counts = (b.counts[0], 1, *b.counts[2:])
        b = dataclasses.replace(b, counts=counts, tail_count=0)
    out_unit = _VALUE_BYTES if program.out is SimdOut.STATISTICS else word
    out = Nest.of(fields, unit_bytes=out_unit, tail=tail)
    if fields["accumulate"]:
        counts = (*out.counts[:2], 1, *out.counts[3:])
        out = dataclasses.replace(out, counts=counts)
    return a, b, out


class _Values(NamedTuple):
    """Operands of some rows, as bit patterns."""

    a: NDArray
    b: NDArray | None
    c: NDArray | None


class _Rows:
    """One SIMD command."""

    def __init__(self, machine: "FunctionalMachine", command: Issued, program: Program) -> None:
        self.machine, self.fields, self.program = machine, command.fields, program
        a, b, out = simd_nests(program, command.fields, machine.word)
        self.nest, self.n_elements = a, command.fields["count0"]
        from_re = command.fields["source"] == SimdSource.RE
        self.a = None if from_re else Operand(machine, command, a, producer=False)
        has_b = program.b_mode is not BMode.NONE
        self.b = Operand(machine, command, b, producer=False) if has_b else None
        self.out = Operand(machine, command, out, producer=True)
        self._held_key: Index | None = None
        self._held: tuple[NDArray, NDArray | None] = (np.zeros(0), None)
        self._n_done = 0
        """Rows of output so far, which stochastic rounding counts."""

    def parts(self) -> Iterator[tuple[Index, int]]:
        """First index and number of rows of parts, each in one step of every operand."""
        used = [operand for operand in (self.a, self.b, self.out) if operand is not None]
        if min(operand.nest.step_level for operand in used) > 1:
            for index in self.nest.indices(2):
                yield index, self.nest.counts_at(index)[1]
        else:
            for index in self.nest.indices(1):
                yield index, 1

    def _bytes(self, operand: Operand, index: Index, n_rows: int, at: int, n_bytes: int) -> Bytes:
        """`n_bytes` of each row of an operand, from byte `at` of the row on."""
        starts = operand.nest.relative(index) + np.arange(n_rows) * operand.nest.strides[1]
        return operand.read(at + starts[:, None] + np.arange(n_bytes))

    def values(self, index: Index, n_rows: int) -> Receiving:
        """Operands of a part."""
        size = self.program.a_format.n_bytes
        if self.a is None:
            a = yield from self.machine.rows.receive(n_rows)
        else:
            yield from self.a.enter(index)
            a = self._bytes(self.a, index, n_rows, 0, self.n_elements * size).view(_TYPES[size])
        b, c = yield from self._second(index, n_rows)
        return _Values(a, b, c)

    def _second(self, index: Index, n_rows: int) -> Receiving:
        """b and c, shaped against a."""
        program, b = self.program, self.b
        if b is None:
            return None, None
        if program.b_mode is BMode.HELD:
            return (yield from self._hold(b, index))
        yield from b.enter(index)
        if program.b_mode is BMode.ELEMENT:
            size = program.b_format.n_bytes
            values = self._bytes(b, index, n_rows, 0, self.n_elements * size)
            return values.view(_TYPES[size]), None
        n_values = 2 if program.b_pair else 1
        values = self._bytes(b, index, n_rows, 0, _VALUE_BYTES * n_values).view(np.float32)
        return values[:, :1], values[:, 1:] if program.b_pair else None

    def _hold(self, b: Operand, index: Index) -> Receiving:
        """The held row, read once for each iteration of level 2 and up."""
        start = _without(1, index)
        if start[2:] != self._held_key:
            yield from b.enter(start)
            size = _VALUE_BYTES * self.n_elements
            second = self._bytes(b, start, 1, 0, size).view(np.uint32)
            third = None
            if self.program.b_pair:
                third = self._bytes(b, start, 1, _VALUE_BYTES * self.machine.columns, size)
                third = third.view(np.float32)
            self._held_key, self._held = start[2:], (second, third)
        return self._held

    def write(self, index: Index, n_rows: int, iterations: list[_Values]) -> None:
        """Run a part's rows through the program, and store them."""
        operands = [_stacked([getattr(values, name) for values in iterations], n_rows)
                    for name in ("a", "b", "c")]  # fmt: skip
        assert operands[0] is not None
        result = run_rows(
            self.program, operands[0], operands[1], operands[2],
            lanes=self.machine.config.pe.se.fp_lanes, first_index_row=self._n_done,
        )  # fmt: skip
        self._n_done += n_rows
        out, program = self.out, self.program
        starts = (out.nest.relative(index) + np.arange(n_rows) * out.nest.strides[1])[:, None]
        if program.out is not SimdOut.STATISTICS:
            elements = np.ascontiguousarray(result.elements).view(np.uint8).reshape(n_rows, -1)
            out.write(starts + np.arange(elements.shape[1]), elements)
            starts = starts + -(-elements.shape[1] // self.machine.word) * self.machine.word
        if program.out is not SimdOut.ELEMENTS:
            value = result.appended if program.out is SimdOut.BOTH else result.statistic
            assert value is not None  # the engine refuses such a program without reduction
            values = value.view(np.uint8).reshape(n_rows, _VALUE_BYTES)
            out.write(starts + np.arange(_VALUE_BYTES), values)

    def leave_before(self, following: Index | None, out: bool) -> None:
        """Report steps done that end here."""
        without_row = None if following is None else _without(1, following)
        if self.a is not None:
            self.a.leave_before(following)
        if self.b is not None:
            is_held = self.program.b_mode is BMode.HELD
            self.b.leave_before(without_row if is_held else following)
        if out:
            self.out.leave_before(None if following is None else self.out_index(following))

    def out_index(self, index: Index) -> Index:
        """Index of the output: sums have no level 2."""
        return _without(2, index) if self.fields["accumulate"] else index

    def is_last_sum(self, index: Index) -> bool:
        """Whether a row goes on from here."""
        return not self.fields["accumulate"] or index[2] == self.nest.counts[2] - 1


def _without(level: int, index: Index) -> Index:
    return (*index[:level], 0, *index[level + 1 :])


def _stacked(parts: list[NDArray | None], n_rows: int) -> NDArray | None:
    """An operand's iterations, without the rows that the last one does not have."""
    given = [part for part in parts if part is not None]
    return np.stack([part[:n_rows] for part in given]) if given else None


def simd(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """SIMD: rows through a program."""
    program = machine.programs.get(command.fields["program"])
    if name := simd_fault(program, command.fields, machine.config.pe):
        raise _refuse(Opcode.SIMD, name)
    assert program is not None
    unit = _Rows(machine, command, program)
    sums: dict[int, list[_Values]] = {}
    parts = itertools.chain(unit.parts(), [None])
    for part, following in itertools.pairwise(parts):
        assert part is not None  # only the last one is None
        index, n_rows = part
        values = yield from unit.values(index, n_rows)
        sums.setdefault(index[1], []).append(values)
        is_last = unit.is_last_sum(index)
        if is_last:
            yield from unit.out.enter(unit.out_index(index))
            unit.write(unit.out_index(index), n_rows, sums.pop(index[1]))
        upcoming = None if following is None else following[0]
        unit.leave_before(upcoming, is_last)
        if upcoming is not None and upcoming[3:] != index[3:]:
            sums.clear()  # rows that a tail left out
