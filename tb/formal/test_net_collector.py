# SPDX-License-Identifier: Apache-2.0
"""Proofs of the collector: no read before all have noted, each group in order, nobody stuck."""

import pytest
from amaranth.hdl import Cat, Mux, Signal, Value
from amaranth.lib import data

from hw.net.collector import Collector, line_hash
from tb.formal.common import Proof
from tb.formal.follow import assume_source, check_sink, follow

N_POSITIONS, N_GROUPS = 2, 2
# Two addresses of one hash: all notes of a proof about order can be alike.
ALIKE = (0, 0x101)
READ = data.StructLayout({"address": 9, "tag": 1, "mask": N_POSITIONS, "group": 1})
NOTE = data.StructLayout({"hash": 2, "tag": 1, "leader": 1})
BEHIND = 2  # reads between the queues and the port

with_depths = pytest.mark.parametrize("depth", [1, pytest.param(2, marks=pytest.mark.slow)])


class Bookkeeping:
    """A collector, and what is open at it: reads of each group, notes of each position."""

    def __init__(self, name: str, depth: int, *, fails: bool = False, alike: bool = True) -> None:
        self.proof = proof = Proof(f"collector_{name}_{depth}")
        self.capacity = depth + BEHIND
        driven = () if fails else ("failed",)
        self.dut = dut = proof.add(Collector(shape=READ, note=NOTE, depth=depth), driven=driven)
        assume_source(proof, "i", dut.i)
        proof.assume(dut.i.payload.address.matches(*ALIKE) | (dut.i.payload.address == 1))
        for at, port in enumerate(dut.notes):
            assume_source(proof, f"note{at}", port)
            if alike:
                proof.assume(Value.cast(port.payload) == 0)
        if alike:
            proof.assume((dut.i.payload.tag == 0) & (dut.i.payload.address != 1))
        self.goes = dut.o.valid & dut.o.ready
        self.read, self.mismatch = dut.o.payload.read, dut.o.payload.mismatch
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
def test_each_note_is_answered_once(depth: int) -> None:
    """Whatever the members and masks do, and whoever fails: with each flit that goes, one note of
    each position in its mask goes that came before; a mismatch is for one position."""
    books = Bookkeeping("notes", depth, fails=True, alike=False)
    proof, dut = books.proof, books.dut
    for at, count in enumerate(books.n_notes):
        proof.check(~(dut.o.valid & books.read.mask[at]) | (count != 0), f"noted by {at}")
        proof.check(count <= books.capacity, f"no more notes of {at} than there is room for")
    alone = books.read.mask.matches(*(1 << at for at in range(N_POSITIONS)))
    proof.check(~(dut.o.valid & books.mismatch) | alone, "one is told")
    check_sink(proof, "o", dut.o)
    proof.reach(books.goes & (books.read.mask == 3) & ~books.mismatch, "a read goes", cycles=8)
    proof.prove()


@with_depths
def test_reads_of_a_group_go_in_order(depth: int) -> None:
    """None is lost, doubled, changed or overtaken, whichever group, while all mean the same; and
    then nobody is told otherwise."""
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
    proof.check(~(dut.o.valid & books.mismatch), "no false alarm")
    proof.reach(followed.n_held == books.capacity, "full", cycles=10)
    proof.prove()


def due_note(books: Bookkeeping, at: int) -> tuple[Value, Signal]:
    """One note of a position, chosen at any time: whether it goes now, and what it says."""
    proof, m = books.proof, books.proof.m
    port, count, leaves = books.dut.notes[at], books.n_notes[at], books.goes & books.read.mask[at]
    chosen, seen = proof.free(1, f"choose{at}"), Signal(name=f"seen{at}")
    waits, note = Signal(name=f"waits{at}"), Signal(NOTE, name=f"note{at}")
    n_ahead = Signal.like(count, name=f"n_ahead{at}")
    with m.If(port.valid & port.ready & chosen & ~seen):
        m.d.sync += [seen.eq(1), waits.eq(1), note.eq(port.payload), n_ahead.eq(count - leaves)]
    with m.If(waits & leaves):
        m.d.sync += [n_ahead.eq(n_ahead - 1), waits.eq(n_ahead != 0)]
    return waits & leaves & (n_ahead == 0), note


@with_depths
def test_a_read_goes_only_to_those_who_mean_it(depth: int) -> None:
    """The k-th answer to a member is a read that its k-th note means, or a mismatch with the
    note's own tag; whoever fails."""
    books = Bookkeeping("mismatch", depth, fails=True, alike=False)
    proof = books.proof
    meant = line_hash(books.read.address)[: NOTE["hash"].width]
    told = []
    for at in range(N_POSITIONS):
        due, note = due_note(books, at)
        fits = (note.tag == books.read.tag) & (books.mismatch | (note.hash == meant))
        proof.check(~due | fits, f"{at} gets what it means")
        told.append(due & books.mismatch & (note.hash != meant))
    proof.reach(Cat(told).any() & (books.dut.failed == 0), "a mismatch", cycles=9)
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
def test_notes_that_no_read_will_take_are_answered_in_time(depth: int) -> None:
    """Those of a member that has failed, or whose leader has, one in each of few cycles."""
    books = Bookkeeping("failed", depth, fails=True)
    proof, dut, m = books.proof, books.dut, books.proof.m
    proof.assume(dut.o.ready)
    failed = proof.constant(N_POSITIONS, "failed")
    proof.assume(dut.failed == failed)
    at = 1  # led by 0, as all notes say
    n_waits, most = Signal(range(16)), Collector.latency + N_GROUPS + N_POSITIONS
    waits = (failed != 0) & (books.n_notes[at] != 0) & ~(books.goes & books.read.mask[at])
    m.d.sync += n_waits.eq(Mux(waits, n_waits + 1, 0))
    proof.check(n_waits < most, "a note is answered")
    proof.reach(books.goes & books.mismatch & (failed == 1), "told of the leader", cycles=9)
    proof.prove()
