# SPDX-License-Identifier: Apache-2.0
"""Credit counters and event counters, cycle by cycle against Python integers."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.lib.counters import EventCounters
from hw.lib.credit import CreditCounter
from tb.common.seeds import python_rng


def simulate(dut: Any, testbench: Any) -> None:
    """Run a testbench on `dut` with a clock."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("limit", "max_step"), [(1, 1), (7, 1), (32, 1), (9, 4)])
def test_credits_follow_take_and_give(limit: int, max_step: int) -> None:
    """Random traffic within the rules: the count is the limit less what is in flight."""
    dut = CreditCounter(limit=limit, max_step=max_step)
    rng = python_rng(f"credits {limit}")

    async def testbench(ctx: Any) -> None:
        count, seen = limit, set()
        for cycle in range(500):
            drains = cycle // 100 % 2 == 0  # long phases in which one side is busier
            take = rng.randint(0, min(max_step, count)) if drains or cycle % 4 == 0 else 0
            most = min(max_step, limit - count + take)
            give = rng.randint(0, most) if not drains or cycle % 4 == 0 else 0
            ctx.set(dut.take, take)
            ctx.set(dut.give, give)
            assert (ctx.get(dut.count), ctx.get(dut.full)) == (count, count == limit)
            assert not ctx.get(dut.fault)
            await ctx.tick()
            count += give - take
            seen.add(count)
        assert {0, limit} <= seen

    simulate(dut, testbench)


def test_broken_credit_rules_are_reported_and_change_nothing() -> None:
    """Giving back at the limit, and taking the credit that comes back in the same cycle."""
    dut = CreditCounter(limit=2)

    async def testbench(ctx: Any) -> None:
        for take, give, fault, count in (
            (0, 1, 1, 2),  # nothing was taken
            (1, 1, 0, 2),
            (1, 0, 0, 1),
            (1, 0, 0, 0),
            (1, 0, 1, 0),  # none left
            (1, 1, 1, 0),  # what comes back is there in the next cycle only
            (0, 1, 0, 1),
        ):
            ctx.set(dut.take, take)
            ctx.set(dut.give, give)
            assert ctx.get(dut.fault) == fault
            await ctx.tick()
            assert ctx.get(dut.count) == count

    simulate(dut, testbench)


@pytest.mark.parametrize("saturate", [False, True], ids=["wrap", "saturate"])
@pytest.mark.parametrize(("width", "amount_width"), [(48, 1), (5, 3), (8, 8)])
def test_counters_add_freeze_and_clear(width: int, amount_width: int, saturate: bool) -> None:
    """Random amounts, freezes and clears: each shown value is that of the latest freeze."""
    names = ("dpe.busy", "dpe.stall_ls", "fi.bytes")
    dut = EventCounters(names=names, width=width, amount_width=amount_width, saturate=saturate)
    rng = python_rng(f"counters {width}")
    top = (1 << width) - 1

    async def testbench(ctx: Any) -> None:
        counts, shown = [0, 0, 0], [0, 0, 0]
        for _ in range(400):
            amounts = [rng.choice((0, rng.getrandbits(amount_width))) for _ in names]
            freeze, clear = rng.random() < 0.1, rng.random() < 0.02
            for index, amount in enumerate(amounts):
                ctx.set(dut.amounts[index], amount)
            ctx.set(dut.freeze, freeze)
            ctx.set(dut.clear, clear)
            for index, value in enumerate(shown):
                ctx.set(dut.select, index)
                assert ctx.get(dut.value) == value
            await ctx.tick()
            shown = list(counts) if freeze else shown
            totals = [count + amount for count, amount in zip(counts, amounts, strict=True)]
            totals = [min(total, top) if saturate else total & top for total in totals]
            counts = [0, 0, 0] if clear else totals

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "CreditCounter limit must be at least 1, not 0."),
        ({"limit": 4, "max_step": 5}, "CreditCounter max_step must be 1 to 4, not 5."),
        ({"limit": 4, "max_step": 0}, "CreditCounter max_step must be 1 to 4, not 0."),
    ],
)
def test_bad_credit_parameters_are_refused(arguments: dict[str, int], message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        CreditCounter(**arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ()}, "EventCounters needs at least one event name."),
        ({"names": ("a", "b", "a")}, "EventCounters name 'a' is given twice."),
        ({"names": ("a",), "width": 0}, "EventCounters width must be at least 1, not 0."),
        (
            {"names": ("a",), "width": 4, "amount_width": 5},
            "EventCounters amount_width must be 1 to 4, not 5.",
        ),
    ],
)
def test_bad_counter_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        EventCounters(**arguments)
    assert str(error.value) == message
