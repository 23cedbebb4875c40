# SPDX-License-Identifier: Apache-2.0
"""What stands around the reduction engine in its benches: DPE, local memory, neighbours, CP."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Opcode, encode
from hw.arch.formats import Format
from hw.config.element import ReConfig
from hw.iface.pe import (
    BankState,
    Completion,
    LsReadPort,
    LsWritePort,
    TrapReport,
    UnitStatus,
    bank_row_layout,
    row_lead,
)
from hw.pe.re import ReductionEngine
from tb.common.cb_table import CbPortModel, CbState
from tb.common.payload import pack, unpack
from tb.common.seeds import bench_parameters, numpy_rng, python_rng
from tb.common.stream import Bench, Pauses, StreamSink, always, check_equal

__all__ = [
    "BUFFER_UNITS",
    "CORNERS",
    "FIRST_UNIT",
    "IN_CB",
    "OUT_CB",
    "SHAPE",
    "SHAPES",
    "DpeModel",
    "ReBench",
    "Shape",
    "Visit",
    "device",
    "link_row",
    "random_rows",
]


@dataclass(frozen=True)
class Shape:
    """Sizes of the engine under test."""

    banks: int
    columns: int
    word_bytes: int
    address_width: int

    @property
    def rows(self) -> int:
        """Rows of a bank."""
        return self.columns

    @property
    def slots(self) -> int:
        """Words of a row, and write slots."""
        return 4 * self.columns // self.word_bytes


SHAPES = {
    "tiny": Shape(4, 8, 8, 11),  # the member of that name
    "wide": Shape(2, 16, 16, 10),  # a minimum and maximum fill half a word
    "narrow": Shape(4, 8, 4, 12),  # and here two
}
SHAPE = SHAPES[bench_parameters().get("shape", "tiny")]
"""Sizes of the engine under test, in the simulator's process."""

OUT_CB, IN_CB = 21, 42
"""Circular buffers of results and of rows to preload; every bit of their numbers differs."""
BUFFER_UNITS, FIRST_UNIT = 64, 60
"""Size of both, and where their pointers start."""

CORNERS = {
    Format.INT32: (0, 1, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001),
    Format.FP32: (
        *(0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x0080_0000, 0x8080_0000, 0x3F80_0000),
        *(0xBF80_0000, 0x7F7F_FFFF, 0xFF7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000),
        *(0x7F80_0001, 0x3380_0000, 0x4B80_0000, 0x3F80_0001),
    ),
}
"""Bit patterns at the edges of each format."""


def device(
    shape: Shape,
    *,
    with_fp: bool = True,
    with_links: bool = True,
    with_se: bool = True,
    one_memory: bool = True,
    fast_minmax: bool = True,
) -> ReductionEngine:
    """An engine."""
    return ReductionEngine(
        config=ReConfig(banks=shape.banks, fast_minmax=fast_minmax),
        columns=shape.columns,
        tile_rows=shape.rows,
        word_bytes=shape.word_bytes,
        address_width=shape.address_width,
        with_fp=with_fp,
        with_links=with_links,
        with_se=with_se,
        with_inject=True,
        one_memory=one_memory,
    )


def random_rows(label: str, n_rows: int, fmt: Format) -> NDArray[np.uint32]:
    """Rows of random values of one format, a third of them corners."""
    rng = numpy_rng(label)
    shape = (n_rows, SHAPE.columns)
    values = rng.integers(0, 1 << 32, shape, dtype=np.uint32)
    if fmt is Format.FP32:
        # Near exponents, so that sums round and cancel.
        near = (rng.standard_normal(shape) * 2.0 ** rng.integers(-2, 26, shape)).astype(np.float32)
        values = np.where(rng.random(shape) < 0.8, near.view(np.uint32), values)
    corners = rng.choice(np.array(CORNERS[fmt], np.uint32), shape)
    return np.where(rng.random(shape) < 0.3, corners, values).astype(np.uint32)


_NO_ROW = dict.fromkeys(("bank", "row", "overwrite", "is_float", "close", "done"), 0)


@dataclass(kw_only=True)
class Visit:
    """One visit of a bank by the DPE: its rows and what it does with them."""

    bank: int
    partial: NDArray[np.uint32]
    fmt: Format
    needs: BankState
    overwrite: bool
    last: bool
    done: bool = True


class DpeModel:
    """Opens banks and sends rows as the DPE does."""

    def __init__(self, bench: Bench, latency: int, pauses: Pauses) -> None:
        self.bench = bench
        self.latency = latency
        self.pauses = pauses
        self.row_cycles: list[int] = []
        self._layout = bank_row_layout(SHAPE.columns, SHAPE.banks, SHAPE.rows)
        self._rng = python_rng("dpe")
        self._pins = {
            name: bench.port(name)
            for name in (
                "rows__valid",
                "rows__payload",
                "banks__visit",
                "banks__bank",
                "banks__last",
                "banks__states",
            )
        }
        self._sent: dict[tuple[int, int], int] = {}
        self._visited: dict[int, int] = {}
        self._lead = row_lead(bench_parameters()["with_fp"])
        self.reset()
        bench.add(self)

    def reset(self) -> None:
        """Forget all visits."""
        self._visits: deque[Visit] = deque()
        self._rows: deque[tuple[Visit, int]] = deque()
        self._values: deque[list[int] | None] = deque([None] * self._lead)
        for name in ("rows__valid", "banks__visit"):
            self._pins[name].value = 0

    def send(self, *visits: Visit) -> None:
        """Queue visits."""
        self._visits.extend(visits)

    @property
    def idle(self) -> bool:
        """Everything was sent."""
        return not self._visits and not self._rows and not any(self._values)

    def states(self) -> list[BankState]:
        """States of the banks in this cycle."""
        bits = self._pins["banks__states"].value.to_unsigned()
        return [BankState(bits >> 3 * bank & 7) for bank in range(SHAPE.banks)]

    def sample(self, cycle: int) -> None:
        """Nothing comes back but states."""

    def drive(self) -> None:
        """Start a visit when the last one ends, and send a row."""
        now = self.bench.cycle
        self._pins["banks__visit"].value = 0
        head = self._next_row(now)
        values = self._values.popleft()
        if head is None and values is None:
            self._pins["rows__valid"].value = 0
            return
        item = (head or _NO_ROW) | {"values": values or self._noise()}
        self._pins["rows__valid"].value = int(head is not None)
        self._pins["rows__payload"].value = pack(self._layout, item)

    def _noise(self) -> list[int]:
        """Values that belong to no row."""
        return [self._rng.getrandbits(32) for _ in range(SHAPE.columns)]

    def _next_row(self, now: int) -> dict[str, int] | None:
        """The row that goes in this cycle, without its values, which follow."""
        if self._visits and len(self._rows) <= 1 and self._may_start(self._visits[0], now):
            visit = self._visits.popleft()
            self._visited[visit.bank] = now
            self._pins["banks__visit"].value = 1
            self._pins["banks__bank"].value = visit.bank
            self._pins["banks__last"].value = int(visit.last)
            fresh = not self._rows
            self._rows.extend((visit, row) for row in range(len(visit.partial)))
            if fresh:
                self._values.append(None)
                return None
        if not self._rows or self.pauses(self._rng):
            self._values.append(None)
            return None
        visit, row = self._rows.popleft()
        self._values.append([int(v) for v in visit.partial[row]])
        self._sent[visit.bank, row] = now
        self.row_cycles.append(now)
        return {
            "bank": visit.bank,
            "row": row,
            "overwrite": int(visit.overwrite),
            "is_float": int(visit.fmt is Format.FP32),
            "close": int(visit.last and row == len(visit.partial) - 1),
            "done": int(visit.done),
        }

    def _may_start(self, visit: Visit, now: int) -> bool:
        # A visit shows in the states 2 cycles later.
        if now < self._visited.get(visit.bank, -2) + 2:
            return False
        if self.states()[visit.bank] is not visit.needs:
            return False
        if any(waiting.bank == visit.bank for waiting, _ in self._rows):
            return len(visit.partial) >= self.latency and len(self._rows) <= 1
        # Row r goes out r + 1 cycles from now at the earliest.
        return all(
            now + 1 + row >= self._sent.get((visit.bank, row), -99) + self.latency
            for row in range(len(visit.partial))
        )


class LsReader:
    """Local memory behind the preload's read slot: refuses at random, answers in two cycles."""

    def __init__(self, bench: Bench, pauses: Pauses) -> None:
        signature = LsReadPort(address_width=SHAPE.address_width, word_bytes=SHAPE.word_bytes)
        self.shape = signature.members["response"].signature.members["payload"].shape
        self.memory: dict[int, bytes] = {}
        self.wrong: dict[int, int] = {}
        self.requests = StreamSink(bench, "ls_in__request", None, pauses)
        self._valid = bench.port("ls_in__response__valid")
        self._payload = bench.port("ls_in__response__payload")
        self._pipe: deque[int | None] = deque([None])
        self._seen = 0
        bench.add(self)

    def reset(self) -> None:
        """Requests under way are lost."""
        self._pipe = deque([None])
        self._seen = len(self.requests.items)
        self._valid.value = 0

    def sample(self, cycle: int) -> None:
        """Take this cycle's request."""
        new = self.requests.items[self._seen :]
        self._seen += len(new)
        self._pipe.append(new[0] if new else None)

    def drive(self) -> None:
        """Answer the request of two cycles ago."""
        address = self._pipe.popleft()
        self._valid.value = int(address is not None)
        if address is not None:
            word = int.from_bytes(self.memory.get(address, bytes(SHAPE.word_bytes)), "little")
            answer = {"data": word, "error": self.wrong.get(address, 0)}
            self._payload.value = pack(self.shape, answer)


class ReBench:
    """The device with everything around it."""

    def __init__(
        self,
        dut: Any,
        *,
        rows: Pauses | None = None,
        ls: Any = always,
        link: Any = always,
        cb: Any = always,
    ) -> None:
        parameters = bench_parameters()
        self.bench = bench = Bench(dut)
        self.dut = dut
        self.latency = parameters["latency"]
        self.buffers = {
            OUT_CB: CbState(base=91, depth=BUFFER_UNITS),
            IN_CB: CbState(base=164, depth=BUFFER_UNITS),
        }
        self.start_buffers()
        self.dpe = DpeModel(bench, self.latency, rows or always())
        self.commands = bench.source("control__command")
        self.completions = bench.monitor("control__completion", Completion)
        port = LsWritePort(address_width=SHAPE.address_width, word_bytes=SHAPE.word_bytes)
        shape = port.members["request"].signature.members["payload"].shape
        self.slots = [bench.sink(f"ls_out__{i}__request", shape, ls()) for i in range(SHAPE.slots)]
        self.reader = LsReader(bench, ls())
        self.cb_out = CbPortModel(bench, "cb_out", self.buffers, pauses=cb())
        self.cb_in = CbPortModel(bench, "cb_in", self.buffers, pauses=cb())
        outputs = ["to_se"] if parameters["with_se"] else []
        inputs = []
        if parameters["with_links"]:
            outputs += ["out_south", "out_east"]
            inputs += ["in_north", "in_west"]
        self.sinks = {name: bench.sink(name, None, link()) for name in outputs}
        self.sources = {name: bench.source(name, None, link()) for name in inputs}
        dut["control__halt"].value = 0
        dut["inject"].value = 0
        self.bench.add(self)
        self.expected: list[list[tuple[int, int, int]]] = [[] for _ in self.slots]
        """By slot, in order: address, data and strobe of every word that must be written."""
        self.seen_states: set[str] = set()

    def reset(self) -> None:
        """Nothing is expected any more."""
        self.forget_writes()

    def sample(self, cycle: int) -> None:
        """Note what the engine says it does."""
        self.seen_states.add(self.status()["state"])
        # A consumer reads what was written at once, a producer refills what was read.
        self.buffers[OUT_CB].claim = self.buffers[OUT_CB].release = self.buffers[OUT_CB].commit
        refill = self.buffers[IN_CB]
        refill.commit = refill.reserve = refill.release + refill.depth

    def start_buffers(self) -> None:
        """Put all pointers where the first commands will wrap."""
        for state in self.buffers.values():
            state.reserve = state.commit = state.claim = state.release = FIRST_UNIT
        self.buffers[IN_CB].commit += BUFFER_UNITS

    def drive(self) -> None:
        """The others drive."""

    def command(self, opcode: Opcode, **fields: int) -> None:
        """Queue a command."""
        self.commands.send(int.from_bytes(encode(opcode, **fields), "little"))

    def trap(self) -> dict[str, int]:
        """The trap report."""
        return unpack(TrapReport, self.dut["control__trap"].value.to_unsigned())

    def status(self) -> dict[str, int]:
        """The status."""
        return unpack(UnitStatus, self.dut["control__status"].value.to_unsigned())

    @property
    def idle(self) -> bool:
        """The unit says that it is idle."""
        return bool(self.dut["control__idle"].value)

    async def complete(self, n: int, limit: int = 20_000) -> None:
        """Wait for the n-th completion since the start of the test."""
        await self.bench.until(lambda: len(self.completions.items) >= n, limit)
        await self.bench.wait(1)

    def expect_row(self, address: int, values: NDArray[np.uint32]) -> None:
        """A row must be written from a word address on, wrapped in the buffer."""
        size, buffer = SHAPE.word_bytes, self.buffers[OUT_CB]
        data = values.astype("<u4").tobytes()
        for number in range(-(-len(data) // size)):
            word = data[number * size : (number + 1) * size]
            place = address + number
            if place >= (buffer.base + buffer.depth) * 64 // size:
                place -= buffer.depth * 64 // size
            strobe = (1 << len(word)) - 1
            self.expected[number].append((place, int.from_bytes(word, "little"), strobe))

    def check_writes(self) -> None:
        """Every slot has written what was expected, in order."""
        for number, (slot, expected) in enumerate(zip(self.slots, self.expected, strict=True)):
            found = []
            for item in slot.items:
                strobe = item["strobe"]
                kept = sum(0xFF << 8 * i for i in range(SHAPE.word_bytes) if strobe >> i & 1)
                found.append((item["address"], item["data"] & kept, strobe))
            check_equal(found, expected, f"word of slot {number}")
        self.forget_writes()

    def forget_writes(self) -> None:
        """Start anew."""
        for slot in self.slots:
            slot.items.clear()
            slot.cycles.clear()
        self.expected = [[] for _ in self.slots]


def link_row(values: NDArray[np.uint32]) -> int:
    """A row as the payload of a link."""
    return int.from_bytes(values.astype("<u4").tobytes(), "little")
