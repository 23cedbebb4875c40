# SPDX-License-Identifier: Apache-2.0
"""Jobs that are wrong, memory that errs: named by element, command and cause; others go on."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw.arch.traps import Trap
from hw.config import PRESETS
from sim.compiled import AccessError
from sw.runtime.chip import JobError
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, python_rng
from tb.system.grid_bench import LISTS, check_product, copy_list
from tb.system.grid_faults import MISTAKES, flip_bits
from tb.system.soak import run_mistake

CONFIG = PRESETS["tiny"]
SOURCE, TARGET, N_BYTES = 0x2000, 0x3000, 512


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def check_usable(grid: Grid) -> None:
    """A product right afterwards."""
    check_product(grid, (9, 9, 9), np.dtype(np.int8))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_reported_and_the_others_go_on(grid: Grid, name: str) -> None:
    """Would break if the wrong element, command or cause were named, or an error spread."""
    run_mistake(grid, python_rng(f"mistake {name}"), MISTAKES[name])
    check_usable(grid)


def test_the_host_is_refused_what_is_nowhere(grid: Grid) -> None:
    """Would break if an access that no memory takes hung the host's port, or was answered well."""
    for address in (CONFIG.sram.size_bytes, 0x5000_0000, (1 << 40) - 64):
        with pytest.raises(AccessError):
            grid.port.read(address, 64)
        with pytest.raises(AccessError):
            grid.port.write(address, bytes(64))
    check_usable(grid)


@pytest.mark.parametrize("place", [(0, 0), (1, 1)])
def test_one_wrong_bit_is_corrected_and_two_trap(grid: Grid, place: tuple[int, int]) -> None:
    """In a line that one element copies; would break if a wrong bit were stored anywhere, or the
    host, or the element, were not told of two."""
    rng = python_rng(f"flips {place}")
    data, old = rng.randbytes(N_BYTES), rng.randbytes(N_BYTES)
    job = {place: copy_list(SOURCE, TARGET, N_BYTES // 64)}
    grid.port.write(SOURCE, data)
    counts = [grid.register(name) for name in ("ECC_CORRECTED", "ECC_UNCORRECTED")]
    flip_bits(grid, SOURCE + 64 * rng.randrange(8), rng, n=1)
    grid.run_job(LISTS, job)
    assert grid.port.read(TARGET, N_BYTES) == data
    assert grid.register("ECC_CORRECTED") > counts[0]
    assert grid.register("ECC_UNCORRECTED") == counts[1]
    grid.port.write(SOURCE, data)
    grid.port.write(TARGET, old)
    word = flip_bits(grid, SOURCE + 64 * rng.randrange(8), rng, n=2)
    with pytest.raises(JobError) as error:
        grid.run_job(LISTS, job)
    assert str(error.value) == (
        f"Element {place}: FI_IN_ROW trapped in dma_in (tag 1): a memory word with an uncorrectable"
        f" error was read (address 0x{word // 16 * 16:08x})."
    )
    assert error.value.cause == Trap.MEMORY_POISON
    assert grid.register("ECC_UNCORRECTED") > counts[1]
    found = grid.port.read(TARGET, N_BYTES)
    assert all(one in pair for one, pair in zip(found, zip(data, old, strict=True), strict=True))
    with pytest.raises(AccessError):
        grid.port.read(word, 8)
    grid.port.write(SOURCE, data)
    grid.run_job(LISTS, job)
    assert grid.port.read(TARGET, N_BYTES) == data
