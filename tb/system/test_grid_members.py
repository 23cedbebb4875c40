# SPDX-License-Identifier: Apache-2.0
"""Grids unlike `tiny`: not square, more slices than sides, several DRAM channels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hw.arch.address_map import DRAM
from hw.config import PRESETS
from sw.runtime.grid import Grid, Place
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.grid_bench import check_product, copy_list, small_grid
from tb.system.test_grid_counters import check_trace

MEMBERS = {
    "3x2": small_grid(3, 2, slices=16, channels=4),  # more than 64 counters at W
    "2x4": small_grid(2, 4, slices=8, channels=4),
    "odd": PRESETS["odd"],
}
pytestmark = pytest.mark.slow  # a build of six elements takes minutes
INT8 = np.dtype(np.int8)
BLOCK = 64  # bytes of a line of `copy_list`: four lines of memory, so all channels are met
LISTS, INPUT, OUTPUT = 0x1000, 0x4000, 0x8000


@pytest.fixture(scope="module", params=MEMBERS)
def grid(request: pytest.FixtureRequest) -> Iterator[Grid]:
    """A chip of each member: each test must leave it usable."""
    device, _ = simulated_grid(MEMBERS[request.param], test=True, quick=True, seed=bench_seed())
    yield device
    device.port.close()


def places_of(grid: Grid) -> list[Place]:
    """All elements."""
    return [(r, c) for r in range(grid.config.rows) for c in range(grid.config.cols)]


def random_bytes(label: str, size: int) -> bytes:
    """Bytes that differ everywhere."""
    return numpy_rng(label).integers(0, 256, size).astype(np.uint8).tobytes()


def test_the_host_finds_each_line_in_its_channel(grid: Grid) -> None:
    """Lines written through the chip, looked up in the channels' own memories, and the reverse;
    would break if lines were dealt otherwise than hw/arch/interleave.py says."""
    top = grid.config.dram.size_bytes
    for number, offset in enumerate((0, 0x12340, top // 2 - 1024, top - 2048)):
        data = random_bytes(f"host {number}", 2048)
        grid.port.write(DRAM.base + offset, data)
        assert grid.port.read_dram(offset, len(data)) == data
        data = random_bytes(f"back {number}", 2048)
        grid.port.write_dram(offset, data)
        assert grid.port.read(DRAM.base + offset, len(data)) == data
    # Pitches that are powers of two: where all bits but one of a line's number stay the same.
    for bit in range(4, top.bit_length() - 1):
        word = random_bytes(f"bit {bit}", 16)
        grid.port.write(DRAM.base + (1 << bit), word)
        assert grid.port.read_dram(1 << bit, 16) == word


def test_elements_find_each_line_in_its_channel(grid: Grid) -> None:
    """Each copies blocks of its own, DRAM to DRAM, all at once."""
    places, n_blocks = places_of(grid), 24
    size = n_blocks * BLOCK
    data = random_bytes("elements", len(places) * size)
    grid.port.write_dram(INPUT, data)
    lists = {
        place: copy_list(
            DRAM.base + INPUT + number * size, DRAM.base + 0x100000 + number * size, n_blocks
        )
        for number, place in enumerate(places)
    }
    grid.run_job(LISTS, lists)
    assert grid.port.read_dram(0x100000, len(data)) == data


def test_elements_and_host_mean_the_same_line_of_sram(grid: Grid) -> None:
    """All of SRAM written by the host; elements copy part of it to DRAM and DRAM to the rest."""
    size = grid.config.sram.size_bytes
    data = bytearray(random_bytes("sram", size))
    places = places_of(grid)
    n_blocks = 0x4000 // BLOCK // len(places)
    share = n_blocks * BLOCK
    grid.port.write(0, bytes(data))
    grid.run_job(
        LISTS,
        {
            place: copy_list(INPUT + number * share, DRAM.base + number * share, n_blocks)
            for number, place in enumerate(places)
        },
    )
    n_all = share * len(places)
    assert grid.port.read_dram(0, n_all) == data[INPUT : INPUT + n_all]
    grid.run_job(
        LISTS,
        {
            place: copy_list(DRAM.base + number * share, OUTPUT + 0x4000 + number * share, n_blocks)
            for number, place in enumerate(places)
        },
    )
    data[OUTPUT + 0x4000 : OUTPUT + 0x4000 + n_all] = data[INPUT : INPUT + n_all]
    found = grid.port.read(INPUT, size - INPUT)
    assert found == data[INPUT:]


@pytest.mark.parametrize("where", ["sram", "dram"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (41, 19, 37), (24, 16, 8), (7, 70, 24), (100, 33, 50)], ids=str
)
def test_product_is_exact(grid: Grid, shape: tuple[int, int, int], where: str) -> None:
    """Ragged edges on every side, also with fewer tiles than rows or columns of the grid."""
    check_product(grid, shape, INT8, where)


def test_any_rows_and_columns_make_a_sub_grid(grid: Grid) -> None:
    """The outermost rows and the last column run, the others rest."""
    rows, column = {0, grid.config.rows - 1}, grid.config.cols - 1
    chosen = [(row, column) for row in sorted(rows)]
    data = random_bytes("sub", 512)
    grid.port.write(INPUT, data)
    grid.port.write(OUTPUT, bytes(8 * 512))
    lists = {
        place: copy_list(INPUT, OUTPUT + 512 * number, 8) for number, place in enumerate(chosen)
    }
    grid.run_job(LISTS, lists)
    assert grid.port.read(OUTPUT, 8 * 512) == data * len(chosen) + bytes(512 * (8 - len(chosen)))


def test_a_trace_adds_up_to_the_counters(grid: Grid, tmp_path: Path) -> None:
    """As of `tiny`, of sides with other numbers of lanes and memories."""
    check_trace(grid, tmp_path / "run.pftrace", (24, 32, 96))
