# SPDX-License-Identifier: Apache-2.0
"""Proofs of the SRAM slice's policy: one access at a time, no held line lost, nobody starves."""

from amaranth.hdl import Cat, Signal, Value

from hw.mem.slice_policy import SlicePolicy
from tb.formal.common import Proof

ACCESSES = (
    "read_go",
    "write_go",
    "fetch",
    "merge",
    "inject_read",
    "inject_write",
    "clear_go",
)
_FETCH_CYCLES = 4
SERVED_WITHIN = 20
"""Cycles in which a request with room is served when no fault and no clearing comes between."""


def add_policy(proof: Proof) -> SlicePolicy:
    """The policy beside what the combining line does; hits are of what is held.

    What is fetched comes `_FETCH_CYCLES` later, since no answer waits before it.
    """
    dut = proof.add(SlicePolicy(), driven=("held", "filled"))
    on_way = Signal(_FETCH_CYCLES)
    proof.m.d.sync += on_way.eq(Cat(dut.fetch | dut.inject_read, on_way[:-1]))
    proof.m.d.comb += dut.filled.eq(on_way[-1])
    with proof.m.If(dut.take):
        proof.m.d.sync += dut.held.eq(1)
    with proof.m.Elif(dut.merge | dut.clear_go):
        proof.m.d.sync += dut.held.eq(0)
    proof.assume(dut.held | ~(dut.read_hit | dut.write_hit | dut.expired))
    return dut


def total(values: list[Value]) -> Value:
    """Number of bits that are set."""
    return sum(values, start=Value.cast(0))


def test_the_array_does_one_thing_at_a_time() -> None:
    """One port: two accesses in a cycle would lose one of them."""
    proof = Proof("slice_policy_accesses")
    dut = add_policy(proof)
    proof.check(total([getattr(dut, name) for name in ACCESSES]) <= 1, "one access")
    proof.check(~(dut.take & dut.write_go), "a write goes one way")
    proof.check(~dut.read_go | (dut.read_valid & dut.read_room & ~dut.read_hit), "read")
    proof.check(
        ~dut.write_go | (dut.write_valid & dut.write_room & dut.write_whole & ~dut.write_hit),
        "direct write",
    )
    proof.check(~dut.take | (dut.write_valid & dut.write_room), "taken write")
    proof.check(dut.storing == (dut.merge | dut.inject_write), "data comes from the held line")
    proof.check(dut.zeroing == dut.clear_go, "data is zero")
    # The memory's output register may change only where its answer has room.
    proof.check(~(dut.fetch | dut.inject_read) | dut.read_room, "room before every read")
    proof.reach(dut.inject_write & dut.write_valid & dut.read_valid, "a fault", cycles=14)
    proof.reach(dut.merge & dut.take, "one line leaves, the next comes", cycles=14)
    proof.prove()


def test_no_held_line_is_lost() -> None:
    """Another line is held only when the old one is merged; a merge follows its fetch at once."""
    proof = Proof("slice_policy_held")
    dut = add_policy(proof)
    proof.check(
        ~(dut.take & dut.held & ~dut.write_hit) | dut.merge, "a new line only in a free place"
    )
    proof.check(~(dut.merge | dut.fetch) | dut.held, "only what is held")
    done = proof.past(dut.filled)
    proof.check(dut.merge == (done & ~dut.injecting), "merge follows fetch")
    proof.check(dut.inject_write == (done & dut.injecting), "flip follows read")
    proof.check(~dut.injecting | (dut.fetching & ~dut.held), "a fault's line has the place alone")
    proof.check(~(dut.filled & dut.take), "one writes the line")
    proof.reach(dut.merge & ~dut.take & dut.read_valid, "merged for a reader", cycles=14)
    proof.prove()


def _waits(proof: Proof, dut: SlicePolicy, asks: Value, served: Value) -> Signal:
    """Cycles for which a request has waited, no fault and no clearing between."""
    n_waits = Signal(range(SERVED_WITHIN + 2))
    proof.assume(~(dut.inject_valid | dut.clear))
    with proof.m.If(~asks | served):
        proof.m.d.sync += n_waits.eq(0)
    with proof.m.Elif(n_waits <= SERVED_WITHIN):
        proof.m.d.sync += n_waits.eq(n_waits + 1)
    return n_waits


def test_a_reader_is_served_in_time() -> None:
    """Whatever is written meanwhile, to its own line too."""
    proof = Proof("slice_policy_reader")
    dut = add_policy(proof)
    n_waits = _waits(proof, dut, dut.read_valid & dut.read_room, dut.read_go)
    proof.check(n_waits <= SERVED_WITHIN, "served in time")
    proof.reach(n_waits == 4, "merged first", cycles=22)
    proof.prove()


def test_a_writer_is_served_in_time() -> None:
    """Whatever is read meanwhile; a write keeps its kind while it waits."""
    proof = Proof("slice_policy_writer")
    dut = add_policy(proof)
    asks = dut.write_valid & dut.write_room & dut.read_room
    n_waits = _waits(proof, dut, asks, dut.write_go | dut.take)
    waited = proof.past(asks & ~(dut.write_go | dut.take))
    proof.assume(~waited | (dut.write_whole == proof.past(dut.write_whole)))
    proof.check(n_waits <= SERVED_WITHIN, "served in time")
    proof.reach(n_waits == 3, "after a reader and a merge", cycles=22)
    proof.prove()
