# SPDX-License-Identifier: Apache-2.0
"""Elements of `tiny` that share reads: products, jobs side by side, and all that goes wrong."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw.arch.address_map import DRAM
from hw.arch.commands import Opcode
from hw.arch.csr import JobState
from hw.arch.traps import Trap
from hw.config import PRESETS
from sw.runtime.chip import JobError, JobHang
from sw.runtime.grid import Grid, Place
from sw.runtime.grid_gemm import prepare_grid_gemm, run_grid_gemm
from sw.runtime.simulated import simulated_grid
from sw.runtime.traffic import read_traffic
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.grid_bench import LISTS, check_product, commands, copies

CONFIG = PRESETS["tiny"]
INT8 = np.dtype(np.int8)
PLACES: list[Place] = [(row, column) for row in range(2) for column in range(2)]
ROW: list[Place] = [(0, 0), (0, 1)]
COLUMN: list[Place] = [(0, 0), (1, 0)]
ALL = 0b11 | 0b11 << 16
"""Members of a group: both columns for the row, both rows for the column."""
TARGET = 0x8000


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def shared_list(
    source: int,
    target: int,
    *,
    n_lines: int = 32,
    n_times: int = 1,
    group: int = 0,
    column: int = 0,
) -> bytes:
    """Copies whose way in is shared."""
    set_up, (opcode, fetch), store = copies(source, target, n_lines, n_times)
    fetch |= {"multicast": 1, "group": group, "column": column, "tag": 5}
    return commands(set_up, (opcode, fetch), store)


def set_masks(grid: Grid, places: list[Place], masks: int, group: int = 0) -> None:
    """Tell these elements who belongs to a group."""
    for place in places:
        grid.element(place).set_register(f"MULTICAST{group}", masks)


def put(grid: Grid, name: str, n_bytes: int, at: int = 0) -> bytes:
    """Random bytes in memory."""
    data = numpy_rng(name).integers(0, 256, n_bytes).astype(np.uint8).tobytes()
    grid.port.write(at, data)
    return data


def check_usable(grid: Grid) -> None:
    """The chip still multiplies, sharing and not."""
    perf = check_product(grid, (32, 32, 64), INT8)
    assert perf["multicast"]


@pytest.mark.parametrize("where", ["sram", "dram"])
@pytest.mark.parametrize("shape", [(16, 16, 16), (33, 41, 70), (64, 48, 100)], ids=str)
def test_products_are_the_same_shared_and_not(
    grid: Grid, shape: tuple[int, int, int], where: str
) -> None:
    """Would break if a line went to one member only, or into another one's place."""
    m, n, k = shape
    rng = numpy_rng(f"shared{shape}")
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for size in ((m, k), (k, n)))
    expected = a.astype(np.int32) @ b.astype(np.int32)
    for k_parts, held_blocks in ((1, 0), (1, 1), (2, 0), (2, 1)):
        for multicast in (True, False):
            job = prepare_grid_gemm(
                CONFIG, a, b, where=where, k_parts=k_parts, held_blocks=held_blocks,
                multicast=multicast,
            )  # fmt: skip
            run = run_grid_gemm(grid, job)
            assert np.array_equal(run.c, expected)
            assert run.perf["multicast"] == multicast


def test_groups_are_set_for_all_who_work(grid: Grid) -> None:
    """Would break if elements that the job before left out did not hear of their groups."""
    check_product(grid, (8, 8, 40), INT8)  # on one element
    set_masks(grid, PLACES, 0)
    check_product(grid, (8, 8, 40), INT8)
    check_usable(grid)


def test_a_ragged_edge_shares_with_nobody() -> None:
    """Would break if elements that fetch differently were in one group: they would trap."""
    a, b = np.zeros((64, 64), np.int8), np.zeros((64, 40), np.int8)  # 16 and 24 columns
    job = prepare_grid_gemm(CONFIG, a, b, k_parts=1)
    assert not job.sharing.rows and set(job.sharing.columns) == set(PLACES)
    job = prepare_grid_gemm(CONFIG, np.ascontiguousarray(b.T), a, k_parts=1)
    assert not job.sharing.columns and set(job.sharing.rows) == set(PLACES)
    assert not prepare_grid_gemm(PRESETS["odd"], a, b, k_parts=1).sharing.columns


@pytest.mark.parametrize("base", [0, DRAM.base], ids=["sram", "dram"])
@pytest.mark.parametrize("column", [0, 1])
def test_every_memory_is_reached(grid: Grid, base: int, column: int) -> None:
    """Lines of all slices, to all elements, along rows and along columns; would break if a corner
    lost a line, or gave it to the lane of another element."""
    data = put(grid, f"all{column}", 2048, base)
    set_masks(grid, PLACES, ALL)
    lists = {
        place: shared_list(base, TARGET + 4096 * at, column=column)
        for at, place in enumerate(PLACES)
    }
    grid.run_job(LISTS, lists)
    for at in range(len(PLACES)):
        assert grid.port.read(TARGET + 4096 * at, 2048) == data


@pytest.mark.parametrize("column", [0, 1])
def test_ways_through_corners_are_counted(grid: Grid, column: int) -> None:
    """A quarter of the lines of each group leaves a side of its own through a corner, and comes
    back from beyond; nothing else does. Would break if a corner counted another one's, or both
    directions."""
    n_lines, n_groups = 2048 // CONFIG.pe.link_bytes, 2
    put(grid, "corners", 2048)
    set_masks(grid, PLACES, ALL)
    lists = {
        place: shared_list(0, TARGET + 4096 * at, column=column) for at, place in enumerate(PLACES)
    }
    grid.run_job(LISTS, lists)
    found = {
        (side, name): count
        for side, counts in read_traffic(grid, []).sides.items()
        for name, count in counts.items()
        if name.startswith("corner") and count
    }
    asks, has = ("NS", "WE") if column else ("WE", "NS")
    through = n_groups * n_lines // 4
    assert found == {
        **{(side, "corner_read.0"): through for side in asks},
        **{(side, "corner_line.0"): through for side in has},
    }


def test_two_jobs_share_side_by_side(grid: Grid) -> None:
    """A group in each row, with other lines and another number, at once."""
    data = [put(grid, f"job{job}", 2048, 0x4000 * job) for job in range(2)]
    for job in range(2):
        places: list[Place] = [(job, 0), (job, 1)]
        set_masks(grid, places, ALL, group=job + 1)
        lists = {
            place: shared_list(0x4000 * job, TARGET + 4096 * (2 * job + at), group=job + 1)
            for at, place in enumerate(places)
        }
        # The lists of row 1 begin where those of row 0 would.
        grid.start(LISTS + 0x2000 * job, lists, job=job)
    for _ in range(200):
        grid.port.run(100)
        if grid.register("GRID_DONE") & 3 == 3:
            break
    assert (grid.register("GRID_DONE") & 3, grid.register("GRID_FAILED") & 3) == (3, 0)
    for at in range(4):
        assert grid.port.read(TARGET + 4096 * at, 2048) == data[at // 2]


@pytest.mark.parametrize(("column", "others"), [(0, (0, 1)), (1, (1, 0))])
def test_a_member_that_never_comes_is_named(grid: Grid, column: int, others: Place) -> None:
    """Would break if a hang named only those who wait, or an abort left a read behind."""
    set_masks(grid, PLACES, ALL)
    with pytest.raises(JobHang) as hang:
        grid.run_job(LISTS, {(0, 0): shared_list(0, TARGET, column=column)}, stall_limit=1000)
    axis = "column" if column else "row"
    assert (
        f"Element {others} has not asked for a line that others of group 0 of its {axis} wait for:"
        " it has no job." in str(hang.value)
    )
    assert not grid.element((0, 0)).register("JOB_QUEUE"), "the abort did not end"
    check_usable(grid)


def test_members_that_mean_different_lines_trap(grid: Grid) -> None:
    """All of them, on that line; would break if one got the other's line."""
    set_masks(grid, PLACES, ALL)
    lists = {(0, 0): shared_list(0, TARGET), (0, 1): shared_list(64 * 7, TARGET + 4096)}
    with pytest.raises(JobError) as error:
        grid.run_job(LISTS, lists)
    assert error.value.cause == Trap.MULTICAST_MISMATCH
    assert "(tag 5)" in str(error.value) and "reads other lines, or has failed" in str(error.value)
    for place, address in (((0, 0), 0), ((0, 1), 64 * 7)):
        element = grid.element(place)
        assert element.register("ERROR_CAUSE") == Trap.MULTICAST_MISMATCH
        assert element.register("ERROR_INFO") in range(address, address + 128, 16)
    check_usable(grid)


@pytest.mark.parametrize("wrong", range(2))
@pytest.mark.parametrize("column", range(2))
def test_a_member_that_fails_takes_the_others_along(grid: Grid, column: int, wrong: int) -> None:
    """Leader or not; would break if they waited for ever for what it will never ask for."""
    places = COLUMN if column else ROW
    set_masks(grid, PLACES, ALL)
    set_up, (opcode, fetch), _ = copies(0, TARGET, 4)
    bad = (Opcode.DMA_OUT, {"cb": 9, "count0": 8, "stride0": 8, "step_level": 1, "need": 1})
    fetch |= {"multicast": 1, "column": column}
    lists = {place: shared_list(0, TARGET + 4096 * at, n_times=8, column=column)
             for at, place in enumerate(places)}  # fmt: skip
    lists[places[wrong]] = commands(set_up, (opcode, fetch), bad)
    with pytest.raises(JobError) as error:
        grid.run_job(LISTS, lists)
    assert str(error.value).startswith(f"Element {places[wrong]}: ")
    assert error.value.cause == Trap.CB_UNINITIALISED
    other = grid.element(places[1 - wrong])
    assert other.register("ERROR_CAUSE") == Trap.MULTICAST_MISMATCH
    check_usable(grid)


def test_what_cannot_be_shared_traps(grid: Grid) -> None:
    """In a group of others; and what no memory holds, for each member by itself."""
    set_masks(grid, PLACES, 0b10 | 0b10 << 16)
    with pytest.raises(JobError, match=r"no member of the group .* \(group 0\)") as error:
        grid.run_job(LISTS, {(0, 0): shared_list(0, TARGET)})
    assert error.value.cause == Trap.MULTICAST_GROUP
    set_masks(grid, PLACES, ALL)
    nowhere = shared_list(0x5000_0000, TARGET)
    with pytest.raises(JobError, match="0x50000000"):
        grid.run_job(LISTS, dict.fromkeys(ROW, nowhere))
    for place in ROW:
        assert grid.element(place).register("ERROR_CAUSE") == Trap.MEMORY_ERROR
    check_usable(grid)


def test_abort_while_lines_are_shared(grid: Grid) -> None:
    """At any moment, of all or of one first; would break if a read, a note or a line were left."""
    rng = numpy_rng("abort")
    a, b = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((64, 200), (200, 64)))
    job = prepare_grid_gemm(CONFIG, a, b, k_parts=1)
    assert job.sharing.rows and job.sharing.columns
    run_grid_gemm(grid, job)  # so that the groups are known
    for cycles in (60, 75, 90, 110, 150, 211, 400):
        grid.start(job.spot.commands, job.lists)
        grid.port.run(cycles)
        if cycles % 2:
            grid.element((0, 1)).set_register("JOB_ABORT", 1)
            grid.port.run(150)
        grid.selected.set_register("JOB_ABORT", 1)
        assert grid.port.run(3000), "the abort did not end"
        states = {grid.element(place).register("JOB_STATE") for place in PLACES}
        assert states == {JobState.ERROR}
        check_usable(grid)
