# SPDX-License-Identifier: Apache-2.0
"""`tiny` whole in cocotb, what goes wrong: wrong bits, wrong lists, memory that refuses, between
memories that answer late and out of order. Each is reported, and the chip works afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cocotb
import numpy as np
import pytest

from hw.arch.address_map import DRAM, SRAM
from hw.arch.traps import Trap
from hw.config import PRESETS
from sim.compiled import AccessError
from sw.errors import UserError
from sw.runtime.chip import JobError
from sw.runtime.grid import Grid, Place
from tb.common.late_memory import LateMemory
from tb.common.seeds import python_rng
from tb.system.grid_bench import LISTS, check_product, copy_list
from tb.system.grid_chip_bench import GridBench, bench_port, run_grid_bench
from tb.system.grid_faults import MISTAKES, flip_bits
from tb.system.soak import run_mistake

CONFIG = PRESETS["tiny"]
LINE = CONFIG.pe.link_bytes
N_BYTES = 512
SOURCE, TARGET = SRAM.base + 0x2000, SRAM.base + 0x3000
BAD = DRAM.base + 0x7_0000
"""Where DRAM refuses, `N_BYTES` long."""
HOST = 0x56_7000
PLACE: Place = (1, 0)


def _check_usable(grid: Grid, where: str = "sram") -> None:
    check_product(grid, (9, 9, 9), np.dtype(np.int8), where)


@cocotb.test()
async def one_wrong_bit_is_corrected_and_two_are_reported(dut: Any) -> None:
    """By element, command and address, and nothing wrong is stored anywhere; would break if a
    poisoned line were copied, or held as a good one."""
    chip = GridBench(dut, CONFIG)
    await chip.call(_flips, await chip.start())


def _flips(grid: Grid) -> None:
    rng, port = python_rng("axi flips"), grid.port
    data, old = rng.randbytes(N_BYTES), rng.randbytes(N_BYTES)
    port.write(SOURCE, data)
    port.write(TARGET, bytes(N_BYTES))
    job = {PLACE: copy_list(SOURCE, TARGET, N_BYTES // 64)}
    counts = [grid.register(name) for name in ("ECC_CORRECTED", "ECC_UNCORRECTED")]
    flip_bits(grid, SOURCE + 64 * rng.randrange(8), rng, n=1)
    grid.run_job(LISTS, job)
    assert port.read(TARGET, N_BYTES) == data
    assert grid.register("ECC_CORRECTED") > counts[0]
    assert grid.register("ECC_UNCORRECTED") == counts[1]
    port.write(SOURCE, data)
    port.write(TARGET, old)
    word = flip_bits(grid, SOURCE + 64 * rng.randrange(8), rng, n=2)
    with pytest.raises(JobError) as error:
        grid.run_job(LISTS, job)
    assert str(error.value) == (
        f"Element {PLACE}: FI_IN_ROW trapped in dma_in (tag 1): a memory word with an uncorrectable"
        f" error was read (address 0x{word // LINE * LINE:08x})."
    )
    assert grid.register("ECC_UNCORRECTED") > counts[1]
    found = port.read(TARGET, N_BYTES)
    assert all(one in pair for one, pair in zip(found, zip(data, old, strict=True), strict=True))
    with pytest.raises(AccessError, match="SLVERR"):
        port.read(word, 8)
    with pytest.raises(UserError, match="uncorrectable error was read"):
        grid.copy_out(SOURCE, HOST, N_BYTES)
    port.write(SOURCE, data)
    grid.run_job(LISTS, job)
    assert port.read(TARGET, N_BYTES) == data


@cocotb.test()
async def mistakes_are_reported_by_element_and_cause(dut: Any) -> None:
    """Descriptors that cannot be, a buffer that would overflow, addresses outside the memories and
    outside the job's limits, while other elements work; would break if an error spread."""
    chip = GridBench(dut, CONFIG, share=0.2, latency=40)
    grid = await chip.start()
    for name in ("no iteration", "a step too large", "a write to nowhere",
                 "outside of the job's ranges"):  # fmt: skip
        await chip.call(run_mistake, grid, python_rng(f"axi {name}"), MISTAKES[name])
        await chip.call(_check_usable, grid)
    for address in (CONFIG.sram.size_bytes, DRAM.base + CONFIG.dram.size_bytes, 0x5000_0000):
        for access in (
            lambda at: grid.port.read(at, 64),
            lambda at: grid.port.write(at, bytes(64)),
        ):
            await chip.call(_is_refused, AccessError, "DECERR", access, address)
    await chip.call(_check_usable, grid)


def _is_refused(kind: type[Exception], words: str, access: Callable[..., Any], *args: Any) -> None:
    with pytest.raises(kind, match=words):
        access(*args)


@contextmanager
def _refusing(memory: LateMemory, first: int) -> Iterator[None]:
    """Meanwhile the memory answers SLVERR in `N_BYTES` from `first` on, and must be asked there."""
    before = memory.n_refused
    memory.refuses = lambda address: first <= address < first + N_BYTES
    yield
    memory.refuses = lambda address: False
    assert memory.n_refused > before, "nobody asked"


@cocotb.test()
async def an_error_of_the_memory_ends_in_a_report(dut: Any) -> None:
    """SLVERR of DRAM and of the host's memory, to the host, elements, the DMA engine and caches;
    would break if it were lost, or what was under way with it did not end."""
    chip = GridBench(dut, CONFIG)
    grid = await chip.start()
    await chip.call(_to_host_and_elements, chip, grid)
    await chip.call(_to_dma, chip, grid)
    await chip.call(_to_cache, chip, grid)


def _to_host_and_elements(chip: GridBench, grid: Grid) -> None:
    port, data = grid.port, python_rng("axi errors").randbytes(N_BYTES)
    for address in (BAD, SOURCE):
        port.write(address, data)
    with _refusing(chip.dram, BAD - DRAM.base):
        _is_refused(AccessError, "SLVERR", port.read, BAD + 100, 8)
        _is_refused(AccessError, "SLVERR", port.write, BAD - 8, bytes(16))
        for unit, lists in (
            ("FI_IN_ROW trapped in dma_in", copy_list(BAD - 64, TARGET, 4)),
            ("FI_OUT trapped in dma_out", copy_list(SOURCE, BAD - 64, 4)),
        ):
            with pytest.raises(JobError) as error:
                grid.run_job(LISTS, {PLACE: lists, (1, 1): copy_list(SOURCE, SOURCE + 0x4000, 8)})
            assert error.value.cause == Trap.MEMORY_ERROR
            assert str(error.value).startswith(f"Element {PLACE}: {unit}"), error.value
            _check_usable(grid)
    assert port.read(SOURCE + 0x4000, N_BYTES) == data
    assert port.read(BAD, N_BYTES) == data, "what was refused is as it was"
    _check_usable(grid, "dram")


def _to_dma(chip: GridBench, grid: Grid) -> None:
    port, data = bench_port(grid), python_rng("axi dma errors").randbytes(N_BYTES)
    port.write_host_memory(HOST, data)
    port.write(SOURCE, data)
    with _refusing(chip.dram, BAD - DRAM.base):
        words = "its memory refused"
        _is_refused(UserError, words, grid.copy_in, HOST, BAD - 64, 256)
        _is_refused(UserError, words, grid.copy_out, BAD - 64, HOST + 4096, 256)
    for copy in (
        lambda: grid.copy_in(HOST - 64, SRAM.base + 0x8000, 256),
        lambda: grid.copy_out(SOURCE, HOST - 64, 256),
    ):
        with _refusing(chip.host_memory, HOST):
            _is_refused(UserError, "the host's memory refused", copy)
    grid.copy_in(HOST, BAD, N_BYTES)
    assert port.read(BAD, N_BYTES) == data


def _to_cache(chip: GridBench, grid: Grid) -> None:
    port, data = bench_port(grid), python_rng("axi cache errors").randbytes(N_BYTES)
    grid.set_cache_ways(4)
    with _refusing(chip.dram, BAD - DRAM.base):
        _is_refused(AccessError, "SLVERR", port.read, BAD, 8)
    assert len(port.read(BAD, N_BYTES)) == N_BYTES
    port.write(BAD, data)
    assert port.read(BAD, N_BYTES) == data
    with _refusing(chip.dram, BAD - DRAM.base):
        _is_refused(UserError, "refused", grid.cache_range, "flush", BAD, N_BYTES)
    _check_usable(grid, "dram")
    port.write(BAD, data)
    grid.set_cache_ways(0)
    assert port.read_dram(BAD - DRAM.base, N_BYTES) == data
    _check_usable(grid, "dram")


def test_faults() -> None:
    """The cocotb tests above, on the build that both files share."""
    run_grid_bench(CONFIG, __name__)
