# SPDX-License-Identifier: Apache-2.0
"""The watchdog, and which unit of an element waits."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.arch.csr import N_JOBS
from hw.arch.units import State, Unit
from hw.grid.first_waiting import FirstWaiting
from hw.grid.watchdog import Watchdog
from tb.common.seeds import python_rng

ROWS, COLUMNS = 2, 3
N_PLACES = ROWS * COLUMNS


def simulate(dut: Any, bench: Any) -> None:
    """Run a test bench with a clock."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def groups(works: list[int]) -> list[set[int]]:
    """For each job those with which it shares elements, in some steps, itself among them."""
    found = [{job} for job in range(N_JOBS)]
    for one, other in itertools.combinations(range(N_JOBS), 2):
        if works[one] & works[other]:
            joined = found[one] | found[other]
            for job in joined:
                found[job] = joined
    return found


class Model:
    """What each job's count does, cycle by cycle."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.quiet, self.hung, self.hang = [0] * N_JOBS, [False] * N_JOBS, 0
        self._late = [(0, 0)] * 2  # jobs that have elements, and that progress, of two cycles ago

    def step(self, works: list[int], moved: int, restart: bool, wanted: int) -> None:
        """A cycle with these inputs."""
        first = next((j for j in range(N_JOBS) if self.hung[j] and wanted >> j & 1), None)
        self.hang = 0
        if first is not None and works[first] and not restart:
            row, column = divmod((works[first] & -works[first]).bit_length() - 1, COLUMNS)
            self.hang = row | column << 8 | first << 24 | 1 << 31
        active, moves = self._late.pop(0)
        together = groups(works)
        self._late.append(
            (
                sum(bool(works[job]) << job for job in range(N_JOBS)),
                sum(any(works[other] & moved for other in together[job]) << job
                    for job in range(N_JOBS)),
            )
        )  # fmt: skip
        for job in range(N_JOBS):
            rests = restart or not active >> job & 1
            expires = self.quiet[job] == self.limit
            self.quiet[job] = 0 if rests or moves >> job & 1 else self.quiet[job] + 1
            self.quiet[job] = min(self.quiet[job], self.limit + 1 - self.hung[job])
            self.hung[job] = not rests and (self.hung[job] or expires)


@pytest.mark.parametrize("limit", [1, 2, 7, 30])
def test_a_job_hangs_after_exactly_so_many_quiet_cycles(limit: int) -> None:
    """Jobs with and without common elements, of which some are stuck, against a slow count; would
    break if a job counted for another, or one that waits for another hung before that one."""
    dut, rng = Watchdog(rows=ROWS, columns=COLUMNS), python_rng(f"watchdog {limit}")
    model, n_hangs, n_beside = Model(limit), 0, 0

    async def bench(context: Any) -> None:
        nonlocal n_hangs, n_beside
        works, stuck, last, wanted = [0] * N_JOBS, 0, 0, 15
        context.set(dut.limit, limit)
        for cycle in range(4000):
            if rng.random() < 0.3 / limit:
                job = rng.randrange(N_JOBS)
                works[job] = rng.getrandbits(N_PLACES) & rng.getrandbits(N_PLACES)
                stuck = rng.getrandbits(N_PLACES) | rng.getrandbits(N_PLACES)
            if rng.random() < 0.05:
                wanted = rng.getrandbits(N_JOBS) | rng.getrandbits(N_JOBS)
            moved = sum((rng.random() < 1 / limit) << place for place in range(N_PLACES)) & ~stuck
            restart = rng.random() < 0.01
            for pin, value in zip(dut.works, works, strict=True):
                context.set(pin, value)
            context.set(dut.moved, moved)
            context.set(dut.restart, restart)
            context.set(dut.wanted, wanted)
            await context.tick()
            before = model.hang
            model.step(works, moved, restart, wanted)
            assert context.get(dut.hang).as_bits() == model.hang, cycle
            last = cycle if any(moved & mine for mine in works) else last
            n_hangs += model.hang >> 31 and not before
            n_beside += model.hang >> 31 and last == cycle

    simulate(dut, bench)
    assert n_hangs > 20 and n_beside > 20


def play(n_cycles: int, works: list[int], moved: Callable[[int], int], limit: int = 200) -> int:
    """What `hang` is behind some cycles of these jobs."""
    dut, seen = Watchdog(rows=ROWS, columns=COLUMNS), []

    async def bench(context: Any) -> None:
        context.set(dut.limit, limit)
        context.set(dut.wanted, (1 << N_JOBS) - 1)
        for pin, value in zip(dut.works, works, strict=True):
            context.set(pin, value)
        for cycle in range(n_cycles):
            context.set(dut.moved, moved(cycle))
            await context.tick()
        seen.append(context.get(dut.hang).as_bits())

    simulate(dut, bench)
    return seen[0]


def test_a_job_hangs_while_another_one_works() -> None:
    """Element (0, 0) of job 2 does nothing, (1, 0) of job 1 moves now and then; would break if any
    progress in the grid counted for all."""
    works = [0, 1 << COLUMNS, 1, 0]
    assert play(2000, works, lambda cycle: (cycle % 100 == 0) << COLUMNS) == 2 << 24 | 1 << 31
    assert play(200, works, lambda cycle: (cycle % 100 == 0) << COLUMNS) == 0


def test_a_job_behind_one_that_works_does_not_hang() -> None:
    """Job 0 works on its second element, job 1 is behind it on the first, 3 behind 1, 2 behind 3;
    would break if one that waits for its turn were aborted."""
    works = [0b000011, 0b000101, 0b011000, 0b001100]
    assert play(2000, works, lambda cycle: (cycle % 100 == 0) << 1) == 0
    assert play(2000, works, lambda _: 0) == 1 << 31


def test_without_a_limit_it_never_expires() -> None:
    """As after power-on, when nobody has set one."""
    assert play(300, [2, 0, 0, 0], lambda _: 0, limit=0) == 0


def test_a_grid_without_elements_is_refused() -> None:
    """There would be nobody to name."""
    with pytest.raises(ValueError) as error:
        Watchdog(rows=0, columns=2)
    assert str(error.value) == "Watchdog needs an element, not 0 rows x 2 columns."


def test_the_first_unit_that_waits_is_shown() -> None:
    """Random states of all units; would break if one that works, or has halted, were named."""
    dut, rng, seen = FirstWaiting(), python_rng("first waiting"), set()

    async def bench(context: Any) -> None:
        for _ in range(300):
            odds = [1 if state.name.startswith("WAIT_") else 5 for state in State]
            states = rng.choices(list(State), odds, k=Unit.CP)
            commands = [(rng.getrandbits(8), rng.getrandbits(16)) for _ in states]
            for unit, state, (opcode, tag) in zip(dut.units, states, commands, strict=True):
                for name, value in (("state", state), ("opcode", opcode), ("tag", tag)):
                    context.set(unit[name], value)
            waiting = [unit for unit in range(Unit.CP) if states[unit].name.startswith("WAIT_")]
            seen.add(waiting[0] if waiting else None)
            expected, state = 0, 0
            if waiting:
                opcode, tag = commands[waiting[0]]
                expected, state = waiting[0] | opcode << 8 | tag << 16, states[waiting[0]]
            await context.delay(1e-7)
            assert (context.get(dut.command), context.get(dut.state)) == (expected, state)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(seen) == Unit.CP + 1
