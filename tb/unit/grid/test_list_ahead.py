# SPDX-License-Identifier: Apache-2.0
"""Lists that are read ahead: each read answered as memory did, whatever becomes of the jobs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest

from hw.grid.list_ahead import ListAhead, QueueEvents
from hw.iface.memory import MemoryReadPort
from tb.common.memory import MemoryModel, payload_shapes
from tb.common.payload import pack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench

TAG_WIDTH, N_LINES = 2, 4
_LEVELS = ("waits", "begins", "leaves", "fails")
SIZE = 1 << 14
N_JOBS = 250
LATENCY = 9  # of memory, where it is even


@dataclass
class Job:
    """A job: its list, and what becomes of it."""

    address: int
    quads: int
    fails: bool = False
    n_reads: int = 1 << 30
    """Reads of its list after which the engine stops."""

    def lines(self, link_bytes: int) -> list[int]:
        """Addresses that the engine reads, in order."""
        first, behind = self.address // link_bytes, self.address + 16 * self.quads
        return [link_bytes * line for line in range(first, -(-behind // link_bytes))]


@dataclass
class Ahead:
    """Requests with the tag of what is read ahead, and slots whose answers are on their way."""

    asked: list[int] = field(default_factory=list)
    on_way: set[int] = field(default_factory=set)


class Device:
    """The component between an engine, a memory, and the queue of an element."""

    def __init__(self, dut: Any, *, pauses: str = "none", shuffle: bool = True) -> None:
        self.dut, self.bench, self.rng = dut, Bench(dut), python_rng("list ahead")
        self.link_bytes = bench_parameters()["link_bytes"]
        source, sink = BACK_PRESSURE[pauses]  # of who asks, and of the memory
        port = MemoryReadPort(link_bytes=self.link_bytes, tag_width=TAG_WIDTH)
        request, answer = payload_shapes(port)
        self.requests = self.bench.source("lists__request", request, source())
        self.answers = self.bench.sink("lists__response", answer)  # never refused
        self.memory = MemoryModel(
            self.bench,
            "memory",
            link_bytes=self.link_bytes,
            tag_width=ListAhead.tag_bits(TAG_WIDTH),
            size=SIZE,
            latency=LATENCY,
            shuffle=shuffle,
            read="memory",
            pauses=sink(),
        )
        sink_of_memory, source_of_memory = self.memory._streams["read"]
        self.to_memory, self.from_memory = sink_of_memory, source_of_memory
        self.ahead = Ahead()
        self._seen_asked = self._seen_come = 0
        self.events(None)
        self.bench.add(self)

    def events(self, job: Job | None, **levels: int) -> None:
        """What happens to jobs in the coming cycle."""
        rng = self.rng  # nobody may look at a list that does not come to wait
        address, quads = (job.address, job.quads) if job else (rng.getrandbits(40), 99)
        found = dict.fromkeys(_LEVELS, 0) | levels
        found["list"] = {"address": address, "quads": quads}
        self.dut["events"].value = pack(QueueEvents, found)

    def line(self, address: int, tag: int) -> dict[str, int]:
        """What a read is to be answered with."""
        data = self.memory.data[address : address + self.link_bytes]
        return {
            "data": int.from_bytes(data, "little"),
            "tag": tag,
            "error": int(address in self.memory.bad),
            "poison": int(address in self.memory.poisoned),
        }

    def sample(self, cycle: int) -> None:
        """Slots: none is asked for again before its answer has come, none refuses it."""
        ahead, source = self.ahead, self.from_memory
        if int(self.dut["rst"].value):
            return
        assert source.ready, f"an answer was refused, in cycle {cycle}"
        for item in source.items[self._seen_come :]:
            if item["tag"] & N_LINES:
                ahead.on_way.remove(item["tag"])
        self._seen_come = len(source.items)
        for item in self.to_memory.items[self._seen_asked :]:
            if item["tag"] & N_LINES:
                assert item["tag"] not in ahead.on_way, f"slot twice on its way, in cycle {cycle}"
                ahead.on_way.add(item["tag"])
                ahead.asked.append(item["address"])
        self._seen_asked = len(self.to_memory.items)

    def drive(self) -> None:
        """Looks only."""

    def reset(self) -> None:
        """What was on its way is lost on both sides."""
        self._seen_asked, self._seen_come = len(self.to_memory.items), len(self.from_memory.items)
        self.ahead.on_way.clear()
        self.events(None)

    def random_job(self) -> Job:
        """A list of any length at any place, with errors in it now and then."""
        rng = self.rng
        quads = rng.choice([0, 1, 2, 5, rng.randrange(80), rng.randrange(80)])
        job = Job(16 * rng.randrange(SIZE // 16 - 96), quads, fails=rng.random() < 0.25)
        if rng.random() < 0.4:
            job.n_reads = rng.randrange(8)
        for line in job.lines(self.link_bytes):
            for lines in (self.memory.bad, self.memory.poisoned):
                if rng.random() < 0.05:
                    lines.add(line)
        return job


class Element:
    """Queue, control and engine of an element: two jobs at most, in order, one list at a time.

    `eager`: jobs come as early as there is room; otherwise after a while.
    """

    def __init__(self, device: Device, jobs: Iterator[Job], *, eager: bool) -> None:
        self.device, self.jobs, self.eager = device, jobs, eager
        self.rng = python_rng("element of list ahead")
        self.queue: list[Job] = []
        self.n_done = self.n_taken_along = self.n_reads = 0
        self.is_over = False
        self._begun = self._stopped = False
        self._rests = self._cold = 0
        self._to_read: list[int] = []
        self._slot = 0
        self._open: dict[int, int] = {}
        self._taking = False  # those behind a failed job leave
        self._seen = len(device.answers.items)
        self._coming: Job | None = None
        device.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Check answers."""
        if self.is_over or int(self.device.dut["rst"].value):
            return
        for item in self.device.answers.items[self._seen :]:
            assert item == self.device.line(self._open.pop(item["tag"]), item["tag"])
            self.n_reads += 1
        self._seen = len(self.device.answers.items)

    def drive(self) -> None:
        """One cycle of an element."""
        if self.is_over:
            return
        levels = dict.fromkeys(_LEVELS, 0)
        first = self.queue[0] if self.queue else None
        if self._taking and first:
            levels |= {"leaves": 1, "fails": 1}
            self.n_taken_along += 1
        elif self._begun:
            assert first is not None
            self._read(first)
            # A job may be done while lines are on their way; one that fails waits for them.
            if self._stopped and (not first.fails or not self._open):
                levels |= {"leaves": 1, "fails": int(first.fails)}
        elif first and not self._open:
            self._rests -= 1
            if self._rests < 0:
                levels["begins"] = 1
                self._begin(first)
        come = self._add(levels)
        if levels["leaves"]:
            self.queue.pop(0)
            self._taking = bool(levels["fails"] and self.queue)
            self._begun, self._rests = False, self.rng.choice([0, 3, 3, 3, self.rng.randrange(20)])
            self.n_done += 1
        self.device.events(come, **levels)

    def _add(self, levels: dict[str, int]) -> Job | None:
        """Let a job come, if there is room and it is time."""
        if self._taking or len(self.queue) == 2 or (not self.eager and self.rng.random() < 0.95):
            return None
        job = next(self.jobs, None)
        if job is None:
            self.is_over = not self.queue and not self._open
            return None
        levels["waits"] = int(bool(self.queue) and not levels["leaves"])
        self.queue.append(job)
        return job

    def _begin(self, job: Job) -> None:
        self._begun, self._slot = True, 0
        self._stopped = not (job.fails or job.quads)
        self._to_read = job.lines(self.device.link_bytes)[: job.n_reads]

    def _read(self, job: Job) -> None:
        """Ask for the next line when its slot is free; consume lines as they come."""
        requests = self.device.requests
        if self._to_read and self._slot not in self._open and not requests._queue:
            line = self._to_read.pop(0)
            self._open[self._slot] = line
            requests.send({"address": line, "tag": self._slot})
            self._slot = (self._slot + 1) % N_LINES
        elif not self._to_read and self.rng.random() < 0.2:
            self._stopped = not requests._queue and not requests._offering

    def reset(self) -> None:
        """All jobs are gone."""
        self.queue.clear()
        self._open.clear()
        self._begun = self._taking = False
        self._seen = len(self.device.answers.items)


@cocotb.test()
async def every_read_is_answered_as_memory_does(dut: Any) -> None:
    """Random lists with errors and poison, late answers in any order, jobs that fail, that stop
    early, and that are taken along; would break if a line were lost, doubled, of another list or
    of a slot whose answer was still to come."""
    device = Device(dut, pauses=bench_parameters()["back_pressure"])
    await device.bench.start()
    for eager in (True, False):
        jobs = iter([device.random_job() for _ in range(N_JOBS)])
        element = Element(device, jobs, eager=eager)
        await device.bench.until(lambda element=element: element.is_over, limit=200_000)
        await device.bench.until(lambda: not device.ahead.on_way, limit=500)
        assert element.n_done == N_JOBS and element.n_reads > 2 * N_JOBS
        assert element.n_taken_along > N_JOBS // 50
    assert len(device.ahead.asked) > N_JOBS // 4
    to_engine = len(device.to_memory.items) - len(device.ahead.asked)
    assert to_engine < len(device.answers.items), "nothing was answered from what was read ahead"


@cocotb.test()
async def reset_in_the_middle_forgets_all(dut: Any) -> None:
    """Reset at any time; would break if a slot stayed taken or a line were of an old list."""
    device = Device(dut, pauses=bench_parameters()["back_pressure"])
    await device.bench.start()
    jobs = (device.random_job() for _ in range(N_JOBS))
    element = Element(device, jobs, eager=True)
    for _ in range(20):
        await device.bench.wait(device.rng.randint(5, 90))
        await device.bench.reset()
    await device.bench.until(lambda: element.is_over, limit=200_000)
    assert element.n_reads > N_JOBS


class Timing:
    """One job works, another waits; when the lines of the second one come."""

    def __init__(self, device: Device, job: Job) -> None:
        self.device, self.job = device, job

    async def pulse(self, **levels: int) -> None:
        """Events of one cycle."""
        self.device.events(self.job if "waits" in levels else None, **levels)
        await self.device.bench.wait(1)
        self.device.events(None)

    async def run(self, wait: int | None) -> list[int]:
        """Cycles from each read of the job to its answer; it begins `wait` cycles after it came to
        wait (None: it comes to an idle element)."""
        device, bench = self.device, self.device.bench
        if wait is not None:
            await self.pulse(begins=1)
            await self.pulse(waits=1)
            await bench.wait(wait)
            await self.pulse(leaves=1)
        await self.pulse(begins=1)
        asked, told = len(device.requests.items), len(device.answers.items)
        lines = self.job.lines(device.link_bytes)[:N_LINES]
        for tag, line in enumerate(lines):
            device.requests.send({"address": line, "tag": tag})
        await bench.until(lambda: len(device.answers.items) == told + len(lines))
        found = device.answers.items[told:]
        for item in found:
            assert item == device.line(lines[item["tag"]], item["tag"])
        came = {item["tag"]: device.answers.cycles[told + at] for at, item in enumerate(found)}
        await self.pulse(leaves=1)
        await bench.wait(3 * LATENCY)
        return [came[tag] - device.requests.cycles[asked + tag] for tag in range(len(lines))]


@cocotb.test()
async def a_line_that_is_here_takes_one_cycle(dut: Any) -> None:
    """At an idle element a read takes what memory takes; behind another job 1 cycle when the lines
    are there, and never more than at an idle one, however late the job came to wait."""
    device = Device(dut, shuffle=False)
    await device.bench.start()
    for quads in (1, 3 * device.link_bytes // 16, 100):
        timing = Timing(device, Job(16 * 20, quads))
        device.ahead.asked.clear()
        alone = await timing.run(None)
        assert len(set(alone)) == 1 and not device.ahead.asked
        n_lines, latency = len(alone), alone[0]
        for wait in range(2 * LATENCY + 8):
            device.ahead.asked.clear()
            took = await timing.run(wait)
            # Line k is asked for k + 2 cycles after its job came to wait, if it still waits then.
            n_asked = min(n_lines, wait + 1)
            assert device.ahead.asked == timing.job.lines(device.link_bytes)[:n_asked]
            # Its read is taken wait + 4 + k cycles after its job came to wait.
            early = latency + 2 - (wait + 4)
            expected = [max(1, early) if k < n_asked else latency for k in range(n_lines)]
            assert took == expected, f"{wait}"


@cocotb.test()
async def a_dropped_list_leaves_its_slots(dut: Any) -> None:
    """The next one is read ahead in full, whenever the first was dropped; would break if a slot
    whose answer nobody wants any more stayed taken."""
    device = Device(dut, shuffle=False)
    await device.bench.start()
    dropped, following = Timing(device, Job(0, 100)), Timing(device, Job(16 * 200, 100))
    for wait in range(2 * LATENCY):
        await dropped.pulse(begins=1)
        await dropped.pulse(waits=1)
        await device.bench.wait(wait)
        await dropped.pulse(leaves=1, fails=1)
        await dropped.pulse(leaves=1, fails=1)
        device.ahead.asked.clear()
        took = await following.run(4 * LATENCY)
        assert took == [1] * N_LINES
        asked = device.ahead.asked[-N_LINES:]
        assert asked == following.job.lines(device.link_bytes)[:N_LINES]


@cocotb.test()
async def reads_of_the_engine_go_first(dut: Any) -> None:
    """In each cycle in which the engine asks, unless a request ahead was already offered."""
    device = Device(dut, shuffle=False)
    await device.bench.start()
    timing = Timing(device, Job(0, 100))
    await timing.pulse(begins=1)
    lines = [device.link_bytes * line for line in range(40, 48)]
    for number, line in enumerate(lines):  # an engine with more slots than lines are ahead
        device.requests.send({"address": line, "tag": number % N_LINES})
    await timing.pulse(waits=1)
    await device.bench.wait(40)
    order = [item["address"] for item in device.to_memory.items]
    assert order == lines + timing.job.lines(device.link_bytes)[:N_LINES]


@pytest.mark.parametrize("link_bytes", [16, 64])
@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_list_ahead(back_pressure: str, link_bytes: int) -> None:
    """All of the above."""
    run_bench(
        ListAhead(link_bytes=link_bytes),
        name=f"list_ahead_{link_bytes}",
        test_module=__name__,
        parameters={"back_pressure": back_pressure, "link_bytes": link_bytes},
    )
