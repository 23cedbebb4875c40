# SPDX-License-Identifier: Apache-2.0
"""Rounds of random work for a grid, each drawn from a seed and its number alone.

A round runs jobs on random sub-grids, aborts them, does something wrong or turns over bits of the
SRAM, under some timing of the DRAM, in half of the rounds with answers in any order and late, with
or without a cache of it, and with the host's traffic between, which pauses; whatever it leaves is
compared with the functional simulator. Whoever waits watches GRID_PROGRESS: a chip on which nothing
moves ends the soak with who waits for whom.
"""

import contextlib
import copy
import dataclasses
import random
from collections.abc import Callable

import numpy as np

from hw.arch.address_map import DRAM
from hw.arch.traps import Trap
from sim.compiled.dram import DramTiming, lpddr5
from sw.runtime.chip import JobError
from sw.runtime.grid import Grid
from tb.system.grid_bench import check_product
from tb.system.grid_faults import MISTAKES, Mistake, flip_bits
from tb.system.grid_work import check_results, random_work, scratch
from tb.system.random_chains import chains_of
from tb.system.random_jobs import RandomJob
from tb.system.test_gemm import TYPES

__all__ = ["ROUNDS", "play_round", "run_mistake", "soak"]

_LINE = 64
_STALL_LIMIT = 20_000


def soak(
    grid: Grid,
    seed: int,
    n_cycles: int,
    *,
    first: int = 0,
    progress: Callable[[int, str], None] = lambda number, what: None,
) -> int:
    """Play rounds until so many cycles have passed; how many were played."""
    end, number = grid.port.cycles + n_cycles, first
    while grid.port.cycles < end:
        progress(number, play_round(grid, seed, number))
        number += 1
    return number - first


def play_round(grid: Grid, seed: int, number: int, kind: str = "") -> str:
    """Play one round, of a random kind unless it is given; what it was."""
    rng = random.Random(f"{seed}/{number}")
    late = random.Random(f"{seed}/{number}/late")  # so that work does not depend on it
    jitter = late.choice((0, late.randint(1, 300)))
    grid.port.set_dram_timing(dataclasses.replace(_timing(rng), jitter=jitter))
    grid.port.set_host_pauses(late.choice((0, 0.2, 0.7)))
    kind = kind or rng.choices(list(ROUNDS), weights=[weight for weight, _ in ROUNDS.values()])[0]
    ROUNDS[kind][1](_with_cache(grid, rng), rng)
    return kind


def _with_cache(grid: Grid, rng: random.Random) -> Grid:
    """Choose how much of the SRAM is cache; the grid, and what of its SRAM a round may use."""
    if not grid.config.sram.cache_ways:
        return grid
    is_cached = rng.random() < 0.6
    grid.set_cache_ways(_n_ways(grid, rng) if is_cached else 0)
    if not is_cached:
        return grid
    half = dataclasses.replace(grid.config.sram, size_bytes=grid.config.sram.size_bytes // 2)
    rest = copy.copy(grid)
    rest.config = dataclasses.replace(grid.config, sram=half)
    return rest


def _n_ways(grid: Grid, rng: random.Random) -> int:
    """Ways of the upper half of the SRAM; one, which is full soon, in every second case."""
    return rng.choice((1, rng.randint(1, grid.config.sram.cache_ways // 2)))


def _timing(rng: random.Random) -> DramTiming:
    """A DRAM of any latency and rate, or one whose banks make every access take another time."""
    if rng.random() < 0.5:
        return lpddr5(rng.uniform(50, 1500))
    rate = rng.choice((0, 600, 2000, 1 << 14))
    return DramTiming(latency=rng.randint(1, 300), bytes_per_1024_cycles=rate)


def _jobs(grid: Grid, rng: random.Random) -> None:
    """Jobs side by side, and what they leave."""
    work = random_work(grid.config, rng)
    work.store(grid)
    work.start(grid)
    _host_traffic(grid, rng)
    for task in work.tasks:
        grid.wait(task.job, task.lists, stall_limit=_STALL_LIMIT)
    for _, part in work.parts():
        check_results(grid, part)


def _host_traffic(grid: Grid, rng: random.Random) -> None:
    """The host writes and reads back where no job does, and has the cache do things."""
    is_cached = grid.config.sram.cache_ways and grid.register("CACHE_WAYS") & 0xFF
    for _ in range(rng.randrange(6)):
        if is_cached:
            _cache_command(grid, rng)
        base, size = rng.choice(scratch(grid.config))
        n_bytes = rng.randint(1, 600)
        address = base + _LINE * rng.randrange((size - n_bytes) // _LINE)
        data = rng.randbytes(n_bytes)
        grid.port.write(address, data)
        assert grid.port.read(address, n_bytes) == data, hex(address)


def _cache_command(grid: Grid, rng: random.Random) -> None:
    """Something that changes no data, although jobs use DRAM: a command, or another size."""
    if rng.random() < 0.3:
        grid.set_cache_ways(_n_ways(grid, rng))
    else:
        op, most = rng.choice((("flush", 24), ("invalidate", 24), ("prefetch", 14)))
        # Where jobs have their data: at the beginning of each MiB.
        first = DRAM.base + (rng.randrange(8) << 20) + _LINE * rng.randrange(1 << 10)
        grid.cache_range(op, first, rng.randint(1, 1 << rng.randint(1, most)))


def _product(grid: Grid, rng: random.Random) -> None:
    """A product on all elements, in chains or not."""
    shape = (rng.randint(1, 48), rng.randint(1, 48), rng.randint(1, 96))
    dtype = rng.choice(list(TYPES.values()))
    parts = [n for n in range(1, grid.config.rows + 1) if grid.config.rows % n == 0]
    check_product(
        grid, shape, dtype, rng.choice(("sram", "dram")), k_parts=rng.choice((None, *parts))
    )


def _abort(grid: Grid, rng: random.Random) -> None:
    """Jobs that are aborted at some moment, by number or with all that their elements have, and a
    product right afterwards."""
    work = random_work(grid.config, rng)
    work.store(grid)
    work.start(grid)
    grid.port.run(rng.randrange(1500))
    for task in work.tasks:
        grid.abort(task.parts, rng.choice((None, task.job)))
    for task in work.tasks:
        with contextlib.suppress(JobError):
            grid.wait(task.job, task.lists, stall_limit=_STALL_LIMIT)
        for part in task.parts.values():
            # What is scattered to one place twice has values on the way.
            if not any("scatter" in chain for chain in part.chains):
                check_results(grid, part, is_complete=False)
    _check_usable(grid)


def _flips(grid: Grid, rng: random.Random) -> None:
    """Single wrong bits anywhere, or two in one word of what a list reads."""
    n = rng.choice((1, 2))
    kinds = tuple(kind for kind in chains_of(grid.config) if kind != "gather")
    work = random_work(grid.config, rng, kinds=kinds, queued=False)
    work.store(grid)
    targets = [
        (place, part, spot) for place, part in work.parts() for spot in _spots(grid, part, n == 2)
    ]
    hit = rng.sample(targets, min(len(targets), 1 if n == 2 else 4))
    words = [flip_bits(grid, rng.choice(lines), rng, n=n) for _, _, lines in hit]
    work.start(grid)
    for task in work.tasks:
        try:
            grid.wait(task.job, task.lists, stall_limit=_STALL_LIMIT)
            failed = None
        except JobError as error:
            failed = hit[0][0]
            assert n == 2 and error.cause == Trap.MEMORY_POISON, error
            line = words[0] // grid.config.pe.link_bytes * grid.config.pe.link_bytes
            assert str(error).startswith(f"Element {failed}: "), error
            assert f"(address 0x{line & 0xFFFF_FFFF:08x})" in str(error)
        for place, part in task.parts.items():
            check_results(grid, part, is_complete=place != failed)
    for word in words:  # the next round shall find no wrong bit
        grid.port.write(word // _LINE * _LINE, bytes(_LINE))
    _check_usable(grid)


def _spots(grid: Grid, part: RandomJob, read_only: bool) -> list[list[int]]:
    """Lines of SRAM that a list reads, or also those that it writes; by what lies there."""
    written = {address for address, _ in part.outputs}
    return [
        list(range(address, address + len(data), _LINE))
        for address, data in part.inputs
        if address < grid.config.sram.size_bytes and not (read_only and address in written)
    ]


def _mistake(grid: Grid, rng: random.Random) -> None:
    """One element's list is wrong, others work; then a product."""
    run_mistake(grid, rng, MISTAKES[rng.choice(list(MISTAKES))])
    _check_usable(grid)


def run_mistake(grid: Grid, rng: random.Random, mistake: Mistake) -> None:
    """A wrong list on one element of a job, random ones on the others; the error's sentence, and
    what the others leave."""
    work = random_work(grid.config, rng, queued=False)
    work.store(grid)
    task = rng.choice(work.tasks)
    wrong = rng.choice(list(task.parts))
    page = grid.element(wrong)
    usual = {name: page.register(name) for name in mistake.registers}
    for name, value in mistake.registers.items():
        page.set_register(name, value)
    for other in work.tasks:
        bad = {wrong: mistake.data} if other is task else {}
        grid.start(other.base, {**other.lists, **bad}, job=other.job)
    for other in work.tasks:
        try:
            grid.wait(other.job, other.lists, stall_limit=_STALL_LIMIT)
            assert other is not task, f"no error: {mistake.words}"
        except JobError as error:
            assert other is task, error
            assert str(error) == f"Element {wrong}: {mistake.words}"
            assert error.cause == mistake.cause
    for name, value in usual.items():
        page.set_register(name, value)
    for place, part in work.parts():
        if place != wrong:
            check_results(grid, part)


def _check_usable(grid: Grid) -> None:
    """A small product is right."""
    check_product(grid, (9, 9, 9), np.dtype(np.int8))


ROUNDS: dict[str, tuple[int, Callable[[Grid, random.Random], None]]] = {
    "jobs": (8, _jobs),
    "product": (3, _product),
    "abort": (2, _abort),
    "flips": (2, _flips),
    "mistake": (2, _mistake),
}
"""Kinds of rounds: how often, and what."""
