# SPDX-License-Identifier: Apache-2.0
"""The control registers of an element in a grid: its queue of jobs, and what it reports."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import unsigned

from hw.arch.csr import (
    ELEMENT_REGISTERS,
    JOB_SETTINGS,
    N_GROUPS,
    N_JOBS,
    RANGE_REGISTERS,
    JobState,
)
from hw.arch.traffic import ELEMENT_TRAFFIC, element_traffic_offset
from hw.arch.traps import Trap
from hw.arch.units import State, Unit
from hw.grid.control_flits import ended_layout
from hw.grid.element_control import JOBS_QUEUED, GridElementControl
from hw.grid.list_ahead import QueueEvents
from hw.iface.control import ControlWrite
from hw.iface.limits import FabricLimits
from hw.iface.trace import UnitTrace
from hw.pe.cp.traps import ElementTrap
from hw.pe.wqe import ListStart
from tb.common.payload import pack, unpack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal

ADDRESS_MASK = (1 << 40) - 1
START_CYCLES, REPORT_CYCLES = 5, 1
CAUSES = [cause for cause in Trap if cause not in (Trap.NONE, Trap.ABORTED)]


class Element:
    """Plays the element: runs each job for a while, then ends it or traps, as it is told."""

    def __init__(self, device: "Device") -> None:
        self.device, self.dut = device, device.dut
        self.outcomes: list[Trap | None] = []  # of the jobs to come; None: done
        self.n_run = 0
        self._left: int | None = None
        self._quiet_in: int | None = None
        self._rest()
        device.bench.add(self)

    def _rest(self) -> None:
        self.dut["job_done"].value = self.dut["quiet"].value = self.dut["trap"].value = 0
        self._left = self._quiet_in = None

    def _trap(self, cause: Trap) -> None:
        error = {"valid": 1, "cause": cause, "unit": Unit.RE, "opcode": 0x42, "tag": 7, "info": 99}
        self.dut["trap"].value = pack(ElementTrap, error)

    def sample(self, cycle: int) -> None:
        """See jobs that start, and resets."""
        if int(self.dut["element_reset"].value):
            self._rest()
        if len(self.device.jobs.items) > self.n_run:
            self.n_run += 1
            self._left = self.device.rng.randint(1, 30)
        if int(self.dut["halt_request"].value) and self._quiet_in is None:
            self._quiet_in = self.device.rng.randint(1, 10)
            if self._left is not None:
                self._left = None
                self._trap(Trap.ABORTED)

    def drive(self) -> None:
        """Let time pass."""
        self.dut["job_done"].value = 0
        if self._quiet_in is not None:
            self._quiet_in -= self._quiet_in > 0
            self.dut["quiet"].value = int(self._quiet_in == 0)
        if self._left is None or not self.outcomes:
            return
        self._left -= 1
        if self._left == 0:
            self._left = None
            outcome = self.outcomes.pop(0)
            if outcome is None:
                self.dut["job_done"].value = 1
            else:
                self._trap(outcome)

    def reset(self) -> None:
        """Everything is over."""
        self.outcomes.clear()
        self.n_run = len(self.device.jobs.items)
        self._rest()


class Device:
    """The registers with their row's node in front, and an element behind."""

    def __init__(self, dut: Any, pauses: str = "none") -> None:
        self.dut, self.bench, self.rng = dut, Bench(dut), python_rng("element control")
        _, sink = BACK_PRESSURE[pauses]
        bench = self.bench
        self.writes = bench.source("port__write", ControlWrite)
        self.reads = bench.source("port__read", unsigned(12))
        self.answers = bench.sink("port__answer", unsigned(32))
        self.jobs = bench.sink("job", ListStart, sink())
        self.ended = bench.sink("ended", ended_layout(), sink())
        for name in ("row", "column", "job_status", "progress", "debug_data", "counter_data"):
            dut[name].value = 0
        dut["settled"].value = dut["remote_idle"].value = 1
        dut["traffic"].value = 0
        for unit in range(Unit.CP):
            dut[f"units__{unit}"].value = 0
        self.element = Element(self)

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        self.writes.send({"offset": ELEMENT_REGISTERS[name].offset, "data": value})
        await self.writes.drained()
        await self.bench.wait(2)

    async def read(self, name: str) -> int:
        """Read a register."""
        return await self.read_at(ELEMENT_REGISTERS[name].offset)

    async def read_at(self, offset: int) -> int:
        """Read what is at an offset."""
        self.reads.send(offset)
        return (await self.answers.receive(1))[0]

    async def settings(self) -> dict[str, int]:
        """Write random ones for the next job."""
        values = {name: self.rng.getrandbits(32) for name in JOB_SETTINGS}
        values |= {r.name: self.rng.getrandbits(2) for *_, r in RANGE_REGISTERS}
        for name, value in values.items():
            self.writes.send({"offset": ELEMENT_REGISTERS[name].offset, "data": value})
        await self.writes.drained()
        return values

    async def start(self, job: int) -> None:
        """Start a job."""
        await self.write("JOB_START", 1 | job << 8)

    async def reports(self, n: int) -> list[tuple[int, int, int]]:
        """Job, whether it failed, and the cause if it did, of the next reports."""
        found = await self.ended.receive(n)
        return [(r["job"], r["failed"], r["cause"] if r["failed"] else 0) for r in found]


@cocotb.test()
async def a_list_lies_where_place_and_strides_say(dut: Any) -> None:
    """Corners of the grid and of each register, sums that leave 40 bits, random places."""
    device = Device(dut)
    await device.bench.start()
    top = 0xFFFFFFFF
    cases = [
        (0, 0, 0, 0, 0),
        (15, 15, ADDRESS_MASK, top, top),
        (15, 0, 0, top, 1),
        (0, 15, 1, 0, top),
    ]
    for _ in range(12):
        row, column = device.rng.randrange(16), device.rng.randrange(16)
        cases.append((row, column, *(device.rng.getrandbits(n) for n in (40, 32, 32))))
    for row, column, base, row_stride, column_stride in cases:
        dut["row"].value, dut["column"].value = row, column
        await device.write("JOB_LIST_LO", base & top)
        await device.write("JOB_LIST_HI", base >> 32)
        await device.write("JOB_ROW_STRIDE", row_stride)
        await device.write("JOB_COL_STRIDE", column_stride)
        quads = device.rng.getrandbits(32)
        await device.write("JOB_LIST_QUADS", quads)
        device.element.outcomes.append(None)
        await device.start(row & 3)
        address = (base + row * row_stride + column * column_stride) & ADDRESS_MASK
        check_equal(await device.jobs.receive(1), [{"address": address, "quads": quads}])
        assert await device.reports(1) == [(row & 3, 0, 0)]


@cocotb.test()
async def two_jobs_run_in_order_and_a_third_is_ignored(dut: Any) -> None:
    """A place is free again when a report has left, not before."""
    device, held = Device(dut), [True]
    device.ended._pauses = lambda rng: held[0]
    await device.bench.start()
    for count, job in enumerate((3, 1, 2)):
        assert await device.read("JOB_QUEUE") == min(count, JOBS_QUEUED)
        await device.start(job)
    device.element.outcomes += [None, None]
    await device.jobs.receive(2)
    await device.bench.wait(60)
    assert await device.read("JOB_QUEUE") == 2
    assert await device.read("JOB_STATE") == JobState.DONE
    await device.start(0)  # both ended, but nobody knows yet
    held[0] = False
    assert await device.reports(2) == [(3, 0, 0), (1, 0, 0)]
    await device.bench.wait(60)
    assert await device.read("JOB_QUEUE") == 0
    assert len(device.jobs.items) == 2 and len(device.ended.items) == 2


@cocotb.test()
async def signals_are_taken_for_the_job_that_runs(dut: Any) -> None:
    """In each cycle: for its run from the first cycle after the element's reset to its end; kept
    for it before; nothing at rest, nor once a job has failed. Would break if a signal could reach
    the element before its reset or after its job."""
    device = Device(dut, bench_parameters()["back_pressure"])
    seen: list[tuple[int, int]] = []  # (run, state) wherever it changed

    class Watch:
        """Looks at the phase in each cycle."""

        was_reset = was_working = 0

        def sample(self, cycle: int) -> None:
            phase = int(dut["phase"].value)
            run, state = phase & 0xFF, phase >> 8
            works = state >> 1
            assert state != 3
            if works and not self.was_working:
                assert self.was_reset, "it works from the cycle after its reset on"
            if not seen or seen[-1] != (run if state else 0, state):
                seen.append((run if state else 0, state))
            self.was_reset, self.was_working = int(dut["element_reset"].value), works

        def drive(self) -> None:
            """Looks only."""

        def reset(self) -> None:
            """Nothing to forget."""

    device.bench.add(Watch())
    await device.bench.start()
    for first, outcomes in ((10, [None, None]), (250, [None, Trap.ABORTED]), (70, [CAUSES[0]])):
        seen.clear()
        for job in (0, 1):
            await device.write("JOB_START", 1 | job << 8 | (first + job) << 16)
        device.element.outcomes = list(outcomes)
        await device.reports(2)
        await device.bench.wait(12)
        device.element.outcomes.clear()
        runs = [first + job for job in range(len(outcomes))]
        expected = [(0, 0), *((run, state) for run in runs for state in (1, 2)), (0, 0)]
        assert [item for item in seen if item[1] or item in (seen[0], seen[-1])] == expected


class Events:
    """What the control says of its queue: each event with the list, if it is of one."""

    def __init__(self, device: Device) -> None:
        self.device, self.seen = device, []
        device.bench.add(self)

    def sample(self, cycle: int) -> None:
        """Note the events of a cycle."""
        found = unpack(QueueEvents, int(self.device.dut["queue_events"].value))
        assert not (found["waits"] and found["leaves"]) and not (found["begins"] & found["leaves"])
        if found["waits"]:
            self.seen.append(("waits", found["list"]["address"], found["list"]["quads"]))
        if found["begins"]:
            self.seen.append(("begins",))
        if found["leaves"]:
            self.seen.append(("fails",) if found["fails"] else ("leaves",))

    def drive(self) -> None:
        """Looks only."""

    def reset(self) -> None:
        """Nothing is left of it."""
        self.seen.clear()


@cocotb.test()
async def who_waits_is_told_of_with_its_list(dut: Any) -> None:
    """And who begins and leaves; would break if a list were read ahead that is not the next one, or
    kept after its job is gone. A job that comes to an empty queue does not wait."""
    device = Device(dut, bench_parameters()["back_pressure"])
    events = Events(device)
    await device.bench.start()
    for outcomes in ([None, None], [None, Trap.ABORTED], [CAUSES[0]]):
        events.seen.clear()
        lists = [(device.rng.getrandbits(32), device.rng.getrandbits(32)) for _ in range(2)]
        for job, (address, quads) in enumerate(lists):
            await device.write("JOB_LIST_LO", address)
            await device.write("JOB_LIST_QUADS", quads)
            await device.start(job)
        device.element.outcomes = list(outcomes)
        await device.reports(2)
        await device.bench.wait(12)
        device.element.outcomes.clear()
        expected = [("fails" if outcome else "leaves",) for outcome in outcomes]
        expected = [item for end in expected for item in (("begins",), end)]
        if len(outcomes) == 1:
            expected.append(("fails",))  # taken along
        told = [item for item in events.seen if item[0] == "waits"]
        assert told == [("waits", *lists[1])]
        assert [item for item in events.seen if item[0] != "waits"] == expected
        assert events.seen.index(told[0]) <= 1, "it came while the first one was there"


def applied(dut: Any) -> dict[str, int]:
    """What the element is told, as register values."""
    limits, values = unpack(FabricLimits, int(dut["limits"].value)), {}
    for one, (first, last, access) in zip(limits["ranges"], RANGE_REGISTERS, strict=True):
        values |= {first.name: one["first"], last.name: one["last"]}
        values[access.name] = one["may_read"] | one["may_write"] << 1
    for way in ("read", "write"):
        values[f"FI_{way.upper()}_SHAPE"] = limits[way]["rate"] | limits[way]["burst"] << 16
    groups = {f"MULTICAST{n}": int(dut[f"groups__{n}"].value) for n in range(N_GROUPS)}
    return values | groups


@cocotb.test()
async def a_job_has_the_settings_of_its_start(dut: Any) -> None:
    """All of them, from its element's reset to that of the next job, whatever is written while it
    waits or runs. Would break if a queued job ran under those of another one, or a running one saw
    those that are meant for the next."""
    device = Device(dut)
    changes: list[tuple[bool, dict[str, int]]] = []  # behind a reset; what is told since

    class Watch:
        """Looks for changes."""

        was_reset = False

        def sample(self, cycle: int) -> None:
            """Look."""
            if not changes or changes[-1][1] != applied(dut):
                changes.append((self.was_reset, applied(dut)))
            self.was_reset = bool(int(dut["element_reset"].value))

        def drive(self) -> None:
            """Nothing."""

        reset = drive

    await device.bench.start()
    first = applied(dut)
    assert first == {name: ELEMENT_REGISTERS[name].reset for name in JOB_SETTINGS}
    assert {name: await device.read(name) for name in JOB_SETTINGS} == first
    device.bench.add(Watch())
    given = []
    for _ in range(6):
        for job in range(JOBS_QUEUED):
            given.append(await device.settings())
            await device.start(job)
        await device.settings()  # of a start that never comes
        await device.bench.wait(20)
        assert {name: await device.read(name) for name in JOB_SETTINGS} == given[-2]
        device.element.outcomes = [None, None]
        await device.reports(JOBS_QUEUED)
        await device.bench.wait(20)
        assert {name: await device.read(name) for name in JOB_SETTINGS} == given[-1]
    assert [told for _, told in changes] == [first, *given]
    assert all(was_reset for was_reset, _ in changes[1:])


@cocotb.test()
async def traffic_counts_from_the_start_of_a_job(dut: Any) -> None:
    """Each event in its own counter, frozen by SNAPSHOT; a job begins at zero; would break if
    traffic of the job before were told of the next."""
    device, n = Device(dut), len(ELEMENT_TRAFFIC)
    offsets = [element_traffic_offset(counter.name) for counter in ELEMENT_TRAFFIC]
    await device.bench.start()
    device.element.outcomes = [None, None]

    async def counts() -> list[int]:
        await device.write("SNAPSHOT", 1)
        return [await device.read_at(offset) for offset in offsets]

    for _ in range(2):
        await device.start(1)
        await device.jobs.receive(1)
        sums = [0] * n
        for _ in range(40):
            events = device.rng.getrandbits(n)
            dut["traffic"].value = events
            await device.bench.wait(1)
            sums = [total + (events >> i & 1) for i, total in enumerate(sums)]
        dut["traffic"].value = 0
        await device.bench.wait(1)
        assert await counts() == sums and min(sums) > 5
        dut["traffic"].value = (1 << n) - 1
        await device.bench.wait(5)
        dut["traffic"].value = 0
        assert await device.read_at(offsets[-1]) == sums[-1], "frozen"
        assert await device.reports(1) == [(1, 0, 0)]
    assert await counts() == [total + 5 for total in sums], "it stays until the next job"


@cocotb.test()
async def a_unit_that_waits_is_named(dut: Any) -> None:
    """Live, with its command as ERROR_UNIT has it; zeros while none waits."""
    device = Device(dut)
    await device.bench.start()
    assert (await device.read("WAIT_UNIT"), await device.read("WAIT_STATE")) == (0, 0)
    for unit, state, opcode, tag in ((6, State.WAIT_LS, 7, 9), (4, State.WAIT_BANK, 0xFE, 0xABCD)):
        shown = {"state": state, "opcode": opcode, "tag": tag}
        dut[f"units__{unit}"].value = pack(UnitTrace, shown)
        assert await device.read("WAIT_UNIT") == unit | opcode << 8 | tag << 16
        assert await device.read("WAIT_STATE") == state


@cocotb.test()
async def random_jobs_end_as_their_element_says(dut: Any) -> None:
    """One or two jobs at a time, of any outcome; a failed one takes the other along."""
    device = Device(dut, bench_parameters()["back_pressure"])
    rng = device.rng
    await device.bench.start()
    for _ in range(80):
        jobs = [rng.randrange(N_JOBS) for _ in range(rng.randint(1, 2))]
        outcomes = [rng.choice((None, None, rng.choice(CAUSES))) for _ in jobs]
        for job in jobs:
            await device.start(job)
        device.element.outcomes = list(outcomes)  # none ends before all are started
        expected, failed = [], None
        for job, outcome in zip(jobs, outcomes, strict=True):
            cause = failed[1] if failed else outcome
            expected.append((job, int(cause is not None), int(cause or 0)))
            if failed is None and outcome is not None:
                failed = (job, outcome)
        assert await device.reports(len(jobs)) == expected
        await device.bench.wait(12)
        device.element.outcomes.clear()
        if failed:
            assert await device.read("JOB_STATE") == JobState.ERROR
            assert await device.read("ERROR_JOB") == failed[0]
            assert await device.read("ERROR_CAUSE") == failed[1]
            assert await device.read("ERROR_UNIT") == Unit.RE | 0x42 << 8 | 7 << 16
            assert await device.read("ERROR_INFO") == 99
        else:
            assert await device.read("JOB_STATE") == JobState.DONE
            assert await device.read("ERROR_CAUSE") == 0


@cocotb.test()
async def an_abort_at_any_moment_ends_all_that_is_there(dut: Any) -> None:
    """Also while one job hands over to the next; without a job it does nothing."""
    device = Device(dut)
    await device.bench.start()
    await device.write("JOB_ABORT", 1)
    assert not int(dut["halt_request"].value)
    seen = set()
    for wait in range(48):
        await device.start(1)
        await device.start(2)
        device.element.outcomes = [None]
        await device.bench.wait(wait)
        await device.write("JOB_ABORT", 1)
        reports = await device.reports(2)
        assert [report[0] for report in reports] == [1, 2]
        assert reports[1][1:] == (1, Trap.ABORTED)
        assert reports[0][1:] in ((0, 0), (1, Trap.ABORTED))
        seen.add(reports[0][1])
        device.element.outcomes.clear()
        await device.bench.wait(15)
        assert await device.read("JOB_QUEUE") == 0
    assert seen == {0, 1}, "the hand-over was not met"
    device.element.outcomes = [None]
    await device.start(0)
    assert await device.reports(1) == [(0, 0, 0)], "an abort was kept too long"


@cocotb.test()
async def an_abort_of_a_job_leaves_others_alone(dut: Any) -> None:
    """At any moment of two jobs; would break if one that comes late hit the job behind, or were
    kept for a later job of that number, or if a number had no effect on a job that waits."""
    device = Device(dut)
    await device.bench.start()
    seen = set()
    for wait in range(48):
        for aborted in (1, 2):
            await device.start(1)
            await device.start(2)
            device.element.outcomes = [None, None]
            await device.bench.wait(wait)
            await device.write("JOB_ABORT", 2 | aborted << 8)
            found = await device.reports(2)
            assert [job for job, *_ in found] == [1, 2]
            assert {cause for *_, cause in found} <= {0, Trap.ABORTED}
            seen.add((aborted, *(failed for _, failed, _ in found)))
            device.element.outcomes.clear()
            await device.bench.wait(15)
    # Who waits behind one that fails fails with it, and nobody else does.
    assert seen == {(1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 0, 1)}, seen
    for value in (2 | 2 << 8, 2 | 3 << 8, 2 | 1 << 10, 2 | 1 << 31, 3 << 8):
        await device.start(0)
        await device.start(1)
        await device.write("JOB_ABORT", value)
        device.element.outcomes = [None, None]
        assert await device.reports(2) == [(0, 0, 0), (1, 0, 0)], "the element has no such job"
    for job in range(N_JOBS):
        device.element.outcomes = [None]
        await device.start(job)
        assert await device.reports(1) == [(job, 0, 0)], "an abort was kept too long"


@cocotb.test()
async def times_are_as_documented(dut: Any) -> None:
    """From the start to the job, from its end to the report, from there to the next job."""
    device = Device(dut)
    await device.bench.start()
    for job in (0, 1):
        device.writes.send({"offset": ELEMENT_REGISTERS["JOB_START"].offset, "data": 1 | job << 8})
    await device.jobs.receive(1)
    assert device.jobs.cycles[0] == device.writes.cycles[0] + START_CYCLES
    ends: list[int] = []

    class Watch:
        """Notes when jobs end."""

        def sample(self, cycle: int) -> None:
            """Look."""
            if int(dut["job_done"].value):
                ends.append(cycle)

        def drive(self) -> None:
            """Nothing."""

        reset = drive

    device.bench.add(Watch())
    device.element.outcomes = [None, None]
    await device.reports(2)
    assert device.ended.cycles == [cycle + REPORT_CYCLES for cycle in ends]
    assert device.jobs.cycles[1] == device.ended.cycles[0] + 3


@cocotb.test()
async def movement_follows_progress(dut: Any) -> None:
    """High in each cycle in which the count differs from that before, which wraps."""
    device = Device(dut)
    await device.bench.start()
    value, moved, changes = 0xFFFFFFF0, [], []
    dut["progress"].value = value
    await device.bench.wait(2)
    for _ in range(200):
        step = device.rng.getrandbits(1)
        value = (value + step) & 0xFFFFFFFF
        dut["progress"].value = value
        await device.bench.wait(1)
        changes.append(step)
        moved.append(int(dut["moved"].value))
    assert moved == changes and 20 < sum(moved) < 180


@cocotb.test()
async def reset_in_the_middle_empties_the_queue(dut: Any) -> None:
    """Neither jobs nor reports survive it; then a job runs."""
    device, held = Device(dut), [True]
    device.ended._pauses = lambda rng: held[0]
    await device.bench.start()
    await device.start(2)
    await device.start(3)
    device.element.outcomes = [None]
    await device.bench.wait(50)
    await device.bench.reset()
    held[0] = False
    await device.bench.wait(20)
    assert await device.read("JOB_QUEUE") == 0 and not device.ended.items
    device.element.outcomes = [None]
    await device.start(1)
    assert await device.reports(1) == [(1, 0, 0)]


@pytest.mark.parametrize("back_pressure", ["none", "both"])
def test_element_control(back_pressure: str) -> None:
    """With an element and a lane that take at once, and with such that let it wait."""
    run_bench(
        GridElementControl(),
        name="grid_element_control",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else "random_jobs_end_as_their_element_says",
    )
