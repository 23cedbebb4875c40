# SPDX-License-Identifier: Apache-2.0
"""Work for the SIMD engine: commands, their operands, and what must come of them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import BMode, Opcode, SimdOut
from hw.arch.formats import Format
from sim.golden.address import Buffer, Nest, walk
from sim.golden.convert import DTYPES
from sim.golden.simd import Program, run_rows
from tb.common.seeds import numpy_rng
from tb.unit.se.setting import SHAPE, SeBench

__all__ = ["Operand", "Plan", "Rows", "dense", "random_elements"]

WORD = SHAPE.word_bytes
Bytes = NDArray[np.uint8]

_FP32_CORNERS = (
    *(0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x0080_0000, 0x8080_0000, 0x3F80_0000),
    *(0xBF80_0000, 0x7F7F_FFFF, 0xFF7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000),
    *(0x7F80_0001, 0xFFC1_2345, 0x4300_0000, 0x3F00_0000, 0xC2FF_0000, 0x4B80_0000),
)


def random_elements(rng: np.random.Generator, fmt: Format, n: int, wild: bool) -> Bytes:
    """Bytes of `n` elements: everyday numbers, with `wild` also corners and any bits."""
    dtype = DTYPES[fmt]
    if fmt in (Format.INT8, Format.UINT8):
        return rng.integers(0, 256, n, dtype=np.uint8)
    if fmt is Format.INT32:
        values = rng.integers(-(1 << 31), 1 << 31, n) >> rng.integers(0, 30, n)
        return values.astype(dtype).view(np.uint8)
    values = (rng.standard_normal(n) * 2.0 ** rng.integers(-3, 4, n)).astype(np.float32)
    bits = values.astype(dtype).view(f"u{dtype.itemsize}")
    if wild:
        anything = rng.integers(0, 1 << 8 * dtype.itemsize, n, dtype=np.uint64)
        top = np.array(_FP32_CORNERS, np.uint64) >> np.uint64(32 - 8 * dtype.itemsize)
        choice = rng.random(n)
        bits = np.where(choice < 0.1, anything, np.where(choice < 0.25, rng.choice(top, n), bits))
    return bits.astype(f"u{dtype.itemsize}").view(np.uint8)


@dataclass(frozen=True)
class Rows:
    """The rows of a command: elements, and the levels above."""

    counts: tuple[int, int, int, int, int]
    tail_level: int = 2
    tail_count: int = 0
    accumulate: bool = False

    @property
    def fields(self) -> dict[str, int]:
        """Fields of SIMD."""
        return {
            **{f"count{level}": count for level, count in enumerate(self.counts)},
            "tail_level": self.tail_level,
            "tail_count": self.tail_count,
            "accumulate": int(self.accumulate),
        }


@dataclass(frozen=True)
class Operand:
    """How an operand lies in its buffer: row starts by the golden address model."""

    cb: int
    prefix: str
    unit: int
    offset: int = 0
    strides: tuple[int, int, int, int] = (0, 0, 0, 0)
    step_level: int = 5
    adv_level: int = 7
    need: int = 1
    adv: int = 0

    @property
    def fields(self) -> dict[str, int]:
        """Fields of SIMD."""
        names = {
            "cb": self.cb,
            "offset": self.offset,
            **{f"stride{level + 1}": stride for level, stride in enumerate(self.strides)},
            "step_level": self.step_level,
            "adv_level": self.adv_level,
            "need": self.need,
            "adv": self.adv,
        }
        return {f"{self.prefix}{name}": value for name, value in names.items()}

    def nest(self, counts: tuple[int, ...], rows: Rows, tail: bool) -> Nest:
        """For the golden address model, in bytes."""
        return Nest(
            counts=(1, *counts[1:]),
            strides=(0, *(stride * self.unit for stride in self.strides)),
            offset=self.offset * self.unit,
            cb=self.cb,
            step_level=self.step_level,
            adv_level=self.adv_level,
            need=self.need,
            adv=self.adv,
            tail_level=rows.tail_level if tail else 0,
            tail_inner=1,
            tail_count=rows.tail_count if tail else 0,
        )


@dataclass
class Plan:
    """Queues commands at a bench, with their operands, and checks local memory at the end."""

    se: SeBench
    label: str
    pointers: dict[int, int] = field(default_factory=dict)
    expected: bytearray = field(default_factory=bytearray)
    writers: dict[int, str] = field(default_factory=dict)
    """By byte of local memory: the command that writes it."""

    def __post_init__(self) -> None:
        self.rng = numpy_rng(self.label)
        for cb, state in self.se.buffers.items():
            self.pointers[cb] = state.release % state.depth
        self.expected = bytearray(self.se.local.data)

    def run(
        self,
        program: Program,
        rows: Rows,
        out: Operand,
        a: Operand | None = None,
        b: Operand | None = None,
        *,
        slot: int = 0,
        wild: bool = True,
        **more: int,
    ) -> None:
        """One SE_PROGRAM and SIMD; without `a` rows come from the reduction engine."""
        self.program(program, slot)
        fields = rows.fields | out.fields | {"program": slot} | more
        for operand in (a, b):
            fields |= operand.fields if operand else {}
        self.se.command(Opcode.SIMD, **fields, source=int(a is None))
        self._fill_and_expect(program, rows, out, a, b, wild)

    def program(self, program: Program, slot: int = 0) -> None:
        """One SE_PROGRAM."""
        fields = {name: int(value) for name, value in vars(program).items()}
        self.se.command(Opcode.SE_PROGRAM, program=slot, **fields)

    async def finish(self) -> None:
        """Wait for all commands; then every byte of local memory is as it must be."""
        await self.se.complete()
        found = np.frombuffer(bytes(self.se.local.data), np.uint8)
        wanted = np.frombuffer(bytes(self.expected), np.uint8)
        wrong = np.flatnonzero(found != wanted)
        if len(wrong):
            at = int(wrong[0]) // 16 * 16
            raise AssertionError(
                f"{len(wrong)} bytes differ, the first at {wrong[0]:#x}; from {at:#x}:"
                f" found {bytes(found[at : at + 32]).hex(' ', 4)},"
                f" expected {bytes(wanted[at : at + 32]).hex(' ', 4)},"
                f" of {self.writers.get(int(wrong[0]), 'nobody')}"
            )

    def _places(
        self, operand: Operand, rows: Rows, *, counts: tuple[int, ...], tail: bool = True
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Byte addresses of row starts with their indices; moves the buffer's pointer."""
        state = self.se.buffers[operand.cb]
        buffer = Buffer(base=state.base, depth=state.depth, pointer=self.pointers[operand.cb])
        for step in walk(operand.nest(counts, rows, tail), buffer, 1):
            for address in step.addresses:
                yield address.address, address.index
            self.pointers[operand.cb] = (buffer.pointer + step.advance) % buffer.depth

    def _bytes(self, cb: int, start: int, n: int) -> list[int]:
        """Addresses of `n` bytes from `start` on, wrapped in their buffer."""
        state = self.se.buffers[cb]
        low, size = state.base * 64, state.depth * 64
        return [low + (start - low + i) % size for i in range(n)]

    def _store(self, cb: int, start: int, data: Bytes, *, image: bool = True) -> None:
        """Put data into the expected memory, and with `image` into the device's."""
        for at, byte in zip(self._bytes(cb, start, len(data)), data, strict=True):
            self.expected[at] = int(byte)
            if image:
                self.se.local.data[at] = int(byte)

    def _load(self, cb: int, start: int, n: int, fmt: Format) -> NDArray:
        raw = bytes(self.expected[at] for at in self._bytes(cb, start, n * fmt.n_bytes))
        return np.frombuffer(raw, DTYPES[fmt])

    def _fill_and_expect(
        self,
        program: Program,
        rows: Rows,
        out: Operand,
        a: Operand | None,
        b: Operand | None,
        wild: bool,
    ) -> None:
        n = rows.counts[0]
        a_rows = self._a_rows(program, rows, a, wild)
        b_rows = self._b_rows(program, rows, b, wild) if b else {}
        indices = list(a_rows)
        out_counts = list(rows.counts)
        if rows.accumulate:
            out_counts[2] = 1
        places = self._places(out, rows, counts=tuple(out_counts))
        n_before = 0
        for group in self._groups(indices, rows):
            values = np.stack([[a_rows[index] for index in part] for part in group])
            operands = [None, None]
            for which in range(2):
                if b_rows and (which == 0 or program.b_pair):
                    operands[which] = np.stack(
                        [[b_rows[index][which] for index in part] for part in group]
                    )
            if not rows.accumulate:
                values = values[0]
                operands = [None if o is None else o[0] for o in operands]
            result = run_rows(
                program,
                values,
                *operands,
                lanes=SHAPE.lanes,
                first_index_row=n_before,
            )
            n_before += len(group[0])
            for row in range(len(group[0])):
                start, _ = next(places)
                self._expect_row(program, n, out.cb, start, result, row)
        assert next(places, None) is None, "the output has more rows than the input"

    def _groups(self, indices: list[Any], rows: Rows) -> list[list[list[Any]]]:
        """Rows that belong together: all, or those of each accumulation."""
        if not rows.accumulate:
            return [[indices]]
        groups: dict[Any, dict[int, list[Any]]] = {}
        for index in indices:
            groups.setdefault(index[3:], {}).setdefault(index[2], []).append(index)
        return [list(parts.values()) for parts in groups.values()]

    def _a_rows(
        self, program: Program, rows: Rows, a: Operand | None, wild: bool
    ) -> dict[tuple[int, ...], NDArray]:
        """Fill and read operand a, or send rows of the reduction engine."""
        fmt, n = program.a_format, rows.counts[0]
        if a is None:
            nest = Operand(0, "", 1).nest(rows.counts, rows, True)
            found = {}
            for index in nest.indices(0):
                raw = random_elements(self.rng, fmt, n, wild)
                found[index] = raw.view(DTYPES[fmt])
                self.se.rows.send(int.from_bytes(raw.tobytes(), "little"))
            return found
        places = list(self._places(a, rows, counts=rows.counts))
        for start, _ in places:
            self._store(a.cb, start, random_elements(self.rng, fmt, n, wild))
        return {index: self._load(a.cb, start, n, fmt) for start, index in places}

    def _b_rows(
        self, program: Program, rows: Rows, b: Operand, wild: bool
    ) -> dict[tuple[int, ...], list[NDArray]]:
        """Fill and read b (and c)."""
        n = rows.counts[0]
        nest = Operand(0, "", 1).nest(rows.counts, rows, True)
        indices = list(nest.indices(0))
        if program.b_mode is BMode.HELD:
            held = {}
            places = list(self._places(b, rows, counts=(1, 1, *rows.counts[2:]), tail=False))
            for start, _ in places:
                raw = random_elements(self.rng, program.b_format, SHAPE.columns, wild)
                self._store(b.cb, start, raw)
                if program.b_pair:
                    second = random_elements(self.rng, Format.FP32, SHAPE.columns, wild)
                    self._store(b.cb, start + 4 * SHAPE.columns, second)
            for start, index in places:
                values = [self._load(b.cb, start, SHAPE.columns, program.b_format)[:n]]
                behind = start + 4 * SHAPE.columns
                values.append(self._load(b.cb, behind, SHAPE.columns, Format.FP32)[:n])
                held[index[2:]] = values
            return {index: held[index[2:]] for index in indices}
        places = list(self._places(b, rows, counts=rows.counts))
        if program.b_mode is BMode.ELEMENT:
            for start, _ in places:
                self._store(b.cb, start, random_elements(self.rng, program.b_format, n, wild))
            return {i: [self._load(b.cb, s, n, program.b_format)] for s, i in places}
        n_values = 1 + program.b_pair
        for start, _ in places:
            self._store(b.cb, start, random_elements(self.rng, Format.FP32, n_values, wild))
        found = {}
        for start, index in places:
            values = self._load(b.cb, start, n_values, Format.FP32)
            found[index] = [values[i : i + 1] for i in range(n_values)]
        return found

    def _name(self, program: Program, row: int, n: int) -> str:
        """A row's command, for people: fields that are not their defaults."""
        plain = vars(Program())
        fields = {k: v for k, v in vars(program).items() if v != plain[k]}
        return f"row {row} of {n} elements, {fields}"

    def _expect_row(
        self, program: Program, n: int, cb: int, start: int, result: Any, row: int
    ) -> None:
        """What a row of the output must be."""
        self.writers |= dict.fromkeys(self._bytes(cb, start, 1024), self._name(program, row, n))
        if program.out is SimdOut.STATISTICS:
            self._store(cb, start, result.statistic[row : row + 1].view(np.uint8), image=False)
            return
        elements = np.ascontiguousarray(result.elements[row]).view(np.uint8)
        self._store(cb, start, elements, image=False)
        if program.out is SimdOut.BOTH:
            behind = start + -(-len(elements) // WORD) * WORD
            value = result.appended[row : row + 1].view(np.uint8)
            self._store(cb, behind, value, image=False)


def dense(
    rng: random.Random,
    cb: int,
    prefix: str,
    rows: Rows,
    *,
    row_bytes: int,
    unit: int,
    levels: tuple[int, ...] = (1, 2, 3, 4),
    gap: int = 0,
) -> Operand:
    """Rows one behind the other, in one of three ways to cut them into steps.

    `levels` are those that move the operand; `gap` more units lie between rows.
    """
    pitch = -(-row_bytes // unit) + gap
    strides, size = [0, 0, 0, 0], pitch
    for level in levels:
        strides[level - 1] = size
        size *= rows.counts[level]
    style = rng.choice(("whole", "steps", "stream"))
    units = -(-size * unit // 64)
    if style == "whole":
        return Operand(cb, prefix, unit, 0, tuple(strides), 5, 5, units, units)
    step_level = rng.choice((1, 2, 3, 4))
    inner = pitch
    for level in levels:
        if level < step_level:
            inner *= rows.counts[level]
    need = -(-inner * unit // 64)
    if style == "steps":
        offset = rng.choice((0, 0, 1))
        adv = -(-(size + offset) * unit // 64)
        return Operand(cb, prefix, unit, offset, tuple(strides), step_level, 5, need + offset, adv)
    # Each step moves the pointer, so levels of steps have no stride.
    for level in range(step_level, 5):
        strides[level - 1] = 0
    return Operand(cb, prefix, unit, 0, tuple(strides), step_level, step_level, need, need)
