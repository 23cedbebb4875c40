# SPDX-License-Identifier: Apache-2.0
"""Proofs of the stages of lanes: each taker gets its flits, each source its turn."""

import pytest
from amaranth.hdl import Cat, Mux, Signal
from amaranth.lib import data

from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop
from tb.formal.common import Proof
from tb.formal.follow import assume_source, check_sink, follow

FLIT = data.StructLayout({"word": 1, "mask": 3})
CAPACITY = 2  # flits in a hop
MOST = 3


def add_hop(name: str) -> tuple[Proof, LaneHop]:
    """A hop at any position of three."""
    proof = Proof(name)
    dut = proof.add(LaneHop(shape=FLIT), driven=("here",))
    here = proof.constant(3, "here")
    proof.m.d.comb += dut.here.eq(here)
    proof.assume((here != 0) & ((here & (here - 1)) == 0))
    return proof, dut


def takers(dut: LaneHop) -> dict[str, tuple[object, object]]:
    """Each taker: its port, and which part of the mask is its own."""
    return {"tap": (dut.tap, dut.here), "o": (dut.o, ~dut.here)}


@pytest.mark.parametrize("taker", ["tap", "o"])
def test_each_taker_gets_exactly_its_flits_in_order(taker: str) -> None:
    """No flit is lost, doubled or comes out of turn, whenever the other takes its own; one that is
    for neither comes out nowhere, and is gone in time."""
    proof, dut = add_hop(f"lane_hop_{taker}")
    port, own = takers(dut)[taker]
    flit = dut.i.payload
    mask = flit.mask if taker == "tap" else flit.mask & ~dut.here
    followed = follow(
        proof,
        taker,
        put=dut.i.valid & dut.i.ready & (flit.mask & own).any(),
        word_in=Cat(flit.word, mask),
        got=port.valid & port.ready,
        word_out=Cat(port.payload.word, port.payload.mask),
        capacity=CAPACITY,
    )
    check_sink(proof, taker, port)
    n_waits = Signal(range(CAPACITY + 2))  # cycles in which both took what they were offered
    both = dut.tap.ready & dut.o.ready
    proof.m.d.sync += n_waits.eq(Mux(followed.under_way, n_waits + both, 0))
    proof.check(n_waits <= CAPACITY, "delivered once both have taken all before")
    proof.check(~proof.past(both, "both_past") | dut.i.ready, "takes a flit once both have taken")
    proof.reach(
        followed.under_way & (followed.n_ahead == 1) & port.valid & port.ready, "full", cycles=8
    )
    proof.prove()


def test_a_tile_that_stalls_keeps_nothing_from_the_lane_in_vain() -> None:
    """The flit at the head is offered to each taker, whatever the other does; and the reverse."""
    proof, dut = add_hop("lane_hop_independent")
    for name, (port, _own) in takers(dut).items():
        other = dut.o if name == "tap" else dut.tap
        # Whether a taker's flit shows must not depend on what the other's `ready` is now.
        proof.reach(port.valid & ~other.valid & ~other.ready, f"{name} alone is left", cycles=6)
    first = proof.past(dut.tap.valid & dut.o.valid, "first")
    stalls = proof.past(~dut.tap.ready & dut.o.ready, "stalls")
    proof.check(~(first & stalls) | (dut.tap.valid & ~dut.o.valid), "the lane has it once")
    stalls = proof.past(dut.tap.ready & ~dut.o.ready, "onward_stalls")
    proof.check(~(first & stalls) | (dut.o.valid & ~dut.tap.valid), "the tile has it once")
    proof.prove()


def add_merge(name: str) -> tuple[Proof, MergeHop]:
    """A hop with any weight, whose flits tell by their upper bit where they come from."""
    proof = Proof(name)
    dut = proof.add(MergeHop(shape=2, most=MOST), driven=("weight",))
    proof.m.d.comb += dut.weight.eq(proof.constant(2, "weight"))
    assume_source(proof, "i", dut.i)
    assume_source(proof, "local", dut.local)
    proof.assume(~dut.i.payload[1] & dut.local.payload[1])
    return proof, dut


@pytest.mark.parametrize("source", ["i", "local"])
def test_each_source_keeps_its_order(source: str) -> None:
    """No flit is lost, doubled or overtaken by another of its source."""
    proof, dut = add_merge(f"merge_hop_{source}")
    port = getattr(dut, source)
    followed = follow(
        proof,
        source,
        put=port.valid & port.ready,
        word_in=port.payload,
        got=dut.o.valid & dut.o.ready & (dut.o.payload[1] == (source == "local")),
        word_out=dut.o.payload,
        capacity=CAPACITY,
    )
    check_sink(proof, "o", dut.o)
    proof.check(~(dut.i.ready & dut.i.valid & dut.local.ready & dut.local.valid), "one at a time")
    going = proof.past(dut.o.ready, "going")
    taken = (dut.i.valid & dut.i.ready) | (dut.local.valid & dut.local.ready)
    proof.check(
        ~going | taken | ~(dut.i.valid | dut.local.valid), "no cycle is lost while the end takes"
    )
    proof.reach(followed.under_way & (followed.n_ahead == 1), "full", cycles=6)
    proof.prove()


def test_nobody_waits_longer_than_the_weight_says() -> None:
    """The tile sees at most `weight` others go before it, the lane one; and while both wait, the
    tile's flits are exactly each (weight + 1)-th, which makes the shares of a full lane equal."""
    proof, dut = add_merge("merge_hop_shares")
    m = proof.m
    n_passed, n_locals, full = Signal(range(MOST + 2)), Signal(2), Signal()
    passes, local_goes = dut.i.valid & dut.i.ready, dut.local.valid & dut.local.ready
    both = dut.i.valid & dut.local.valid
    with m.If(local_goes | ~dut.local.valid):
        m.d.sync += n_passed.eq(0)
    with m.Elif(passes):
        m.d.sync += n_passed.eq(n_passed + 1)
    with m.If(passes | ~dut.i.valid | (dut.weight == 0)):
        m.d.sync += n_locals.eq(0)
    with m.Elif(local_goes):
        m.d.sync += n_locals.eq(n_locals + 1)
    # Both have waited ever since the tile's last flit.
    m.d.sync += full.eq(both & (full | local_goes))
    proof.check(n_passed <= dut.weight, "the tile waits for so many at most")
    proof.check(n_locals <= 1, "the lane waits for one at most")
    proof.check(~(full & both & local_goes) | (n_passed == dut.weight), "exactly its share")
    proof.reach(full & local_goes & (dut.weight == MOST), "a full turn", cycles=9)
    proof.prove()
