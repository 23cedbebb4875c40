# SPDX-License-Identifier: Apache-2.0
"""The collector: reads go when all have noted, in order, and only if all mean the same line."""

from collections.abc import Iterator
from typing import Any

import cocotb
import pytest
from amaranth.lib import data

from hw.arch.csr import N_GROUPS
from hw.net.collector import Collector
from hw.net.flits import HASH_BITS, LaneShapes
from sim.golden.net import CollectorModel, Note, Release, line_hash
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
        self.dut.failed.value = 0
        self.reads = self.source("i", SHAPES.read)
        self.notes = [self.source(f"notes__{at}", SHAPES.note) for at in range(N_POSITIONS)]
        self.out = self.sink("o", O_SHAPE, pauses=pauses and pauses())
        self.add(NeverWaits([self.reads, *self.notes]))
        self.model = CollectorModel(N_POSITIONS, N_GROUPS)

    def read(self, group: int, address: int, tag: int, mask: int) -> None:
        """A leader's read, to the device and to the model."""
        fields = {"address": address, "tag": tag, "mask": mask, "multicast": 1, "group": group}
        self.reads.send(fields)
        self.model.read(group, address, tag, mask)

    def note(self, position: int, hashed: int, tag: int, leader: int) -> None:
        """A member's note, to the device and to the model."""
        self.notes[position].send({"hash": hashed, "tag": tag, "leader": leader})
        self.model.note(position, Note(hashed, tag, leader))

    def line(self, group: int, number: int, mask: int, notes: int) -> None:
        """A read of a line, and the notes of these members."""
        self.read(group, 64 * number, number, mask)
        self.notes_for(number, mask, notes)

    def notes_for(self, number: int, mask: int, notes: int) -> None:
        """Notes of some members of a group for a line."""
        for at in positions_of(notes):
            self.note(at, line_hash(64 * number), number, leader_of(mask))

    def fail(self, positions: int) -> None:
        """Positions that have failed from now on."""
        self.dut.failed.value = positions
        self.model.fail(positions)

    @property
    def n_expected(self) -> int:
        """Flits that should have gone by now, or soon."""
        return sum(map(len, (*self.model.released, *self.model.refused)))

    def released(self, group: int) -> list[Release]:
        """Reads of a group that the device sent to memory."""
        reads = [item["read"] for item in self.out.items if not item["mismatch"]]
        assert all(read["multicast"] for read in reads)
        fields = ("group", "address", "tag", "mask")
        found = (Release(*(read[name] for name in fields)) for read in reads)
        return [release for release in found if release.group == group]

    def refused(self, position: int) -> list[int]:
        """Tags of a position's notes that the device answered with a mismatch."""
        reads = [item["read"] for item in self.out.items if item["mismatch"]]
        assert all(read["mask"].bit_count() == 1 for read in reads)
        return [read["tag"] for read in reads if read["mask"] == 1 << position]

    async def check(self) -> None:
        """All that the model lets go has gone, in each one's order, and nothing else."""
        await self.until(lambda: len(self.out.items) >= self.n_expected)
        await self.wait(6)
        for group in range(N_GROUPS):
            check_equal(self.released(group), self.model.released[group], f"group {group} read")
        for at in range(N_POSITIONS):
            check_equal(self.refused(at), self.model.refused[at], f"refused note of {at}")


def positions_of(mask: int) -> Iterator[int]:
    """Positions whose bit is set."""
    return (at for at in range(N_POSITIONS) if mask >> at & 1)


def leader_of(mask: int) -> int:
    """The lowest position."""
    return next(positions_of(mask))


class Group:
    """A group's members at work, each with at most DEPTH lines open, leader included."""

    def __init__(self, rng: Any, number: int, mask: int) -> None:
        self.number, self.mask, self.rng = number, mask, rng
        self.lines = [(rng.getrandbits(34) << 6, at % 16) for at in range(N_LINES)]
        self.n_read, self.n_noted = 0, dict.fromkeys(positions_of(mask), 0)

    def step(self, bench: CollectorBench, n_answered: dict[int, int]) -> None:
        """One cycle: reads and notes in any order, each for itself."""
        leader = leader_of(self.mask)
        limit = min(n_answered[leader] + DEPTH, N_LINES)
        if self.n_read < limit and self.rng.random() < 0.4:
            bench.read(self.number, *self.lines[self.n_read], self.mask)
            self.n_read += 1
        for member, n_noted in self.n_noted.items():
            if n_noted < min(n_answered[member] + DEPTH, N_LINES) and self.rng.random() < 0.4:
                address, tag = self.lines[n_noted]
                wrong = [self.rng.random() < 0.05 for _ in range(2)]
                hashed = line_hash(address) ^ (self.rng.randrange(1, 256) if wrong[0] else 0)
                tag ^= self.rng.randrange(1, 16) if wrong[1] else 0
                bench.note(member, hashed, tag, leader)
                self.n_noted[member] += 1

    @property
    def is_done(self) -> bool:
        """Whether all is said."""
        return self.n_read == N_LINES and set(self.n_noted.values()) == {N_LINES}


@cocotb.test()
async def groups_side_by_side_are_served_as_the_model_says(dut: Any) -> None:
    """Any division into groups, wrong notes among them; nothing ever waits before the collector."""
    pauses = BACK_PRESSURE[bench_parameters()["back_pressure"]][1]
    bench, rng = CollectorBench(dut, pauses), python_rng("collector")
    await bench.start()
    for masks in PARTITIONS:
        numbers = rng.sample(range(N_GROUPS), len(masks))
        groups = [Group(rng, number, mask) for number, mask in zip(numbers, masks, strict=True)]
        begin = len(bench.out.items)
        while not all(group.is_done for group in groups):
            gone = [item["read"]["mask"] for item in bench.out.items[begin:]]
            answered = {at: sum(mask >> at & 1 for mask in gone) for at in range(N_POSITIONS)}
            # One source carries the reads of all leaders, one after the other.
            for group in groups:
                if not bench.reads._queue:
                    group.step(bench, answered)
            await bench.wait(1)
        await bench.check()
    assert all(bench.model.refused)


@cocotb.test()
async def every_wrong_note_is_noticed(dut: Any) -> None:
    """Of each member alone, in hash or tag; the lines behind it are served as if nothing had
    been."""
    bench, address = CollectorBench(dut), 0x12_3456_7800
    await bench.start()
    wrongs = [(wrong, 0) for wrong in range(1 << HASH_BITS)] + [(0, tag) for tag in range(1, 16)]
    for wrong_hash, wrong_tag in wrongs:
        for member in range(N_POSITIONS):
            bench.read(2, address, 5, 0b111)
            for at in range(N_POSITIONS):
                its = at == member
                hashed = line_hash(address) ^ (wrong_hash if its else 0)
                bench.note(at, hashed, 5 ^ (wrong_tag if its else 0), 0)
            await bench.until(lambda: len(bench.out.items) == bench.n_expected)
    await bench.check()
    assert len(bench.model.released[2]) == N_POSITIONS
    assert [len(tags) for tags in bench.model.refused] == [(len(wrongs) - 1) * N_POSITIONS] * 3


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
                bench.notes_for(last, 0b111, 1 << at - 1)
        await bench.until(lambda: len(bench.out.items) == bench.n_expected)
        assert bench.out.cycles[-1] == streams[last].cycles[-1] + Collector.latency
    await bench.check()


@cocotb.test()
async def rate_is_one_read_per_cycle(dut: Any) -> None:
    """One group alone; and groups that all may go take turns."""
    bench = CollectorBench(dut)
    await bench.start()
    for line in range(N_LINES):
        bench.line(3, line % 16, 0b111, 0b111)
    await bench.check()
    assert bench.out.cycles[-1] - bench.out.cycles[0] == N_LINES - 1
    n_before = len(bench.out.items)
    for line in range(DEPTH):
        for group in range(N_POSITIONS):
            bench.read(group, 64 * line, line, 1 << group)
    await bench.reads.drained()
    for line in range(DEPTH):
        for group in range(N_POSITIONS):
            bench.notes_for(line, 1 << group, 1 << group)
    await bench.check()
    turns = [item["read"]["group"] for item in bench.out.items[n_before:]]
    check_equal(turns, [*range(N_POSITIONS)] * DEPTH, "turn")


@cocotb.test()
async def a_member_that_fails_holds_nobody_up(dut: Any) -> None:
    """Its notes are answered, and those of the others as they come; other groups see nothing."""
    bench = CollectorBench(dut)
    await bench.start()
    bench.read(1, 0, 0, 0b100)
    for number in range(3):
        bench.line(0, number, 0b011, 0b010)
    bench.notes_for(0, 0b011, 0b001)
    await bench.check()
    assert len(bench.released(0)) == 1
    bench.fail(0b010)
    await bench.check()
    assert bench.refused(1) == [1, 2]
    bench.notes_for(3, 0b011, 0b010)  # still under way when its element failed
    bench.notes_for(1, 0b011, 0b001)
    await bench.check()
    bench.notes_for(2, 0b011, 0b001)
    await bench.check()
    assert bench.refused(0) == [1, 2] and bench.refused(1) == [1, 2, 3]
    bench.fail(0)
    await bench.check()
    bench.line(0, 4, 0b011, 0b011)  # both have begun anew
    bench.notes_for(0, 0b100, 0b100)
    await bench.check()
    assert (len(bench.released(0)), len(bench.released(1))) == (2, 1)


@cocotb.test()
async def a_leader_that_fails_holds_nobody_up(dut: Any) -> None:
    """Its own notes wait for their reads, which are under way; those of the others do not."""
    bench = CollectorBench(dut)
    await bench.start()
    bench.line(0, 0, 0b111, 0b101)
    bench.notes_for(1, 0b111, 0b101)
    bench.fail(0b001)
    await bench.check()
    assert (bench.refused(0), bench.refused(2)) == ([0], [0, 1])
    bench.read(0, 64, 1, 0b111)  # the last one that it sent
    bench.notes_for(0, 0b111, 0b010)
    await bench.check()
    assert (bench.refused(0), bench.refused(1)) == ([0, 1], [0])
    bench.fail(0)
    bench.line(0, 2, 0b111, 0b111)
    await bench.check()
    assert len(bench.released(0)) == 1


@cocotb.test()
async def reset_in_the_middle_drops_what_waits(dut: Any) -> None:
    """After a reset with full queues only new reads go, with new notes."""
    bench = CollectorBench(dut)
    await bench.start()
    for line in range(DEPTH):
        for group in range(N_GROUPS):
            bench.read(group, 64 * line, line, 0b111)
        bench.notes_for(line, 0b111, 0b101)
    await bench.check()
    await bench.reset()
    bench.model = CollectorModel(N_POSITIONS, N_GROUPS)
    for group in range(N_GROUPS):
        bench.line(group, 7, 0b111, 0b111)
        await bench.check()
    assert not any(bench.model.refused)


RANDOM_TEST = "groups_side_by_side_are_served_as_the_model_says"


@pytest.mark.parametrize("back_pressure", ["none", "both"])
def test_collector(back_pressure: str) -> None:
    """With and without pauses behind it; before it nothing waits, so sources pause at random."""
    run_bench(
        Collector(shape=SHAPES.read, note=SHAPES.note, depth=DEPTH),
        name="net_collector",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else RANDOM_TEST,
    )


def test_queue_without_room_is_refused() -> None:
    """A member must be able to have a line open."""
    with pytest.raises(ValueError, match=r"^Collector depth must be at least 1 line, not 0\.$"):
        Collector(shape=SHAPES.read, note=SHAPES.note, depth=0)
