# SPDX-License-Identifier: Apache-2.0
"""Random jobs on random sub-grids, and what the functional simulator says that they leave."""

import dataclasses
import random
from collections.abc import Iterator, Mapping

from hw.arch import address_map
from hw.arch.csr import N_JOBS
from hw.config import ChipConfig
from sw.runtime.device import DeviceName, open_device
from sw.runtime.grid import Grid, Place
from tb.system.random_chains import random_job
from tb.system.random_jobs import RandomJob, Windows

__all__ = ["Task", "Work", "check_results", "random_work", "scratch", "sub_grids"]

_LINE, _MIB = 64, 1 << 20
_N_SLOTS = 2
"""Jobs of one element, which may be queued and so need windows of their own."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One job: a random list for each element of a sub-grid."""

    job: int
    base: int
    """Where its lists are stored."""
    parts: Mapping[Place, RandomJob]

    @property
    def lists(self) -> dict[Place, bytes]:
        """Command list of each element."""
        return {place: part.commands for place, part in self.parts.items()}


@dataclasses.dataclass(frozen=True)
class Work:
    """Jobs that run side by side, or one behind the other on the same elements."""

    tasks: tuple[Task, ...]

    def parts(self) -> Iterator[tuple[Place, RandomJob]]:
        """Every list and its element."""
        for task in self.tasks:
            yield from task.parts.items()

    def store(self, grid: Grid) -> None:
        """Write what the lists read."""
        for _, part in self.parts():
            for address, data in part.inputs:
                grid.port.write(address, data)

    def start(self, grid: Grid) -> None:
        """Start all jobs."""
        for task in self.tasks:
            grid.start(task.base, task.lists, job=task.job)


def sub_grids(config: ChipConfig, rng: random.Random) -> list[list[Place]]:
    """Rows and columns cut into at most two groups each; sometimes one of the parts rests."""
    rows, columns = (_groups(n, rng) for n in (config.rows, config.cols))
    parts = [[(r, c) for r in some for c in others] for some in rows for others in columns]
    rng.shuffle(parts)
    return parts[: max(1, len(parts) - (rng.random() < 0.3))]


def _groups(n: int, rng: random.Random) -> list[list[int]]:
    """Numbers below n in one or two groups of any members."""
    chosen = [number for number in range(n) if rng.random() < 0.5]
    groups = [chosen, [number for number in range(n) if number not in chosen]]
    return [group for group in groups if group]


def random_work(
    config: ChipConfig,
    rng: random.Random,
    *,
    kinds: tuple[str, ...] = (),
    queued: bool = True,
    most_chains: int = 3,
) -> Work:
    """Jobs for all parts of a random partition; if there is room, sometimes two for each part."""
    parts = sub_grids(config, rng)
    n_slots = 2 if queued and 2 * len(parts) <= N_JOBS and rng.random() < 0.5 else 1
    tasks = []
    for slot in range(n_slots):
        for places in parts:
            jobs = {
                place: random_job(
                    config,
                    rng,
                    n_chains=rng.randint(1, most_chains),
                    kinds=kinds,
                    windows=_windows(config, place, slot),
                )
                for place in places
            }
            tasks.append(Task(len(tasks), _lists(config, len(tasks), rng), jobs))
    return Work(tuple(tasks))


def _windows(config: ChipConfig, place: Place, slot: int) -> Windows:
    """An element's own part of the memories: of SRAM below the scratch, behind the lists."""
    number = (place[0] * config.cols + place[1]) * _N_SLOTS + slot
    first, last = _data_of_sram(config)
    share = (last - first) // (config.n_pes * _N_SLOTS) // _LINE * _LINE
    sram = address_map.SRAM.base + first + number * share
    dram = address_map.DRAM.base + number * _MIB
    # The functional simulator alone stores a list there.
    list_address = address_map.DRAM.base + config.dram.size_bytes // 2
    return Windows(list_address, (sram, sram + share), (dram, dram + _MIB))


def _data_of_sram(config: ChipConfig) -> tuple[int, int]:
    size = config.sram.size_bytes
    return size // 4, size - size // 16


def _lists(config: ChipConfig, job: int, rng: random.Random) -> int:
    """Where a job's lists go, in either memory."""
    sram = address_map.SRAM.base + config.sram.size_bytes // 4 // N_JOBS * job
    return rng.choice((sram, address_map.DRAM.base + config.dram.size_bytes * 5 // 8 + job * _MIB))


def scratch(config: ChipConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """Address and size of what no job uses, in each memory: for the host."""
    size = config.sram.size_bytes
    dram = address_map.DRAM.base + config.dram.size_bytes * 3 // 4
    return (address_map.SRAM.base + size - size // 16, size // 16), (dram, _MIB)


def check_results(grid: Grid, part: RandomJob, *, is_complete: bool = True) -> None:
    """Compare what a list left with the functional simulator; of one that was cut off each byte is
    what it was before or what it should be."""
    functional = open_device(DeviceName.FUNCTIONAL, grid.config)
    for address, data in part.inputs:
        functional.port.write(address, data)
    before = [functional.port.read(*output) for output in part.outputs]
    functional.run_job(part.list_address, part.commands)
    for output, old in zip(part.outputs, before, strict=True):
        new, found = functional.port.read(*output), grid.port.read(*output)
        if is_complete:
            assert found == new, (part.chains, hex(output[0]))
        else:
            wrong = [at for at, one in enumerate(found) if one not in (old[at], new[at])]
            assert not wrong, (part.chains, hex(output[0] + wrong[0]))
