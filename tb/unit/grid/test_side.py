# SPDX-License-Identifier: Apache-2.0
"""A side: each answer on the lane of its request, memories shared fairly, nobody held up."""

from typing import Any

import cocotb
import pytest

from hw.arch.address_map import DRAM
from hw.arch.interleave import Interleave
from hw.arch.traffic import LANE_KINDS
from hw.config import PRESETS
from hw.grid.geometry import GridGeometry
from hw.grid.side import GridSide
from hw.mem.sram_slice import EccFault
from hw.net.flits import Answer
from hw.net.sides import Side
from sim.golden.net import line_hash
from tb.common.memory import axi_ram
from tb.common.payload import pack
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal
from tb.unit.grid.geometries import DRAM_BYTES, SRAM_BYTES, bench_geometry

GEOMETRY, SIDE, LINE = bench_geometry(), Side.N, 16
NODES, CHANNEL = (2, 6), 2
N_LANES = 4  # of three columns, and the host's
N_POSITIONS = 3
N_WAYS = 2  # through the corner
SRAM_DEAL, DRAM_DEAL = (Interleave(n_slices=n, line_bytes=LINE) for n in (8, 4))
SRAM = [a for a in range(0, SRAM_BYTES, LINE) if SRAM_DEAL.slice_of(a) in NODES]
DRAM_LINES = [
    a for a in range(DRAM.base, DRAM.base + DRAM_BYTES, LINE) if DRAM_DEAL.slice_of(a) == CHANNEL
]
LATENCY = 2 + 1 + 4 + 2  # switch, the node's crossbar, slice with ECC, switch
SHAPES = GEOMETRY.shapes
FULL = (1 << LINE) - 1
COUNTERS = GEOMETRY.side_shape(SIDE).counters


class Signs:
    """What the elements of a lane say, from a queue for each."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.pin = bench.port(name)
        self.notes: list[list[dict[str, int]]] = [[] for _ in range(N_POSITIONS)]
        self.failed = 0
        self.pin.value = 0
        bench.add(self)

    def note(self, position: int, address: int, tag: int, leader: int = 0) -> None:
        """An element has room for a line."""
        self.notes[position].append({"hash": line_hash(address), "tag": tag, "leader": leader})

    def drive(self) -> None:
        """One note of each element a cycle."""
        nothing = {"hash": 0, "tag": 0, "leader": 0}
        signs = []
        for at, notes in enumerate(self.notes):
            noted, failed = bool(notes), self.failed >> at & 1
            note = notes.pop(0) if notes else nothing
            signs.append({"note": note, "noted": noted, "failed": failed})
        self.pin.value = pack(SHAPES.signs, signs)

    def sample(self, cycle: int) -> None:
        """Looks at nothing."""

    def reset(self) -> None:
        """Forget what was not said."""
        self.notes = [[] for _ in range(N_POSITIONS)]
        self.failed = 0


class Device:
    """A side with its lanes and its channel, and what every line should hold."""

    def __init__(self, dut: Any, pauses: str = "none") -> None:
        self.bench, self.rng = Bench(dut), python_rng("side")
        source, sink = BACK_PRESSURE[pauses]
        lanes = range(N_LANES)
        bench = self.bench
        self.reads = [bench.source(f"read__{at}", SHAPES.read, source()) for at in lanes]
        self.lines = [bench.sink(f"line__{at}", SHAPES.line, sink()) for at in lanes]
        self.writes = [bench.source(f"write__{at}", SHAPES.write, source()) for at in lanes]
        self.acks = [bench.sink(f"ack__{at}", SHAPES.ack, sink()) for at in lanes]
        self.signs = [Signs(bench, f"signs__{at}") for at in range(N_LANES - 1)]
        read, line = GEOMETRY.corner_read, GEOMETRY.corner_line
        ways = range(N_WAYS)
        self.corner_in = [bench.source(f"corner_read_i__{at}", read, source()) for at in ways]
        self.corner_reads = [bench.sink(f"corner_read_o__{at}", read, sink()) for at in ways]
        self.corner_back = [bench.source(f"corner_line_i__{at}", line, source()) for at in ways]
        self.corner_lines = [bench.sink(f"corner_line_o__{at}", line, sink()) for at in ways]
        self.faults = bench.source("inject", EccFault)
        self.ram = axi_ram(bench, f"axi{CHANNEL}", size=DRAM_BYTES // 4)
        self.content = dict.fromkeys((*SRAM, *DRAM_LINES), 0)
        self.corrected = self.uncorrected = 0
        bench.dut["clear"].value = 0
        for name in ("freeze", "clear", "index"):
            bench.dut[f"traffic__{name}"].value = 0
        self.passed, self.waited = dict.fromkeys(COUNTERS, 0), dict.fromkeys(COUNTERS, 0)
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Add up what the slices count, and what the trace shows to pass and to wait."""
        for found, what in ((self.passed, "moves"), (self.waited, "waits")):
            pin = int(self.bench.dut[f"trace__{what}"].value)
            for index, name in enumerate(COUNTERS):
                found[name] += pin >> index & 1
        self.corrected += int(self.bench.dut["corrected"].value)
        self.uncorrected += int(self.bench.dut["uncorrected"].value)

    def drive(self) -> None:
        """Nothing beside the streams."""

    def reset(self) -> None:
        """Counting begins anew."""
        self.corrected = self.uncorrected = 0
        self.passed = dict.fromkeys(COUNTERS, 0)

    async def start(self) -> None:
        """Reset, and fill the slices with zeros."""
        await self.bench.start()
        await self.clear()

    async def clear(self) -> None:
        """Fill the slices with zeros."""
        pin = self.bench.dut["clear"]
        pin.value = 1
        await self.bench.wait(1)
        pin.value = 0
        await self.bench.wait(1)
        await self.bench.until(lambda: not int(self.bench.dut["clearing"].value))
        self.content |= dict.fromkeys(SRAM, 0)

    async def counts(self) -> dict[str, int]:
        """All counters of the side, frozen now."""
        await self._pulse("freeze")
        found = {}
        for index, name in enumerate(COUNTERS):
            self.bench.dut["traffic__index"].value = index
            await self.bench.wait(3)
            found[name] = int(self.bench.dut["traffic__value"].value)
        return found

    async def _pulse(self, name: str) -> None:
        self.bench.dut[f"traffic__{name}"].value = 1
        await self.bench.wait(1)
        self.bench.dut[f"traffic__{name}"].value = 0

    async def restart(self) -> None:
        """Counters begin at zero."""
        await self._pulse("clear")
        await self.bench.wait(1)
        self.passed = dict.fromkeys(COUNTERS, 0)

    def read_flit(self, address: int) -> dict[str, int]:
        """A read by somebody of a lane."""
        tag = self.rng.getrandbits(SHAPES.read["tag"].width)
        group = self.rng.randrange(4)  # stands for nothing while `multicast` is 0
        mask = 1 << self.rng.randrange(3)
        return {"address": address, "tag": tag, "mask": mask, "multicast": 0, "group": group}

    async def write(self, shares: list[list[int]]) -> None:
        """Each lane writes lines of its own, whole; each acknowledgement is on its lane."""
        sent: list[list[tuple[int, int]]] = [[] for _ in shares]
        for lane, addresses in enumerate(shares):
            for address in addresses:
                self.content[address] = data = self.rng.getrandbits(8 * LINE)
                tag = self.rng.getrandbits(SHAPES.write["tag"].width)
                mask = 1 << self.rng.randrange(3)
                sent[lane].append((tag, mask))
                self.writes[lane].send(
                    {"address": address, "data": data, "strobe": FULL, "tag": tag, "mask": mask}
                )
        for lane, expected in enumerate(sent):
            acks = await self.acks[lane].receive(len(expected))
            assert all(ack["answer"] is Answer.OK for ack in acks)
            found = sorted((ack["tag"], ack["mask"]) for ack in acks)
            check_equal(found, sorted(expected), f"acknowledgement of lane {lane}")

    async def read(self, shares: list[list[int]]) -> None:
        """Each lane reads any lines; each answer is on its lane with what is its own."""
        sent: list[list[Any]] = [[] for _ in shares]
        for lane, addresses in enumerate(shares):
            for address in addresses:
                flit = self.read_flit(address)
                self.reads[lane].send(flit)
                sent[lane].append((flit["tag"], flit["mask"], self.content[address]))
        for lane, expected in enumerate(sent):
            lines = await self.lines[lane].receive(len(expected))
            assert all(line["answer"] is Answer.OK and not line["multicast"] for line in lines)
            found = sorted((line["tag"], line["mask"], line["data"]) for line in lines)
            check_equal(found, sorted(expected), f"line of lane {lane}")


def shared_flit(address: int, tag: int, group: int, mask: int) -> dict[str, int]:
    """A read of a group."""
    return {"address": address, "tag": tag, "mask": mask, "multicast": 1, "group": group}


@cocotb.test()
async def a_shared_read_is_served_when_all_have_room(dut: Any) -> None:
    """From every lane, whose members have notes in any order, to both nodes and the channel; reads
    of one element pass beside it; members who do not agree are told, each with its own tag."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.start()
    lines = [*SRAM[:24], *DRAM_LINES[:8]]
    device.rng.shuffle(lines)
    await device.write([lines, [], [], []])
    n = GEOMETRY.shared_reads
    shared = [device.rng.choices(lines, k=n) for _ in device.signs]
    for lane, addresses in enumerate(shared):
        for tag, address in enumerate(addresses):
            device.reads[lane].send(shared_flit(address, tag, lane, 0b011))
            device.reads[lane].send(device.read_flit(SRAM[tag]))
            device.signs[lane].note(1, address, tag)
    for lane in range(len(shared)):
        await device.lines[lane].receive(n)
        assert not any(line["multicast"] for line in device.lines[lane].items[-n:])
    for lane, addresses in enumerate(shared):
        for tag, address in enumerate(addresses):
            device.signs[lane].note(0, address ^ (16 if tag == 5 else 0), tag)
    for lane, addresses in enumerate(shared):
        found = await device.lines[lane].receive(n + 1)
        good = sorted((f["tag"], f["data"]) for f in found if f["answer"] is Answer.OK)
        expected = [(t, device.content[a]) for t, a in enumerate(addresses) if t != 5]
        check_equal(good, expected, f"shared line of lane {lane}")
        assert all(line["multicast"] for line in found)
        assert {line["mask"] for line in found if line["answer"] is Answer.OK} == {0b011}
        told = [(f["tag"], f["mask"]) for f in found if f["answer"] is Answer.MISMATCH]
        check_equal(sorted(told), [(5, 0b001), (5, 0b010)], "mismatch")


@cocotb.test()
async def shared_reads_pass_the_corner(dut: Any) -> None:
    """Those for memories of side W leave with the number of their lane; lines come back to it.
    Those that come from there are answered there, and the lanes of both sides are not mixed."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.start()
    await device.write([SRAM, [], [], []])
    await device.restart()
    beyond = [a for a in range(0, SRAM_BYTES, LINE) if SRAM_DEAL.slice_of(a) in (0, 4)]
    for tag in range(8):
        for lane, signs in enumerate(device.signs):
            device.reads[lane].send(shared_flit(beyond[tag], tag, 1, 0b010))
            signs.note(1, beyond[tag], tag, leader=1)
        for lane in range(2):  # of the two rows
            flit = shared_flit(SRAM[tag + 8 * lane], tag, 0, 0b101)
            device.corner_in[lane % N_WAYS].send({"flit": flit, "lane": lane})
    left = [
        item
        for way, n_lanes in enumerate((2, 1))  # lanes 0 and 2, lane 1
        for item in await device.corner_reads[way].receive(8 * n_lanes)
    ]
    assert [item["lane"] % N_WAYS for item in left] == [0] * 16 + [1] * 8
    for lane in range(3):
        mine = [item["flit"] for item in left if item["lane"] == lane]
        expected = [shared_flit(beyond[tag], tag, 1, 0b010) for tag in range(8)]
        check_equal(mine, expected, f"read of lane {lane}")
    answered = [item for lines in device.corner_lines for item in await lines.receive(8)]
    for lane in range(2):
        mine = [item["flit"] for item in answered if item["lane"] == lane]
        assert {(flit["mask"], flit["multicast"]) for flit in mine} == {(0b101, 1)}
        found = sorted((flit["tag"], flit["data"]) for flit in mine)
        expected = [(tag, device.content[SRAM[tag + 8 * lane]]) for tag in range(8)]
        check_equal(found, expected, f"line for row {lane}")
    back = [
        {"data": 100 * item["lane"] + item["flit"]["tag"], "tag": item["flit"]["tag"],
         "mask": 0b010, "multicast": 1, "answer": Answer.OK}
        for item in left
    ]  # fmt: skip
    for item, line in zip(left, back, strict=True):
        device.corner_back[item["lane"] % N_WAYS].send({"flit": line, "lane": item["lane"]})
    for lane in range(3):
        found = await device.lines[lane].receive(8)
        check_equal([line["data"] for line in found], [100 * lane + tag for tag in range(8)])
    await device.bench.wait(5)
    counts = await device.counts()
    left = {name: count for name, count in counts.items() if name.startswith("corner")}
    assert left == {
        "corner_read.0": 16, "corner_read.1": 8, "corner_line.0": 8, "corner_line.1": 8,
    }  # fmt: skip
    assert left == {name: device.passed[name] for name in left}


@cocotb.test()
async def sharing_takes_what_the_formula_says(dut: Any) -> None:
    """2 cycles from the last of read and notes beside those of a read; 1 more from what comes in
    through the corner to what goes out: the rest of a corner is the other side's."""
    device = Device(dut)
    await device.start()
    for tag, address in enumerate(of_node(6)[:3]):
        device.reads[1].send(shared_flit(address, tag, 2, 0b001))
        device.signs[1].note(0, address, tag)
        await device.lines[1].receive(1)
        assert device.lines[1].cycles[-1] == device.reads[1].cycles[-1] + LATENCY + 2
        into, out = device.corner_in[1], device.corner_lines[1]
        into.send({"flit": shared_flit(address, tag, 2, 0b001), "lane": 1})
        await out.receive(1)
        # The other corner's register is beyond.
        assert out.cycles[-1] - into.cycles[-1] == LATENCY + 1
        await device.bench.wait(10)


@cocotb.test()
async def a_member_that_fails_leaves_nothing_behind(dut: Any) -> None:
    """Its notes, and those of the ones that it leads, are answered; then the lane is as new."""
    device = Device(dut)
    await device.start()
    await device.write([SRAM, [], [], []])
    for tag in range(3):
        device.signs[2].note(1, SRAM[tag], tag)
    device.signs[2].note(0, SRAM[0], 0)
    await device.bench.wait(20)
    assert not device.lines[2].items
    device.signs[2].failed = 0b01
    found = await device.lines[2].receive(3)
    assert [(f["tag"], f["mask"], f["answer"]) for f in found] == [
        (tag, 0b10, Answer.MISMATCH) for tag in range(3)
    ]
    device.reads[2].send(shared_flit(SRAM[0], 0, 3, 0b11))  # was on its way
    found = await device.lines[2].receive(1)
    assert (found[0]["tag"], found[0]["mask"], found[0]["answer"]) == (0, 0b01, Answer.MISMATCH)
    device.signs[2].failed = 0
    device.reads[2].send(shared_flit(SRAM[9], 1, 3, 0b11))
    for at in range(2):
        device.signs[2].note(at, SRAM[9], 1)
    found = await device.lines[2].receive(1)
    assert (found[0]["data"], found[0]["mask"]) == (device.content[SRAM[9]], 0b11)


def of_node(number: int) -> list[int]:
    """SRAM lines of one node."""
    return [address for address in SRAM if SRAM_DEAL.slice_of(address) == number]


@cocotb.test()
async def every_answer_is_on_the_lane_of_its_request(dut: Any) -> None:
    """All lanes at once, to both nodes and the channel; then the channel looked into."""
    device = Device(dut, bench_parameters()["back_pressure"])
    await device.start()
    lines = list(device.content)
    for _ in range(4):
        device.rng.shuffle(lines)
        await device.write([lines[lane * 24 : lane * 24 + 24] for lane in range(N_LANES)])
        await device.read([device.rng.choices(lines, k=40) for _ in range(N_LANES)])
    corners = [of_node(2)[0], of_node(2)[-1], of_node(6)[0], of_node(6)[-1]]
    corners += [DRAM_LINES[0], DRAM_LINES[-1]]
    await device.read([corners] * N_LANES)
    for address in DRAM_LINES:
        stored = device.ram.read(DRAM_DEAL.line_of(address - DRAM.base) * LINE, LINE)
        assert int.from_bytes(stored, "little") == device.content[address], f"{address:#x}"


@cocotb.test()
async def lanes_share_a_node_and_nodes_work_side_by_side(dut: Any) -> None:
    """The documented latency; two lines per cycle from two nodes; four lanes at one node get a
    quarter each."""
    device = Device(dut)
    await device.start()
    n = 48
    for lane, node in ((0, 2), (3, 6)):
        flits = [device.read_flit(address) for address in of_node(node)]
        device.reads[lane].send_all((flits * 2)[:n])
    for lane in (0, 3):
        await device.lines[lane].receive(n)
        cycles = device.lines[lane].cycles
        assert cycles == [cycle + LATENCY for cycle in device.reads[lane].cycles]
        assert cycles[-1] - cycles[0] == n - 1
    before = [len(lines.cycles) for lines in device.lines]
    for reads in device.reads:
        reads.send_all([device.read_flit(of_node(2)[1])] * n)
    for lines in device.lines:
        await lines.receive(n)
    cycles = [lines.cycles[at:] for lines, at in zip(device.lines, before, strict=True)]
    assert max(map(max, cycles)) - min(map(min, cycles)) == N_LANES * n - 1
    assert max(c[-1] for c in cycles) - min(c[-1] for c in cycles) < N_LANES


@cocotb.test()
async def a_lane_that_takes_no_answer_holds_up_no_other(dut: Any) -> None:
    """Reads of lane 1 fill its way back; lanes 0 and 2 go on, on both nodes, and so do writes."""
    device, held = Device(dut), [True]
    device.lines[1]._pauses = lambda rng: held[0]
    await device.start()
    n = 4  # what the switch holds for the lane: crossing and output
    device.reads[1].send_all([device.read_flit(of_node(2)[3])] * n)
    await device.bench.wait(30)
    await device.read([of_node(6)[:20], [], of_node(2)[:20], of_node(2)[:20]])
    await device.write([of_node(2)[:8], of_node(6)[:8], [], []])
    assert not device.lines[1].items
    held[0] = False
    await device.lines[1].receive(n)


@cocotb.test()
async def what_passes_is_counted_where_it_passes(dut: Any) -> None:
    """Flits of each lane and accesses of each memory, against what was sent; would break if a
    counter took a flit that waits for one that passes, or another lane's."""
    device = Device(dut, "both")
    await device.start()
    await device.restart()
    memories = {"sram_{}.0": of_node(2), "sram_{}.1": of_node(6), "dram_{}.0": DRAM_LINES}
    writes = [device.rng.choices(SRAM + DRAM_LINES, k=n) for n in (7, 0, 19, 3)]
    reads = [device.rng.choices(SRAM + DRAM_LINES, k=n) for n in (0, 80, 9, 60)]
    await device.write(writes)
    await device.read(reads)
    await device.bench.wait(5)
    expected = dict.fromkeys(COUNTERS, 0)
    for way, answer, asked in (("write", "ack", writes), ("read", "line", reads)):
        for kind in (way, answer):
            expected |= {f"{kind}.{lane}": len(lines) for lane, lines in enumerate(asked)}
        for name, lines in memories.items():
            expected[name.format(way)] = sum(line in lines for own in asked for line in own)
    shown = dict(device.passed)
    check_equal(sorted((await device.counts()).items()), sorted(expected.items()), "counter")
    check_equal(sorted(shown.items()), sorted(expected.items()), "bit of the trace")
    waited = {name for name, count in device.waited.items() if count}
    assert {name.partition(".")[0] for name in waited} == set(LANE_KINDS)
    await device.restart()
    assert set((await device.counts()).values()) == {0}


@cocotb.test()
async def a_fault_meets_one_slice_and_is_told_on_one_lane(dut: Any) -> None:
    """Faults for other sides change nothing; poison reaches who reads; counts are sums."""
    device = Device(dut)
    await device.start()
    await device.write([SRAM, [], [], []])
    for address in range(0, SRAM_BYTES, LINE):
        if address not in SRAM:
            device.faults.send({"address": address, "bit0": 1, "bit1": 2, "n": 2})
    await device.faults.drained()
    await device.read([SRAM[:16], SRAM[16:32], SRAM[32:48], SRAM[48:]])
    assert (device.corrected, device.uncorrected) == (0, 0)
    single, double = [of_node(2)[4], of_node(6)[9]], [of_node(2)[5], of_node(6)[0]]
    for n_bits, addresses in ((1, single), (2, double)):
        for address in addresses:
            device.faults.send({"address": address, "bit0": 7, "bit1": 70, "n": n_bits})
    await device.faults.drained()
    await device.bench.wait(20)
    await device.read([single[:1], single[1:], [], []])
    for lane, address in enumerate(double):
        flit = device.read_flit(address)
        device.reads[lane].send(flit)
        line = (await device.lines[lane].receive(1))[0]
        assert (line["answer"], line["tag"]) == (Answer.POISON, flit["tag"])
    await device.bench.wait(3)
    assert (device.corrected, device.uncorrected) == (2, 2)
    await device.clear()
    await device.read([SRAM[:16], SRAM[16:32], SRAM[32:48], SRAM[48:]])


@cocotb.test()
async def reset_in_the_middle_leaves_the_side_usable(dut: Any) -> None:
    """Nothing from before the reset comes out after it."""
    device, held = Device(dut), [False]
    for lines in device.lines:
        lines._pauses = lambda rng: held[0]
    await device.start()
    await device.write([SRAM, [], [], []])
    held[0] = True
    for reads in device.reads:
        reads.send_all([device.read_flit(address) for address in SRAM[:20]])
    await device.bench.wait(20)
    await device.bench.reset()
    held[0] = False
    before = [len(lines.items) for lines in device.lines]
    await device.bench.wait(20)
    assert [len(lines.items) for lines in device.lines] == before
    await device.read([SRAM[:16], SRAM[16:32], SRAM[32:48], SRAM[48:]])


UNDER_PRESSURE = (
    "every_answer_is_on_the_lane_of_its_request",
    "a_shared_read_is_served_when_all_have_room",
    "shared_reads_pass_the_corner",
)


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_side(back_pressure: str) -> None:
    """A side of two nodes and a channel under one kind of pauses."""
    run_bench(
        GridSide(geometry=GEOMETRY, side=SIDE),
        name="grid_side",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else ",".join(UNDER_PRESSURE),
    )


def test_a_side_without_memories_is_refused() -> None:
    """Two slices are at W and E."""
    geometry = GridGeometry(PRESETS["odd"])
    with pytest.raises(ValueError) as error:
        GridSide(geometry=geometry, side=Side.N)
    assert str(error.value) == "GridSide side must be one of W, E, not N."
