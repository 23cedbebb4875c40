# SPDX-License-Identifier: Apache-2.0
"""Memory nodes with caches: which lines of a range are theirs, and which SRAM is no more."""

from typing import Any

import cocotb
import pytest

from hw.arch.address_map import DRAM, SRAM
from hw.arch.cache import CacheOp
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters
from tb.common.stream import BACK_PRESSURE, Bench
from tb.unit.grid.geometries import DRAM_BYTES, SRAM_BYTES, bench_geometry
from tb.unit.grid.test_memory_node import DRAM_DEAL, LINE, NODES, READ_TAG, Device, Nodes

WAYS = 4
GEOMETRY = bench_geometry(cache_ways=WAYS)
N_LINES = DRAM_BYTES // LINE
CACHE_PINS = ("ways", "start", "op", "first", "last")


class CachedDevice(Device):
    """A node with the control of its cache."""

    def __init__(self, bench: Bench, name: str, pauses: str = "none") -> None:
        super().__init__(bench, name, pauses)
        self.set(**dict.fromkeys(CACHE_PINS, 0))

    def set(self, **pins: int) -> None:
        """Drive pins of the control."""
        for pin, value in pins.items():
            self.bench.dut[f"{self.name}_cache__{pin}"].value = int(value)

    async def ready(self) -> None:
        """Wait until the cache is done."""
        await self.bench.wait(2)
        busy = self.bench.dut[f"{self.name}_cache__busy"]
        await self.bench.until(lambda: not int(busy.value))

    async def command(self, op: CacheOp, first: int, last: int) -> None:
        """Do something to lines of all DRAM."""
        self.set(op=op, first=first, last=last, start=1)
        await self.bench.wait(1)
        self.set(start=0)
        await self.ready()

    def stored(self, address: int) -> Any:
        """What DRAM has of a line."""
        assert self.ram is not None
        return self.ram.read(DRAM_DEAL.line_of(address - DRAM.base) * LINE, LINE)


async def prepared(dut: Any, n_ways: int) -> list[CachedDevice]:
    """Both nodes, cleared, with so many ways of cache."""
    bench = Bench(dut)
    devices = [CachedDevice(bench, name, bench_parameters()["back_pressure"]) for name in NODES]
    await bench.start()
    for device in devices:
        await device.clear()
        device.set(ways=n_ways)
        await device.ready()
    return devices


@cocotb.test()
async def a_range_of_dram_means_the_lines_of_the_channel_that_are_in_it(dut: Any) -> None:
    """To the line: its ends may lie anywhere among the lines of the other channels."""
    device, _ = await prepared(dut, WAYS)
    lines = sorted((address - DRAM.base) // LINE for address in device.dram)
    some = lines[40:56]  # each has a place of its own
    for _ in range(25):
        addresses = [DRAM.base + line * LINE for line in some]
        await device.write(addresses, whole=True)
        first = device.rng.randint(some[0] - 3, some[-1] + 3)
        last = min(first + device.rng.randrange(24), N_LINES - 1)
        before = {address: device.stored(address) for address in addresses}
        await device.command(CacheOp.FLUSH, first, last)
        for line, address in zip(some, addresses, strict=True):
            meant = first <= line <= last
            expected = device.content[address] if meant else before[address]
            assert device.stored(address) == expected, f"line {line}, {first} to {last}"
        await device.read(addresses)
    for first, last in ((0, lines[0] - 1), (lines[-1] + 1, N_LINES - 1), (0, N_LINES - 1)):
        if first <= last:
            await device.command(CacheOp.FLUSH, first, last)
    assert all(device.stored(DRAM.base + n * LINE) == device.content[DRAM.base + n * LINE]
               for n in some)  # fmt: skip


@cocotb.test()
async def everything_is_still_there(dut: Any) -> None:
    """All lines of the channel and of the scratchpad, written and read while lines are evicted."""
    for device in await prepared(dut, 2):
        device.sram = [a for a in device.sram if a - SRAM.base < SRAM_BYTES // WAYS * (WAYS - 2)]
        lines = [*device.sram, *device.dram]
        for _ in range(2):
            device.rng.shuffle(lines)
            for first in range(0, len(lines), 32):
                batch = lines[first : first + 32]
                await device.write(batch)
                await device.read(batch)
        for first in range(0, len(lines), 1 << READ_TAG):
            await device.read(lines[first : first + (1 << READ_TAG)])
        device.set(ways=0)
        await device.ready()
        assert all(device.stored(address) == device.content[address] for address in device.dram)


@cocotb.test()
async def ways_that_are_cache_answer_as_if_there_were_no_memory(dut: Any) -> None:
    """From the upper end of SRAM on, at nodes with and without a channel."""
    devices = await prepared(dut, 0)
    for device in devices:
        await device.write(device.sram, whole=True)
    for n_ways in (1, 3, WAYS, 0):
        for device in devices:
            device.set(ways=n_ways)
            await device.ready()
            border = SRAM.base + SRAM_BYTES // WAYS * (WAYS - n_ways)
            gone = [address for address in device.sram if address >= border]
            for address in gone:
                request = {"address": address, "tag": 3}
                device.reads.send(request)
                device.writes.send(request | {"data": 7, "strobe": 1})
            answers = await device.answers.receive(len(gone))
            acks = await device.acks.receive(len(gone))
            assert all(item["error"] and item["tag"] == 3 for item in (*answers, *acks))
            await device.read([address for address in device.sram if address < border])
    await devices[1].read(devices[1].sram)  # a slice without a channel has lost nothing


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_cached_nodes(back_pressure: str) -> None:
    """Both nodes under one kind of pauses."""
    run_bench(
        Nodes(GEOMETRY),
        name="grid_cached_nodes",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
    )
