# SPDX-License-Identifier: Apache-2.0
"""A slice with a cache, DRAM behind it, and the checks that its benches share."""

import dataclasses
from typing import Any

from hw.arch.cache import CACHE_EVENTS, CacheOp
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.mem.cache.cached_slice import CachedSlice
from hw.mem.cache.shape import CacheShape
from hw.mem.sram_slice import EccFault
from sim.golden.cache import CacheModel
from tb.common.memory import MemoryModel, payload_shapes
from tb.common.seeds import python_rng
from tb.common.stream import BACK_PRESSURE, Bench, Pauses, always, sometimes

__all__ = ["N_LINES", "N_SETS", "N_WAYS", "TAG_WIDTH", "CacheDevice", "cached_slice"]

N_LINES, N_SETS, N_WAYS, TAG_WIDTH = 128, 4, 8, 6
_SLOTS = {16: (8, 4), 64: (32, 16)}
"""By bytes of a line: lines fetched and lines written back at a time."""


def cached_slice(link_bytes: int) -> CachedSlice:
    """The device: a cache of 32 lines at most, in front of 128."""
    slots, places = _SLOTS[link_bytes]
    return CachedSlice(
        shape=CacheShape(
            n_lines=N_LINES,
            slice_lines=N_SETS * N_WAYS,
            n_ways=N_WAYS,
            link_bytes=link_bytes,
            tag_width=TAG_WIDTH,
        ),
        slots=slots,
        places=places,
    )


@dataclasses.dataclass
class _Write:
    """A write to some bytes of a line, from its request to its acknowledgement."""

    data: bytes
    strobe: int
    begin: int
    end: int


class CacheDevice:
    """The device with its agents."""

    def __init__(
        self,
        dut: Any,
        *,
        line: int,
        pauses: str = "none",
        latency: int = 6,
        shuffle: bool = True,
        dram_pauses: Pauses | None = None,
    ) -> None:
        self.bench, self.line = Bench(dut), line
        self.full = (1 << line) - 1
        self.slots, self.places = _SLOTS[line]
        self.rng = python_rng("cache")
        source, sink = BACK_PRESSURE[pauses]
        read = payload_shapes(MemoryReadPort(link_bytes=line, tag_width=TAG_WIDTH))
        write = payload_shapes(MemoryWritePort(link_bytes=line, tag_width=TAG_WIDTH))
        bench = self.bench
        self.dram = MemoryModel(
            bench,
            "dram",
            link_bytes=line,
            tag_width=cached_slice(line).dram_tag_width,
            size=N_LINES * line,
            latency=latency,
            shuffle=shuffle,
            read="dram_read",
            write="dram_write",
            pauses=dram_pauses or (always() if pauses in ("none", "source") else sometimes()),
        )
        self.asked = bench.monitor("dram_read__request")
        self.reads = bench.source("cached_read__request", read[0], source())
        self.writes = bench.source("cached_write__request", write[0], source())
        self.answers = bench.sink("cached_read__response", read[1], sink())
        self.acks = bench.sink("cached_write__response", write[1], sink())
        self.sram_reads = bench.source("read__request", read[0], source())
        self.sram_writes = bench.source("write__request", write[0], source())
        self.sram_answers = bench.sink("read__response", read[1], sink())
        self.sram_acks = bench.sink("write__response", write[1], sink())
        self.faults = bench.source("inject", EccFault)
        self.counts = dict.fromkeys(CACHE_EVENTS, 0)
        self.lost = self.failed = 0
        self.history: dict[int, list[_Write]] = {}
        self._begun = b""
        self._n_reads = self._n_writes = 0
        self._set("clear", 0)
        for name in ("ways", "start", "op", "first", "last"):
            self._set(f"control__{name}", 0)
        bench.add(self)

    def _set(self, name: str, value: int) -> None:
        self.bench.dut[name].value = value

    def _get(self, name: str) -> int:
        return int(self.bench.dut[name].value)

    def sample(self, cycle: int) -> None:
        """Count events."""
        events = self._get("events")
        for bit, name in enumerate(CACHE_EVENTS):
            self.counts[name] += events >> bit & 1
        self.lost += self._get("control__lost")
        self.failed += self._get("control__failed")

    def drive(self) -> None:
        """Pins are set by who uses them."""

    def reset(self) -> None:
        """Counting begins anew."""
        self.counts = dict.fromkeys(CACHE_EVENTS, 0)
        self.lost = self.failed = 0

    async def start(self) -> None:
        """Reset, and write zero to the slice."""
        await self.bench.start()
        await self.clear()

    async def clear(self) -> None:
        """Fill the scratchpad with zeros."""
        self._set("clear", 1)
        await self.bench.wait(1)
        self._set("clear", 0)
        await self.bench.wait(1)
        await self.bench.until(lambda: not self._get("clearing"))

    async def ready(self) -> int:
        """Wait until the cache has done what it was told; the cycles that it took."""
        await self.bench.wait(1)
        return await self.bench.until(lambda: not self._get("control__busy"), limit=20_000)

    async def set_ways(self, n_ways: int) -> int:
        """Change the number of ways."""
        self._set("control__ways", n_ways)
        return await self.ready()

    async def begin(self, op: CacheOp, first: int, last: int) -> None:
        """Give a command."""
        for name, value in (("op", op), ("first", first), ("last", last), ("start", 1)):
            self._set(f"control__{name}", int(value))
        await self.bench.wait(1)
        self._set("control__start", 0)

    async def command(self, op: CacheOp, first: int = 0, last: int = N_LINES - 1) -> int:
        """Give a command and wait for its end."""
        await self.begin(op, first, last)
        return await self.ready()

    def model(self) -> CacheModel:
        """A model of an empty cache in front of what DRAM holds now."""
        return CacheModel(memory=bytearray(self.dram.data), line_bytes=self.line)

    def strobe(self) -> int:
        """All bytes, a word, or any."""
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.full
        word = 8 * self.rng.randrange(self.line // 8)
        return 0xFF << word if kind == 1 else self.rng.getrandbits(self.line)

    def send_read(self, line: int, tag: int = 0) -> None:
        """Ask for a line of DRAM."""
        self.reads.send({"address": line * self.line, "tag": tag})

    def send_write(self, line: int, data: bytes, strobe: int, tag: int = 0) -> None:
        """Write to a line of DRAM."""
        value = int.from_bytes(data, "little")
        self.writes.send({"address": line * self.line, "data": value, "strobe": strobe, "tag": tag})

    async def read(self, line: int) -> dict[str, int]:
        """The answer to a read."""
        self.send_read(line)
        return (await self.answers.receive(1))[0]

    async def read_data(self, line: int) -> bytes:
        """The data of a read that goes well."""
        answer = await self.read(line)
        assert not answer["error"] and not answer["poison"]
        return answer["data"].to_bytes(self.line, "little")

    async def write(self, line: int, data: bytes, strobe: int) -> None:
        """Write and wait for the acknowledgement."""
        self.send_write(line, data, strobe)
        assert not (await self.acks.receive(1))[0]["error"]

    async def traffic(self, lines: list[int], n: int, share_reads: float = 0.5) -> None:
        """Random accesses to these lines, all under way at once; then all answers are checked."""
        begin_r, begin_w = len(self.reads.items), len(self.writes.items)
        for _ in range(n):
            line = self.rng.choice(lines)
            if self.rng.random() < share_reads:
                self.send_read(line, self._n_reads % (1 << TAG_WIDTH))
                self._n_reads += 1
            else:
                data, tag = self.rng.randbytes(self.line), self._n_writes % (1 << TAG_WIDTH)
                self.send_write(line, data, self.strobe(), tag)
                self._n_writes += 1
        await self.reads.drained()
        await self.writes.drained()
        answers = await self.answers.receive(len(self.reads.items) - begin_r)
        acks = await self.acks.receive(len(self.writes.items) - begin_w)
        self._record(begin_w, acks)
        self._check(begin_r, answers)

    def _record(self, begin: int, acks: list[dict[str, int]]) -> None:
        """Enter writes, by their tags, into the history of their lines."""
        assert not any(ack["error"] for ack in acks)
        cycles = self.acks.cycles[len(self.acks.cycles) - len(acks) :]
        ends = {ack["tag"]: cycle for ack, cycle in zip(acks, cycles, strict=True)}
        for item, cycle in zip(self.writes.items[begin:], self.writes.cycles[begin:], strict=True):
            known = self.history.setdefault(item["address"] // self.line, self._first(item))
            data = item["data"].to_bytes(self.line, "little")
            known.append(_Write(data, item["strobe"], cycle, ends[item["tag"]]))

    def _first(self, item: dict[str, int]) -> list[_Write]:
        """What was there before all writes."""
        offset = item["address"]
        return [_Write(self._begun[offset : offset + self.line], self.full, -2, -1)]

    def remember(self) -> None:
        """DRAM's contents are what readers see first."""
        self._begun = bytes(self.dram.data)
        self.history = {}

    def _check(self, begin: int, answers: list[dict[str, int]]) -> None:
        """Each byte is one that a write has left which no later one is sure to have replaced."""
        if not answers:
            return
        ends = self.answers.cycles[-len(answers) :]
        told = {a["tag"]: (a, end) for a, end in zip(answers, ends, strict=True)}
        assert len(told) == len(answers), "tags came twice"
        for item, asked in zip(self.reads.items[begin:], self.reads.cycles[begin:], strict=True):
            answer, end = told[item["tag"]]
            assert not answer["error"] and not answer["poison"]
            found = answer["data"].to_bytes(self.line, "little")
            known = self.history.get(item["address"] // self.line, self._first(item))
            for at in range(self.line):
                allowed = self._allowed(known, at, asked, end)
                assert found[at] in allowed, (
                    f"line {item['address'] // self.line} byte {at}: {found[at]:#x}, not one of"
                    f" {[hex(value) for value in allowed]}"
                )

    @staticmethod
    def _allowed(known: list[_Write], at: int, asked: int, end: int) -> set[int]:
        """Values that a read from `asked` to `end` may show."""
        writes = [w for w in known if w.strobe >> at & 1 and w.begin <= end]
        newest = max(w.begin for w in writes if w.end < asked)
        return {w.data[at] for w in writes if w.end >= newest or w.begin >= newest}

    def check_memory(self) -> None:
        """DRAM holds what was written last, as nothing is under way or in the cache."""
        for line, known in self.history.items():
            for at in range(self.line):
                allowed = self._allowed(known, at, self.bench.cycle + 1, self.bench.cycle + 1)
                assert self.dram.data[line * self.line + at] in allowed, f"line {line} byte {at}"
