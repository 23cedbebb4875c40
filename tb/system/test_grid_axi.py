# SPDX-License-Identifier: Apache-2.0
"""`tiny` whole in cocotb, its work: a host with bursts in flight, jobs, products, DMA, between
memories that answer late, in any order and with pauses."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotbext.axi import AxiResp

from hw.arch.address_map import DRAM, SRAM
from hw.config import PRESETS
from sw.runtime.grid import Grid, Place
from tb.common.seeds import python_rng
from tb.system.grid_bench import LISTS, check_product, copy_list
from tb.system.grid_chip_bench import GridBench, bench_port, run_grid_bench
from tb.system.grid_work import Work, check_results, random_work

CONFIG = PRESETS["tiny"]
LINE = CONFIG.pe.link_bytes
SPAN = 6 * 1024
"""Bytes of each memory that the host's test uses: more than a burst may cross."""
HOST = 0x12_3456_7000


class HostTraffic:
    """Accesses of the host, some at once, beside a copy of what memory holds."""

    def __init__(self, chip: GridBench, rng: random.Random) -> None:
        self._chip, self._rng = chip, rng
        self.bases = (SRAM.base + 0x1000 - 64, DRAM.base + 0x2_1000 - 64)
        self._held = {base: bytearray(rng.randbytes(SPAN)) for base in self.bases}

    async def fill(self) -> None:
        """Write everything once."""
        for base, data in self._held.items():
            assert await self._chip.write(base, bytes(data)) == AxiResp.OKAY

    async def at_once(self, n: int) -> None:
        """Random accesses to parts that do not overlap, asked for at once; each must be right."""
        rng, tasks = self._rng, []
        slots = [(base, part) for base in self.bases for part in range(SPAN // 512)]
        for base, part in rng.sample(slots, n):
            first = 512 * part + rng.randrange(400)
            n_bytes = rng.choice((1, 4, LINE, rng.randint(1, 112)))
            access = rng.choice((self._write, self._read))
            size = rng.choice((None, None, 0, 1, 2, 3)) if n_bytes < 64 else None
            tasks.append(cocotb.start_soon(access(base, first, n_bytes, size)))
        if rng.random() < 0.5:
            tasks.append(cocotb.start_soon(self._register()))
        for task in tasks:
            await task

    async def _write(self, base: int, first: int, n_bytes: int, size: int | None) -> None:
        data = self._rng.randbytes(n_bytes)
        self._held[base][first : first + n_bytes] = data
        assert await self._chip.write(base + first, data, size=size) == AxiResp.OKAY
        await self._read(base, first, n_bytes, None)  # which asks as soon as the answer is there

    async def _read(self, base: int, first: int, n_bytes: int, size: int | None) -> None:
        response, data = await self._chip.read(base + first, n_bytes, size=size)
        assert response == AxiResp.OKAY
        assert data == self._held[base][first : first + n_bytes], hex(base + first)

    async def _register(self) -> None:
        port, value = self._chip, self._rng.randrange(4)
        assert await port.register("CONFIG") == int(CONFIG.digest(), 16)
        await port.set_register("GRID_ROWS", value)
        assert await port.register("GRID_ROWS") == value

    async def check(self) -> None:
        """All of memory, a long burst each."""
        for base, data in self._held.items():
            response, found = await self._chip.read(base, SPAN)
            assert response == AxiResp.OKAY
            assert found == data

    def held(self, base: int) -> bytes:
        """What memory should hold."""
        return bytes(self._held[base])


@cocotb.test()
async def the_host_has_several_accesses_under_way(dut: Any) -> None:
    """Any address, length and beat size, to SRAM, DRAM with and without its cache, registers; would
    break if one access took another's bytes or answer, or a burst's acknowledgement came early."""
    chip = GridBench(dut, CONFIG)
    grid = await chip.start()
    traffic = HostTraffic(chip, python_rng("host traffic"))
    await traffic.fill()
    for ways in (0, 3, 1):
        await chip.call(grid.set_cache_ways, ways)
        for _ in range(12):
            await traffic.at_once(8)
        await traffic.check()
    await chip.call(grid.set_cache_ways, 0)
    base = traffic.bases[1]
    assert bench_port(grid).read_dram(base - DRAM.base, SPAN) == traffic.held(base)
    assert chip.dram.most["write"] > 1, "writes never met in the memory"


@cocotb.test()
async def random_jobs_leave_what_the_functional_simulator_says(dut: Any) -> None:
    """On random sub-grids, also two jobs behind each other, with and without the cache; would break
    if an answer out of order, or a late one, went to the wrong place, or order were taken for
    granted where memory does not give it."""
    chip = GridBench(dut, CONFIG)
    grid = await chip.start()
    for number in range(4):
        await chip.call(_jobs, grid, python_rng(f"axi jobs {number}"), number)
    assert chip.dram.overtaken["read"] and chip.dram.overtaken["write"]


def _jobs(grid: Grid, rng: random.Random, number: int) -> None:
    """A round; every second one has two jobs for each element."""
    work = random_work(CONFIG, rng, queued=number % 2 == 1)
    while number % 2 == 1 and not _is_queued(work):
        work = random_work(CONFIG, rng)
    work.store(grid)
    work.start(grid)
    for task in work.tasks:
        grid.wait(task.job, task.lists)
    for _, part in work.parts():
        check_results(grid, part)


def _is_queued(work: Work) -> bool:
    """Whether an element has two jobs."""
    places = [place for place, _ in work.parts()]
    return len(places) > len(set(places))


@cocotb.test()
async def products_from_dram_are_exact(dut: Any) -> None:
    """Bit for bit, of both kinds of formats, in chains, through a cache that is too small; would
    break if a line of DRAM were mistaken for another."""
    chip = GridBench(dut, CONFIG, share=0.5, latency=200)
    grid = await chip.start()
    await chip.call(check_product, grid, (18, 20, 40), np.dtype(np.int8), "dram")
    await chip.call(grid.set_cache_ways, 1)
    await chip.call(check_product, grid, (20, 12, 33), np.dtype(np.float16), "dram", k_parts=2)
    assert chip.dram.most["read"] > 4, "reads never met in the memory"


@cocotb.test()
async def the_dma_engine_copies_in_and_out(dut: Any) -> None:
    """While elements work, to and from each memory; would break if a line of the host's memory that
    comes late, or out of order, went elsewhere, or a byte behind the end were written."""
    chip = GridBench(dut, CONFIG)
    grid = await chip.start()
    await chip.call(_copies, grid)
    assert chip.host_memory.overtaken["read"] and chip.host_memory.overtaken["write"]


def _copies(grid: Grid) -> None:
    rng, port = python_rng("axi dma"), bench_port(grid)
    data = rng.randbytes(2048)
    port.write(SRAM.base, data)
    places: list[Place] = [(0, 0), (0, 1)]
    copied = SRAM.base + 0x4000
    lists = {place: copy_list(SRAM.base, copied, len(data) // 64, 4) for place in places}
    grid.start(LISTS, lists)
    for base, n_bytes in ((SRAM.base + 0x8000, 3001), (DRAM.base + 0x40000, 2049)):
        room = (n_bytes // LINE + 2) * LINE  # whole words, since others have no valid check bits
        sent, old = rng.randbytes(n_bytes), rng.randbytes(room)
        port.write_host_memory(HOST, sent)
        port.write(base, old)
        grid.copy_in(HOST, base, n_bytes)
        assert port.read(base, room) == sent + old[n_bytes:]
        port.write_host_memory(HOST + (1 << 20), old)
        grid.copy_out(base, HOST + (1 << 20), n_bytes)
        assert port.read_host_memory(HOST + (1 << 20), room) == sent + old[n_bytes:]
    grid.wait(0, places)
    assert port.read(copied, len(data)) == data


def test_work() -> None:
    """The cocotb tests above, on the build that both files share."""
    run_grid_bench(CONFIG, __name__)
