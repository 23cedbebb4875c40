# SPDX-License-Identifier: Apache-2.0
"""Proofs of the shared address generator: nests, buffers and surroundings of any pace."""

import pytest
from amaranth.hdl import Cat, Const, Mux, Signal, Value, signed
from amaranth.lib import wiring

from hw.arch.commands import LEVELS
from hw.iface.pe import CbRole
from hw.lib.address_generator import AddressGenerator
from hw.lib.loop_nest import LoopCounter, LoopOffset
from tb.formal.common import ABC_BMC, Proof

OFFSET_WIDTH = 4
N_CYCLES = 2**LEVELS + 2
"""Start, the longest nest, and its end."""
ADDRESS_WIDTH = 3
OPEN_STEPS = 4
"""Granted steps whose addresses have not all left: ahead, present, and two in the output."""


class SmallNest:
    """Any loop nest with one or two iterations per level, and its indices.

    The indices count in mixed radix on their own; the offset is their sum of strides, without the
    memory of earlier offsets that `LoopOffset` uses.
    """

    def __init__(self, proof: Proof, counter: wiring.Component, offset: wiring.Component) -> None:
        m = proof.m
        twice = proof.constant(LEVELS, "twice")  # levels with two iterations
        strides = [proof.constant(signed(OFFSET_WIDTH), f"stride{k}") for k in range(LEVELS)]
        tail_level = proof.constant(3, "tail_level_of")
        tail_inner = proof.constant(1, "tail_inner_of")
        tail_count = proof.constant(1, "tail_count_of")
        origin = proof.constant(signed(OFFSET_WIDTH), "origin_of")
        m.d.comb += [
            *(counter.counts[level].eq(1 + twice[level]) for level in range(LEVELS)),
            counter.tail_level.eq(tail_level),
            counter.tail_inner.eq(tail_inner),
            counter.tail_count.eq(tail_count),
            *(offset.strides[level].eq(strides[level]) for level in range(LEVELS)),
            offset.origin.eq(origin),
        ]
        self.index = Signal(LEVELS)
        self.last = Signal(LEVELS)
        shortened = Signal(2)
        for level in range(LEVELS):
            at_end = self.index[level] == twice[level]
            if level < 2:
                tails = [self.last[k] & (tail_level == k) for k in range(level + 1, LEVELS)]
                m.d.comb += shortened[level].eq(
                    Cat(*tails).any() & (tail_inner == level) & (tail_count != 0)
                )
                at_end = at_end | shortened[level]  # one iteration is the only shorter count
            m.d.comb += self.last[level].eq(at_end)
        total: Value = origin
        for level in range(LEVELS):
            total = (total + Mux(self.index[level], strides[level], 0))[:OFFSET_WIDTH].as_signed()
        self.offset = total
        self.end = self.last.all()

    def follow(self, proof: Proof, start: Value, step: Value) -> None:
        """Count the indices: the lowest level that is not at its end moves, those below restart."""
        with proof.m.If(start):
            proof.m.d.sync += self.index.eq(0)
        with proof.m.Elif(step):
            for level in range(LEVELS):
                with proof.m.If(self.last[:level].all()):
                    following = Mux(self.last[level], 0, self.index[level] + 1)
                    proof.m.d.sync += self.index[level].eq(following)


@pytest.mark.slow
def test_nest_keeps_the_sum_of_strides() -> None:
    """In every iteration of every nest the offset is origin + sum of index * stride."""
    proof = Proof("loop_nest_offset")
    counter = proof.add(
        LoopCounter(),
        name="counter",
        driven=("counts", "tail_level", "tail_inner", "tail_count", "start", "step"),
    )
    offset = proof.add(
        LoopOffset(offset_width=OFFSET_WIDTH),
        driven=("strides", "origin", "start", "step", "goes_on"),
    )
    nest = SmallNest(proof, counter, offset)
    step = Signal()
    proof.m.d.comb += [
        counter.start.eq(~proof.started),
        step.eq(proof.started & ~nest.end),
        counter.step.eq(step),
        offset.start.eq(counter.start),
        offset.step.eq(step),
        offset.goes_on.eq(~counter.last),
    ]
    nest.follow(proof, counter.start, step)
    with proof.m.If(proof.started):
        proof.check(offset.offset == nest.offset, "offset is the sum")
        proof.check(counter.last == nest.last, "levels at their last iteration")
        proof.check(counter.end == nest.end, "end of the nest")
    proof.reach(nest.end & (nest.index == 0b11111), "all levels went on", cycles=N_CYCLES)
    proof.prove(engine=ABC_BMC, bound=N_CYCLES)


class Surroundings:
    """A source of nests and a table that grant at any pace, by their rules.

    Follows one granted step, chosen at any time, through to its addresses.
    """

    def __init__(self, proof: Proof, dut: AddressGenerator) -> None:
        m = proof.m
        waits = proof.past(dut.nest.valid & ~dut.nest.ready, "nest_waits")
        nest = Value.cast(dut.nest.payload)
        proof.assume(~waits | (dut.nest.valid & (nest == proof.past(nest, "nest_past"))))
        counts = [dut.nest.payload.counts[level] for level in range(LEVELS)]
        proof.assume(Cat((count == 1) | (count == 2) for count in counts).all())

        # The table answers an accepted request in the next cycle, with a buffer that fits.
        accepted = dut.acquire.valid & dut.acquire.ready
        grant = dut.grant.payload
        proof.assume(dut.grant.valid == proof.past(accepted, "accepted_past"))
        proof.assume(grant.pointer < grant.depth)
        proof.assume(grant.base + grant.depth <= 1 << ADDRESS_WIDTH)

        self.taken = dut.addresses.valid & dut.addresses.ready
        self.step_taken = self.taken & dut.addresses.payload.step_end
        self.n_open = Signal(range(OPEN_STEPS + 2))  # granted steps whose last address is to come
        self.n_open_next = (self.n_open + dut.grant.valid - self.step_taken)[: len(self.n_open)]
        m.d.sync += self.n_open.eq(self.n_open_next)

        chosen, self.seen, self.followed = proof.free(1, "choose"), Signal(), Signal()
        self.n_ahead = Signal.like(self.n_open)
        self.base, self.depth = Signal(13), Signal(13)
        self.advance = Signal(16)
        with m.If(dut.grant.valid & chosen & ~self.seen):
            m.d.sync += [
                self.seen.eq(1),
                self.followed.eq(1),
                self.n_ahead.eq(self.n_open - self.step_taken),
                self.base.eq(grant.base),
                self.depth.eq(grant.depth),
                self.advance.eq(proof.past(dut.acquire.payload.advance, "advance_past")),
            ]
        with m.If(self.followed & self.step_taken):
            m.d.sync += [self.n_ahead.eq(self.n_ahead - 1), self.followed.eq(self.n_ahead != 0)]


def add_generator(name: str) -> tuple[Proof, AddressGenerator, Surroundings]:
    """An address generator that is never stopped."""
    proof = Proof(name)
    dut = proof.add(
        AddressGenerator(
            address_width=ADDRESS_WIDTH, unit_bytes=64, role=CbRole.CONSUMER, stride_width=3
        ),
        driven=("stop",),
    )
    return proof, dut, Surroundings(proof, dut)


def test_addresses_stay_inside_the_granted_buffer() -> None:
    """No address lies outside of its step's buffer unless it says so."""
    proof, dut, _around = add_generator("address_generator_inside")
    item = dut.addresses.payload
    with proof.m.If(dut.addresses.valid & ~item.outside):
        proof.check(item.address >= item.base, "not below the buffer")
        proof.check(item.address < item.base + item.depth, "not above the buffer")
    wrapped = proof.past(item.address, "address_past") > item.address
    proof.reach(dut.addresses.valid & ~item.outside & wrapped, "an address wraps", cycles=12)
    proof.reach(dut.addresses.valid & item.outside, "an address is outside", cycles=12)
    proof.prove()


def test_each_granted_step_is_walked_once_in_order() -> None:
    """Addresses come only for granted steps, step after step, with that step's buffer."""
    proof, dut, around = add_generator("address_generator_steps")
    item = dut.addresses.payload
    fresh = Signal(init=1)  # the next address begins a step
    with proof.m.If(around.taken):
        proof.m.d.sync += fresh.eq(item.step_end)
    with proof.m.If(dut.addresses.valid):
        proof.check(around.n_open != 0, "only what was granted")
        proof.check(item.step_first == fresh, "steps begin and end in turn")
        with proof.m.If(around.followed & (around.n_ahead == 0)):
            proof.check(item.base == around.base, "base of its grant")
            proof.check(item.depth == around.depth, "depth of its grant")
            proof.check(item.advance == around.advance, "advance of its request")
    proof.check(around.n_open <= OPEN_STEPS, "at most one step ahead")
    proof.check(dut.busy | (around.n_open == 0), "busy while a step is open")
    proof.reach(around.n_open == OPEN_STEPS, "as many steps as can be", cycles=20)
    proof.prove(engine=ABC_BMC, bound=18)  # two steps, and the third ahead


def stoppable(name: str) -> tuple[Proof, AddressGenerator]:
    """An address generator whose inputs do anything, `stop` too."""
    proof = Proof(name)
    return proof, proof.add(
        AddressGenerator(
            address_width=ADDRESS_WIDTH, unit_bytes=64, role=CbRole.CONSUMER, stride_width=3
        )
    )


def test_streams_hold_until_taken() -> None:
    """Requests stay until they are taken, even when stopped; addresses unless stopped."""
    proof, dut = stoppable("address_generator_streams")
    for name, dropped in (("acquire", Const(0)), ("addresses", dut.stop)):
        stream = getattr(dut, name)
        payload = Value.cast(stream.payload)
        before = proof.past(payload, f"{name}_past")
        stalled = proof.past(stream.valid & ~stream.ready & ~dropped, f"{name}_stalled")
        proof.check(~stalled | stream.valid, f"{name} valid stays")
        proof.check(~stalled | (payload == before), f"{name} payload stays")
        proof.reach(stalled & ~dut.stop, f"{name} waits", cycles=12)
    proof.prove(engine=ABC_BMC, bound=18)


def test_stop_drops_everything() -> None:
    """After its first cycle a stop asks for nothing new, and no old address comes out."""
    proof, dut = stoppable("address_generator_stop")
    stopped = proof.past(dut.stop, "stopped")
    offered = proof.past(dut.acquire.valid & ~dut.acquire.ready, "offered")
    clean = Signal()  # stopped, and no nest taken since
    with proof.m.If(dut.stop):
        proof.m.d.sync += clean.eq(1)
        proof.check(~dut.acquire.valid | offered | ~stopped, "asks for nothing new")
        proof.check(~dut.nest.ready, "takes no nest")
    with proof.m.Elif(dut.nest.valid & dut.nest.ready):
        proof.m.d.sync += clean.eq(0)
    with proof.m.If(clean):
        proof.check(~dut.addresses.valid & ~dut.busy, "nothing is left")
        proof.check(~dut.acquire.valid | offered, "nothing new until a nest comes")
    held = proof.past(dut.addresses.valid, "addresses_past")
    proof.reach(clean & held, "an address was dropped", cycles=14)
    proof.reach(clean & offered, "a request waits on", cycles=14)
    proof.prove()
