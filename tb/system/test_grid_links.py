# SPDX-License-Identifier: Apache-2.0
"""Reduction links between elements: sums over them, borders, and aborts with rows on the way."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

from hw.arch.commands import QUAD_BYTES, Destination, Opcode, Source, decode, n_quads
from hw.arch.traps import Trap
from hw.config import PRESETS
from sw.kernels.command_list import CommandList
from sw.runtime.chip import JobError, JobHang
from sw.runtime.gemm import store_operands
from sw.runtime.grid import Grid, Place
from sw.runtime.grid_gemm import GridGemm, prepare_grid_gemm
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, numpy_rng
from tb.system.grid_bench import check_product, commands

CONFIG = PRESETS["tiny"]
INT8 = np.dtype(np.int8)
TILE, K = CONFIG.pe.dpe.columns, 40
SOUTH, EAST = {"destination": Destination.SOUTH}, {"destination": Destination.EAST}
NORTH, WEST = {"source": Source.NORTH}, {"source": Source.WEST}


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each test must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def linked(data: bytes, drain: Mapping[str, int]) -> bytes:
    """A product's list whose DRAIN has other fields; without write-out if its rows leave."""
    made, at = CommandList(), 0
    while at < len(data):
        command, fields = decode(data[at:])
        at += n_quads(fields["opcode"]) * QUAD_BYTES
        opcode = Opcode(fields.pop("opcode"))
        if opcode is Opcode.DMA_OUT and "destination" in drain:
            continue
        made.add(opcode, **fields | (drain if opcode is Opcode.DRAIN else {}))
    return bytes(made)


def idle_list() -> bytes:
    """Commands that never end, without the reduction engine."""
    needs = {"cb": 3, "count0": 8, "stride0": 8, "step_level": 1, "need": 1}
    return commands((Opcode.CB, {"cb": 3, "base": 0, "depth": 4}), (Opcode.DMA_OUT, needs))


def limit(n_cycles: int) -> Callable[[int], None]:
    """Fails a test whose job is watched for longer."""

    def check(cycles: int) -> None:
        assert cycles < n_cycles, "this hang is not seen"

    return check


def product(grid: Grid, tiles: tuple[int, int], *, n_rows: int = TILE) -> GridGemm:
    """A product of so many tiles, one for each element, whose operands are in memory."""
    rng = numpy_rng(f"links {tiles}")
    a = rng.integers(-128, 128, (tiles[0] * n_rows, K)).astype(np.int8)
    b = rng.integers(-128, 128, (K, tiles[1] * TILE)).astype(np.int8)
    job = prepare_grid_gemm(CONFIG, a, b, k_parts=1, multicast=False)
    store_operands(grid.port, job.spot, (a, b, None, None))
    return job


@pytest.mark.parametrize(
    ("tiles", "leaves", "enters"), [((2, 1), SOUTH, NORTH), ((1, 2), EAST, WEST)], ids=["n", "w"]
)
def test_rows_are_added_over_a_link(
    grid: Grid, tiles: tuple[int, int], leaves: dict[str, int], enters: dict[str, int]
) -> None:
    """Would break if a link led elsewhere, or lost, doubled or reordered a row."""
    job = product(grid, tiles)
    first, second = job.lists
    lists = {
        first: linked(job.lists[first], leaves),
        second: linked(job.lists[second], enters),
    }
    grid.run_job(job.spot.commands, lists)
    whole = job.a.astype(np.int32) @ job.b.astype(np.int32)
    data = grid.port.read(job.spot.c, whole.nbytes)
    found = np.frombuffer(data, np.int32).reshape(whole.shape)
    if tiles[0] == 2:
        assert np.array_equal(found[TILE:], whole[:TILE] + whole[TILE:])
    else:
        assert np.array_equal(found[:, TILE:], whole[:, :TILE] + whole[:, TILE:])


@pytest.mark.parametrize(
    ("place", "drain", "words"),
    [
        ((0, 1), NORTH, "from the north"),
        ((1, 0), WEST, "from the west"),
        ((1, 1), SOUTH, "to the south"),
        ((1, 1), EAST, "to the east"),
    ],
    ids=["north", "west", "south", "east"],
)
def test_a_link_at_the_border_traps(
    grid: Grid, place: Place, drain: dict[str, int], words: str
) -> None:
    """Would break if the command waited for ever for a neighbour that is not there; or if the job
    ended well, since its only row had gone, before the trap was seen."""
    for n_rows in (1, TILE):
        job = product(grid, (1, 1), n_rows=n_rows)
        with pytest.raises(JobError) as error:
            grid.run_job(job.spot.commands, {place: linked(job.lists[0, 0], drain)})
        assert str(error.value) == (
            f"Element {place}: RE trapped in drain: the reduction link leads to no other element"
            f" ({words})."
        )
        assert error.value.cause == Trap.NO_NEIGHBOUR
    check_product(grid, (9, 9, 9), INT8)


@pytest.mark.parametrize("n_rows", [1, TILE])
@pytest.mark.parametrize(
    ("place", "drain", "waits"),
    [
        ((0, 0), SOUTH, "its row to be taken in the south"),
        ((0, 0), EAST, "its row to be taken in the east"),
        ((1, 1), NORTH, "a row from the north"),
        ((1, 1), WEST, "a row from the west"),
    ],
    ids=["south", "east", "north", "west"],
)
def test_a_hang_at_a_link_names_both_ends(
    grid: Grid, place: Place, drain: dict[str, int], waits: str, n_rows: int
) -> None:
    """The neighbour has no job, or a job whose reduction engine has nothing to do; would break if
    a row on a link counted as progress, or triage stopped at the border of an element."""
    job = product(grid, (1, 1), n_rows=n_rows)
    stuck = linked(job.lists[0, 0], drain)
    away = -1 if place == (1, 1) else 1
    is_column = drain in (NORTH, SOUTH)
    neighbour = (place[0] + away * is_column, place[1] + away * (not is_column))
    for lists, other in (
        ({place: stuck}, f"element {neighbour} has no job"),
        ({place: stuck, neighbour: idle_list()}, f"RE of element {neighbour} has no command"),
    ):
        with pytest.raises(JobHang) as hang:
            grid.run_job(job.spot.commands, lists, stall_limit=1000, progress=limit(20_000))
        sentence = str(hang.value).splitlines()[1]
        assert sentence.startswith(f"element {place}: RE waits for {waits}, in drain (tag ")
        assert sentence.endswith(f"; {other}"), sentence
    check_product(grid, (9, 9, 9), INT8)


@pytest.mark.parametrize(
    ("place", "drain"), [((0, 0), SOUTH), ((0, 1), SOUTH), ((1, 0), EAST), ((1, 1), NORTH)]
)
def test_an_abort_ends_an_element_whose_neighbour_is_silent(
    grid: Grid, place: Place, drain: dict[str, int]
) -> None:
    """Would break if a row on a link kept its element from coming to rest: the neighbour, which
    takes no row, may be halted too."""
    job = product(grid, (1, 1))
    with pytest.raises(JobHang):
        grid.run_job(job.spot.commands, {place: linked(job.lists[0, 0], drain)}, stall_limit=1000)
    assert grid.register("JOB0_PENDING") == 0
    assert grid.register("GRID_ERROR") >> 16 & 0xFF == Trap.ABORTED
    check_product(grid, (16, 16, 16), INT8)
