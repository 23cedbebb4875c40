# SPDX-License-Identifier: Apache-2.0
"""The layout unit's surroundings: local memory, circular buffers, the dot-product engine."""

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from hw.arch.commands import Opcode, decode, encode
from hw.iface.pe import Completion, LsReadPort, LsWritePort, TrapReport, UnitStatus
from hw.pe.mlu import MemoryLayoutUnit
from sim.golden.address import Buffer, Step
from sim.golden.mlu import LayoutCommand, layout
from tb.common.cb_table import CbPortModel, CbState
from tb.common.payload import pack, unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, numpy_rng
from tb.common.stream import Bench, StreamSink, always, check_equal

__all__ = [
    "LS_LATENCY",
    "SIZES",
    "SOURCE_CB",
    "TARGET_CB",
    "FreeCbPort",
    "MluBench",
    "run_layout_bench",
]

SIZES = {"tiny": (8, 11), "full": (32, 12), "narrow": (4, 12)}
"""Bytes of a word and bits of its address, by name."""
LS_LATENCY = {"tiny": 2, "full": 2, "narrow": 3}
"""Cycles from a granted read to its answer: 3 with a stage before the banks."""
SOURCE_CB, TARGET_CB = 5, 9


def run_layout_bench(size: str, test_module: str, **parameters: Any) -> None:
    """Build the unit of one size and run the tests of a module; one build for all modules."""
    word_bytes, address_width = SIZES[size]
    run_bench(
        MemoryLayoutUnit(word_bytes=word_bytes, address_width=address_width),
        name=f"mlu_{size}",
        test_module=test_module,
        parameters={"size": size, **parameters},
        public=("clock_gate.open",),
    )


class FreeCbPort(CbPortModel):
    """Grants every step, whatever its buffer holds, after pauses."""

    def _allows(self) -> bool:
        return self._acquire.valid and not self._acquire.ready and not self._pauses(self._rng)


class LocalMemory:
    """Local memory behind one read and one write slot; `wrong` holds bytes with wrong parity."""

    def __init__(self, bench: Bench, word_bytes: int, address_width: int, pauses: Any) -> None:
        self.word_bytes = word_bytes
        self.data = numpy_rng("local memory").integers(0, 256, word_bytes << address_width)
        self.data = self.data.astype(np.uint8)
        self.wrong: set[int] = set()
        sizes = {"address_width": address_width, "word_bytes": word_bytes}
        self._response = LsReadPort(**sizes).members["response"].signature.members["payload"].shape
        write = LsWritePort(**sizes).members["request"].signature.members["payload"].shape
        self.reads = StreamSink(bench, "ls_in__request", None, pauses())
        self.writes = StreamSink(bench, "ls_out__request", write, pauses())
        self._valid = bench.port("ls_in__response__valid")
        self._payload = bench.port("ls_in__response__payload")
        self.reset()
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Do what the last edge granted: reads see the writes of earlier cycles."""
        new = self.reads.items[self._n_reads :]
        self._n_reads += len(new)
        self._answers.append(self._read(new[0]) if new else None)
        for item in self.writes.items[self._n_writes :]:
            assert item["strobe"], "a word is written without a byte"
            lanes = [i for i in range(self.word_bytes) if item["strobe"] >> i & 1]
            word = item["data"].to_bytes(self.word_bytes, "little")
            for lane in lanes:
                self.data[item["address"] * self.word_bytes + lane] = word[lane]
        self._n_writes = len(self.writes.items)

    def drive(self) -> None:
        """Answers come `LS_LATENCY` cycles after their request."""
        answer = self._answers.popleft()
        self._valid.value = int(answer is not None)
        if answer is not None:
            self._payload.value = pack(self._response, answer)

    def reset(self) -> None:
        """Forget the answers under way."""
        latency = LS_LATENCY[bench_parameters()["size"]]
        self._answers: deque[dict[str, int] | None] = deque([None] * (latency - 1))
        self._n_reads, self._n_writes = len(self.reads.items), len(self.writes.items)
        self._valid.value = 0

    def _read(self, word: int) -> dict[str, int]:
        at = word * self.word_bytes
        lanes = range(self.word_bytes)
        return {
            "data": int.from_bytes(self.data[at : at + self.word_bytes].tobytes(), "little"),
            "error": sum((at + lane in self.wrong) << lane for lane in lanes),
        }


class MluBench:
    """The device with everything around it, and what must come of the commands sent."""

    def __init__(
        self,
        dut: Any,
        *,
        pauses: Any = always,
        cb_pauses: Any = None,
        strict: dict[int, CbState] | None = None,
    ) -> None:
        self.dut, self.bench = dut, Bench(dut)
        self.word_bytes, self.address_width = SIZES[bench_parameters()["size"]]
        self.local = LocalMemory(self.bench, self.word_bytes, self.address_width, pauses)
        self.expected = self.local.data.copy()
        units = len(self.local.data) // 64
        depth = units // 2 - 5
        self.buffers = strict or {
            SOURCE_CB: CbState(base=2, depth=depth, claim=depth - 1, release=depth - 1),
            TARGET_CB: CbState(base=units - depth, depth=depth, reserve=7, commit=7),
        }
        self.places = {
            SOURCE_CB: self._place(SOURCE_CB, "claim"),
            TARGET_CB: self._place(TARGET_CB, "reserve"),
        }
        self.cb = {}
        for name in ("in", "out"):
            ports = (CbPortModel if strict else FreeCbPort, f"cb_{name}", self.buffers)
            self.cb[name] = ports[0](
                self.bench,
                *ports[1:],
                pauses=(cb_pauses or always)(),
                eager=cb_pauses is None and not strict,
            )
        self.commands = self.bench.source("control__command")
        self.completions = self.bench.monitor("control__completion", Completion)
        self.to_dpe = {
            target: self.bench.sink(f"to_dpe_{name}", None, pauses())
            for target, name in ((1, "a"), (2, "b"))
        }
        dut["control__halt"].value = 0
        self.steps: dict[str, list[Step]] = {"in": [], "out": []}
        self.n_words: dict[str, list[int]] = {"in": [], "out": []}
        self.writes: list[tuple[int, int, int]] = []
        self.sends: dict[int, list[int]] = {1: [], 2: []}
        self.tags: list[int] = []
        self._n_dones = {"in": 0, "out": 0}
        self.bench.add(self)

    def _place(self, cb: int, pointer: str) -> Buffer:
        state = self.buffers[cb]
        return Buffer(
            base=state.base, depth=state.depth, pointer=getattr(state, pointer) % state.depth
        )

    def send(self, **fields: int) -> LayoutCommand:
        """Queue a command, and note what it must do."""
        fields.setdefault("tag", len(self.tags) + 100)
        data = encode(Opcode.LAYOUT, **{"src_cb": SOURCE_CB, "cb": TARGET_CB, **fields})
        self.commands.send(int.from_bytes(data, "little"))
        command = LayoutCommand(decode(data)[1], self.word_bytes)
        self.tags.append(fields["tag"])
        if command.illegal() is None:
            self._expect(command)
        return command

    def send_wrong(self, **fields: int) -> None:
        """Queue a command that traps before it does anything."""
        data = encode(Opcode.LAYOUT, **{"src_cb": SOURCE_CB, "cb": TARGET_CB, **fields})
        self.commands.send(int.from_bytes(data, "little"))

    def start_again(self) -> None:
        """After a reset: forget what was expected; buffers are empty where they were."""
        for name, cb, pointer in (("in", SOURCE_CB, "claim"), ("out", TARGET_CB, "reserve")):
            for kept in (self.steps[name], self.n_words[name]):
                kept.clear()
            self.cb[name].acquires.clear()
            self.cb[name].dones.clear()
            self.cb[name].reset()
            self._n_dones[name] = 0
            state = self.buffers[cb]
            state.reserve = state.commit = state.claim = state.release = getattr(state, pointer)
            self.places[cb] = self._place(cb, pointer)
        sinks = (self.local.reads, self.local.writes, *self.to_dpe.values())
        for stream in (*sinks, self.completions):
            stream.items.clear()
            stream.cycles.clear()
        self.local.reset()
        for kept in (self.writes, self.tags, *self.sends.values()):
            kept.clear()
        self.expected[:] = self.local.data

    def _expect(self, command: LayoutCommand) -> None:
        places = {cb: replace(place) for cb, place in self.places.items()}
        result = layout(command.fields, self.expected, self.places, self.word_bytes)
        runs = list(command.runs())
        for name, steps, prefix in (
            ("in", result.source_steps, "src_"),
            ("out", result.target_steps, ""),
        ):
            cb = command.fields[f"{prefix}cb"]
            self._expect_steps(name, steps, runs, places[cb])
        if not command.writes:
            self.sends[command.fields["target"]] += [
                int.from_bytes(word, "little") for word in result.words
            ]

    def _expect_steps(self, name: str, steps: list[Step], runs: list, place: Buffer) -> None:
        """Words of each step; for the way out, the words themselves."""
        runs = list(runs)
        for step in steps:
            pointer, n_words = place.pointer * 64, 0
            for _ in step.addresses:
                run = runs.pop(0)
                offsets = run.source if name == "in" else run.target
                where = place.base * 64 + (pointer + offsets) % (place.depth * 64)
                first = np.flatnonzero(where % self.word_bytes == 0)
                starts = sorted({0, *(int(i) for i in first)})
                n_words += len(starts)
                if name == "out":
                    self._expect_words(where, starts)
            place.pointer = (place.pointer + step.advance) % place.depth
            self.steps[name].append(step)
            self.n_words[name].append(n_words)

    def _expect_words(self, where: np.ndarray, starts: list[int]) -> None:
        for begin, end in zip(starts, [*starts[1:], len(where)], strict=True):
            lanes = where[begin:end] % self.word_bytes
            self.writes.append(
                (int(where[begin]) // self.word_bytes, sum(1 << int(i) for i in lanes), end - begin)
            )

    def sample(self, cycle: int) -> None:
        """No step may be reported before all of its words are read (written)."""
        for name, moved in (("in", self.local.reads), ("out", self.local.writes)):
            dones = self.cb[name].dones
            while self._n_dones[name] < len(dones):
                self._n_dones[name] += 1
                advancing = [i for i, step in enumerate(self.steps[name]) if step.advance]
                last = advancing[self._n_dones[name] - 1]
                assert len(moved.items) >= sum(self.n_words[name][: last + 1]), (
                    f"step {last} of cb_{name} was reported too early"
                )

    def drive(self) -> None:
        """The others drive."""

    def reset(self) -> None:
        """Nothing here is under way."""

    async def finish(self, limit: int = 20_000) -> None:
        """Wait for all commands, and compare everything."""
        await self.bench.until(lambda: len(self.completions.items) >= len(self.tags), limit)
        await self.bench.until(lambda: self.idle, 100)
        check_equal([item["tag"] for item in self.completions.items], self.tags, "tag")
        for name, steps in self.steps.items():
            asked = [(item["extent"], item["advance"]) for item in self.cb[name].acquires]
            check_equal(asked, [(s.extent, s.advance) for s in steps], f"acquire of cb_{name}")
            reported = [item["advance"] for item in self.cb[name].dones]
            check_equal(reported, [s.advance for s in steps if s.advance], f"done of cb_{name}")
        assert len(self.local.reads.items) == sum(self.n_words["in"])
        written = [(item["address"], item["strobe"]) for item in self.local.writes.items]
        check_equal(written, [item[:2] for item in self.writes], "written word")
        for target, words in self.sends.items():
            check_equal(self.to_dpe[target].items, words, f"word for operand {target}")
        wrong = np.flatnonzero(self.local.data != self.expected)
        assert not wrong.size, f"{wrong.size} bytes are wrong, the first at {wrong[0]}"

    @property
    def idle(self) -> bool:
        """The unit says that it is idle."""
        return bool(int(self.dut["control__idle"].value))

    def trap(self) -> dict[str, Any]:
        """The trap report."""
        return unpack(TrapReport, self.dut["control__trap"].value.to_unsigned())

    def status(self) -> dict[str, Any]:
        """The status."""
        return unpack(UnitStatus, self.dut["control__status"].value.to_unsigned())
