# SPDX-License-Identifier: Apache-2.0
"""What a memory-side cache does with a request whose line it has looked up."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.select import number_of
from hw.mem.cache.fill import fill_layout
from hw.mem.cache.lookup import looked_layout
from hw.mem.cache.shape import CacheShape, Kind
from hw.mem.cache.write_back import N_WATCHED, leaving_layout

__all__ = ["CacheServe"]


class CacheServe(wiring.Component):
    """Takes what was looked up and asks slice, fill and write-back for what is needed.

    Operation: a hit reads or writes the slice. A miss gets a way; if the line there is dirty, that
    is read from the slice and leaves. A read or prefetch then asks DRAM; a write puts its whole
    line into the slice, of which the strobed bytes become valid, and needs nothing of DRAM. So no
    word of the line keeps what was in the array before, a lost word above all. A request that
    cannot be done now (its line waits for DRAM or is still leaving, no way or slot is free) goes to
    `retry`, and changes nothing. Whatever the slice is asked for, it has taken before the next
    request is served; so a way is never given to another line too soon.

    Timing: a request per cycle; two when a write replaces a dirty line. Combinational.

    Parameters
    ----------
    shape : sizes of the cache.

    Members
    -------
    i : In(stream.Signature(looked_layout(shape))).
    retry : Out(stream.Signature(shape.request)), accesses to be looked up again; must be ready.
    write, update : Out, a change of the tags. held : In(1), none may be made in this cycle.
    read : Out, requests of a `MemoryReadPort` to the slice; the tag's highest bit says that the
        line leaves. store : Out, requests of a `MemoryWritePort` to the slice.
    ack : Out, responses of a `MemoryWritePort`.
    fill : Out(stream.Signature(fill_layout(shape))).
    leave : Out(stream.Signature(leaving_layout(shape))), the line that is read now.
    watched : Out(line_bits).array(2), is_leaving : In(2), see `CacheWriteBack`.
    swept, more : Out(1), a visit of `CacheSweep` is over; it has to come again.
    swept_way : Out(n_ways), of which line the visit has taken care, none if it could not.
    hits, misses, prefetches : Out(1), events.
    """

    def __init__(self, *, shape: CacheShape) -> None:
        self.shape = shape
        reads = shape.read_port(shape.tag_width + 1).members
        writes = shape.write_port(1).members
        acks = shape.write_port(shape.tag_width).members
        super().__init__(
            {
                "i": In(stream.Signature(looked_layout(shape))),
                "retry": Out(stream.Signature(shape.request)),
                "write": Out(1),
                "update": Out(shape.update),
                "held": In(1),
                "read": Out(reads["request"].signature),
                "store": Out(writes["request"].signature),
                "ack": Out(acks["response"].signature.flip()),
                "fill": Out(stream.Signature(fill_layout(shape))),
                "leave": Out(stream.Signature(leaving_layout(shape))),
                "watched": Out(shape.line_bits).array(N_WATCHED),
                "is_leaving": In(N_WATCHED),
                "swept": Out(1),
                "more": Out(1),
                "swept_way": Out(shape.n_ways),
                "hits": Out(1),
                "misses": Out(1),
                "prefetches": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        looked = self.i.payload
        request, entry, hit = looked.request, looked.entry, looked.hit
        is_kind = {kind: request.kind == kind for kind in Kind}
        reads, writes = is_kind[Kind.READ], is_kind[Kind.WRITE]
        fetches = reads | is_kind[Kind.PREFETCH]
        access = fetches | writes
        was_read, was_stored = Signal(), Signal()  # done in an earlier cycle
        blocked, finish, evicts, fills = Signal(), Signal(), Signal(), Signal()
        keeps = is_kind[Kind.FLUSH]
        m.d.comb += [
            fills.eq(fetches & ~(hit & entry.valid.all())),
            evicts.eq(entry.present & entry.dirty & Mux(access, ~hit, hit & ~is_kind[Kind.DROP])),
            blocked.eq(
                ~(was_read | was_stored)
                & (
                    (hit & entry.pending)
                    | (access & ~hit & (~looked.room | self.is_leaving[0]))
                    | (evicts & (~self.leave.ready | self.is_leaving[1]))
                    | (fills & ~self.fill.ready)
                )
            ),
        ]
        wants_read = evicts | (reads & ~fills)
        goes = self.i.valid & ~blocked
        tags = self._elaborate_tags(m, looked, access, writes, fills, keeps)
        m.d.comb += [
            self.read.valid.eq(goes & wants_read & ~was_read),
            self.store.valid.eq(goes & writes & ~was_stored & (~evicts | was_read)),
            finish.eq(
                goes
                & (~wants_read | was_read | self.read.ready)
                & (~writes | was_stored | (self.store.valid & self.store.ready))
                & (~tags | ~self.held)
                & (~writes | self.ack.ready)
            ),
            self.i.ready.eq(blocked | finish),
            self.write.eq(finish & tags),
            self.ack.valid.eq(finish & writes),
            self.fill.valid.eq(finish & fills),
            self.leave.valid.eq(self.read.valid & self.read.ready & evicts),
            self.retry.valid.eq(self.i.valid & blocked & (reads | writes)),
            self.swept.eq(self.i.valid & self.i.ready & ~(reads | writes)),
            self.more.eq(blocked | (~access & hit)),
            self.swept_way.eq(Mux(~access & hit & ~blocked, looked.way, 0)),
            self.hits.eq(finish & ((writes & hit) | (reads & ~fills))),
            self.misses.eq(finish & ((writes & ~hit) | (reads & fills))),
            self.prefetches.eq(finish & fills & ~reads),
        ]
        m.d.sync += [
            was_read.eq((was_read | (self.read.valid & self.read.ready)) & ~finish),
            was_stored.eq((was_stored | (self.store.valid & self.store.ready)) & ~finish),
        ]
        self._elaborate_payloads(m, looked, reads, evicts)
        return m

    def _elaborate_tags(
        self,
        m: Module,
        looked: data.View,
        access: Any,
        writes: Any,
        fills: Any,
        keeps: Any,
    ) -> Signal:
        """What becomes of the line; returns whether that is a change."""
        request, entry, hit = looked.request, looked.entry, looked.hit
        update, there = self.update, Signal(self.shape.link_bytes)
        tags = Signal()
        m.d.comb += [
            there.eq(Mux(hit, entry.valid, 0)),
            update.set.eq(self.shape.set_of(request.line)),
            update.way.eq(looked.way),
            update.entry.tag.eq(Mux(access, self.shape.tag_of(request.line), entry.tag)),
            update.entry.valid.eq(there | Mux(writes, request.strobe, 0)),
            update.entry.present.eq(access | keeps),
            update.entry.pending.eq(fills),
            update.entry.dirty.eq(writes | (hit & entry.dirty & ~keeps)),
            tags.eq(
                Mux(
                    access,
                    fills | (writes & ~(hit & entry.dirty & (update.entry.valid == there))),
                    hit,
                )
            ),
        ]
        return tags

    def _elaborate_payloads(self, m: Module, looked: data.View, reads: Any, evicts: Any) -> None:
        """Addresses, data, and who is meant."""
        shape, request, entry = self.shape, looked.request, looked.entry
        address = shape.slice_address(shape.set_of(request.line), number_of(looked.way))
        own = Cat(shape.set_of(request.line), entry.tag)  # the line that the way holds
        fill = self.fill.payload
        m.d.comb += [
            self.retry.payload.eq(request),
            self.read.payload.address.eq(address),
            self.read.payload.tag.eq(Cat(request.tag, evicts)),
            self.store.payload.address.eq(address),
            self.store.payload.data.eq(request.data),
            self.store.payload.strobe.eq(Mux(looked.hit, request.strobe, -1)),
            self.ack.payload.tag.eq(request.tag),
            fill.entry.eq(self.update.entry),
            fill.line.eq(request.line),
            fill.way.eq(looked.way),
            fill.tag.eq(request.tag),
            fill.answers.eq(reads),
            self.leave.payload.line.eq(own),
            self.leave.payload.valid.eq(entry.valid),
            self.watched[0].eq(request.line),
            self.watched[1].eq(own),
        ]
