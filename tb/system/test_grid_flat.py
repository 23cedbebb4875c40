# SPDX-License-Identifier: Apache-2.0
"""A grid whose tile is a model of its own takes the same cycles as one flat model of it all."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw.arch.formats import Format
from sw.runtime.grid import Grid
from sw.runtime.grid_gemm import prepare_grid_gemm, run_grid_gemm
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import numpy_rng
from tb.system.grid_bench import commands, small_grid
from tb.system.test_gemm import bits

pytestmark = pytest.mark.slow  # two builds
CONFIG = small_grid(3, 2, slices=4, channels=2)
FORMS = {"flat": (True, 1), "split": (False, 1), "split, 2 threads": (False, 2)}


@pytest.fixture(scope="module")
def grids() -> Iterator[dict[str, Grid]]:
    """The chip in all forms."""
    found = {
        name: simulated_grid(CONFIG, quick=True, flat=flat, threads=threads)[0]
        for name, (flat, threads) in FORMS.items()
    }
    yield found
    for grid in found.values():
        grid.port.close()


@pytest.mark.parametrize("where", ["sram", "dram"])
@pytest.mark.parametrize(("k_parts", "held_blocks"), [(1, 0), (3, 0), (3, 1)])
def test_products_take_the_same_cycles(
    grids: dict[str, Grid], k_parts: int, held_blocks: int, where: str
) -> None:
    """Would break if a value came from one tile to another, or to the rest, a cycle early or late;
    with K parts, also if `ready` of a reduction link came too late."""
    rng = numpy_rng("flat")
    a, b = (bits(rng, shape, Format.INT8) for shape in ((70, 90), (90, 40)))
    job = prepare_grid_gemm(CONFIG, a, b, where=where, k_parts=k_parts, held_blocks=held_blocks)
    runs = [run_grid_gemm(grid, job, counters=True) for grid in grids.values()]
    assert np.array_equal(runs[0].c, a.astype(np.int32) @ b.astype(np.int32))
    for run in runs[1:]:
        assert np.array_equal(run.c, runs[0].c)
        assert run.perf == runs[0].perf, "cycles and every counter of every element"


def test_an_empty_job_takes_the_same_cycles(grids: dict[str, Grid]) -> None:
    """Would break if a start, a report or the interrupt came a cycle early or late."""
    lists = dict.fromkeys([(row, column) for row in range(3) for column in range(2)], commands())
    results = [grid.run_job(0, lists) for grid in grids.values()]
    assert len({(result.cycles, result.harness_cycles) for result in results}) == 1
