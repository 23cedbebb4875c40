# SPDX-License-Identifier: Apache-2.0
"""Proofs of credit counters and event counters."""

import pytest
from amaranth.hdl import Mux, Signal

from hw.lib.counters import EventCounters
from hw.lib.credit import CreditCounter
from tb.formal.common import Proof

CREDITS = {"1_by_1": (1, 1), "5_by_1": (5, 1), "6_by_3": (6, 3), "4_by_4": (4, 4)}
"""Limit and greatest step of each credit counter proved."""


@pytest.mark.parametrize("name", CREDITS)
def test_credits_are_neither_lost_nor_made_up(name: str) -> None:
    """What is at hand and what is in flight make up the limit, while both sides keep the rules."""
    limit, max_step = CREDITS[name]
    proof = Proof(f"credits_{name}")
    dut = proof.add(CreditCounter(limit=limit, max_step=max_step))
    in_flight = Signal(range(limit + 1))
    proof.assume(dut.take <= dut.count)
    proof.assume(dut.give <= in_flight + dut.take)
    proof.assume((dut.take <= max_step) & (dut.give <= max_step))
    proof.m.d.sync += in_flight.eq(in_flight + dut.take - dut.give)
    proof.check(dut.count + in_flight == limit, "nothing is lost")
    proof.check(~dut.fault, "no fault while the rules are kept")
    proof.check(dut.full == (in_flight == 0), "full when nothing is in flight")
    proof.reach(dut.count == 0, "none left", cycles=limit + 2)
    proof.reach(
        (dut.give == max_step) & (dut.take == dut.count) & (dut.count != 0),
        "take all and give",
        cycles=limit + 2,
    )
    proof.prove()


@pytest.mark.parametrize("name", CREDITS)
def test_broken_rule_is_a_fault_and_changes_nothing(name: str) -> None:
    """Taking too much or giving too much is reported at once, and the count stays."""
    limit, max_step = CREDITS[name]
    proof = Proof(f"credit_faults_{name}")
    dut = proof.add(CreditCounter(limit=limit, max_step=max_step))
    too_much = (dut.take > dut.count) | (dut.count + dut.give > limit + dut.take)
    fault, count = proof.past(dut.fault, "fault_past"), proof.past(dut.count, "count_past")
    proof.check(dut.fault == too_much, "fault exactly then")
    proof.check(~fault | (dut.count == count), "count stays")
    proof.check(dut.count <= limit, "count is in range")
    proof.reach(fault & (dut.count == 0), "took without a credit", cycles=limit + 3)
    proof.prove()


@pytest.mark.parametrize("saturate", [False, True], ids=["wrap", "saturate"])
def test_counters_count_and_snapshots_stay(saturate: bool) -> None:
    """A snapshot holds the counts of the moment of the freeze until the next freeze."""
    proof = Proof(f"counters_{'saturate' if saturate else 'wrap'}")
    dut = proof.add(
        EventCounters(names=("a.busy", "a.bytes"), width=3, amount_width=2, saturate=saturate)
    )
    count, shown = Signal(3), Signal(3)
    index = proof.constant(1, "index")
    total = count + dut.amounts[index]
    if saturate:
        total = Mux(total > 7, 7, total)
    proof.m.d.sync += count.eq(Mux(dut.clear, 0, total))
    with proof.m.If(dut.freeze):
        proof.m.d.sync += shown.eq(count)
    with proof.m.If(dut.select == index):
        proof.check(dut.value == shown, "the snapshot is shown")
    proof.reach((shown == 7) & (count == 2) & (dut.select == index), "counting goes on", cycles=9)
    proof.prove()
