# SPDX-License-Identifier: Apache-2.0
"""`tiny` with a spare row, each row of tiles left out in turn, whose elements are broken then: what
holds for `tiny` holds for the rows that are left."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.arch.address_map import DRAM
from hw.arch.csr import ELEMENT_REGISTERS
from hw.config import PRESETS
from sim.compiled.simulator import AccessError
from sim.trace.reader import read_processes
from sw.errors import UserError
from sw.runtime.grid import Grid
from tb.common.seeds import python_rng
from tb.system import test_grid as plain
from tb.system import test_grid_counters as counters
from tb.system import test_grid_dma as dma
from tb.system import test_grid_links as links
from tb.system import test_grid_local as local
from tb.system import test_grid_multicast as multicast
from tb.system import test_grid_signals as signals
from tb.system.grid_bench import LISTS, check_product, commands
from tb.system.spare_bench import break_row, breakable_grid

CONFIG = PRESETS["tiny-spare"]
INT8 = np.dtype(np.int8)


# The row in the middle is what makes most difference: below it are rows, and links pass it.
ROWS = [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=ROWS)
def grid(request: pytest.FixtureRequest) -> Iterator[Grid]:
    """A chip for each row that is left out: each test must leave it usable."""
    device = breakable_grid(CONFIG)
    break_row(device, request.param)
    # Nobody knows yet which row is bad.
    with pytest.raises(AccessError, match="SLVERR"):
        device.read_local((0, 0), 0, 16)
    device.run_job(LISTS, dict.fromkeys(counters.PLACES, commands()))
    for place in counters.PLACES:
        device.write_local(place, 0, bytes(CONFIG.pe.ls.size_bytes))
    yield device
    device.port.close()


@pytest.mark.parametrize("where", ["sram", "dram"])
@pytest.mark.parametrize("dtype", [np.dtype(np.int8), np.dtype(np.float16)], ids=str)
@pytest.mark.parametrize("k_parts", [1, 2])
def test_product_is_exact(grid: Grid, k_parts: int, dtype: np.dtype, where: str) -> None:
    """Operands by themselves, shared, and sums along chains; would break if a lane, a mask or a
    link still counted the row that is left out, or heard its elements."""
    for shape in ((9, 70, 40), (41, 33, 50)):
        check_product(grid, shape, dtype, where, k_parts=k_parts)


def test_only_rows_that_are_left_are_seen(grid: Grid) -> None:
    """Shape and pages; would break if software could reach the row that is left out."""
    assert grid.register("GRID_SHAPE") == CONFIG.rows | CONFIG.cols << 8
    offset = ELEMENT_REGISTERS["JOB_LIST_HI"].offset
    for row in range(CONFIG.built_rows):
        grid.element((row, 1)).set_register("JOB_LIST_HI", 5 + row)
    found = [grid.element((row, 1)).at(offset) for row in range(CONFIG.built_rows)]
    assert found == [5, 6, 0]


def test_a_row_is_left_out_before_the_first_job(grid: Grid) -> None:
    """Would break if jobs before and after saw different elements in the same place."""
    row = grid.left_out_row
    check_product(grid, (9, 9, 9), INT8)
    for other in set(range(CONFIG.built_rows)) - {row}:
        with pytest.raises(UserError) as error:
            grid.leave_out(other)
        assert str(error.value) == (
            f"Row {other} cannot be left out any more: a job has started since power-on."
        )
    assert grid.left_out_row == row


CHECKS: list[tuple[Callable[..., None], list[tuple[Any, ...]]]] = [
    (plain.test_every_word_of_memory_is_its_own, [()]),
    (plain.test_sub_grids_run_different_jobs_at_once, [()]),
    (plain.test_two_jobs_wait_in_an_element, [()]),
    (plain.test_an_error_names_its_element, [()]),
    (plain.test_a_failed_job_takes_along_what_waits, [()]),
    (plain.test_a_hang_names_its_element, [()]),
    (plain.test_abort_with_traffic_in_flight, [()]),
    (plain.test_a_job_that_is_not_there_is_refused, [(4,)]),
    (counters.test_one_snapshot_is_of_one_moment, [()]),
    (counters.test_accesses_to_local_memories_are_counted, [()]),
    (counters.test_signals_are_counted, [()]),
    (counters.test_accesses_to_registers_are_counted, [()]),
    (counters.test_the_watchdog_names_who_does_not_end, [(place,) for place in counters.PLACES]),
    (dma.test_host_and_engine_are_counted_apart, [()]),
    (links.test_rows_are_added_over_a_link, [((2, 1), links.SOUTH, links.NORTH),
                                             ((1, 2), links.EAST, links.WEST)]),
    (links.test_a_link_at_the_border_traps, [((0, 1), links.NORTH, "from the north"),
                                             ((1, 1), links.SOUTH, "to the south"),
                                             ((1, 0), links.WEST, "from the west")]),
    (links.test_a_hang_at_a_link_names_both_ends, [
        ((0, 0), links.SOUTH, "its row to be taken in the south", 1),
        ((0, 0), links.SOUTH, "its row to be taken in the south", links.TILE),
        ((1, 1), links.NORTH, "a row from the north", 1)]),
    (links.test_an_abort_ends_an_element_whose_neighbour_is_silent, [((0, 0), links.SOUTH),
                                                                     ((1, 1), links.NORTH)]),
    (local.test_the_host_reads_and_writes_while_jobs_run, [()]),
    (local.test_what_a_signal_tells_of_is_in_local_memory, [()]),
    (local.test_all_write_to_all_at_once, [()]),
    (local.test_accesses_survive_resets_of_who_is_asked, [()]),
    (local.test_what_is_not_there_traps, [(True,), (False,)]),
    (local.test_a_line_takes_what_the_formula_says, [()]),
    (multicast.test_products_are_the_same_shared_and_not, [((33, 41, 70), "sram")]),
    (multicast.test_every_memory_is_reached, [(0, 0), (0, 1), (DRAM.base, 0), (DRAM.base, 1)]),
    (multicast.test_ways_through_corners_are_counted, [(0,), (1,)]),
    (multicast.test_two_jobs_share_side_by_side, [()]),
    (multicast.test_a_member_that_never_comes_is_named, [(0, (0, 1)), (1, (1, 0))]),
    (multicast.test_members_that_mean_different_lines_trap, [()]),
    (multicast.test_a_member_that_fails_takes_the_others_along, [(1, 0), (1, 1)]),
    (multicast.test_abort_while_lines_are_shared, [()]),
]  # fmt: skip
"""Tests of `tiny`, with the arguments that they are to have."""


@pytest.mark.parametrize(("check", "choices"), CHECKS, ids=[check.__name__ for check, _ in CHECKS])
def test_as_on_a_grid_without_a_spare_row(
    grid: Grid, check: Callable[..., None], choices: list[tuple[Any, ...]]
) -> None:
    """Would break if errors, hangs, masks, links or groups spoke of rows of tiles."""
    for arguments in choices:
        check(grid, *arguments)


def test_a_trace_is_of_rows_that_are_left(grid: Grid, tmp_path: Path) -> None:
    """Units, lanes and links against counters, and of no row more."""
    counters.test_a_trace_adds_up_to_the_counters(grid, tmp_path)
    names = [process.name for process in read_processes(tmp_path / "run.pftrace")]
    elements = {name for name in names if name.startswith("element")}
    assert elements == {f"element {row},{column}" for row, column in counters.PLACES}


def test_signals_reach_who_is_meant(grid: Grid) -> None:
    """Would break if the switch or an element's place still counted the row that is left out, or if
    its elements, which signal in every cycle, were heard."""
    for number in range(6):
        signals.exchange(grid, python_rng(f"spare exchange {number}"))
