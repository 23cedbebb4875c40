# SPDX-License-Identifier: Apache-2.0
"""The fabric interface's surroundings: memory, local memory, circular buffers, commands."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hw.arch.commands import ScatterMode
from hw.arch.csr import N_RANGES
from hw.iface.limits import FabricLimits
from hw.iface.pe import Completion, TrapReport, UnitStatus
from hw.pe.fi import FabricInterface
from hw.pe.fi.geometry import Sharing
from sim.golden.address import Buffer
from sim.golden.dma import Dma, Run, runs
from sim.golden.indexed import Indexed, add_row, index_place, indexed_runs
from tb.common.cb_table import CbPortModel, CbState
from tb.common.local_memory import LocalMemorySlots
from tb.common.memory import MemoryModel
from tb.common.payload import pack, unpack
from tb.common.seeds import python_rng
from tb.common.stream import Bench, Pauses, always
from tb.unit.fi.programs import command_bits, indexed_bits, signal_fields

__all__ = [
    "ENGINES",
    "INDEX_PORTS",
    "SIZES",
    "Engine",
    "Setting",
    "fabric_interface",
]

SIZES = {
    "tiny": {
        "link_bytes": 16,
        "ls_bytes": 16384,
        "reads_in_flight": 8,
        "writes_in_flight": 32,
    },
    "full": {
        "link_bytes": 64,
        "ls_bytes": 131072,
        "reads_in_flight": 32,
        "writes_in_flight": 32,
    },
}
ENGINES = ("fi_in_row", "fi_in_col", "fi_out")
MEMORY_BASE = 0x12_3456_0000
MEMORY_SIZE = 1 << 16
INDEX_PORTS = {"fi_in_row": "fi_in_index", "fi_out": "fi_out_index"}
"""Port of the index lists of those engines that have any."""
EVERYTHING = {"first": 0, "last": 0xFFFF_FFFF, "may_read": 1, "may_write": 1}
NOTHING = dict.fromkeys(EVERYTHING, 0)


def fabric_interface(size: str, sharing: Sharing | None = None) -> FabricInterface:
    """The device of one size."""
    return FabricInterface(**SIZES[size], sharing=sharing)


@dataclass
class _Step:
    """A step as the golden model sees it."""

    job: Dma | Indexed
    advance: int
    runs: list[Run] = field(default_factory=list)


class Engine:
    """One engine's commands, its CB port, and what the other side of its buffers does.

    In: each commit is checked against local memory, then the room is released. Out: what a step
    has to write is noted when it is granted; released bytes are scribbled over and committed.
    """

    def __init__(
        self,
        setting: "Setting",
        name: str,
        buffers: dict[int, CbState],
        pauses: Pauses,
        eager: bool,
    ) -> None:
        bench = setting.bench
        self.name, self.setting, self.buffers = name, setting, buffers
        self.is_out = name == "fi_out"
        self.table = CbPortModel(bench, f"cb_{name}", buffers, pauses=pauses, eager=eager)
        self.lists: dict[int, CbState] = setting.buffers.get(INDEX_PORTS.get(name, ""), {})
        if name in INDEX_PORTS:
            port = f"cb_{INDEX_PORTS[name]}"
            self.list_table = CbPortModel(bench, port, self.lists, pauses=pauses)
        self.commands = bench.source(f"{name}__command", pauses=pauses)
        self.completions = bench.monitor(f"{name}__completion", Completion)
        self.tags: list[int] = []
        self._pauses, self._rng = pauses, python_rng(f"engine {name}")
        self._places = {cb: Buffer(base=s.base, depth=s.depth) for cb, s in buffers.items()}
        self._steps: list[_Step] = []
        self._n_granted = self._n_done = self._n_dones = 0
        self._to_turn: list[_Step] = []
        bench.port(f"{name}__halt").value = 0
        bench.add(self)

    def send(
        self,
        job: Dma | Indexed,
        tag: int,
        indices: Sequence[int] = (),
        group: int | None = None,
    ) -> None:
        """Queue a command, and what it has to do; its list is put into local memory."""
        place, word_bytes = self._places[job.nest.cb], self.setting.word_bytes
        if isinstance(job, Indexed):
            self._put_list(job, indices)
            found = indexed_runs(job, indices, place, word_bytes)
            bits = indexed_bits(job, out=self.is_out, tag=tag)
        else:
            found = runs(job, place, word_bytes)
            column = self.name == "fi_in_col"
            bits = command_bits(job, out=self.is_out, column=column, tag=tag, group=group)
        step = _Step(job, 0)
        for run in found:
            step.runs.append(run)
            if run.step_end:
                step.advance = run.advance
                self._steps.append(step)
                step = _Step(job, 0)
        self.tags.append(tag)
        self.commands.send(bits)

    def _put_list(self, job: Indexed, indices: Sequence[int]) -> None:
        """Write a list behind those that wait, and commit it."""
        state = self.lists[job.index_cb]
        assert state.reserve + job.index_need - state.release <= state.depth, "no room for a list"
        buffer = Buffer(base=state.base, depth=state.depth, pointer=state.reserve % state.depth)
        for number, index in enumerate(indices):
            at = index_place(job, buffer, number)
            self.setting.local.data[at : at + 4] = index.to_bytes(4, "little")
        state.commit = state.reserve + job.index_need
        state.reserve += job.index_adv

    async def done(self) -> None:
        """Wait until every command is complete; check order and signal fields."""
        bench = self.setting.bench
        await bench.until(lambda: len(self.completions.items) >= len(self.tags), 60_000)
        assert [item["tag"] for item in self.completions.items] == self.tags
        for item in self.completions.items:
            assert item == {"tag": item["tag"], **signal_fields(item["tag"])}
        await bench.until(lambda: not self._to_turn and self._n_done >= self._n_advancing(), 2000)
        assert len(self.table.acquires) == len(self._steps)
        if not self.is_out:  # steps at the end that report nothing
            for step in self._steps[self._n_done :]:
                self.setting.check_landed(step.runs)
        self._n_done = len(self._steps)

    def sample(self, cycle: int) -> None:
        """Follow grants and reports."""
        for _ in self.table.acquires[self._n_granted :]:
            step = self._steps[self._n_granted]
            if self.is_out:
                self.setting.expect_writes(step.job, step.runs)
            self._n_granted += 1
        for _ in self.table.dones[self._n_dones :]:
            finished = self._next_done()
            if not self.is_out:
                for step in finished:
                    self.setting.check_landed(step.runs)
            self._to_turn.append(finished)
        self._n_dones = len(self.table.dones)

    def drive(self) -> None:
        """Give room, or new data, some time after a step is done."""
        if not self._to_turn or self._pauses(self._rng):
            return
        finished = self._to_turn.pop(0)
        state = self.buffers[finished[-1].job.nest.cb]
        if not self.is_out:
            state.claim += finished[-1].advance
            state.release += finished[-1].advance
            return
        local = self.setting.local.data
        for step in finished:
            for run in step.runs:
                for move in run.moves:
                    local[move.local] = self._rng.randrange(256)
        state.reserve += finished[-1].advance
        state.commit += finished[-1].advance

    def reset(self) -> None:
        """Nothing is kept here that a reset would change."""

    def _n_advancing(self) -> int:
        """Steps up to the last one that reports."""
        reports = [n + 1 for n, step in enumerate(self._steps) if step.advance]
        return reports[-1] if reports else 0

    def _next_done(self) -> list[_Step]:
        """The steps that the next report covers: the buffer's own up to the next advance."""
        finished = []
        while True:
            step = self._steps[self._n_done]
            self._n_done += 1
            finished.append(step)
            if step.advance:
                return finished


class Setting:
    """Device, memory, local memory and engines."""

    def __init__(
        self,
        dut: Any,
        *,
        size: str = "tiny",
        buffers: dict[str, dict[int, CbState]] | None = None,
        pauses: Any = always,
        eager: bool = False,
        latency: int = 6,
        shuffle: bool = True,
        sharing: Sharing | None = None,
    ) -> None:
        sizes = SIZES[size]
        self.dut, self.bench = dut, Bench(dut)
        self.buffers = buffers or {}
        self.limit()
        self.link_bytes, self.word_bytes = sizes["link_bytes"], sizes["link_bytes"] // 2
        options = {"latency": latency, "shuffle": shuffle, "sharing": sharing}
        self.memory = _Memory(self.bench, sizes, pauses=pauses(), **options)
        self.local = LocalMemorySlots(
            self.bench,
            word_bytes=self.word_bytes,
            size=sizes["ls_bytes"],
            reads=("ls_out__0", "ls_out__1", "ls_index"),
            writes=tuple(f"ls_in__{number}" for number in range(4)),
            pauses=pauses,
        )
        self.expected = bytearray(self.memory.data)
        self.engines = {
            name: Engine(self, name, self.buffers.get(name, {}), pauses(), eager)
            for name in ENGINES
        }

    def byte(self, address: int) -> int:
        """A byte of memory."""
        return self.memory.data[address - MEMORY_BASE]

    def limit(
        self,
        *ranges: dict[str, int],
        read: tuple[int, int] = (0, 0),
        write: tuple[int, int] = (0, 0),
    ) -> None:
        """Set address ranges (none given: everything is allowed), and rates with bursts."""
        entries = [*(ranges or (EVERYTHING,))]
        limits = {
            "ranges": [*entries, *[NOTHING] * (N_RANGES - len(entries))],
            "read": dict(zip(("rate", "burst"), read, strict=True)),
            "write": dict(zip(("rate", "burst"), write, strict=True)),
        }
        self.bench.port("limits").value = pack(FabricLimits, limits)

    def expect_writes(self, job: Dma | Indexed, step: list[Run]) -> None:
        """Note what a granted step has to write."""
        adds = isinstance(job, Indexed) and job.mode is ScatterMode.ADD
        for run in step:
            row = bytes(self.local.data[move.local] for move in run.moves)
            at = run.moves[0].memory - MEMORY_BASE
            there = slice(at, at + len(row))
            self.expected[there] = add_row(self.expected[there], row, job.fmt) if adds else row

    def check_landed(self, step: list[Run]) -> None:
        """Every byte of a committed step is in local memory."""
        for run in step:
            for move in run.moves:
                wanted = 0 if move.memory is None else self.byte(move.memory)
                assert self.local.data[move.local] == wanted, f"commit before {move} landed"

    def trap(self, name: str) -> dict[str, Any]:
        """The trap that an engine shows."""
        return unpack(TrapReport, int(self.bench.port(f"{name}__trap").value))

    def status(self, name: str) -> dict[str, Any]:
        """The status that an engine shows."""
        return unpack(UnitStatus, int(self.bench.port(f"{name}__status").value))

    def idle(self, name: str) -> bool:
        """Whether an engine is idle."""
        return bool(self.bench.port(f"{name}__idle").value)


class _Memory(MemoryModel):
    """Reads and writes have tags of different widths; the model takes one width for both."""

    def __init__(
        self,
        bench: Bench,
        sizes: dict[str, int],
        *,
        latency: int,
        shuffle: bool,
        sharing: Sharing | None,
        pauses: Pauses,
    ) -> None:
        link_bytes = sizes["link_bytes"]
        options = {"size": MEMORY_SIZE, "base": MEMORY_BASE, "latency": latency}
        flights = {name: sizes[name] for name in ("reads_in_flight", "writes_in_flight")}
        shared_reads = sharing.n_lines if sharing else 0
        read_bits, _ = FabricInterface.tag_widths(**flights, shared_reads=shared_reads)
        super().__init__(
            bench,
            "memory",
            link_bytes=link_bytes,
            tag_width=read_bits,
            n_positions=sharing.n_positions if sharing else 0,
            shuffle=shuffle,
            read="memory_read",
            write="none",
            pauses=pauses,
            **options,
        )
        write_bits = (sizes["writes_in_flight"] - 1).bit_length()
        self.write_side = MemoryModel(
            bench,
            "memory",
            link_bytes=link_bytes,
            tag_width=write_bits,
            shuffle=shuffle,
            read="none",
            write="memory_write",
            pauses=pauses,
            **options,
        )
        self.write_side.data = self.data
        self.writes, self.write_side.bad = self.write_side.writes, self.bad


def random_buffers(rng: random.Random, ls_bytes: int) -> dict[str, dict[int, CbState]]:
    """Two buffers for each engine and one for its lists, in parts that do not meet."""
    found: dict[str, dict[int, CbState]] = {}
    n_parts = 2 * len(ENGINES) + len(INDEX_PORTS)
    part = ls_bytes // 64 // n_parts
    places = [(name, half) for name in ENGINES for half in range(2)]
    places += [(name, 0) for name in INDEX_PORTS.values()]
    for number, (name, half) in enumerate(places):
        depth = rng.randint(part // 2, part - 1)
        base = number * part + rng.randint(0, part - 1 - depth)
        commit = depth if name == "fi_out" else 0
        cb = 10 * (number // 2) + half
        found.setdefault(name, {})[cb] = CbState(
            base=base, depth=depth, reserve=commit, commit=commit
        )
    return found
