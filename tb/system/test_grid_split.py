# SPDX-License-Identifier: Apache-2.0
"""Products whose K is cut among a chain of elements, and whose B stays in local memory."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw.arch.address_map import DRAM, SRAM
from hw.arch.formats import Format
from hw.config import PRESETS
from sw.errors import UserError
from sw.kernels.gemm import GemmProblem
from sw.runtime.finish import Finish
from sw.runtime.functional import FunctionalChip
from sw.runtime.gemm import prepare_gemm, run_gemm
from sw.runtime.grid import Grid
from sw.runtime.grid_gemm import prepare_grid_gemm, run_grid_gemm
from sw.runtime.grid_split import choose_split, estimate, parts
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.grid_bench import check_product
from tb.system.test_gemm import TYPES

CONFIG = PRESETS["tiny"]
INT8 = np.dtype(np.int8)
CUTS = [(1, 1), (1, 2), (2, 0), (2, 1), (2, 3)]


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


@pytest.mark.parametrize(("k_parts", "held_blocks"), CUTS)
@pytest.mark.parametrize("dtype", list(TYPES.values()), ids=str)
def test_every_cut_is_exact(grid: Grid, dtype: np.dtype, k_parts: int, held_blocks: int) -> None:
    """Ragged edges on every side; would break if elements of a chain sent and took their sums in
    different orders, B were given up before the last row of blocks, or A of the only row before
    the last column."""
    for shape in ((33, 41, 70), (64, 64, 64), (9, 9, 9), (100, 60, 40), (15, 150, 90)):
        check_product(grid, shape, dtype, k_parts=k_parts, held_blocks=held_blocks)


@pytest.mark.parametrize(("k_parts", "held_blocks"), CUTS)
def test_the_end_of_a_chain_finishes(grid: Grid, k_parts: int, held_blocks: int) -> None:
    """Would break if an element in the middle scaled or rounded its part of the sum."""
    rng = numpy_rng("finish")
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for size in ((40, 70), (70, 50)))
    finish = Finish(out=Format.INT8, scale=0.001, relu=True)
    job = prepare_grid_gemm(CONFIG, a, b, finish=finish, k_parts=k_parts, held_blocks=held_blocks)
    alone = run_gemm(FunctionalChip(CONFIG), prepare_gemm(CONFIG, a, b, finish=finish))
    assert np.array_equal(run_grid_gemm(grid, job).c, alone.c)
    assert len(np.unique(alone.c)) > 20


@pytest.mark.parametrize(
    ("name", "shape", "where"),
    [
        ("mtia100", (378, 326, 2718), "sram"),
        ("odd", (472, 48, 95), "dram"),
        ("odd", (540, 47, 322), "dram"),
        ("tiny", (2922, 23, 306), "dram"),
    ],
)
def test_ragged_edges_can_hold_what_is_chosen(
    name: str, shape: tuple[int, int, int], where: str
) -> None:
    """Would break if only the element with the most work were asked: one at an edge has blocks of
    another shape."""
    m, n, k = shape
    a, b = np.zeros((m, k), np.int8), np.zeros((k, n), np.int8)
    assert prepare_grid_gemm(PRESETS[name], a, b, where=where).cut.k_parts >= 1


def test_bias_is_added_once(grid: Grid) -> None:
    """Would break if every element of a chain added the bias."""
    rng = numpy_rng("bias")
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for size in ((40, 70), (70, 50)))
    bias = rng.integers(-5000, 5000, 50).astype(np.int32)
    job = prepare_grid_gemm(CONFIG, a, b, finish=Finish(bias=bias), k_parts=2)
    assert job.cut.k_parts == 2
    expected = a.astype(np.int32) @ b.astype(np.int32) + bias
    assert np.array_equal(run_grid_gemm(grid, job).c, expected)


def test_what_does_not_fit_is_not_held() -> None:
    """Would break if operands overwrote each other in local memory."""
    a, b = np.zeros((64, 512), np.int8), np.zeros((512, 64), np.int8)
    with pytest.raises(UserError) as error:
        prepare_grid_gemm(CONFIG, a, b, k_parts=1, held_blocks=2)
    assert str(error.value) == "B of 2 column blocks does not fit."


def test_weights_alone_lie_in_dram() -> None:
    """Would break if A, C or the lists took DRAM's bandwidth, or B the room in SRAM."""
    a, b = np.zeros((16, 512), np.int8), np.zeros((512, 1024), np.int8)
    spot = prepare_grid_gemm(CONFIG, a, b, where="weights").spot
    assert spot.b == DRAM.base and b.nbytes > CONFIG.sram.size_bytes
    assert all(SRAM.base <= at < DRAM.base for at in (spot.a, spot.c, spot.commands))


def problem(m: int, n: int, k: int, fmt: Format) -> GemmProblem:
    """A product with operands somewhere."""
    size = fmt.n_bytes
    return GemmProblem(
        m=m, n=n, k=k, a_format=fmt, b_format=fmt, a_address=0, b_address=0, c_address=0,
        a_pitch=k * size, b_pitch=n * size, c_pitch=4 * n,
    )  # fmt: skip


def test_large_products_are_cut_along_k() -> None:
    """On `mtia100` memory feeds half of the multipliers when every element fetches its rows and
    columns by itself; in chains they fetch less, and hold B."""
    member = PRESETS["mtia100"]
    for fmt, macs in ((Format.INT8, 65536), (Format.FP16, 32768)):
        whole = problem(2048, 2048, 2048, fmt)
        cut = choose_split(member, whole, "sram", multicast=False)
        assert cut.k_parts > 1 and cut.held_blocks > 0
        assert whole.macs / macs / cut.cycles > 0.95
        alone = estimate(member, whole, "sram", 1, 0, multicast=False)
        assert whole.macs / macs / alone.cycles < 0.55


def test_shared_operands_need_shorter_chains() -> None:
    """When rows and columns read their operands once, memory feeds all multipliers of `mtia100`;
    a small product gains most, in chains of two, whose first block leaves under the second."""
    member = PRESETS["mtia100"]
    for size, k_parts, share in ((2048, 1, 0.95), (512, 2, 0.70)):
        whole = problem(size, size, size, Format.INT8)
        cut = choose_split(member, whole, "sram")
        assert (cut.k_parts, cut.held_blocks) == (k_parts, 0)
        assert whole.macs / 65536 / cut.cycles > share
    alone = choose_split(member, whole, "sram", multicast=False)
    assert alone.cycles > 1.4 * cut.cycles


@pytest.mark.parametrize("k_parts", [1, 2, 4, 8])
def test_runs_begin_with_lines_where_that_costs_nothing(k_parts: int) -> None:
    """Would break if lines at the edge of two runs were fetched by both: 13.5 tiles a column are
    14 either way, and of K a sixteenth more is less than what is fetched twice."""
    whole = problem(256, 3456, 3456, Format.INT8)
    _, columns, k_runs = parts(PRESETS["mtia100"], whole, k_parts)
    assert all(first % 64 == 0 for first, _ in (*columns, *k_runs))
    _, columns, _ = parts(PRESETS["mtia100"], problem(256, 256, 256, Format.INT8), k_parts)
    assert len(columns) == 8  # of a tile each, half a line


@pytest.mark.parametrize("k_parts", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", [(1, 1, 1), (31, 33, 17), (2048, 2048, 2048)], ids=str)
def test_parts_cover_everything_once(shape: tuple[int, int, int], k_parts: int) -> None:
    """Would break if some sum were left out, or an element needed more rows than there are."""
    member = PRESETS["mtia100"]
    runs = parts(member, problem(*shape, Format.INT8), k_parts)
    for size, found in zip(shape, runs, strict=True):
        covered = [place for first, length in found for place in range(first, first + length)]
        assert covered == list(range(size))
    assert len(runs[0]) * len(runs[2]) <= member.rows and len(runs[1]) <= member.cols
