# SPDX-License-Identifier: Apache-2.0
"""The register between buffer table and units, in Amaranth's simulator."""

import random

import pytest
from amaranth.sim import Simulator

from hw.pe.cp.grant_stage import GrantStage

N_PORTS = 3
N_CYCLES = 400


def test_a_grant_is_told_a_cycle_later_and_once() -> None:
    """Else a unit would miss its grant, or the table would see one acquire twice."""
    dut = GrantStage(n_ports=N_PORTS)
    rng = random.Random(1)
    accepted: list[tuple[int, int]] = []  # cycle and port at the table
    told: list[tuple[int, int]] = []
    grants: list[tuple[int, int, int]] = []  # cycle, port and base at the units
    sent: dict[int, int] = {}  # base of the table's grant, by cycle

    async def run(ctx) -> None:  # noqa: ANN001
        wants = [False] * N_PORTS
        owner = None  # port whose acquire the table accepted in the cycle before
        for cycle in range(N_CYCLES):
            base = rng.randrange(1 << 13)
            takes = rng.randrange(N_PORTS + 1)  # the table's choice; the last: nobody
            for port in range(N_PORTS):
                wants[port] = wants[port] or rng.random() < 0.5
                ctx.set(dut.ports[port].acquire.valid, wants[port])
                ctx.set(dut.ports[port].acquire.payload.advance, port + 1)
                ctx.set(dut.table[port].acquire.ready, port == takes)
                ctx.set(dut.table[port].grant.valid, port == owner)
                ctx.set(dut.table[port].grant.payload.base, base)
                ctx.set(dut.ports[port].done.valid, port == takes)
            owner = None
            for port in range(N_PORTS):
                acquire = dut.table[port].acquire
                assert ctx.get(acquire.payload.advance) == port + 1
                assert ctx.get(dut.table[port].done.valid) == (port == takes)
                if ctx.get(acquire.valid) and port == takes:
                    accepted.append((cycle, port))
                    owner = port
                    sent[cycle + 1] = -1
                if ctx.get(dut.ports[port].acquire.ready):
                    assert wants[port]
                    assert not ctx.get(acquire.valid), "the table sees it again"
                    told.append((cycle, port))
                    wants[port] = False
                if ctx.get(dut.ports[port].grant.valid):
                    grants.append((cycle, port, ctx.get(dut.ports[port].grant.payload.base)))
            if cycle in sent:
                sent[cycle] = base
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()
    assert len(accepted) > N_CYCLES / 4
    last = N_CYCLES - 2
    assert told == [(cycle + 1, port) for cycle, port in accepted if cycle < N_CYCLES - 1]
    assert grants == [
        (cycle + 2, port, sent[cycle + 1]) for cycle, port in accepted if cycle < last
    ]


def test_no_port_is_refused() -> None:
    """There would be no grant to keep."""
    with pytest.raises(ValueError, match="GrantStage n_ports must be at least 1, not 0."):
        GrantStage(n_ports=0)
