# SPDX-License-Identifier: Apache-2.0
"""The watchdog, and which unit of an element waits."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.arch.units import State, Unit
from hw.grid.first_waiting import FirstWaiting
from hw.grid.watchdog import Watchdog
from tb.common.seeds import python_rng

ROWS, COLUMNS = 2, 3


def simulate(dut: Any, bench: Any) -> None:
    """Run a test bench with a clock."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("limit", [1, 2, 7, 30])
def test_it_expires_after_exactly_so_many_quiet_cycles(limit: int) -> None:
    """Random work and progress against a slow count; would break if progress came too late to
    count, an idle grid hung, or another element were named."""
    dut, rng, n_hangs = Watchdog(rows=ROWS, columns=COLUMNS), python_rng(f"watchdog {limit}"), 0

    async def bench(context: Any) -> None:
        nonlocal n_hangs
        quiet, hang, works = 0, None, 0
        context.set(dut.limit, limit)
        for _ in range(1500):
            if rng.random() < 0.05:
                works = rng.getrandbits(ROWS * COLUMNS) & rng.getrandbits(ROWS * COLUMNS)
            moved, restart = rng.random() < 0.5 / limit, rng.random() < 0.03
            for pin, value in ((dut.works, works), (dut.moved, moved), (dut.restart, restart)):
                context.set(pin, value)
            await context.tick()
            if restart:
                hang = None
            elif works and quiet == limit and hang is None:
                low = (works & -works).bit_length() - 1
                hang, n_hangs = divmod(low, COLUMNS), n_hangs + 1
            quiet = 0 if restart or moved or not works else min(quiet + 1, limit)
            shown = context.get(dut.hang)
            assert bool(shown.valid) == (hang is not None)
            if hang is not None:
                assert (shown.row, shown.column) == hang
                assert shown.as_bits() == hang[0] | hang[1] << 8 | 1 << 31

    simulate(dut, bench)
    assert n_hangs > 5


def test_without_a_limit_it_never_expires() -> None:
    """As after power-on, when nobody has set one."""
    dut = Watchdog(rows=1, columns=2)

    async def bench(context: Any) -> None:
        context.set(dut.works, 2)
        for _ in range(300):
            await context.tick()
            assert not context.get(dut.hang.valid)

    simulate(dut, bench)


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
