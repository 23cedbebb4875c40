# SPDX-License-Identifier: Apache-2.0
"""Proofs of the collector: no read before all have noted, each group in order, nobody stuck."""

import pytest
from amaranth.hdl import Cat, Mux, Signal, Value
from amaranth.lib import data

from hw.net.collector import Collector, line_hash
from tb.formal.common import Proof
from tb.formal.follow import assume_source, check_sink, follow

N_POSITIONS, N_GROUPS = 2, 2
READ = data.StructLayout({"address": 2, "tag": 1, "mask": N_POSITIONS, "group": 1})
BEHIND = 2  # reads between the queues and the port

with_depths = pytest.mark.parametrize("depth", [1, pytest.param(2, marks=pytest.mark.slow)])


class Bookkeeping:
    """A collector, and what is open at it: reads of each group, notes of each position."""

    def __init__(self, name: str, depth: int, *, cleared: bool = False) -> None:
        self.proof = proof = Proof(f"collector_{name}_{depth}")
        self.capacity = depth + BEHIND
        driven = () if cleared else ("clear",)
        self.dut = dut = proof.add(Collector(shape=READ, depth=depth), driven=driven)
        assume_source(proof, "i", dut.i)
        for at, port in enumerate(dut.notes):
            assume_source(proof, f"note{at}", port)
            proof.assume(port.payload < 8)  # no hash of so short a read has more bits
        self.goes = dut.o.valid & dut.o.ready
        self.read = dut.o.payload.read
        self.n_notes = [
            self.count(f"n_notes{at}", port.valid & port.ready, self.read.mask[at])
            for at, port in enumerate(dut.notes)
        ]

    def count(self, name: str, comes: Value, leaves: Value) -> Signal:
        """How much of what came has not left with a read for which `leaves` holds."""
        count = Signal(range(2 * self.capacity + 2), name=name)
        self.proof.m.d.sync += count.eq(count + comes - (self.goes & leaves))
        return count


@with_depths
def test_no_read_goes_before_all_its_members_have_noted(depth: int) -> None:
    """Whatever the members and masks do: with each read that goes, one note of each member goes
    that came before, and a member's notes are used once."""
    books = Bookkeeping("notes", depth)
    proof, dut = books.proof, books.dut
    for at, count in enumerate(books.n_notes):
        proof.check(~(dut.o.valid & books.read.mask[at]) | (count != 0), f"noted by {at}")
        proof.check(count <= books.capacity, f"no more notes of {at} than there is room for")
    check_sink(proof, "o", dut.o)
    proof.reach(
        books.goes & (books.read.mask == 3) & dut.o.payload.mismatch, "a read goes", cycles=8
    )
    proof.prove()


@with_depths
def test_reads_of_a_group_go_in_order(depth: int) -> None:
    """None is lost, doubled, changed or overtaken, whichever group."""
    books = Bookkeeping("order", depth)
    proof, dut = books.proof, books.dut
    group, into = proof.constant(1, "group"), dut.i.payload
    followed = follow(
        proof,
        "group",
        put=dut.i.valid & dut.i.ready & (into.group == group),
        word_in=Value.cast(into),
        got=books.goes & (books.read.group == group),
        word_out=Value.cast(books.read),
        capacity=books.capacity,
    )
    proof.reach(followed.n_held == books.capacity, "full", cycles=10)
    proof.prove()


def due_note(books: Bookkeeping, at: int) -> tuple[Value, Signal]:
    """One note of a position, chosen at any time: whether it goes now, and what it says."""
    proof, m = books.proof, books.proof.m
    port, count, leaves = books.dut.notes[at], books.n_notes[at], books.goes & books.read.mask[at]
    chosen, seen = proof.free(1, f"choose{at}"), Signal(name=f"seen{at}")
    waits, hashed = Signal(name=f"waits{at}"), Signal(8, name=f"hashed{at}")
    n_ahead = Signal.like(count, name=f"n_ahead{at}")
    with m.If(port.valid & port.ready & chosen & ~seen):
        m.d.sync += [seen.eq(1), waits.eq(1), hashed.eq(port.payload), n_ahead.eq(count - leaves)]
    with m.If(waits & leaves):
        m.d.sync += [n_ahead.eq(n_ahead - 1), waits.eq(n_ahead != 0)]
    return waits & leaves & (n_ahead == 0), hashed


@with_depths
def test_a_read_is_marked_exactly_when_a_member_means_another_line(depth: int) -> None:
    """The k-th note of a member is compared with the k-th read that goes to it, and no other."""
    books = Bookkeeping("mismatch", depth)
    proof, dut = books.proof, books.dut
    expected = line_hash(books.read.address, books.read.tag)
    dues, fits = [], []
    for at in range(N_POSITIONS):
        due, hashed = due_note(books, at)
        dues.append(due)
        fits.append(hashed == expected)
        proof.check(~(due & ~fits[at]) | dut.o.payload.mismatch, f"{at} is found")
    for at in range(N_POSITIONS):
        alone = books.read.mask == 1 << at
        false_alarm = dut.o.payload.mismatch & (alone | dues[1 - at] & fits[1 - at])
        proof.check(~(dues[at] & fits[at] & false_alarm), f"no false alarm for {at}")
    proof.reach(dues[0] & dues[1] & fits[0] & ~fits[1], "one of two is wrong", cycles=8)
    proof.prove()


@with_depths
def test_a_read_goes_in_time_and_nothing_waits_in_front(depth: int) -> None:
    """Of groups without a common member, each with at most `depth` lines open at each member: the
    collector takes all at once, and a read goes while its notes are there, at most one of each
    other group before it."""
    books = Bookkeeping("progress", depth)
    proof, dut, into = books.proof, books.dut, books.dut.i.payload
    proof.assume(dut.o.ready)
    masks = [proof.constant(N_POSITIONS, f"mask{group}") for group in range(N_GROUPS)]
    proof.assume((masks[0] & masks[1]) == 0)
    for group, mask in enumerate(masks):
        mine = into.group == group
        proof.assume(~dut.i.valid | ~mine | (into.mask == mask))
        gone = books.read.group == group
        n_reads = books.count(f"n_reads{group}", dut.i.valid & dut.i.ready & mine, gone)
        proof.assume(~(dut.i.valid & mine) | (n_reads < depth))
        missing = Cat(books.n_notes[at] == 0 for at in range(N_POSITIONS)) & mask
        n_waits = Signal(range(Collector.latency + 3), name=f"n_waits{group}")
        waits = (n_reads != 0) & (missing == 0) & ~(books.goes & gone)
        proof.m.d.sync += n_waits.eq(Mux(waits, n_waits + 1, 0))
        proof.check(n_waits < Collector.latency + N_GROUPS - 1, f"a read of {group} goes in time")
    for at, (port, count) in enumerate(zip(dut.notes, books.n_notes, strict=True)):
        proof.assume(~port.valid | (count < depth))
        proof.check(~port.valid | port.ready, f"a note of {at} never waits")
    proof.check(~dut.i.valid | dut.i.ready, "a read never waits")
    proof.reach(books.goes & (n_reads == depth), "all that may be open is", cycles=10)
    proof.prove()


@with_depths
def test_reads_of_members_being_reset_go_for_nobody(depth: int) -> None:
    """While all members are in reset, what they had asked for leaves, and no tile gets it."""
    books = Bookkeeping("clear", depth, cleared=True)
    proof, dut, m = books.proof, books.dut, books.proof.m
    cleared, n_cycles = proof.constant(N_POSITIONS, "cleared"), Signal(range(3))
    with m.If(dut.clear != cleared):
        m.d.sync += n_cycles.eq(0)
    with m.Elif((n_cycles != 2) & dut.o.ready):
        m.d.sync += n_cycles.eq(n_cycles + 1)
    # Two cycles with room: what was chosen before has left.
    late = dut.o.valid & (n_cycles == 2)
    proof.check(~late | ((books.read.mask & cleared) == 0), "not for whom is in reset")
    all_in = cleared.all() & (dut.clear == cleared)
    n_waits = Signal(range(4 * (depth + 2)))
    n_reads = books.count("n_reads", dut.i.valid & dut.i.ready, 1)
    quiet = all_in & dut.o.ready & (n_reads != 0) & ~books.goes
    m.d.sync += n_waits.eq(Mux(quiet, n_waits + 1, 0))
    proof.check(n_waits < Collector.latency, "a read leaves in every cycle")
    proof.reach(late & dut.o.payload.mismatch & (cleared == 1), "a mark", cycles=9)
    proof.prove()
