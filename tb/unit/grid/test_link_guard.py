# SPDX-License-Identifier: Apache-2.0
"""The guard of reduction links: rows pass, missing links trap, a halting element is let go."""

import itertools
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.arch.commands import Opcode
from hw.arch.traps import LINK_TEXT, Trap, trap_sentence
from hw.arch.units import Unit
from hw.grid.link_guard import LINKS, LinkGuard
from tb.common.coverage import cover_trap
from tb.common.seeds import python_rng

NAMES = (*LINKS, *LINKS.values())
COLUMNS = 3


def simulate(guard: LinkGuard, bench: Any) -> None:
    """Run a bench on a guard."""
    simulator = Simulator(guard)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_rows_pass_unchanged_while_nothing_is_missing() -> None:
    """All eight handshakes of each link, with random rows; no trap comes of them."""
    guard, rng = LinkGuard(columns=COLUMNS), python_rng("guard")

    async def bench(context: Any) -> None:
        for valid, ready in itertools.product((0, 1), repeat=2):
            rows = {name: [rng.getrandbits(32) for _ in range(COLUMNS)] for name in NAMES}
            for name in NAMES:
                i, o = getattr(guard, f"{name}_i"), getattr(guard, f"{name}_o")
                context.set(i.valid, valid)
                context.set(i.payload, rows[name])
                context.set(o.ready, ready)
            for name in NAMES:
                i, o = getattr(guard, f"{name}_i"), getattr(guard, f"{name}_o")
                assert (context.get(o.valid), context.get(i.ready)) == (valid, ready), name
                assert [context.get(o.payload[at]) for at in range(COLUMNS)] == rows[name]
            await context.tick()
            assert not context.get(guard.trap.valid)

    simulate(guard, bench)


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_missing_link_is_never_waited_for_and_traps(number: int) -> None:
    """The first row is kept as the error, whatever passes behind it or elsewhere."""
    guard, name = LinkGuard(columns=COLUMNS), NAMES[number]
    i, o = getattr(guard, f"{name}_i"), getattr(guard, f"{name}_o")
    asks = o.ready if name in LINKS else i.valid  # the element's end

    async def bench(context: Any) -> None:
        context.set(guard.missing, 1 << number)
        await context.tick()
        assert not context.get(guard.trap.valid), "no row has passed"
        context.set(asks, 1)
        assert context.get(o.valid if name in LINKS else i.ready)
        await context.tick()
        context.set(guard.missing, 0xF)
        for other in NAMES:
            context.set(getattr(guard, f"{other}_o").ready, 1)
        await context.tick()
        trap = context.get(guard.trap)
        assert (trap.valid, trap.cause, trap.info) == (1, Trap.NO_NEIGHBOUR, number)
        cover_trap(trap.as_bits())
        words = trap_sentence(trap.cause, trap.unit, trap.opcode, trap.tag, trap.info)
        assert words == (
            f"RE trapped in drain: the reduction link leads to no other element"
            f" ({LINK_TEXT[number]})."
        )
        assert (trap.unit, trap.opcode) == (Unit.RE, Opcode.DRAIN)

    simulate(guard, bench)


def test_of_several_missing_links_the_lowest_is_told() -> None:
    """A command may take from one side and give to another in one cycle."""
    for used in range(1, 16):
        guard = LinkGuard(columns=COLUMNS)

        async def bench(context: Any, guard: LinkGuard = guard, used: int = used) -> None:
            context.set(guard.missing, 0xF)
            for number, name in enumerate(NAMES):
                asks = f"{name}_o" if name in LINKS else f"{name}_i"
                port = getattr(guard, asks)
                context.set(port.ready if name in LINKS else port.valid, used >> number & 1)
            await context.tick()
            assert context.get(guard.trap.info) == (used & -used).bit_length() - 1

        simulate(guard, bench)


def test_a_halting_element_gets_rid_of_its_rows() -> None:
    """They go nowhere, at once, and are no error; rows for it stay where they are."""
    guard = LinkGuard(columns=COLUMNS)

    async def bench(context: Any) -> None:
        for name in NAMES:
            context.set(getattr(guard, f"{name}_i").valid, 1)
        context.set(guard.halt, 1)
        for name in LINKS.values():
            assert context.get(getattr(guard, f"{name}_i").ready)
            assert not context.get(getattr(guard, f"{name}_o").valid)
        for name in LINKS:
            assert not context.get(getattr(guard, f"{name}_i").ready)
        await context.tick()
        assert not context.get(guard.trap.valid)

    simulate(guard, bench)


@pytest.mark.parametrize("number", range(len(NAMES)))
def test_a_halting_element_traps_no_more(number: int) -> None:
    """Another error, or an abort, was first; would break if a row that a halting element still has
    for a missing link were told of instead."""
    guard, name = LinkGuard(columns=COLUMNS), NAMES[number]
    i, o = getattr(guard, f"{name}_i"), getattr(guard, f"{name}_o")

    async def bench(context: Any) -> None:
        context.set(guard.missing, 1 << number)
        context.set(guard.halt, 1)
        context.set(o.ready if name in LINKS else i.valid, 1)
        assert context.get(o.valid if name in LINKS else i.ready), "the row waits"
        await context.tick()
        assert not context.get(guard.trap.valid)

    simulate(guard, bench)


def test_a_row_of_nothing_is_refused() -> None:
    """With one exact sentence."""
    with pytest.raises(ValueError) as error:
        LinkGuard(columns=0)
    assert str(error.value) == "LinkGuard columns must be at least 1, not 0."
