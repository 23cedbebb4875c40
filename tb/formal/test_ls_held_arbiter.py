# SPDX-License-Identifier: Apache-2.0
"""Proofs of the arbiter of held accesses: order of writes and reads, one access per bank, waits."""

import pytest
from amaranth.hdl import Cat, Mux, Signal, Value

from hw.pe.ls.held_arbiter import HeldArbiter
from tb.formal.common import Proof

N_BANKS = 2
MEMBERS = {
    "own_lanes": {"lanes": (0, 1, 2, 3), "writes": (0, 2)},
    "shared_lanes": {"lanes": (0, 1, 0, 2, 1), "writes": (1,)},
    "one_port": {"lanes": (0, 1, 2, 0), "writes": ()},
    "as_the_fpga": {"lanes": (0, 1, 2, 3, 4, 5, 1, 5), "writes": (1, 5)},
}
with_members = pytest.mark.parametrize("member", MEMBERS)


class Lanes:
    """An arbiter whose slots hold their requests until they are granted, as streams do."""

    def __init__(self, name: str, member: str) -> None:
        self.proof = proof = Proof(f"{name}_{member}")
        self.dut = dut = proof.add(
            HeldArbiter(n_banks=N_BANKS, **MEMBERS[member]), driven=("bank",)
        )
        self.slots = range(len(dut.lanes))
        self.writes = [dut.lanes[slot] in dut.writes for slot in self.slots]
        self.banks = [proof.free(range(N_BANKS), f"bank_of_slot{slot}") for slot in self.slots]
        for slot, bank in enumerate(self.banks):
            waits = proof.past(dut.valid[slot] & ~dut.grant[slot])
            proof.assume(~waits | (dut.valid[slot] & (bank == proof.past(bank))))
            with proof.m.If(dut.owner[slot]):
                proof.m.d.comb += dut.bank[dut.lanes[slot]].eq(bank)
        # What each slot has been granted and has not gone yet.
        self.open = [Signal(name=f"open{slot}") for slot in self.slots]
        self.bank = [Signal(range(N_BANKS), name=f"open_bank{slot}") for slot in self.slots]
        for slot in self.slots:
            with proof.m.If(dut.grant[slot]):
                proof.m.d.sync += [self.open[slot].eq(1), self.bank[slot].eq(self.banks[slot])]
            with proof.m.Elif(dut.went[slot]):
                proof.m.d.sync += self.open[slot].eq(0)

    def gone(self, slot: int, bank: int) -> Value:
        """The slot's access goes to this bank now."""
        return self.dut.went[slot] & (self.bank[slot] == bank)

    def of_kind(self, writes: bool) -> list[int]:
        """Slots that write, or read."""
        return [slot for slot in self.slots if self.writes[slot] == writes]


@with_members
def test_what_is_taken_goes_once_and_alone(member: str) -> None:
    """Every granted access goes to its own bank, and no other of its kind does in that cycle."""
    lanes = Lanes("ls_held_banks", member)
    proof, dut = lanes.proof, lanes.dut
    for slot in lanes.slots:
        proof.check(~dut.grant[slot] | dut.valid[slot], f"only who asks is granted, slot {slot}")
        proof.check(~dut.went[slot] | lanes.open[slot], f"only what was taken goes, slot {slot}")
        proof.check(
            ~dut.grant[slot] | ~lanes.open[slot] | dut.went[slot], f"none is lost, slot {slot}"
        )
        for bank in range(N_BANKS):
            has = dut.has[dut.lanes[slot]][bank]
            proof.check(~lanes.gone(slot, bank) | has, f"slot {slot} has bank {bank}")
    for bank in range(N_BANKS):
        for writes in set(lanes.writes):
            gone = [lanes.gone(slot, bank) for slot in lanes.of_kind(writes)]
            for at, one in enumerate(gone):
                others = Cat(gone[:at]).any() if at else Value.cast(0)
                proof.check(~(one & others), f"bank {bank} has one access {writes} {at}")
    proof.reach(dut.has[0] != 0, "an access goes", cycles=4)
    proof.prove()


@with_members
def test_accesses_to_a_bank_go_in_their_order(member: str) -> None:
    """None goes before, or with, one to its bank that was taken in an earlier cycle."""
    lanes = Lanes("ls_held_order", member)
    proof, dut = lanes.proof, lanes.dut
    reached = False
    for first in lanes.slots:
        for second in lanes.slots:
            if first == second:
                continue
            stays = lanes.open[first] & ~dut.went[first]
            follows = Signal(name=f"follows{first}_{second}")  # second was taken later
            with proof.m.If(dut.grant[second]):
                same = lanes.banks[second] == lanes.bank[first]
                proof.m.d.sync += follows.eq(stays & same)
            with proof.m.Elif(dut.went[first]):
                proof.m.d.sync += follows.eq(0)
            proof.check(~(follows & dut.went[second]), f"{second} waits for {first}")
            if lanes.writes[first] != lanes.writes[second] and not reached:
                proof.reach(follows, "a read comes behind a write, or a write a read", cycles=8)
                reached = True
    proof.prove()


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(member, marks=[pytest.mark.slow] * (member == "as_the_fpga"))
        for member in MEMBERS
    ],
)
def test_nobody_waits_longer_than_max_wait(member: str) -> None:
    """A request is refused in at most `max_wait` cycles, whatever the others ask for."""
    lanes = Lanes("ls_held_wait", member)
    proof, dut = lanes.proof, lanes.dut
    for slot in lanes.slots:
        n_refused = Signal(range(dut.max_wait + 3), name=f"n_refused{slot}")
        refused = dut.valid[slot] & ~dut.grant[slot]
        with proof.m.If(~refused):
            proof.m.d.sync += n_refused.eq(0)
        with proof.m.Elif(n_refused != dut.max_wait + 2):
            proof.m.d.sync += n_refused.eq(n_refused + 1)
        proof.check(
            n_refused + Mux(refused, 1, 0) <= dut.max_wait, f"waiting is bounded, slot {slot}"
        )
    proof.prove()
