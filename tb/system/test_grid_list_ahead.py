# SPDX-License-Identifier: Apache-2.0
"""The list of a job that waits is read ahead: cycles saved, and nothing left of one that goes."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw.arch.address_map import DRAM
from hw.arch.commands import QUAD_BYTES, Opcode
from hw.arch.interleave import Interleave
from hw.config import PRESETS
from hw.net.sides import hops, is_of_rows, place_of_slice
from sw.runtime.grid import Grid, Place
from sw.runtime.placement import ALIGN
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.grid_bench import LISTS, check_product, commands, copy_list

CONFIG = PRESETS["tiny"]
PLACES: list[Place] = [(row, column) for row in range(CONFIG.rows) for column in range(CONFIG.cols)]
COUNTER = 5
HELD = commands((Opcode.WAIT, {"counter": COUNTER, "value": 1}))
"""A list whose job works until the host signals."""
SOURCE, FIRST, SECOND = 0x1000, 0x5000, 0x6000  # what jobs copy, and to where
N_BYTES = 512


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def latency(place: Place, base: int) -> int:
    """Cycles of a read of the element's list, at `base`, when nothing else moves (docs/grid.md)."""
    row, column = place
    address = base + ALIGN * (row * (column + 1) + column)  # see `Grid.store_lists`
    deal = Interleave(n_slices=CONFIG.sram.slices, line_bytes=CONFIG.pe.link_bytes)
    side = place_of_slice(deal.slice_of(address), deal)[0]
    shape = {"rows": CONFIG.rows, "columns": CONFIG.cols}
    position = column if is_of_rows(side) else row
    between = hops(side, **shape).index(position)
    tap, lane, switch, crossbar, sram = 1, between + 1, 2, 1, 4 if CONFIG.sram.ecc else 3
    return tap + lane + switch + crossbar + sram + switch + lane


def finish(grid: Grid, *jobs: int) -> None:
    """Wait for the ends of jobs, however they end."""
    for _ in range(400):
        if not any(grid.register(f"JOB{job}_PENDING") for job in jobs):
            return
        grid.port.run(50)
    raise AssertionError(f"Jobs {jobs} do not end.")


def start(grid: Grid, place: Place, base: int, made: bytes, job: int) -> None:
    """Start a list that has no more lines than it needs: answers take turns at the tap, so those
    of more lines would take longer."""
    grid.prepare(base, {place: made}, job=job)
    grid.selected.set_register("JOB_LIST_QUADS", len(made) // QUAD_BYTES)
    grid.selected.set_register("JOB_START", 1 | job << 8)


def queued(grid: Grid, place: Place, base: int, made: bytes, *, wait: int) -> int:
    """Cycles of a job that has waited so long behind another one."""
    grid.start(LISTS, {place: HELD}, job=0)
    start(grid, place, base, made, 1)
    grid.port.run(wait)
    assert grid.element(place).register("JOB_QUEUE") == 2
    grid.signal([place], COUNTER)
    finish(grid, 0, 1)
    assert grid.register("GRID_FAILED") & 3 == 0
    return grid.element(place).register("JOB_CYCLES_LO")


def alone(grid: Grid, place: Place, base: int, made: bytes) -> int:
    """Cycles of a job that comes to an idle element."""
    start(grid, place, base, made, 1)
    finish(grid, 1)
    return grid.element(place).register("JOB_CYCLES_LO")


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_job_that_waits_is_spared_its_memorys_latency(grid: Grid, place: Place) -> None:
    """All of it but a cycle, wherever the list lies; would break if lines were read again, or too
    late. Of lists of several lines too: those behind are asked for as they were."""
    seen = set()
    for line in range(8):
        base = LISTS + 0x2000 + ALIGN * line
        spared = alone(grid, place, base, commands()) - queued(
            grid, place, base, commands(), wait=100
        )
        assert spared == latency(place, base) - 1
        seen.add(spared)
    assert len(seen) > 1, "all lists lie at equal distances"
    signals = commands(*[(Opcode.SIGNAL, {"signal_en": 1, "signal_counter": 1})] * 40)
    base = DRAM.base + 0x4000
    assert alone(grid, place, base, signals) > queued(grid, place, base, signals, wait=300) + 30


def test_a_job_that_comes_late_loses_nothing(grid: Grid) -> None:
    """Its lines may be on their way when it begins, from memory that is far; would break if it
    waited for them longer than for its own reads."""
    place, base = (0, 1), DRAM.base + 0x4000
    made = copy_list(SOURCE, FIRST, 2)
    most = alone(grid, place, base, made)
    took = [queued(grid, place, base, made, wait=wait) for wait in range(0, 90, 7)]
    assert max(took) <= most + 2  # what its copies find at the memories
    assert min(took) < most - 30


@pytest.mark.parametrize("base", [LISTS + 0x2000, DRAM.base + 0x4000], ids=["sram", "dram"])
@pytest.mark.parametrize("which", ["that waits", "that works"])
def test_a_waiting_job_that_goes_leaves_nothing(grid: Grid, base: int, which: str) -> None:
    """Aborted by its number or taken along, at any time; then another list at the same address
    waits. Would break if a line of the old list, or an answer that came late, were taken for one
    of the new."""
    data = numpy_rng("ahead").integers(0, 256, N_BYTES).astype(np.uint8)
    grid.port.write(SOURCE, data.tobytes())
    for wait in range(0, 80, 9):
        grid.port.write(FIRST, bytes(N_BYTES))
        grid.port.write(SECOND, bytes(N_BYTES))
        grid.start(LISTS, dict.fromkeys(PLACES, HELD), job=0)
        grid.start(base, dict.fromkeys(PLACES, copy_list(SOURCE, FIRST, 8)), job=1)
        grid.port.run(wait)
        if which == "that works":
            grid.abort(PLACES, 0)
        else:
            grid.abort(PLACES, 1)
            grid.signal(PLACES, COUNTER)
        finish(grid, 0, 1)
        assert grid.register("GRID_FAILED") & 3 == (3 if which == "that works" else 2)
        grid.start(LISTS + 0x1000, dict.fromkeys(PLACES, HELD), job=2)
        grid.start(base, dict.fromkeys(PLACES, copy_list(SOURCE, SECOND, 8)), job=3)
        grid.signal(PLACES, COUNTER)
        finish(grid, 2, 3)
        assert grid.register("GRID_FAILED") & 0b1100 == 0
        assert grid.port.read(FIRST, N_BYTES) == bytes(N_BYTES)
        assert grid.port.read(SECOND, N_BYTES) == data.tobytes()
    check_product(grid, (9, 9, 9), np.dtype(np.int8))


def test_a_list_that_no_memory_holds_is_an_error_of_its_own_job(grid: Grid) -> None:
    """Told when that job needs the line, not before; would break if what was read ahead lost its
    error, or hit the job that works."""
    place, nowhere = (1, 0), 0x5000_0000
    element = grid.element(place)
    grid.start(LISTS, {place: HELD}, job=0)
    grid.selected.set_register("JOB_LIST_LO", nowhere)
    grid.selected.set_register("JOB_ROW_STRIDE", 0)
    grid.selected.set_register("JOB_START", 1 | 1 << 8)
    grid.port.run(100)
    assert element.register("JOB_QUEUE") == 2 and grid.register("GRID_FAILED") & 3 == 0
    grid.signal([place], COUNTER)
    finish(grid, 0, 1)
    assert grid.register("GRID_FAILED") & 3 == 2
    assert element.register("ERROR_JOB") == 1
    assert element.register("ERROR_INFO") == nowhere
