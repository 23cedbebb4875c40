# SPDX-License-Identifier: Apache-2.0
"""The caches of `tiny`: products from DRAM, commands to ranges, SRAM that is cache."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hw.arch.address_map import DRAM, SRAM
from hw.config import PRESETS
from sim.compiled import AccessError, CompiledSimulator
from sim.golden.cache import CacheModel
from sw.errors import UserError
from sw.runtime.grid import Grid
from sw.runtime.grid_gemm import prepare_grid_gemm, run_grid_gemm
from sw.runtime.simulated import simulated_grid
from sw.runtime.traffic import read_traffic
from tb.common.seeds import bench_seed, numpy_rng, python_rng
from tb.system.grid_bench import copy_list

CONFIG = PRESETS["tiny"]
LINE = CONFIG.pe.link_bytes
WAYS = CONFIG.sram.cache_ways
LISTS = DRAM.base + 0x10_0000


@pytest.fixture(scope="module")
def port_and_grid() -> Iterator[Grid]:
    """One chip for all."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


@pytest.fixture
def grid(port_and_grid: Grid) -> Iterator[Grid]:
    """The chip without cache, as each test leaves it."""
    port_and_grid.set_cache_ways(0)
    yield port_and_grid
    port_and_grid.set_cache_ways(0)


def simulator(grid: Grid) -> CompiledSimulator:
    """What is behind the grid, whose DRAM can be looked at past the chip."""
    assert isinstance(grid.port, CompiledSimulator)
    return grid.port


def total(grid: Grid, kind: str) -> int:
    """What all memories counted in the last job."""
    return read_traffic(grid, []).total(kind)


def product(grid: Grid, job: Any) -> tuple[np.ndarray, int]:
    """The product of operands that are in memory already, and its cycles."""
    run = run_grid_gemm(grid, job, with_data=False)
    found = np.frombuffer(grid.port.read(job.spot.c, run.c.nbytes), run.c.dtype)
    return found.reshape(run.c.shape), run.job.cycles


def test_products_are_the_same_and_the_second_one_hits(grid: Grid) -> None:
    """A product whose operands fit asks DRAM for nothing when it runs again, and is faster."""
    rng = numpy_rng("cached product")
    a = rng.integers(-128, 128, (64, 192)).astype(np.int8)
    b = rng.integers(-128, 128, (192, 64)).astype(np.int8)
    expected = a.astype(np.int32) @ b.astype(np.int32)
    job = prepare_grid_gemm(CONFIG, a, b, where="dram")
    assert np.array_equal(run_grid_gemm(grid, job).c, expected)
    found, without = product(grid, job)
    assert np.array_equal(found, expected)
    assert total(grid, "cache_hit") == total(grid, "cache_miss") == 0
    grid.set_cache_ways(WAYS)
    cycles, misses = [], []
    for _ in range(2):
        found, took = product(grid, job)
        assert np.array_equal(found, expected)
        cycles.append(took)
        misses.append(total(grid, "cache_miss"))
        n_accesses = total(grid, "dram_read") + total(grid, "dram_write")
        assert total(grid, "cache_hit") + misses[-1] == n_accesses > 0
    print(f"cycles without {without}, first {cycles[0]}, second {cycles[1]}; misses {misses}")
    assert misses[0] > misses[1] == 0
    assert cycles[1] < cycles[0] and cycles[1] < without
    # The result is in the cache, and in DRAM when that is flushed.
    offset, n_bytes = job.spot.c - DRAM.base, expected.nbytes
    simulator(grid).write_dram(offset, bytes(n_bytes))
    grid.cache_range("flush", job.spot.c, n_bytes)
    assert simulator(grid).read_dram(offset, n_bytes) == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.int8, np.float16])
def test_products_that_do_not_fit_are_right_too(grid: Grid, dtype: type) -> None:
    """With one way, of 512 lines, everything is evicted all the time."""
    rng = numpy_rng("evicted product")
    a, b = (rng.integers(-8, 8, size).astype(dtype) for size in ((72, 200), (200, 40)))
    expected = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    grid.set_cache_ways(1)
    found = run_grid_gemm(grid, prepare_grid_gemm(CONFIG, a, b, where="dram"))
    assert np.array_equal(found.c.astype(np.float32), expected)
    assert total(grid, "cache_writeback") > 0


def test_ranges_mean_their_bytes_only(grid: Grid) -> None:
    """Random commands and accesses of the host against the model; DRAM is looked at past the
    chip."""
    rng, base, n_lines = python_rng("cached ranges"), 0x8000, 64
    size, sim = n_lines * LINE, simulator(grid)
    grid.set_cache_ways(2)
    sim.write_dram(base, rng.randbytes(size))
    model = CacheModel(memory=bytearray(sim.read_dram(base, size)), line_bytes=LINE)
    for _ in range(60):
        line = rng.randrange(n_lines)
        first, last = sorted((line, rng.randrange(n_lines)))
        address = DRAM.base + base
        op = rng.choice(["write", "read", "flush", "invalidate", "drop", "prefetch"])
        if op == "write":
            data = rng.randbytes(LINE)
            grid.port.write(address + line * LINE, data)
            model.write(line, data, (1 << LINE) - 1)
        elif op == "read":
            assert grid.port.read(address + line * LINE, LINE) == model.read(line)
        else:
            edge = rng.randrange(LINE) if op != "drop" else 0  # only whole lines can be dropped
            n_bytes = (last - first + 1) * LINE - edge
            grid.cache_range(op, address + first * LINE, n_bytes)
            getattr(model, op)(first, last)
        assert sim.read_dram(base, size) == model.memory, op


def test_prefetched_lines_are_hit(grid: Grid) -> None:
    """A copy from DRAM whose lines were asked for before waits for none of them."""
    n_bytes = 64 * 64
    source, target = DRAM.base + 0x4_0000, SRAM.base
    data = python_rng("prefetch").randbytes(n_bytes)
    simulator(grid).write_dram(source - DRAM.base, data)
    grid.set_cache_ways(4)
    grid.port.write(LISTS, bytes(4096))  # hit by the list, and by what is read behind it
    grid.cache_range("prefetch", source, n_bytes)
    grid.run_job(LISTS, {(0, 0): copy_list(source, target, 64)})
    assert total(grid, "cache_miss") == 0 < total(grid, "cache_hit")
    assert grid.port.read(target, n_bytes) == data


def test_sram_that_is_cache_answers_with_an_error(grid: Grid) -> None:
    """Its first byte and its last one; the byte before is scratchpad and keeps what it has."""
    size = CONFIG.sram.size_bytes
    grid.set_cache_ways(3)
    border = SRAM.base + size // WAYS * (WAYS - 3)
    mark = python_rng("scratchpad").randbytes(LINE)
    grid.port.write(border - LINE, mark)
    for address in (border, border + LINE, SRAM.base + size - LINE):
        with pytest.raises(AccessError, match=f"read at 0x{address:010x}"):
            grid.port.read(address, LINE)
        with pytest.raises(AccessError, match=f"write at 0x{address:010x}"):
            grid.port.write(address, bytes(LINE))
    assert grid.port.read(border - LINE, LINE) == mark
    grid.set_cache_ways(0)
    grid.port.write(border, mark)
    assert grid.port.read(border, LINE) == mark


def test_a_lost_word_is_told_when_it_should_be_written_back(grid: Grid) -> None:
    """And DRAM keeps what it had."""
    grid.set_cache_ways(1)
    offset = 0x2000 * LINE
    before = simulator(grid).read_dram(offset, LINE)
    grid.port.write(DRAM.base + offset, bytes(range(LINE)))
    # The line has the first place of its set, set 0 of the uppermost way of slice 0.
    geometry = CONFIG.sram.size_bytes // WAYS * (WAYS - 1)
    places = [SRAM.base + geometry + LINE * number for number in range(CONFIG.sram.slices)]
    for place in places:  # which of them is that of slice 0 depends on the address
        for name, value in (("LO", place & 0xFFFF_FFFF), ("HI", place >> 32)):
            grid.set_register(f"ECC_INJECT_{name}", value)
        grid.set_register("ECC_INJECT", 1 | 5 << 8 | 2 << 16)
    with pytest.raises(UserError, match="could not be written back from the cache"):
        grid.cache_range("flush", DRAM.base + offset, LINE)
    assert simulator(grid).read_dram(offset, LINE) == before
    grid.cache_range("drop", DRAM.base + offset, LINE)
    grid.set_cache_ways(0)  # told once
    grid.clear_sram()
