# SPDX-License-Identifier: Apache-2.0
"""Memory nodes: which lines they hold, where in their slice and channel, faults, clearing."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from hw.arch.address_map import DRAM
from hw.arch.interleave import Interleave
from hw.grid.geometry import GridGeometry
from hw.grid.memory_node import MemoryNode
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.mem.sram_slice import EccFault
from tb.common.memory import axi_ram, payload_shapes
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, check_equal
from tb.unit.grid.geometries import DRAM_BYTES, NOWHERE, SRAM_BYTES, bench_geometry

GEOMETRY, LINE = bench_geometry(), 16
NODES = {"with": 2, "without": 6}
"""Numbers of a node with and of one without a channel."""
READ_TAG, WRITE_TAG = 6, 5
SRAM_DEAL, DRAM_DEAL = (Interleave(n_slices=n, line_bytes=LINE) for n in (8, 4))
READ_LATENCY = 1 + 4  # crossbar, slice with ECC
FULL = (1 << LINE) - 1


class Nodes(wiring.Component):
    """Both side by side."""

    def __init__(self, geometry: GridGeometry = GEOMETRY) -> None:
        self.nodes = {
            name: MemoryNode(
                geometry=geometry,
                number=number,
                read_tag_width=READ_TAG,
                write_tag_width=WRITE_TAG,
            )
            for name, number in NODES.items()
        }
        super().__init__(
            {
                f"{name}_{port}": member
                for name, node in self.nodes.items()
                for port, member in node.signature.members.items()
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, node in self.nodes.items():
            m.submodules[name] = node
            for port, member in node.signature.members.items():
                inner, outer = getattr(node, port), getattr(self, f"{name}_{port}")
                if not member.is_port:
                    wiring.connect(m, inner, wiring.flipped(outer))
                elif member.flow is wiring.In:
                    m.d.comb += inner.eq(outer)
                else:
                    m.d.comb += outer.eq(inner)
        return m


class Device:
    """One node, its channel, and what every line of it should hold."""

    def __init__(self, bench: Bench, name: str, pauses: str = "none") -> None:
        self.bench, self.name, self.number = bench, name, NODES[name]
        self.rng = python_rng(f"node {name}")
        source, sink = BACK_PRESSURE[pauses]
        request, response = payload_shapes(MemoryReadPort(link_bytes=LINE, tag_width=READ_TAG))
        self.reads = bench.source(f"{name}_read__request", request, source())
        self.answers = bench.sink(f"{name}_read__response", response, sink())
        request, response = payload_shapes(MemoryWritePort(link_bytes=LINE, tag_width=WRITE_TAG))
        self.writes = bench.source(f"{name}_write__request", request, source())
        self.acks = bench.sink(f"{name}_write__response", response, sink())
        self.faults = bench.source(f"{name}_inject", EccFault)
        self.sram = [a for a in range(0, SRAM_BYTES, LINE) if SRAM_DEAL.slice_of(a) == self.number]
        addresses = range(DRAM.base, DRAM.base + DRAM_BYTES, LINE)
        self.dram = [a for a in addresses if DRAM_DEAL.slice_of(a) == self.number]
        self.ram = axi_ram(bench, f"{name}_axi", size=DRAM_BYTES // 4) if self.dram else None
        self.content = dict.fromkeys((*self.sram, *self.dram), bytes(LINE))
        self.corrected = self.uncorrected = 0
        bench.dut[f"{name}_clear"].value = 0
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Add up what the slice counts."""
        self.corrected += int(self.bench.dut[f"{self.name}_corrected"].value)
        self.uncorrected += int(self.bench.dut[f"{self.name}_uncorrected"].value)

    def drive(self) -> None:
        """Nothing beside the streams."""

    def reset(self) -> None:
        """Counting begins anew."""
        self.corrected = self.uncorrected = 0

    async def clear(self) -> None:
        """Fill the slice with zeros, as after power-on."""
        pin = self.bench.dut[f"{self.name}_clear"]
        pin.value = 1
        await self.bench.wait(1)
        pin.value = 0
        await self.bench.wait(1)
        await self.bench.until(lambda: not int(self.bench.dut[f"{self.name}_clearing"].value))
        self.content |= dict.fromkeys(self.sram, bytes(LINE))

    async def write(self, addresses: list[int], *, whole: bool = False) -> None:
        """Write all or some bytes of different lines; wait for all acknowledgements."""
        tags = []
        for number, address in enumerate(addresses):
            data = self.rng.randbytes(LINE)
            strobe = FULL if whole or self.rng.random() < 0.7 else self.rng.getrandbits(LINE)
            tags.append(number % (1 << WRITE_TAG))
            self.writes.send(
                {
                    "address": address,
                    "data": int.from_bytes(data, "little"),
                    "strobe": strobe,
                    "tag": tags[-1],
                }
            )
            pairs = zip(self.content[address], data, strict=True)
            self.content[address] = bytes(
                new if strobe >> index & 1 else old for index, (old, new) in enumerate(pairs)
            )
        acks = await self.acks.receive(len(addresses))
        assert not any(ack["error"] for ack in acks)
        assert sorted(ack["tag"] for ack in acks) == sorted(tags)

    async def read(self, addresses: list[int]) -> None:
        """Read lines, at most as many as there are tags, and compare."""
        for tag, address in enumerate(addresses):
            self.reads.send({"address": address, "tag": tag})
        answers = await self.answers.receive(len(addresses))
        found = {answer["tag"]: answer for answer in answers}
        for tag, address in enumerate(addresses):
            data = int.from_bytes(self.content[address], "little")
            expected = {"data": data, "tag": tag, "error": 0, "poison": 0}
            assert found[tag] == expected, f"{address:#x}"

    async def inject(self, address: int, n_bits: int) -> int:
        """A fault for whichever slice; the cycles until it was taken."""
        begin = self.bench.cycle
        self.faults.send({"address": address, "bit0": 3, "bit1": 50, "n": n_bits})
        await self.faults.drained()
        return self.bench.cycle - begin


@cocotb.test()
async def lines_lie_where_the_interleaving_says(dut: Any) -> None:
    """Every line of slice and channel, in random order, read again; the channel looked into."""
    bench = Bench(dut)
    devices = [Device(bench, name, bench_parameters()["back_pressure"]) for name in NODES]
    await bench.start()
    for device in devices:
        assert (len(device.sram), len(device.dram)) == (32, 128 if device.ram else 0)
        await device.clear()
        lines = [*device.sram, *device.dram]
        for first in range(0, 2 * len(lines), 32):
            if first % len(lines) < 32:
                device.rng.shuffle(lines)
            batch = [lines[at % len(lines)] for at in range(first, first + 32)]
            batch = list(dict.fromkeys(batch))
            await device.write(batch)
            await device.read(device.rng.sample(list(device.content), 32))
        for first in range(0, len(lines), 1 << READ_TAG):
            await device.read(lines[first : first + (1 << READ_TAG)])
        for address in device.dram if device.ram else ():
            offset = DRAM_DEAL.line_of(address - DRAM.base) * LINE
            assert device.ram.read(offset, LINE) == device.content[address], f"{address:#x}"


@cocotb.test()
async def what_no_memory_holds_is_an_error(dut: Any) -> None:
    """Also an address of DRAM at a node without a channel."""
    bench = Bench(dut)
    devices = [Device(bench, name, bench_parameters()["back_pressure"]) for name in NODES]
    await bench.start()
    for device in devices:
        wrong = [*NOWHERE, *(() if device.ram else (DRAM.base, DRAM.base + DRAM_BYTES - LINE))]
        for tag, address in enumerate(wrong):
            device.reads.send({"address": address, "tag": tag})
            device.writes.send({"address": address, "data": 1, "strobe": FULL, "tag": tag})
        for port in (device.answers, device.acks):
            found = await port.receive(len(wrong))
            check_equal([(item["tag"], item["error"]) for item in found],
                        [(tag, 1) for tag in range(len(wrong))])  # fmt: skip


@cocotb.test()
async def faults_meet_the_slice_that_is_meant(dut: Any) -> None:
    """Those for others are taken at once and change nothing; its own are corrected and counted,
    after any idle time, since the clock of an idle slice stands still."""
    bench = Bench(dut)
    devices = [Device(bench, name) for name in NODES]
    await bench.start()
    for device in devices:
        await device.clear()
        await device.write(device.sram)
        others = [a for a in range(0, SRAM_BYTES, LINE) if a not in device.sram]
        for address in (others[0], others[-1], *device.rng.sample(others, 10), *NOWHERE):
            assert await device.inject(address, 2) <= 2, f"{address:#x}"
        await device.read(device.sram)
        assert (device.corrected, device.uncorrected) == (0, 0)
        for count, address in enumerate((device.sram[0], device.sram[-1], device.sram[7]), 1):
            await bench.wait(40)
            await device.inject(address + 8, 1)
            await device.read([address])
            await bench.wait(2)
            assert (device.corrected, device.uncorrected) == (count, 0)
            await device.write([address], whole=True)
        await device.inject(device.sram[5], 2)
        device.reads.send({"address": device.sram[5], "tag": 9})
        answer = (await device.answers.receive(1))[0]
        assert (answer["tag"], answer["poison"], answer["error"]) == (9, 1, 0)
        await device.clear()
        await device.read(device.sram)


@cocotb.test()
async def a_line_comes_per_cycle(dut: Any) -> None:
    """The documented latency and rate of reads, and the rate of whole-line writes."""
    bench = Bench(dut)
    device = Device(bench, "without")
    await bench.start()
    await device.clear()
    n = 60
    for number in range(n):
        device.reads.send({"address": device.sram[number % 32], "tag": number})
    await device.answers.receive(n)
    assert device.answers.cycles == [cycle + READ_LATENCY for cycle in device.reads.cycles]
    assert device.answers.cycles[-1] - device.answers.cycles[0] == n - 1
    for number in range(n):
        address = device.sram[number % 32]
        device.writes.send({"address": address, "data": number, "strobe": FULL, "tag": 0})
    await device.acks.receive(n)
    assert device.acks.cycles[-1] - device.acks.cycles[0] == n - 1


@cocotb.test()
async def reset_in_the_middle_leaves_the_node_usable(dut: Any) -> None:
    """Nothing from before comes out after it; memory keeps what was acknowledged."""
    bench, held = Bench(dut), [False]
    device = Device(bench, "with")
    device.answers._pauses = device.acks._pauses = lambda rng: held[0]
    await bench.start()
    await device.clear()
    await device.write(device.sram, whole=True)  # none is left in the combining line
    held[0] = True
    for tag, address in enumerate((*device.sram[:12], *device.dram[:4])):
        device.reads.send({"address": address, "tag": tag})
    await bench.wait(15)
    await bench.reset()
    held[0] = False
    before = len(device.answers.items)
    await bench.wait(20)
    assert len(device.answers.items) == before
    await device.read([*device.sram, *device.dram[:8]])


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_nodes(back_pressure: str) -> None:
    """Both nodes under one kind of pauses."""
    run_bench(
        Nodes(),
        name="grid_nodes",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None
        if back_pressure == "none"
        else "lines_lie_where_the_interleaving_says,what_no_memory_holds_is_an_error",
    )


@pytest.mark.parametrize("number", [-1, 8])
def test_a_slice_that_is_not_there_is_refused(number: int) -> None:
    """It would hold lines that no address means."""
    with pytest.raises(ValueError) as error:
        MemoryNode(geometry=GEOMETRY, number=number, read_tag_width=4, write_tag_width=4)
    assert str(error.value) == f"MemoryNode number must be 0 to 7, not {number}."
