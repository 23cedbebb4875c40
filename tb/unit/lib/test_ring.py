# SPDX-License-Identifier: Apache-2.0
"""Ring pointers: all places come, each once."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.lib.ring import next_place


@pytest.mark.parametrize("width", (1, 2, 3, 4))
def test_a_ring_has_all_places(width: int) -> None:
    """One that is left out, or comes twice, would be a queue that loses words."""
    m = Module()
    place = Signal(width)
    m.d.sync += place.eq(next_place(place))
    seen = []

    async def bench(context: object) -> None:
        for _ in range(1 << width):
            seen.append(context.get(place))
            await context.tick()
        assert context.get(place) == seen[0] == 0

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert sorted(seen) == list(range(1 << width))
