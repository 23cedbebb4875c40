# SPDX-License-Identifier: Apache-2.0
"""What each job of a grid may do, and with whom it shares reads, in the compiled `tiny`."""

from collections.abc import Iterator

import pytest

from hw.arch.csr import N_GROUPS, RANGE_REGISTERS
from hw.arch.traps import Trap
from hw.config import PRESETS
from sw.errors import UserError
from sw.runtime.chip import JobError
from sw.runtime.grid import Grid, Place
from sw.runtime.limits import AddressRange
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed
from tb.system.grid_bench import LISTS, copy_list
from tb.system.test_grid_multicast import ALL, PLACES, put, shared_list

CONFIG = PRESETS["tiny"]
SIZE = 512
SOURCES, TARGETS = (0x1000, 0x2000), (0x8000, 0x9000)
"""Of two jobs."""
RANGES = [
    [
        AddressRange(address=source, n_bytes=SIZE, may_write=False),
        AddressRange(address=target, n_bytes=SIZE, may_read=False),
    ]
    for source, target in zip(SOURCES, TARGETS, strict=True)
]


@pytest.fixture
def grid() -> Iterator[Grid]:
    """A fresh chip."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def finish(grid: Grid) -> None:
    """Let both jobs end."""
    for _ in range(1000):
        if not (grid.register("JOB0_PENDING") or grid.register("JOB1_PENDING")):
            return
        grid.port.run(100)
    raise AssertionError("a job does not end")


def test_each_of_two_queued_jobs_has_its_own_ranges(grid: Grid) -> None:
    """Neither may do what the other one does; while they run, all is forbidden for the next. Would
    break if a job ran under the ranges of another one, or saw those that are written meanwhile."""
    data = [put(grid, f"ranges{job}", SIZE, SOURCES[job]) for job in range(2)]
    for job in range(2):
        grid.set_ranges(PLACES, RANGES[job])
        made = copy_list(SOURCES[job], TARGETS[job], SIZE // 64, n_times=100)
        grid.start(LISTS + 0x2000 * job, dict.fromkeys(PLACES, made), job=job)
    grid.set_ranges(PLACES, [])
    assert grid.register("JOB0_PENDING") == grid.register("JOB1_PENDING") == len(PLACES)
    access = RANGE_REGISTERS[0][2].name
    assert {grid.element(place).register(access) for place in PLACES} == {1}, "shows job 0's"
    finish(grid)
    assert grid.register("GRID_FAILED") & 3 == 0
    for target, expected in zip(TARGETS, data, strict=True):
        assert grid.port.read(target, SIZE) == expected
    with pytest.raises(JobError, match="outside the address ranges"):
        grid.run_job(LISTS, {(0, 0): copy_list(SOURCES[0], TARGETS[0], 1)})
    grid.set_ranges(PLACES)
    grid.run_job(LISTS, dict.fromkeys(PLACES, copy_list(SOURCES[1], TARGETS[0], SIZE // 64)))
    assert grid.port.read(TARGETS[0], SIZE) == data[1]


def test_a_queued_job_does_not_inherit_rights(grid: Grid) -> None:
    """It writes where the job before it may; would break if it could."""
    put(grid, "rights", SIZE, SOURCES[1])
    grid.port.write(TARGETS[0], bytes(SIZE))
    grid.set_ranges(PLACES)
    first = copy_list(SOURCES[0], TARGETS[1], SIZE // 64, n_times=100)
    grid.start(LISTS, dict.fromkeys(PLACES, first), job=0)
    grid.set_ranges(PLACES, RANGES[1])
    second = copy_list(SOURCES[1], TARGETS[0], SIZE // 64)
    grid.start(LISTS + 0x2000, dict.fromkeys(PLACES, second), job=1)
    grid.set_ranges(PLACES)
    finish(grid)
    assert grid.register("GRID_FAILED") & 3 == 2
    assert {grid.element(place).register("ERROR_CAUSE") for place in PLACES} == {Trap.MEMORY_RANGE}
    assert grid.port.read(TARGETS[0], SIZE) == bytes(SIZE)


def test_ranges_are_those_of_the_elements_named(grid: Grid) -> None:
    """A row is confined, the other one is not; would break if all heard of it."""
    put(grid, "named", SIZE, SOURCES[1])
    rows: list[list[Place]] = [[(row, column) for column in range(2)] for row in range(2)]
    grid.set_ranges(PLACES)
    grid.set_ranges(rows[1], RANGES[0])
    made = copy_list(SOURCES[1], TARGETS[1], SIZE // 64)
    grid.run_job(LISTS, dict.fromkeys(rows[0], made))
    with pytest.raises(JobError, match="outside the address ranges") as error:
        grid.run_job(LISTS, dict.fromkeys(rows[1], made))
    assert error.value.cause == Trap.MEMORY_RANGE
    everything = AddressRange(address=0, n_bytes=256)
    for places, ranges, words in (
        ([(0, 0), (1, 1)], [], "Address ranges are for all elements that some rows and columns"),
        ([(0, CONFIG.cols)], [], "There is no element"),
        ([(0, 0)], [everything] * 5, "at most 4 address ranges, not 5"),
    ):
        with pytest.raises(UserError, match=words):
            grid.set_ranges(places, ranges)


def test_rates_are_those_of_the_elements_named(grid: Grid) -> None:
    """One row reads 64 bytes in 256 cycles, the other one as fast as it can; would break if all
    heard of it, or nobody did."""
    n_lines = SIZE // 64
    put(grid, "rates", SIZE, SOURCES[0])
    rows: list[list[Place]] = [[(row, column) for column in range(2)] for row in range(2)]
    grid.set_ranges(PLACES)
    grid.set_rates(rows[1], read=(64, 64))
    made = copy_list(SOURCES[0], TARGETS[0], n_lines)
    free, slow = (grid.run_job(LISTS, dict.fromkeys(row, made)).cycles or 0 for row in rows)
    assert slow >= 256 * (n_lines - 2) > 4 * free
    grid.set_rates(PLACES)
    assert (grid.run_job(LISTS, dict.fromkeys(rows[1], made)).cycles or 0) < 2 * free
    for places, rate, words in (
        ([(0, 0), (1, 1)], 0, "Rates are for all elements that some rows and columns"),
        ([(0, 0)], 1 << 16, "A rate is from 0 to 65535, not 65536"),
    ):
        with pytest.raises(UserError, match=words):
            grid.set_rates(places, write=(rate, 0))


def test_each_of_two_queued_jobs_has_its_own_groups(grid: Grid) -> None:
    """The first one shares along rows in group 0, the second along columns in group 1, and no other
    group has members. Would break if a running job's groups became those of the next, or if a job
    that waits had none."""
    data = [put(grid, f"groups{job}", SIZE, SOURCES[job]) for job in range(2)]
    masks = (ALL & 0xFFFF, ALL & ~0xFFFF)
    for job in range(2):
        grid.select_places(PLACES)
        for group in range(N_GROUPS):
            grid.selected.set_register(f"MULTICAST{group}", masks[job] if group == job else 0)
        lists = {
            place: shared_list(
                SOURCES[job],
                TARGETS[job] + SIZE * at,
                n_lines=SIZE // 64,
                n_times=60,
                group=job,
                column=job,
            )
            for at, place in enumerate(PLACES)
        }
        grid.start(LISTS + 0x2000 * job, lists, job=job)
    for group in range(N_GROUPS):
        grid.selected.set_register(f"MULTICAST{group}", 0)
    assert grid.element((0, 0)).register("MULTICAST0") == masks[0]
    assert grid.register("JOB0_PENDING") == len(PLACES), "job 0 is too short for this test"
    finish(grid)
    assert grid.register("GRID_FAILED") & 3 == 0
    for job in range(2):
        for at in range(len(PLACES)):
            assert grid.port.read(TARGETS[job] + SIZE * at, SIZE) == data[job]
    assert grid.element((0, 0)).register("MULTICAST1") == masks[1]
