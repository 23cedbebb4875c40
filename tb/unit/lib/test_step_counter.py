# SPDX-License-Identifier: Apache-2.0
"""Step counters: every state but one comes once, and the table knows its place."""

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.lib.step_counter import STEP_BITS, STEP_PERIOD, next_step, step_table


def test_the_table_follows_the_ring() -> None:
    """A tap too many, or another order of the table, would lose counts."""
    m = Module()
    state = Signal(STEP_BITS)
    m.d.sync += state.eq(next_step(state))

    async def bench(context: object) -> None:
        for n in range(2 * STEP_PERIOD):
            assert step_table()[context.get(state)] == n % STEP_PERIOD
            await context.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
