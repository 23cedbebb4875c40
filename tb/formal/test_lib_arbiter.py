# SPDX-License-Identifier: Apache-2.0
"""Proofs of the arbiters: one grant at a time, nobody starves, an offered word stays."""

from collections.abc import Callable

import pytest
from amaranth.hdl import Cat, Mux, Signal
from amaranth.lib import wiring

from hw.lib.arbiter import AgedPriority, PriorityArbiter, RoundRobin, RoundRobinArbiter
from tb.formal.common import Proof

CHOOSERS: dict[str, tuple[Callable[[], wiring.Component], int]] = {
    "round_robin_1": (lambda: RoundRobin(n_requests=1), 0),
    "round_robin_2": (lambda: RoundRobin(n_requests=2), 1),
    "round_robin_5": (lambda: RoundRobin(n_requests=5), 4),
    "aged_priority_1": (lambda: AgedPriority(n_requests=1, age_limit=1), 0),
    "aged_priority_3": (lambda: AgedPriority(n_requests=3, age_limit=2), 3),
    "aged_priority_4": (lambda: AgedPriority(n_requests=4, age_limit=5), 7),
}
"""Each chooser and how often others may be served before a request that stays."""

ARBITERS: dict[str, tuple[Callable[[], wiring.Component], int]] = {
    "round_robin_arbiter_1": (lambda: RoundRobinArbiter(shape=1, n_inputs=1), 0),
    "round_robin_arbiter_3": (lambda: RoundRobinArbiter(shape=1, n_inputs=3), 2),
    "priority_arbiter_3": (lambda: PriorityArbiter(shape=1, n_inputs=3, age_limit=2), 3),
}
"""Each arbiter and how many words of others a word at an input may see taken."""


def one_hot_or_zero(value: Signal) -> Signal:
    """Whether at most one bit is set."""
    return (value & (value - 1)[: len(value)]) == 0


def add_chooser(proof: Proof, name: str) -> tuple[wiring.Component, Signal]:
    """A chooser whose grants are used at any time, and the strobe that uses one."""
    dut = proof.add(CHOOSERS[name][0](), driven=("served",))
    use = proof.free(1, "use")
    proof.m.d.comb += dut.served.eq(Mux(use, dut.grant, 0))
    return dut, use


@pytest.mark.parametrize("name", CHOOSERS)
def test_grants_exactly_one_request(name: str) -> None:
    """While anybody asks, exactly one of those who ask is granted."""
    proof = Proof(f"{name}_grant")
    dut, _use = add_chooser(proof, name)
    proof.check(one_hot_or_zero(dut.grant), "one at most")
    proof.check((dut.grant & ~dut.requests) == 0, "only who asks")
    proof.check(dut.grant.any() == dut.requests.any(), "one at least")
    proof.reach(dut.grant[-1] & dut.requests.all(), "the last goes before all others", cycles=12)
    proof.prove()


@pytest.mark.parametrize("name", CHOOSERS)
def test_request_that_stays_is_served_in_time(name: str) -> None:
    """A request that stays sees others served at most as often as stated, and can see that."""
    bound = CHOOSERS[name][1]
    proof = Proof(f"{name}_fairness")
    dut, use = add_chooser(proof, name)
    n = dut.n_requests
    watched = proof.constant(range(n) if n > 1 else 1, "watched")
    proof.assume(watched < n)
    n_passed = Signal(range(bound + 2))
    asks, served = dut.requests.bit_select(watched, 1), dut.served.bit_select(watched, 1)
    with proof.m.If(~asks | served):
        proof.m.d.sync += n_passed.eq(0)
    with proof.m.Elif(dut.served.any()):
        proof.m.d.sync += n_passed.eq(n_passed + 1)
    proof.check(n_passed <= bound, "passed over no more than the bound")
    proof.reach(n_passed == bound, "passed over up to the bound", cycles=14)
    proof.prove()


def test_round_robin_serves_all_in_turn() -> None:
    """With all asking and served, each is served once in n cycles."""
    proof = Proof("round_robin_turn")
    dut, use = add_chooser(proof, "round_robin_5")
    proof.assume(dut.requests.all())
    last = Signal(5)
    with proof.m.If(use):
        proof.m.d.sync += last.eq(dut.grant)
    proof.check((last == 0) | (dut.grant == last.rotate_left(1)), "the next in turn")
    proof.reach(last == 0b10000, "came round", cycles=8)
    proof.prove()


def test_priority_holds_among_the_young() -> None:
    """Without aged requests the lowest one wins; the highest waits its limit out."""
    proof = Proof("aged_priority_order")
    dut, use = add_chooser(proof, "aged_priority_4")
    n_used = Signal(range(6))
    with proof.m.If(dut.served.any() & (n_used != 5)):
        proof.m.d.sync += n_used.eq(n_used + 1)
    with proof.m.If(n_used < 5):
        lowest = dut.requests & (~dut.requests + 1)
        proof.check(dut.grant == lowest[:4], "the lowest goes first while nobody is aged")
    proof.reach((n_used == 5) & dut.grant[3] & dut.requests[0], "the aged one wins", cycles=10)
    proof.prove()


def add_arbiter(proof: Proof, name: str) -> wiring.Component:
    """An arbiter whose sources obey the stream rules."""
    dut = proof.add(ARBITERS[name][0]())
    for index, port in enumerate(dut.i):
        stalled = proof.past(port.valid & ~port.ready, f"stalled{index}")
        payload = proof.past(port.payload, f"payload_past{index}")
        proof.assume(~stalled | port.valid & (port.payload == payload))
    return dut


@pytest.mark.parametrize("name", ARBITERS)
def test_offered_word_stays_until_taken(name: str) -> None:
    """Valid, payload and source hold while the sink stalls, whoever else comes in."""
    proof = Proof(f"{name}_stream_rules")
    dut = add_arbiter(proof, name)
    stalled = proof.past(dut.o.valid & ~dut.o.ready, "stalled")
    offered = Cat(dut.o.payload, dut.source)
    before = proof.past(offered, "offered_past")
    newcomers = proof.past(Cat(port.valid for port in dut.i), "valid_past")
    proof.check(~stalled | dut.o.valid, "valid stays")
    proof.check(~stalled | (offered == before), "word and source stay")
    if dut.n_inputs > 1:
        proof.reach(stalled & (newcomers == 0b100) & dut.i[0].valid, "a better one comes", cycles=5)
    proof.prove()


@pytest.mark.parametrize("name", ARBITERS)
def test_word_taken_is_the_word_of_its_source(name: str) -> None:
    """Each taken word comes from exactly one input, which is told so, and is unchanged."""
    proof = Proof(f"{name}_transfer")
    dut = add_arbiter(proof, name)
    taken = Cat(port.valid & port.ready for port in dut.i)
    proof.check(one_hot_or_zero(taken), "one input at a time")
    proof.check(taken.any() == (dut.o.valid & dut.o.ready), "nothing lost or made up")
    proof.check(dut.o.valid == Cat(port.valid for port in dut.i).any(), "offers what there is")
    for index, port in enumerate(dut.i):
        with proof.m.If(taken[index]):
            proof.check(dut.o.payload == port.payload, f"payload of {index}")
            proof.check(dut.source == index, f"source of {index}")
    proof.reach(taken[-1] & dut.i[0].valid, "the last before the first", cycles=12)
    proof.prove()


@pytest.mark.parametrize("name", ARBITERS)
def test_no_input_starves(name: str) -> None:
    """A word at an input sees at most as many words of others taken as stated, and can see them."""
    bound = ARBITERS[name][1]
    proof = Proof(f"{name}_fairness")
    dut = add_arbiter(proof, name)
    for index, port in enumerate(dut.i):
        n_passed = Signal(range(bound + 2), name=f"n_passed{index}")
        with proof.m.If(port.valid & port.ready):
            proof.m.d.sync += n_passed.eq(0)
        with proof.m.Elif(port.valid & dut.o.ready):
            proof.m.d.sync += n_passed.eq(n_passed + 1)
        proof.check(n_passed <= bound, f"input {index} is passed over no more than the bound")
    proof.reach(n_passed == bound, "the last waits to the bound", cycles=12)
    proof.prove()
