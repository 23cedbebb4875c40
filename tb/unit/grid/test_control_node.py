# SPDX-License-Identifier: Apache-2.0
"""A row of control nodes: accesses to the right registers, all reports back, progress on a wire."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import N_JOBS
from hw.grid.control_flits import Report, access_layout, ended_layout, report_layout
from hw.grid.control_node import ControlNode
from hw.iface.control import ControlPort, ControlWrite
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal
from tb.unit.grid.passing import Passing

N_NODES = 3
TILES = range(N_NODES)
LANES = ("access", "report")


class Row(wiring.Component):
    """The nodes of a row, the one at position 0 next to the control block."""

    def __init__(self) -> None:
        access, report = access_layout(N_NODES), report_layout(N_NODES)
        super().__init__(
            {
                "down": In(stream.Signature(access)),
                "up": Out(stream.Signature(report)),
                "port": Out(ControlPort()).array(N_NODES),
                "ended": In(stream.Signature(ended_layout())).array(N_NODES),
                "moves": In(N_NODES),
                "moved": Out(N_NODES),
                "passing": Out(2).array(N_NODES),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        down, up, moved = wiring.flipped(self.down), wiring.flipped(self.up), self.moved
        for at in TILES:
            m.submodules[f"node{at}"] = node = ControlNode(n_positions=N_NODES)
            wiring.connect(m, down, node.down_i)
            wiring.connect(m, node.up_o, up)
            wiring.connect(m, node.port, wiring.flipped(self.port[at]))
            wiring.connect(m, wiring.flipped(self.ended[at]), node.ended)
            m.d.comb += [
                node.here.eq(1 << at),
                node.position.eq(at),
                node.weight.eq(N_NODES - 1 - at),
                node.moved.eq(self.moves[at]),
                self.passing[at].eq(node.passing),
                moved.eq(node.moved_o),
            ]
            down, up, moved = node.down_o, node.up_i, node.moved_i
        m.d.comb += down.ready.eq(1)
        return m


class Device:
    """A row with the control block in front and registers behind that the test plays."""

    def __init__(self, dut: Any, pauses: str = "none") -> None:
        self.dut, self.bench, self.rng = dut, Bench(dut), python_rng("control node")
        source, sink = BACK_PRESSURE[pauses]
        bench = self.bench
        self.accesses = bench.source("down", access_layout(N_NODES), source())
        self.reports = bench.sink("up", report_layout(N_NODES), sink())
        self.writes = [bench.sink(f"port__{at}__write", ControlWrite) for at in TILES]
        self.reads = [bench.sink(f"port__{at}__read", unsigned(12), sink()) for at in TILES]
        self.answers = [bench.source(f"port__{at}__answer", unsigned(32)) for at in TILES]
        self.ended = [bench.source(f"ended__{at}", ended_layout(), source()) for at in TILES]
        self.told: list[dict[str, Any]] = []  # ends of jobs that came before an answer
        dut["moves"].value = 0

    def access(self, mask: int, *, is_read: int = 0) -> dict[str, int]:
        """A random access."""
        data, offset = self.rng.getrandbits(32), self.rng.randrange(1 << 10) * 4
        return {"data": data, "mask": mask, "offset": offset, "is_read": is_read}

    def end(self) -> dict[str, int]:
        """A random end of a job."""
        return {
            "cause": self.rng.getrandbits(8),
            "job": self.rng.randrange(N_JOBS),
            "failed": self.rng.getrandbits(1),
        }

    async def read(self, at: int) -> None:
        """Read a register of one element; other reports may come before the answer."""
        flit, value = self.access(1 << at, is_read=1), self.rng.getrandbits(32)
        self.accesses.send(flit)
        assert await self.reads[at].receive(1) == [flit["offset"]]
        self.answers[at].send(value)
        while True:
            report = (await self.reports.receive(1))[0]
            if report["kind"] is Report.ANSWER:
                assert (report["data"], report["position"]) == (value, at)
                return
            self.told.append(report)


def pins(dut: Any) -> dict[int, Any]:
    """What each node says of flits that pass."""
    return {at: dut[f"passing__{at}"] for at in TILES}


@cocotb.test()
async def writes_reach_all_that_are_meant(dut: Any) -> None:
    """Once each, in order; one for nobody disappears, and is not counted."""
    device = Device(dut, bench_parameters()["back_pressure"])
    passing = Passing(device.bench, pins(dut), LANES)
    await device.bench.start()
    flits = [device.access(mask) for mask in (0, 7, *device.rng.choices(range(8), k=150))]
    device.accesses.send_all(flits)
    for at in TILES:
        expected = [
            {"offset": flit["offset"], "data": flit["data"]}
            for flit in flits
            if flit["mask"] >> at & 1
        ]
        check_equal(await device.writes[at].receive(len(expected)), expected, f"write at {at}")
        assert passing.counts[at, "access"] == len(expected)


@cocotb.test()
async def answers_and_ends_come_back_from_where_they_are(dut: Any) -> None:
    """Reads of every element while every element reports ends of jobs; none is lost, and each is
    counted once."""
    device = Device(dut, bench_parameters()["back_pressure"])
    passing = Passing(device.bench, pins(dut), LANES)
    await device.bench.start()
    ends = [[device.end() for _ in range(40)] for _ in TILES]
    for at in TILES:
        device.ended[at].send_all(ends[at])
    places = device.rng.choices(TILES, k=20)
    for at in places:
        await device.read(at)
    left = N_NODES * 40 - len(device.told)
    device.told += await device.reports.receive(left)
    for at in TILES:
        found = [
            {"cause": report["data"], "job": report["job"], "failed": report["failed"]}
            for report in device.told
            if report["position"] == at
        ]
        check_equal(found, ends[at], f"end at {at}")
        assert passing.counts[at, "access"] == places.count(at)
        assert passing.counts[at, "report"] == places.count(at) + len(ends[at])


@cocotb.test()
async def times_are_those_of_the_lanes(dut: Any) -> None:
    """A cycle per node down; an end takes a cycle and one per node before it; rates of one."""
    device, n = Device(dut), 40
    await device.bench.start()
    device.accesses.send_all([device.access(7)] * n)
    for at in TILES:
        await device.writes[at].receive(n)
        assert device.writes[at].cycles == [c + 1 + at for c in device.accesses.cycles]
        assert device.writes[at].cycles[-1] - device.writes[at].cycles[0] == n - 1
    for at in TILES:
        device.ended[at].send(device.end())
        await device.reports.receive(1)
        assert device.reports.cycles[-1] == device.ended[at].cycles[-1] + 1 + at
        device.accesses.send(device.access(1 << at, is_read=1))
        await device.reads[at].receive(1)
        device.answers[at].send(1)
        await device.reports.receive(1)
        assert device.reports.cycles[-1] == device.answers[at].cycles[-1] + 2 + at
    for at in TILES:
        device.ended[at].send_all([device.end()] * n)
    found = await device.reports.receive(N_NODES * n)
    cycles = device.reports.cycles[-N_NODES * n :]
    assert cycles[-1] - cycles[0] == N_NODES * n - 1
    # Of any three in a row, once the lane is full, one is of each.
    middle = [report["position"] for report in found[6:-6]]
    assert all(set(middle[at : at + 3]) == set(TILES) for at in range(len(middle) - 2))


@cocotb.test()
async def progress_of_each_element_is_seen(dut: Any) -> None:
    """A pulse comes out a cycle per node later, and only then, on the wire of its position."""
    device = Device(dut)
    await device.bench.start()
    for at in TILES:
        await device.bench.wait(5)
        dut["moves"].value = 1 << at
        await device.bench.wait(1)
        dut["moves"].value = 0
        seen = []
        for _ in range(6):
            await device.bench.wait(1)
            seen.append(int(dut["moved"].value))
        assert seen == [(cycle == at) << at for cycle in range(6)]


@cocotb.test()
async def reset_in_the_middle_drops_what_is_on_its_way(dut: Any) -> None:
    """Neither accesses nor reports survive it; then both work."""
    device, held = Device(dut), [True]
    device.reports._pauses = lambda rng: held[0]
    for reads in device.reads:
        reads._pauses = lambda rng: held[0]
    await device.bench.start()
    device.accesses.send_all([device.access(1 << at, is_read=1) for at in (2, 1, 0)])
    for at in TILES:
        device.ended[at].send_all([device.end()] * 4)
    await device.bench.wait(15)
    await device.bench.reset()
    held[0] = False
    await device.bench.wait(10)
    assert not device.reports.items and not any(reads.items for reads in device.reads)
    for at in TILES:
        await device.read(at)


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_control_nodes(back_pressure: str) -> None:
    """A row under one kind of pauses."""
    run_bench(
        Row(),
        name="grid_control_row",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None
        if back_pressure == "none"
        else "writes_reach_all_that_are_meant,answers_and_ends_come_back_from_where_they_are",
    )


def test_no_position_is_refused() -> None:
    """Nobody could be meant."""
    with pytest.raises(ValueError) as error:
        ControlNode(n_positions=0)
    assert str(error.value) == "ControlNode n_positions must be at least 1, not 0."
