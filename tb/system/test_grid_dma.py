# SPDX-License-Identifier: Apache-2.0
"""The DMA engine of a whole chip: bytes in and out, errors, work at the same time."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw.arch.address_map import DRAM, SRAM
from hw.arch.dma import DMA_REFUSED, DmaCause, DmaState, DmaWay
from hw.arch.traffic import HOST_EVENTS
from hw.config import PRESETS
from sim.compiled.dram import DramTiming
from sim.compiled.simulator import CompiledSimulator
from sw.errors import UserError
from sw.runtime import host_dma
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulated_grid
from sw.runtime.traffic import read_traffic
from tb.common.seeds import bench_seed, numpy_rng, python_rng
from tb.system.grid_bench import LISTS, check_product, copy_list

CONFIG = PRESETS["tiny"]
LINE = CONFIG.pe.link_bytes
HOST = 0x12_3456_7000
"""Where the tests' bytes lie in the host's memory."""


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def host(grid: Grid) -> CompiledSimulator:
    """The simulator, whose host has a memory."""
    assert isinstance(grid.port, CompiledSimulator)
    return grid.port


@pytest.mark.parametrize("base", [SRAM.base + 0x8000, DRAM.base + 0x40000], ids=["sram", "dram"])
def test_bytes_go_in_and_come_out(grid: Grid, base: int) -> None:
    """Of any number, and no byte beside them; would break if a line went elsewhere, or an edge were
    rounded."""
    rng = python_rng("dma")
    for n_bytes in (1, LINE, 3 * LINE + 5, 4096, 10_001):
        data, old = rng.randbytes(n_bytes), rng.randbytes(n_bytes + LINE)
        host(grid).write_host_memory(HOST, data)
        grid.port.write(base, old)
        grid.copy_in(HOST, base, n_bytes)
        assert grid.port.read(base, n_bytes + LINE) == data + old[n_bytes:]
        host(grid).write_host_memory(HOST + (1 << 20), old)
        grid.copy_out(base, HOST + (1 << 20), n_bytes)
        found = host(grid).read_host_memory(HOST + (1 << 20), n_bytes + LINE)
        assert found == data + old[n_bytes:]


def test_rate_is_that_of_the_port(grid: Grid) -> None:
    """64 KiB; at least a beat per cycle on the port, at most 3.1 cycles for a line of two beats."""
    n_bytes = 1 << 16
    for copy in (
        lambda: grid.copy_in(HOST, SRAM.base, n_bytes),
        lambda: grid.copy_out(SRAM.base, HOST, n_bytes),
    ):
        assert n_bytes // CONFIG.dram.bytes_per_cycle <= copy() <= 3.1 * n_bytes // LINE


def test_host_and_engine_are_counted_apart(grid: Grid) -> None:
    """Lines of each direction; would break if one counted the other's, or its answers."""
    base, n_in, n_out, n_stored, n_read = SRAM.base, 37, 11, 5, 3
    grid.set_register("GRID_SNAPSHOT", 2)  # count from here
    grid.copy_in(HOST, base, n_in * LINE)
    grid.copy_out(base, HOST, n_out * LINE)
    grid.port.write(base, bytes(n_stored * LINE))
    grid.port.read(base, n_read * LINE)
    grid.set_register("GRID_SNAPSHOT", 1)
    at_w = read_traffic(grid, []).sides["W"]
    assert {name: at_w[name] for name in HOST_EVENTS} == {
        "host_port.read": n_read, "host_port.write": n_stored,
        "dma.read": n_out, "dma.write": n_in, "dma.host_read": n_in, "dma.host_write": n_out,
    }  # fmt: skip


def test_cached_lines_are_seen(grid: Grid) -> None:
    """What an element wrote is still in the cache of DRAM; the engine sees it, and an element what
    the engine wrote."""
    data = numpy_rng("dma cache").integers(0, 256, 2048, np.uint8).tobytes()
    source, target = DRAM.base + 0x1000, DRAM.base + 0x9000
    grid.set_cache_ways(4)
    host(grid).write_host_memory(HOST, data)
    grid.copy_in(HOST, source, len(data))
    grid.run_job(0x10000, {(0, 0): copy_list(source, target, len(data) // 64)})
    grid.copy_out(target, HOST + 0x10_0000, len(data))
    assert host(grid).read_host_memory(HOST + 0x10_0000, len(data)) == data
    grid.set_cache_ways(0)


def test_errors_say_why(grid: Grid) -> None:
    """And the engine, and the chip, are usable after each."""
    beyond = SRAM.base + CONFIG.sram.size_bytes
    for wrong, words in (
        (lambda: grid.copy_in(HOST + 1, SRAM.base, 64), "an address is no multiple of a line"),
        (lambda: grid.copy_out(SRAM.base + 4, HOST, 64), "an address is no multiple of a line"),
        (lambda: grid.copy_in(HOST, beyond, 64), "lies outside the chip's memories"),
        (lambda: grid.copy_out(beyond - LINE, HOST, 64), "lies outside the chip's memories"),
        (lambda: grid.copy_in(HOST, 1 << 40, 64), "64 bytes at 0x10000000000 of the chip's memory"),
        (lambda: grid.copy_in(-64, SRAM.base, 64), "64 bytes at -0x40 of the host's memory"),
        (lambda: grid.copy_in((1 << 40) - 64, SRAM.base, 65), "do not lie below 0x10000000000"),
        (lambda: grid.copy_in(HOST, SRAM.base, 0), "1 to 4294967232 bytes, not 0"),
    ):
        with pytest.raises(UserError, match=words):
            wrong()
    check_product(grid, (16, 16, 16), np.dtype(np.int8))


def state(grid: Grid) -> tuple[DmaState, DmaCause]:
    """What the engine says of itself."""
    found = grid.register("DMA_STATE")
    return DmaState(found & 0xFF), DmaCause(found >> 8 & 0xFF)


def let_pass(grid: Grid, n_cycles: int) -> None:
    """Time, which no interrupt of an earlier job cuts short."""
    grid.set_register("GRID_WAIT", 0)
    assert not grid.port.run(n_cycles)


def start_to_chip(grid: Grid, n_bytes: int) -> None:
    """Start a transfer of the host's bytes by registers."""
    for name, value in (
        ("HOST_LO", HOST & 0xFFFF_FFFF),
        ("HOST_HI", HOST >> 32),
        ("CHIP_LO", SRAM.base),
        ("CHIP_HI", 0),
        ("BYTES", n_bytes),
        ("START", DmaWay.TO_CHIP),
    ):
        grid.set_register(f"DMA_{name}", value)


def test_a_memory_that_does_not_answer_is_given_up(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answers later changes no memory, and then the engine is usable; would break if it
    were busy until a reset, or late answers arrived in bytes that the host uses otherwise."""
    monkeypatch.setattr(host_dma, "_LATENCY", 1500)
    monkeypatch.setattr(host_dma, "_PATIENCE", 0)
    old, new, n_bytes = bytes([0xAA]) * 1024, bytes([0x55]) * 1024, 1024
    host(grid).write_host_memory(HOST, new)
    grid.port.write(SRAM.base, old)
    host(grid).set_host_memory_timing(DramTiming(latency=9000))
    with pytest.raises(UserError, match="1024 bytes does not end; it is aborted, and the engine"):
        grid.copy_in(HOST, SRAM.base, n_bytes)
    assert state(grid) == (DmaState.BUSY, DmaCause.ABORTED)
    with pytest.raises(UserError, match="waits for answers to a transfer that was aborted"):
        grid.copy_out(SRAM.base, HOST, n_bytes)
    host(grid).set_host_memory_timing(DramTiming())
    let_pass(grid, 9000)
    assert state(grid) == (DmaState.ERROR, DmaCause.ABORTED)
    assert grid.port.read(SRAM.base, n_bytes) == old
    grid.copy_in(HOST, SRAM.base, n_bytes)
    assert grid.port.read(SRAM.base, n_bytes) == new


def test_a_slow_memory_is_written_no_longer(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was offered to it before the abort it takes, nothing else; then the engine is usable."""
    monkeypatch.setattr(host_dma, "_LATENCY", 1500)
    monkeypatch.setattr(host_dma, "_PATIENCE", 0)
    old, new, n_bytes = bytes([0xAA]) * 1024, bytes([0x55]) * 1024, 1024
    host(grid).write_host_memory(HOST, old)
    grid.port.write(SRAM.base, new)
    host(grid).set_host_memory_timing(DramTiming(bytes_per_1024_cycles=4))
    with pytest.raises(UserError, match="1024 bytes does not end; it is aborted, and the engine"):
        grid.copy_out(SRAM.base, HOST, n_bytes)
    host(grid).set_host_memory_timing(DramTiming())
    let_pass(grid, 9000)
    assert state(grid) == (DmaState.ERROR, DmaCause.ABORTED)
    found = host(grid).read_host_memory(HOST, n_bytes)
    assert new[:LINE] == found[:LINE] and found[-16 * LINE :] == old[-16 * LINE :]
    grid.copy_out(SRAM.base, HOST, n_bytes)
    assert host(grid).read_host_memory(HOST, n_bytes) == new


def test_a_start_while_one_runs_says_so(grid: Grid) -> None:
    """It is dropped, and the first one is right; would break if a host that asks too early waited
    for the end of another's transfer, and took it for its own."""
    data = python_rng("twice").randbytes(1024)
    host(grid).write_host_memory(HOST, data)
    host(grid).set_host_memory_timing(DramTiming(latency=2000))
    start_to_chip(grid, len(data))
    assert grid.register("DMA_STATE") == DmaState.BUSY
    with pytest.raises(UserError, match="works for another transfer"):
        grid.copy_in(HOST, DRAM.base, 64)
    grid.set_register("DMA_START", DmaWay.TO_HOST)
    assert grid.register("DMA_STATE") == DmaState.BUSY | DMA_REFUSED
    host(grid).set_host_memory_timing(DramTiming())
    let_pass(grid, 4000)
    assert grid.register("DMA_STATE") == DmaState.DONE | DMA_REFUSED
    assert grid.port.read(SRAM.base, len(data)) == data
    grid.copy_in(HOST, DRAM.base, 64)
    assert grid.register("DMA_STATE") == DmaState.DONE


def test_a_transfer_runs_beside_a_job(grid: Grid) -> None:
    """Elements copy while the engine does; both are right, and the job's interrupt comes."""
    rng = python_rng("beside")
    data, other = rng.randbytes(8192), rng.randbytes(8192)
    host(grid).write_host_memory(HOST, data)
    grid.port.write(SRAM.base, other)
    places = [(row, column) for row in range(CONFIG.rows) for column in range(CONFIG.cols)]
    lists = {
        place: copy_list(SRAM.base, SRAM.base + 0x4000 + 0x2000 * number, 128)
        for number, place in enumerate(places)
    }
    grid.start(LISTS, lists)
    grid.copy_in(HOST, DRAM.base, len(data))
    grid.wait(0, places)
    assert grid.port.read(DRAM.base, len(data)) == data
    for number in range(len(places)):
        assert grid.port.read(SRAM.base + 0x4000 + 0x2000 * number, 8192) == other
