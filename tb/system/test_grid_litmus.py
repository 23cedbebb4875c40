# SPDX-License-Identifier: Apache-2.0
"""Order of accesses to memory: the rules of docs/grid.md, by the outcomes that they forbid.

Each test plays a program of two parties under many seeds. With the fences that the rules ask for
one outcome must never show. Without them it is allowed, and shows: so the test would notice a chip
that acknowledges a write too early or lets a fence pass.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from hw.config import PRESETS
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed, python_rng
from tb.system.delay_bench import EarlySlice, LateSlice, grid_of_slices
from tb.system.litmus import LINE, Litmus, Program, delay, fence, fetch, read, write

CONFIG = PRESETS["tiny"]
N_SEEDS, N_SAMPLES = 24, 10
_HOST = 0x2_0000_0000  # in the host's memory

Outcome = tuple[int, int]
Play = Callable[[Litmus, bool], list[Outcome]]


@pytest.fixture(scope="module", params=["", pytest.param("late", marks=pytest.mark.slow)])
def grid(request: pytest.FixtureRequest) -> Iterator[Grid]:
    """One chip for all, each test must leave it usable; and one with slices of random delays."""
    if request.param:
        device = grid_of_slices(CONFIG, LateSlice)
    else:
        device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


def sampled(*variables: int, is_ordered: bool = True) -> Program:
    """Read these variables in turn, again and again."""
    between = fence() if is_ordered else []
    once = [step for variable in variables for step in (*read(variable), *between)]
    return once * N_SAMPLES


def pairs(values: list[int]) -> list[tuple[int, int]]:
    """Values that were read one after the other, two by two."""
    return list(zip(values[::2], values[1::2], strict=True))


def outcomes(grid: Grid, label: str, play: Play, *, is_ordered: bool = True) -> Counter[Outcome]:
    """How often each outcome showed under all seeds."""
    runs = [play(Litmus(grid, rng), is_ordered) for rng in map(python_rng, _labels(label))]
    return Counter(outcome for run in runs for outcome in run)


def _labels(label: str) -> list[str]:
    return [f"{label} {number}" for number in range(N_SEEDS)]


def message(run: Litmus, is_ordered: bool) -> list[Outcome]:
    """x is written, then y; another element reads y, then x: pairs of (y, x)."""
    between = fence() if is_ordered else []
    writer = [*delay(run.rng), *fetch(1, 1), *write(run.x), *between, *write(run.y)]
    run.start([writer, sampled(run.y, run.x)])
    return pairs(run.finish([0, 2 * N_SAMPLES])[1])


def store_buffer(run: Litmus, is_ordered: bool) -> list[Outcome]:
    """One element writes x and reads y, another one writes y and reads x: what both read."""
    between = fence() if is_ordered else []
    wait = delay(run.rng)
    programs = [
        [*wait, *fetch(1), *write(mine), *between, *read(other)]
        for mine, other in ((run.x, run.y), (run.y, run.x))
    ]
    run.start(programs)
    (first,), (second,) = run.finish([1, 1, 0, 0])[:2]
    return [(first, second)]


def rising(run: Litmus, is_ordered: bool) -> list[Outcome]:
    """x is written with 1, 2, ... by one element and read by another: pairs of successive reads."""
    between = fence() if is_ordered else []
    values = range(1, 11)
    writes = [step for _ in values for step in (*write(run.x), *between)]
    run.start([[*delay(run.rng), *fetch(*values), *writes], sampled(run.x)])
    found = run.finish([0, N_SAMPLES])[1]
    return list(itertools.pairwise(found))


def from_host(run: Litmus, is_ordered: bool) -> list[Outcome]:
    """The host writes x, then y, while an element reads y, then x."""
    run.start([sampled(run.y, run.x)])
    run.grid.port.run(run.rng.randrange(200))
    for variable in (run.x, run.y):
        run.grid.port.write(variable, bytes([1]) * LINE)
    return pairs(run.finish([2 * N_SAMPLES])[0])


def to_host(run: Litmus, is_ordered: bool) -> list[Outcome]:
    """An element writes x, then y, while the host reads y, then x."""
    between = fence() if is_ordered else []
    run.start([[*delay(run.rng), *fetch(1, 1), *write(run.x), *between, *write(run.y)]])
    found = [
        (run.grid.port.read(run.y, LINE)[0], run.grid.port.read(run.x, LINE)[0])
        for _ in range(3 * N_SAMPLES)
    ]
    run.finish([0])
    return found


def from_dma(run: Litmus, is_ordered: bool) -> list[Outcome]:
    """The host's DMA engine writes x, then y, while an element reads y, then x."""
    run.grid.port.write_host_memory(_HOST, bytes([1]) * LINE)
    run.start([sampled(run.y, run.x)])
    run.grid.port.run(run.rng.randrange(200))
    for variable in (run.x, run.y):
        run.grid.copy_in(_HOST, variable, LINE)
    return pairs(run.finish([2 * N_SAMPLES])[0])


def to_dma(run: Litmus, is_ordered: bool) -> list[Outcome]:
    """An element writes x, then y, while the host's DMA engine reads y, then x."""
    between = fence() if is_ordered else []
    run.start([[*delay(run.rng), *fetch(1, 1), *write(run.x), *between, *write(run.y)]])
    found = []
    for _ in range(N_SAMPLES):
        for variable in (run.y, run.x):
            run.grid.copy_out(variable, _HOST + variable, LINE)
        y, x = (run.grid.port.read_host_memory(_HOST + at, 1)[0] for at in (run.y, run.x))
        found.append((y, x))
    run.finish([0])
    return found


@pytest.mark.parametrize("play", [message, from_host, to_host, from_dma, to_dma])
def test_a_message_is_there_when_its_flag_is(grid: Grid, play: Play) -> None:
    """Allowed: (0, 0), (0, 1), (1, 1). Forbidden: flag y new and data x old, (1, 0)."""
    seen = outcomes(grid, play.__name__, play)
    assert not seen[1, 0], seen
    assert seen[0, 0] and seen[1, 1], seen


def test_one_of_two_writers_sees_the_other(grid: Grid) -> None:
    """Allowed: (0, 1), (1, 0), (1, 1). Forbidden: both read what was there before, (0, 0)."""
    seen = outcomes(grid, "store buffer", store_buffer)
    assert not seen[0, 0], seen
    assert seen[0, 1] + seen[1, 0], seen


def test_a_variable_never_goes_back(grid: Grid) -> None:
    """Allowed: a read finds what the one before found, or a later value. Forbidden: an earlier."""
    seen = outcomes(grid, "rising", rising)
    assert all(before <= after for before, after in seen), seen
    assert any(before < after for before, after in seen), seen


@pytest.mark.parametrize(
    ("play", "outcome"), [(message, (1, 0)), (store_buffer, (0, 0))], ids=["message", "buffer"]
)
def test_without_fences_all_is_allowed_and_shows(grid: Grid, play: Play, outcome: Outcome) -> None:
    """What the rules do not forbid does happen under these delays; would break if the tests above
    could not fail."""
    runs = (
        play(Litmus(grid, python_rng(f"{play.__name__} {number}")), False)
        for number in range(10 * N_SEEDS)
    )
    assert any(outcome in run for run in runs)


@pytest.mark.slow
def test_a_chip_that_acknowledges_early_is_noticed() -> None:
    """Slices with a fault built in: under the same delays what is forbidden shows."""
    device = grid_of_slices(CONFIG, EarlySlice)
    runs = (message(Litmus(device, python_rng(f"early {n}")), True) for n in range(10 * N_SEEDS))
    assert any((1, 0) in run for run in runs)
    device.port.close()
