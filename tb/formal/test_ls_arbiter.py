# SPDX-License-Identifier: Apache-2.0
"""Proofs of local memory's arbiter: one access per bank, no bank idle in vain, bounded waiting."""

import pytest
from amaranth.hdl import Cat, Mux, Signal

from hw.pe.ls.arbiter import BankArbiter
from tb.formal.common import Proof

N_BANKS = 2


LANES = {
    "own_lanes": (0, 1, 2),
    "shared_lane": (0, 1, 1),
    "many_lanes": (0, 1, 2, 3, 4),  # more than are compared in pairs
}
with_lanes = pytest.mark.parametrize("lanes", LANES)


def _arbiter(name: str, lanes: str) -> tuple[Proof, BankArbiter, list[Signal]]:
    """An arbiter whose slots hold their requests until they are granted, as streams do.

    Returns also the bank that each slot asks for.
    """
    proof = Proof(f"{name}_{lanes}")
    n_slots = len(LANES[lanes])
    dut = proof.add(
        BankArbiter(n_slots=n_slots, n_banks=N_BANKS, lanes=LANES[lanes]), driven=("bank",)
    )
    banks = [proof.free(range(N_BANKS), f"bank_of_slot{slot}") for slot in range(n_slots)]
    for slot, bank in enumerate(banks):
        waits = proof.past(dut.valid[slot] & ~dut.grant[slot])
        proof.assume(~waits | (dut.valid[slot] & (bank == proof.past(bank))))
        with proof.m.If(dut.owner[slot]):
            proof.m.d.comb += dut.bank[dut.lanes[slot]].eq(bank)
    return proof, dut, banks


@with_lanes
def test_a_bank_has_one_access_and_none_in_vain(lanes: str) -> None:
    """Granted slots want different banks, and have different lanes; a refused slot's bank is
    granted to another, or its lane is another's."""
    proof, dut, banks = _arbiter("ls_arbiter_banks", lanes)
    for slot in range(dut.n_slots):
        others = [
            dut.grant[other] & (banks[other] == banks[slot])
            for other in range(dut.n_slots)
            if other != slot
        ]
        proof.check(~dut.grant[slot] | dut.valid[slot], f"only who asks is granted, slot {slot}")
        proof.check(~(dut.grant[slot] & Cat(others).any()), f"a bank has one access, slot {slot}")
        in_lane = [
            other
            for other in range(dut.n_slots)
            if other != slot and dut.lanes[other] == dut.lanes[slot]
        ]
        proof.check(
            ~(dut.grant[slot] & Cat(dut.grant[other] for other in in_lane).any()),
            f"a lane has one access, slot {slot}",
        )
        proof.check(
            ~dut.valid[slot] | dut.grant[slot] | Cat(others).any() | ~dut.owner[slot],
            f"no bank is idle in vain, slot {slot}",
        )
        proof.check(
            dut.owner[slot] | Cat(dut.owner[other] for other in in_lane).any(),
            f"a lane has an owner, slot {slot}",
        )
    proof.reach((dut.valid & ~dut.grant)[2] & dut.grant[1], "a slot is refused", cycles=4)
    proof.prove()


@with_lanes
def test_nobody_waits_longer_than_max_wait(lanes: str) -> None:
    """A request is refused in at most `max_wait` cycles, whatever the others ask for."""
    proof, dut, _ = _arbiter("ls_arbiter_wait", lanes)
    m = proof.m
    for slot in range(dut.n_slots):
        n_refused = Signal(range(dut.max_wait + 3), name=f"n_refused{slot}")
        refused = dut.valid[slot] & ~dut.grant[slot]
        with m.If(~refused):
            m.d.sync += n_refused.eq(0)
        with m.Elif(n_refused != dut.max_wait + 2):
            m.d.sync += n_refused.eq(n_refused + 1)
        proof.check(
            n_refused + Mux(refused, 1, 0) <= dut.max_wait, f"waiting is bounded, slot {slot}"
        )
        if slot == dut.n_slots - 1:
            proof.reach(n_refused == 2 * dut.tick_period, "a slot waits two ticks", cycles=32)
    proof.prove()
