# SPDX-License-Identifier: Apache-2.0
"""Proofs of local memory's arbiter: one access per bank, no bank idle in vain, bounded waiting."""

import pytest
from amaranth.hdl import Cat, Mux, Signal

from hw.pe.ls.arbiter import BankArbiter
from tb.formal.common import Proof

N_SLOTS, N_BANKS = 3, 2


LANES = {"own_lanes": (0, 1, 2), "shared_lane": (0, 1, 1)}
with_lanes = pytest.mark.parametrize("lanes", LANES)


def _arbiter(name: str, lanes: str) -> tuple[Proof, BankArbiter]:
    """An arbiter whose slots hold their requests until they are granted, as streams do."""
    proof = Proof(f"{name}_{lanes}")
    dut = proof.add(BankArbiter(n_slots=N_SLOTS, n_banks=N_BANKS, lanes=LANES[lanes]))
    for slot in range(N_SLOTS):
        waits = proof.past(dut.valid[slot] & ~dut.grant[slot])
        same = dut.valid[slot] & (dut.bank[slot] == proof.past(dut.bank[slot]))
        proof.assume(~waits | same)
    return proof, dut


@with_lanes
def test_a_bank_has_one_access_and_none_in_vain(lanes: str) -> None:
    """Granted slots want different banks, and have different lanes; a refused slot's bank is
    granted to another, or its lane is another's."""
    proof, dut = _arbiter("ls_arbiter_banks", lanes)
    for slot in range(N_SLOTS):
        others = [
            dut.grant[other] & (dut.bank[other] == dut.bank[slot])
            for other in range(N_SLOTS)
            if other != slot
        ]
        proof.check(~dut.grant[slot] | dut.valid[slot], f"only who asks is granted, slot {slot}")
        proof.check(~(dut.grant[slot] & Cat(others).any()), f"a bank has one access, slot {slot}")
        in_lane = [
            other
            for other in range(N_SLOTS)
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
    proof, dut = _arbiter("ls_arbiter_wait", lanes)
    m = proof.m
    for slot in range(N_SLOTS):
        n_refused = Signal(range(dut.max_wait + 3), name=f"n_refused{slot}")
        refused = dut.valid[slot] & ~dut.grant[slot]
        with m.If(~refused):
            m.d.sync += n_refused.eq(0)
        with m.Elif(n_refused != dut.max_wait + 2):
            m.d.sync += n_refused.eq(n_refused + 1)
        proof.check(
            n_refused + Mux(refused, 1, 0) <= dut.max_wait, f"waiting is bounded, slot {slot}"
        )
        if slot == N_SLOTS - 1:
            proof.reach(n_refused == 2 * dut.tick_period, "a slot waits two ticks", cycles=32)
    proof.prove()
