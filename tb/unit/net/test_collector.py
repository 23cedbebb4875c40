# SPDX-License-Identifier: Apache-2.0
"""The collector: reads go when all have noted, in order, and only if all mean the same line."""

from collections.abc import Iterator
from typing import Any

import cocotb
import pytest
from amaranth.lib import data

from hw.net.collector import Collector
from hw.net.flits import HASH_BITS, N_GROUPS, LaneShapes
from sim.golden.net import CollectorModel, Release, line_hash
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal

N_POSITIONS = 3
DEPTH = 4
SHAPES = LaneShapes(link_bytes=16, n_positions=N_POSITIONS, read_tag_width=4, write_tag_width=4)
O_SHAPE = data.StructLayout({"read": SHAPES.read, "mismatch": 1})
N_LINES = 40
PARTITIONS = [(0b111,), (0b011, 0b100), (0b101, 0b010), (0b001, 0b110), (0b001, 0b010, 0b100)]
"""Masks of groups that may exist side by side."""


class NeverWaits:
    """Fails when something that is offered to the collector is not taken at once."""

    def __init__(self, streams: list[Any]) -> None:
        self.streams = streams

    def sample(self, cycle: int) -> None:
        """Look at all streams."""
        for stream in self.streams:
            assert stream.ready or not stream.valid, f"{stream.name} waits in cycle {cycle}"

    def drive(self) -> None:
        """Drives nothing."""

    def reset(self) -> None:
        """Knows nothing."""


class CollectorBench(Bench):
    """A collector with its leaders, members and what comes behind."""

    def __init__(self, dut: Any, pauses: Any = None) -> None:
        super().__init__(dut)
        self.dut.clear.value = 0
        self.reads = self.source("i", SHAPES.read)
        self.notes = [self.source(f"notes__{at}") for at in range(N_POSITIONS)]
        self.out = self.sink("o", O_SHAPE, pauses=pauses and pauses())
        self.add(NeverWaits([self.reads, *self.notes]))
        self.model = CollectorModel(N_POSITIONS, N_GROUPS)
        self.expected: list[list[Release]] = [[] for _ in range(N_GROUPS)]

    def read(self, group: int, address: int, tag: int, mask: int) -> None:
        """A leader's read, to the device and to the model."""
        fields = {"address": address, "tag": tag, "mask": mask, "multicast": 1, "group": group}
        self.reads.send(fields)
        self.expect(self.model.read(group, address, tag, mask))

    def note(self, position: int, hashed: int) -> None:
        """A member's note, to the device and to the model."""
        self.notes[position].send(hashed)
        self.expect(self.model.note(position, hashed))

    def clear(self, positions: int) -> None:
        """Positions that are reset from now on."""
        self.dut.clear.value = positions
        self.expect(self.model.clear(positions))

    def expect(self, releases: list[Release]) -> None:
        """Sort what the model lets go by group."""
        for release in releases:
            self.expected[release.group].append(release)

    @property
    def n_expected(self) -> int:
        """Reads that should have gone by now, or soon."""
        return sum(map(len, self.expected))

    def released(self, group: int) -> list[Release]:
        """What a group was given by the device."""
        return [release for release in map(as_release, self.out.items) if release.group == group]

    async def check(self) -> None:
        """All that the model lets go has gone, in each group's order, and nothing else."""
        await self.until(lambda: len(self.out.items) >= self.n_expected)
        await self.wait(6)
        for group in range(N_GROUPS):
            check_equal(self.released(group), self.expected[group], f"group {group} read")


def as_release(item: dict[str, Any]) -> Release:
    """A flit of the device as the model writes it."""
    read = item["read"]
    assert read["multicast"] == 1
    fields = (read[name] for name in ("group", "address", "tag", "mask"))
    return Release(*fields, bool(item["mismatch"]))


def positions_of(mask: int) -> Iterator[int]:
    """Positions whose bit is set."""
    return (at for at in range(N_POSITIONS) if mask >> at & 1)


class Group:
    """A group's members at work, each with at most DEPTH lines open, leader included."""

    def __init__(self, rng: Any, number: int, mask: int, base: int) -> None:
        self.number, self.mask, self.rng = number, mask, rng
        self.base = base  # lines of this group that went before
        self.lines = [(rng.getrandbits(34) << 6, at % 16) for at in range(N_LINES)]
        self.n_read, self.n_noted = 0, dict.fromkeys(positions_of(mask), 0)

    def step(self, bench: CollectorBench, n_done: int) -> None:
        """One cycle: reads and notes in any order, each for itself."""
        limit = min(n_done - self.base + DEPTH, N_LINES)
        if self.n_read < limit and self.rng.random() < 0.4:
            bench.read(self.number, *self.lines[self.n_read], self.mask)
            self.n_read += 1
        for member, n_noted in self.n_noted.items():
            if n_noted < limit and self.rng.random() < 0.4:
                hashed = line_hash(*self.lines[n_noted])
                wrong = self.rng.random() < 0.1
                bench.note(member, hashed ^ (self.rng.randrange(1, 256) if wrong else 0))
                self.n_noted[member] += 1


@cocotb.test()
async def groups_side_by_side_are_served_as_the_model_says(dut: Any) -> None:
    """Any division into groups, wrong notes among them; nothing ever waits before the collector."""
    pauses = BACK_PRESSURE[bench_parameters()["back_pressure"]][1]
    bench, rng = CollectorBench(dut, pauses), python_rng("collector")
    await bench.start()
    for masks in PARTITIONS:
        numbers = rng.sample(range(N_GROUPS), len(masks))
        groups = [
            Group(rng, number, mask, len(bench.expected[number]))
            for number, mask in zip(numbers, masks, strict=True)
        ]
        goal = bench.n_expected + N_LINES * len(groups)
        while len(bench.out.items) < goal:
            # One source carries the reads of all leaders, one after the other.
            for group in groups:
                if not bench.reads._queue:
                    group.step(bench, len(bench.released(group.number)))
            await bench.wait(1)
    await bench.check()
    assert any(release.mismatch for group in bench.expected for release in group)


@cocotb.test()
async def every_wrong_hash_is_noticed(dut: Any) -> None:
    """Of each member alone; the lines behind it are served as if nothing had been."""
    bench, address = CollectorBench(dut), 0x12_3456_7800
    await bench.start()
    for wrong in range(1 << HASH_BITS):
        for member in range(N_POSITIONS):
            bench.read(2, address, 5, 0b111)
            for at in range(N_POSITIONS):
                bench.note(at, line_hash(address, 5) ^ (wrong if at == member else 0))
            await bench.until(lambda: len(bench.out.items) == bench.n_expected)
    await bench.check()
    verdicts = [release.mismatch for release in bench.expected[2]]
    assert verdicts == [False] * N_POSITIONS + [True] * (255 * N_POSITIONS)


@cocotb.test()
async def latency_is_two_from_the_last_of_read_and_notes(dut: Any) -> None:
    """Whichever comes last; and never before it."""
    bench = CollectorBench(dut)
    await bench.start()
    streams = [bench.reads, *bench.notes]
    for last in range(len(streams)):
        order = [at for at in range(len(streams)) if at != last] + [last]
        for at in order:
            await bench.wait(5)
            assert len(bench.out.items) == last
            if at == 0:
                bench.read(1, 64 * last, last, 0b111)
            else:
                bench.note(at - 1, line_hash(64 * last, last))
        await bench.until(lambda: len(bench.out.items) == bench.n_expected)
        assert bench.out.cycles[-1] == streams[last].cycles[-1] + Collector.latency
    await bench.check()


@cocotb.test()
async def rate_is_one_read_per_cycle(dut: Any) -> None:
    """One group alone; and groups that all may go take turns."""
    bench = CollectorBench(dut)
    await bench.start()
    for line in range(N_LINES):
        bench.read(3, 64 * line, line % 16, 0b111)
        for at in range(N_POSITIONS):
            bench.note(at, line_hash(64 * line, line % 16))
    await bench.check()
    assert bench.out.cycles[-1] - bench.out.cycles[0] == N_LINES - 1
    n_before = len(bench.out.items)
    for line in range(DEPTH):
        for group in range(N_POSITIONS):
            bench.read(group, 64 * line, line, 1 << group)
    await bench.reads.drained()
    for line in range(DEPTH):
        for group in range(N_POSITIONS):
            bench.note(group, line_hash(64 * line, line))
    await bench.check()
    turns = [item["read"]["group"] for item in bench.out.items[n_before:]]
    check_equal(turns, [*range(N_POSITIONS)] * DEPTH, "turn")


@cocotb.test()
async def members_that_are_reset_hold_nobody_up(dut: Any) -> None:
    """A group's reads go without them, marked; their notes go; other groups see nothing of it."""
    bench, hashes = CollectorBench(dut), [line_hash(64 * line, line) for line in range(4)]
    await bench.start()
    bench.read(1, 0, 0, 0b100)
    for line in range(3):
        bench.read(0, 64 * line, line, 0b011)
        bench.note(1, hashes[line])
    await bench.check()
    bench.clear(0b010)
    await bench.check()
    bench.note(1, hashes[3])  # still under way when its element was reset
    await bench.check()
    bench.note(0, hashes[0])
    await bench.check()
    bench.clear(0)
    await bench.check()
    for member in (0, 1):  # the two that were in step again
        bench.note(member, hashes[1])
    await bench.check()
    bench.clear(0b011)
    bench.note(2, hashes[0])
    await bench.check()
    assert [(read.mask, read.mismatch) for read in bench.expected[0]] == [
        (0b001, True),
        (0b011, False),
        (0, True),
    ]
    assert [(read.mask, read.mismatch) for read in bench.expected[1]] == [(0b100, False)]


@cocotb.test()
async def reset_of_a_member_drops_all_its_notes_at_once(dut: Any) -> None:
    """However many wait, in one cycle, and those of no other."""
    bench = CollectorBench(dut)
    await bench.start()
    for cleared in range(N_POSITIONS):
        for at in range(N_POSITIONS):
            for line in range(DEPTH):
                bench.note(at, 16 * at + line + 1)  # no hash of a line below
        await bench.check()
        bench.clear(1 << cleared)
        await bench.wait(1)
        bench.clear(0)
        for line in range(DEPTH):
            for at in range(N_POSITIONS):  # none where it was cleared, so the read's own fits
                if at == cleared:
                    bench.note(at, line_hash(64 * line, line))
                bench.read(at, 64 * line, line, 1 << at)
        await bench.check()
    for at in range(N_POSITIONS):
        fits = [not release.mismatch for release in bench.expected[at]]
        expected = [at == cleared for cleared in range(N_POSITIONS) for _ in range(DEPTH)]
        check_equal(fits, expected, "verdict")


@cocotb.test()
async def reset_in_the_middle_drops_what_waits(dut: Any) -> None:
    """After a reset with full queues only new reads go, with new notes."""
    bench = CollectorBench(dut)
    await bench.start()
    for line in range(DEPTH):
        for group in range(N_GROUPS):
            bench.read(group, 64 * line, line, 0b111)
        bench.note(0, 5)
        bench.note(2, 6)
    await bench.check()
    await bench.reset()
    bench.model = CollectorModel(N_POSITIONS, N_GROUPS)
    for group in range(N_GROUPS):
        for at in range(N_POSITIONS):
            bench.note(at, line_hash(640, 7))
        bench.read(group, 640, 7, 0b111)
        await bench.check()
    assert not any(release.mismatch for group in bench.expected for release in group)


RANDOM_TEST = "groups_side_by_side_are_served_as_the_model_says"


@pytest.mark.parametrize("back_pressure", ["none", "both"])
def test_collector(back_pressure: str) -> None:
    """With and without pauses behind it; before it nothing waits, so sources pause at random."""
    run_bench(
        Collector(shape=SHAPES.read, depth=DEPTH),
        name="net_collector",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else RANDOM_TEST,
    )


def test_queue_without_room_is_refused() -> None:
    """A member must be able to have a line open."""
    with pytest.raises(ValueError, match=r"^Collector depth must be at least 1 line, not 0\.$"):
        Collector(shape=SHAPES.read, depth=0)
