# SPDX-License-Identifier: Apache-2.0
"""Proofs of the memory-side cache: it is plain memory, and its parts keep their promises."""

import dataclasses
from functools import partial

import pytest
from amaranth.hdl import Cat, Signal, Value

from hw.mem.cache import lookup, memory_cache
from hw.mem.cache.lookup import CacheLookup
from hw.mem.cache.shape import CacheShape, Kind
from hw.mem.cache.write_back import CacheWriteBack
from tb.formal.cache_world import PLACES, SHAPE, CacheWorld, FullTags, OpenWays
from tb.formal.common import ABC_BMC, Proof
from tb.formal.follow import check_sink, follow

_SETS = CacheShape(n_lines=8, slice_lines=8, n_ways=4, link_bytes=1, tag_width=1)
"""Two sets of four ways, for the choice of ways."""
_MORE_SETS = dataclasses.replace(_SETS, n_ways=2)
"""Four sets of two ways: more sets than requests that are inside."""


def _cases() -> list[object]:
    """Ways, where the watched line is at first, and cycles; a cycle more takes three times as
    long."""
    quick = [(1, False, 12), (1, True, 12)]
    slow = [(2, False, 12), (2, True, 12)]
    return [*quick, *(pytest.param(*case, marks=pytest.mark.slow) for case in slow)]


@pytest.mark.parametrize(("n_ways", "begins_cached", "bound"), _cases())
def test_a_full_cache_is_plain_memory(
    n_ways: int, begins_cached: bool, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a cache full of dirty lines on, of which the watched line is one or is not: reads show
    what was written last, and only that leaves. Would break if a line were fetched while it
    leaves, a line that waits for DRAM lost its way, or bytes of DRAM covered written ones."""
    monkeypatch.setattr(memory_cache, "CacheSweep", partial(OpenWays, n_ways))
    monkeypatch.setattr(lookup, "DualPortSram", FullTags)
    place = "cached" if begins_cached else "behind"
    proof = Proof(f"memory_cache_{n_ways}_{place}_{bound}")
    CacheWorld(proof, has_software=False, begins_cached=begins_cached)
    proof.prove(engine=ABC_BMC, bound=bound)


@pytest.mark.slow
def test_a_cache_that_comes_and_goes_is_plain_memory() -> None:
    """From reset on, with any command and any number of ways: accesses that pass by, too."""
    proof = Proof("memory_cache_software")
    CacheWorld(proof, has_software=True)
    proof.prove(engine=ABC_BMC, bound=14)


def test_a_lookup_finds_the_line_or_a_way_that_it_may_have() -> None:
    """Seen from any one way of any one set: a line that is there is found; else the line gets a way
    of the cache, never one that waits for DRAM, and none with a line while one without is left."""
    proof, shape = Proof("cache_lookup"), _SETS
    dut = proof.add(CacheLookup(shape=shape))
    for name in ("ways", "first", "last"):
        value = getattr(dut, name)
        proof.assume(~proof.started | (value == proof.past(value, f"{name}_past")))
    proof.assume(dut.ways <= shape.n_ways)
    own_set, own_way = proof.constant(shape.set_bits, "set"), proof.constant(shape.way_bits, "way")
    held, first, seen = (Signal(shape.entry, name=name) for name in ("held", "first_", "seen"))
    takes = dut.i.valid & dut.i.ready
    m, out = proof.m, dut.o.payload
    with m.If(dut.write & (dut.update.set == own_set) & dut.update.way.bit_select(own_way, 1)):
        m.d.sync += held.eq(dut.update.entry)
    with m.If(takes):
        m.d.sync += first.eq(held)
    with m.If(~dut.o.valid | dut.o.ready):
        m.d.sync += seen.eq(first)
    line = out.request.line
    is_access = out.request.kind.as_value() < Kind.FLUSH.value
    misses = is_access & ~out.hit
    here = dut.o.valid & (shape.set_of(line) == own_set)
    is_used = here & (own_way < dut.ways)
    is_it = here & out.way.bit_select(own_way, 1)
    has_line = seen.present & (seen.tag == shape.tag_of(line))
    proof.check(~dut.o.valid | ((out.way & (out.way - 1)) == 0), "at most one way")
    proof.check(~dut.o.valid | ((out.hit | out.room) == out.way.any()), "a way if there is one")
    proof.check(~is_it | is_used, "a way of the cache")
    proof.check(~is_it | (Value.cast(out.entry) == Value.cast(seen)), "its entry")
    proof.check(~(is_it & is_access & out.hit) | has_line, "a hit is of the line")
    proof.check(~(is_used & misses & has_line), "a line that is there is found")
    proof.check(~(is_it & misses) | ~(seen.present & seen.pending), "who waits keeps its way")
    takes_place = is_used & misses & out.room & out.entry.present
    proof.check(~takes_place | seen.present, "free ways first")
    proof.check(~(is_used & ~out.room) | (seen.present & seen.pending), "no room: all wait")
    proof.reach(is_it & misses & seen.present & (own_way == 2), "a line loses its way", cycles=9)
    proof.prove()


def test_a_lookup_keeps_requests_in_order() -> None:
    """Each comes out once, unchanged, and never two of one set are inside."""
    proof, shape = Proof("cache_lookup_order"), _MORE_SETS
    dut = proof.add(CacheLookup(shape=shape))
    takes, gives = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
    asked, out = dut.i.payload, dut.o.payload.request
    f = follow(
        proof,
        "request",
        put=takes,
        word_in=Cat(asked.line, asked.tag, asked.kind),
        got=gives,
        word_out=Cat(out.line, out.tag, out.kind),
        capacity=2,
    )
    own_set, n_own = proof.constant(shape.set_bits, "set"), Signal(2)
    own_in = takes & (shape.set_of(asked.line) == own_set)
    own_out = gives & (shape.set_of(out.line) == own_set)
    proof.m.d.sync += n_own.eq(n_own + own_in - own_out)
    proof.check(n_own <= 1, "one of a set at a time")
    proof.check(dut.n_inside == f.n_held, "the number inside")
    proof.reach(f.n_held == 2, "two inside", cycles=6)
    proof.prove()


def test_lines_leave_in_order_and_are_watched_until_dram_has_them() -> None:
    """Line and valid bytes go with their data; a line is known to leave from the cycle after its
    start until DRAM has acknowledged it, and no tag is given twice."""
    proof, shape = Proof("cache_write_back"), SHAPE
    dut = proof.add(CacheWriteBack(shape=shape, places=PLACES))
    start, request, ack = dut.start, dut.dram.request, dut.dram.response
    proof.assume(~dut.data.payload.poison)
    begins, leaves = start.valid & start.ready, request.valid & request.ready
    n_due, waiting = Signal(range(PLACES + 1)), Signal(PLACES)
    proof.m.d.sync += n_due.eq(n_due + begins - dut.data.valid)
    proof.assume(~dut.data.valid | (n_due != 0))
    sent = (leaves << request.payload.tag)[:PLACES]
    acked = (ack.valid << ack.payload.tag)[:PLACES]
    proof.m.d.sync += waiting.eq((waiting | sent) & ~acked)
    proof.assume(~ack.valid | waiting.bit_select(ack.payload.tag, 1))
    proof.check(~request.valid | ~waiting.bit_select(request.payload.tag, 1), "tags differ")
    lines = follow(
        proof,
        "line",
        put=begins,
        word_in=Cat(start.payload.line, start.payload.valid),
        got=leaves,
        word_out=Cat(
            request.payload.address[shape.line_log2 :][: shape.line_bits], request.payload.strobe
        ),
        capacity=PLACES,
    )
    follow(
        proof,
        "data",
        put=dut.data.valid,
        word_in=dut.data.payload.data[0],
        got=leaves,
        word_out=request.payload.data[0],
        capacity=PLACES,
    )
    line, n_own, own = proof.constant(shape.line_bits, "own"), Signal(2), Signal(PLACES)
    is_own = request.payload.address[shape.line_log2 :][: shape.line_bits] == line
    proof.assume(dut.watched[0] == line)
    proof.m.d.sync += [
        own.eq((own & ~acked) | (sent & is_own.replicate(PLACES))),
        n_own.eq(n_own + (begins & (start.payload.line == line)) - (own & acked).any()),
    ]
    proof.check(dut.is_leaving[0] == (n_own != 0), "watched from its start to its end")
    check_sink(proof, "request", request)
    proof.check(~dut.lost, "nothing is lost")
    proof.reach(lines.under_way & (waiting == 1) & ack.valid, "one is done, one waits", cycles=8)
    proof.prove()
