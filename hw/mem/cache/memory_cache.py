# SPDX-License-Identifier: Apache-2.0
"""A memory-side cache between a node's crossbar and its DRAM channel."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.cache import CACHE_EVENTS
from hw.iface.cache import CacheControlPort
from hw.lib.arbiter import RoundRobin, RoundRobinArbiter
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.mem.cache.fill import CacheFill
from hw.mem.cache.lookup import CacheLookup
from hw.mem.cache.serve import CacheServe
from hw.mem.cache.shape import CacheShape, Kind
from hw.mem.cache.sweep import CacheSweep
from hw.mem.cache.write_back import CacheWriteBack

__all__ = ["MemoryCache"]

_RETRIES = 8
"""Accesses that may wait for something."""
_PATIENCE = 255
"""Cycles for which some access waits, until new ones wait for it."""


class MemoryCache(wiring.Component):
    """Keeps lines of DRAM in upper ways of an SRAM slice; transparent but for time.

    Operation: docs/units/memory_cache.md. Without ways (after reset) accesses pass by. An access is
    looked up by `CacheLookup` and done by `CacheServe`; one that cannot be done now is looked up
    again later, so others pass it. When some have waited for long, new ones wait until none does.

    Timing: passing by takes no cycle. A read that hits is answered 2 cycles later than by the slice
    alone, a write is acknowledged after 3 cycles. DRAM is asked 3 cycles after a read that misses
    was taken, and its answer is there 1 cycle after DRAM's. One access per cycle.

    Parameters
    ----------
    shape : sizes of the cache; tags are those of reads and writes, whichever are wider.
    slots : lines fetched at a time, a power of two.
    places : lines written back at a time, a power of two.

    Members
    -------
    read, write : In, accesses; addresses are those in the channel.
    dram_read, dram_write : Out, to the channel.
    sram_read, sram_write : Out, to the slice; addresses are those in the slice.
    control : In(CacheControlPort), lines are those of the channel.
    ways : Out(range(n_ways + 1)), ways of the slice that accesses to it must leave alone.
    events : Out(4), of this cycle, in the order of `hw.arch.cache.CACHE_EVENTS`.
    """

    def __init__(self, *, shape: CacheShape, slots: int = 32, places: int = 16) -> None:
        self.shape, self.slots, self.places = shape, slots, places
        tag = shape.tag_width
        super().__init__(
            {
                "read": In(shape.read_port(tag)),
                "write": In(shape.write_port(tag)),
                "dram_read": Out(shape.read_port(self.dram_tag_width)),
                "dram_write": Out(shape.write_port(self.dram_tag_width)),
                "sram_read": Out(shape.read_port(tag + 1)),
                "sram_write": Out(shape.write_port(1)),
                "control": In(CacheControlPort(n_ways=shape.n_ways, line_bits=shape.line_bits)),
                "ways": Out(range(shape.n_ways + 1)),
                "events": Out(len(CACHE_EVENTS)),
            }
        )

    @property
    def dram_tag_width(self) -> int:
        """Bits of tags at the channel: of an access that passes by, or the number of a slot, and
        above it which of them."""
        return 1 + max(self.shape.tag_width, (max(self.slots, self.places) - 1).bit_length())

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape = self.shape
        m.submodules.lookup = lookup = CacheLookup(shape=shape)
        m.submodules.serve = serve = CacheServe(shape=shape)
        m.submodules.fill = fill = CacheFill(shape=shape, slots=self.slots)
        m.submodules.back = back = CacheWriteBack(shape=shape, places=self.places)
        m.submodules.sweep = sweep = CacheSweep(shape=shape, n_places=self.places)
        m.submodules.acks = acks = SkidBuffer(shape=serve.ack.payload.shape())
        wiring.connect(m, lookup.o, serve.i)
        wiring.connect(m, serve.fill, fill.start)
        wiring.connect(m, serve.leave, back.start)
        wiring.connect(m, serve.ack, acks.i)
        waits = self._elaborate_choice(m, lookup, serve, sweep)
        passing = self._elaborate_dram(m, fill, back, acks, sweep)
        self._elaborate_acks(m, back, acks)
        self._elaborate_answers(m, fill, back)
        self._elaborate_slice(m, serve, fill)
        self._elaborate_tags(m, lookup, serve, fill, sweep)
        for name in ("ways", "start", "op", "first", "last"):
            m.d.comb += getattr(sweep.control, name).eq(getattr(self.control, name))
        m.d.comb += [
            *(a.eq(b) for a, b in zip(back.watched, serve.watched, strict=True)),
            serve.is_leaving.eq(back.is_leaving),
            sweep.active.eq(back.active),
            sweep.done.eq(serve.swept),
            sweep.more.eq(serve.more),
            sweep.way.eq(serve.swept_way),
            sweep.idle.eq(~(waits | passing | fill.busy)),
            self.control.busy.eq(sweep.control.busy),
            self.control.lost.eq(back.lost),
            self.control.failed.eq(back.failed),
            # While ways come or go, all that are cache before or after.
            self.ways.eq(Mux(self.control.ways > sweep.ways, self.control.ways, sweep.ways)),
            self.events.eq(
                Cat(
                    serve.hits,
                    serve.misses,
                    back.start.valid & back.start.ready,
                    serve.prefetches,
                )
            ),
        ]
        return m

    def _elaborate_choice(
        self, m: Module, lookup: CacheLookup, serve: CacheServe, sweep: CacheSweep
    ) -> Value:
        """Who is looked up next; returns whether any access is under way there."""
        m.submodules.retries = retries = StreamFifo(shape=self.shape.request, depth=_RETRIES)
        m.submodules.turns = turns = RoundRobin(n_requests=3)
        wiring.connect(m, serve.retry, retries.i)
        patience, opens = Signal(range(_PATIENCE + 1)), Signal()
        # Every other cycle is for who waits, whatever others do: so waiting depends on no other.
        again, its_turn = Signal(), Signal()
        m.d.sync += its_turn.eq(~its_turn)
        m.d.sync += patience.eq(Mux(patience == _PATIENCE, patience, patience + 1))
        with m.If(retries.level == 0):
            m.d.sync += patience.eq(0)
        m.d.comb += [
            # Every access that is under way has a place in case that it has to wait.
            opens.eq(
                sweep.is_on
                & ~sweep.closed
                & (retries.level + lookup.n_inside < _RETRIES)
                & (patience != _PATIENCE)
            ),
            turns.requests.eq(
                Cat(
                    self.read.request.valid & opens,
                    self.write.request.valid & opens,
                    sweep.o.valid,
                )
            ),
            again.eq(its_turn & retries.o.valid),
            lookup.i.valid.eq(again | turns.requests.any()),
            turns.served.eq(Mux(lookup.i.ready & ~again, turns.grant, 0)),
            retries.o.ready.eq(its_turn & lookup.i.ready),
            sweep.o.ready.eq(turns.served[2]),
            lookup.first.eq(sweep.first),
            lookup.last.eq(sweep.last),
            lookup.ways.eq(sweep.ways),
        ]
        self._elaborate_chosen(
            m, lookup.i.payload, Mux(again, 0, turns.grant), retries.o.payload, sweep.o.payload
        )
        with m.If(sweep.is_on):
            m.d.comb += [
                self.read.request.ready.eq(turns.served[0]),
                self.write.request.ready.eq(turns.served[1]),
            ]
        return (retries.level != 0) | (lookup.n_inside != 0)

    def _elaborate_chosen(
        self, m: Module, chosen: Any, grant: Value, retried: Any, visit: Any
    ) -> None:
        """What is looked up: what has waited unless a read, a write or a visit has its turn."""
        m.d.comb += chosen.eq(retried)
        for bit, kind, port in ((0, Kind.READ, self.read), (1, Kind.WRITE, self.write)):
            with m.If(grant[bit]):
                payload = port.request.payload
                m.d.comb += [
                    chosen.kind.eq(kind),
                    chosen.tag.eq(payload.tag),
                    chosen.line.eq(payload.address[self.shape.line_log2 :]),
                ]
                if kind is Kind.WRITE:
                    m.d.comb += [chosen.data.eq(payload.data), chosen.strobe.eq(payload.strobe)]
        with m.If(grant[2]):
            m.d.comb += [
                chosen.kind.eq(visit.kind),
                chosen.line.eq(visit.line),
                chosen.data.eq(visit.data),
            ]

    def _elaborate_dram(
        self,
        m: Module,
        fill: CacheFill,
        back: CacheWriteBack,
        acks: SkidBuffer,
        sweep: CacheSweep,
    ) -> Value:
        """The channel is the cache's, or that of accesses which pass by.

        Returns whether one of these is under way.
        """
        under_way = []
        for own, outer, dram in (
            (fill.dram, self.read, self.dram_read),
            (back.dram, self.write, self.dram_write),
        ):
            offered, passes, n_open = Signal(), Signal(), Signal(range(1 << 10))
            asks, told, ours = dram.request, dram.response, own.request.valid
            m.d.comb += [
                passes.eq(~sweep.is_on & (~sweep.closed | offered)),
                asks.valid.eq(ours | (outer.request.valid & passes)),
                own.request.ready.eq(asks.ready),
            ]
            for name, _ in asks.payload.shape():
                mine, others = own.request.payload[name], outer.request.payload[name]
                if name == "tag":
                    mine = Value.cast(mine) | 1 << self.dram_tag_width - 1
                m.d.comb += Value.cast(asks.payload[name]).eq(Mux(ours, mine, others))
            with m.If(~sweep.is_on):
                m.d.comb += outer.request.ready.eq(asks.ready & passes)
            begins, ends = asks.valid & asks.ready & ~ours, told.valid & told.ready
            m.d.sync += [
                # What is offered once stays.
                offered.eq(asks.valid & ~asks.ready & ~ours),
                n_open.eq(n_open + begins - (ends & ~told.payload.tag[-1])),
            ]
            under_way.append(offered | (n_open != 0))
        return Cat(under_way).any() | acks.o.valid

    def _elaborate_acks(self, m: Module, back: CacheWriteBack, acks: SkidBuffer) -> None:
        """Of writes to the cache, and of those past it; those of lines written back end here."""
        told = self.dram_write.response
        shape = self.write.response.payload.shape()
        m.submodules.ack_turns = turns = RoundRobinArbiter(shape=shape, n_inputs=2)
        wiring.connect(m, turns.o, wiring.flipped(self.write.response))
        wiring.connect(m, acks.o, turns.i[0])
        self._sort(m, told, back.dram.response, turns.i[1])

    def _sort(self, m: Module, told: Any, own: Any, past: Any) -> None:
        """An answer of DRAM is the cache's, or that of an access which passed by.

        Its tag says so, so that an answer waits for nothing but its own way.
        """
        ours = told.payload.tag[-1]
        m.d.comb += told.ready.eq(Mux(ours, own.ready, past.ready))
        for port, mine in ((own, ours), (past, ~ours)):
            m.d.comb += [
                port.valid.eq(told.valid & mine),
                *(
                    Value.cast(port.payload[name]).eq(told.payload[name])
                    for name, _ in port.payload.shape()
                ),
            ]

    def _elaborate_answers(self, m: Module, fill: CacheFill, back: CacheWriteBack) -> None:
        """Lines from the slice, from DRAM through the cache, and past it."""
        shape = self.read.response.payload.shape()
        m.submodules.answers = turns = RoundRobinArbiter(shape=shape, n_inputs=3)
        wiring.connect(m, turns.o, wiring.flipped(self.read.response))
        of_slice, past, own = turns.i
        lines = self.sram_read.response
        leaves = lines.payload.tag[-1]
        wiring.connect(m, fill.answer, own)
        m.d.comb += [
            of_slice.valid.eq(lines.valid & ~leaves),
            back.data.valid.eq(lines.valid & leaves),
            lines.ready.eq(Mux(leaves, back.data.ready, of_slice.ready)),
        ]
        for port in (of_slice, back.data):
            m.d.comb += [
                Value.cast(port.payload[name]).eq(lines.payload[name]) for name, _ in shape
            ]
        self._sort(m, self.dram_read.response, fill.dram.response, past)

    def _elaborate_slice(self, m: Module, serve: CacheServe, fill: CacheFill) -> None:
        """Serving and filling take turns at the slice; its acknowledgements tell nothing new."""
        for name, port, sources in (
            ("reads", self.sram_read, (serve.read, fill.read)),
            ("writes", self.sram_write, (serve.store, fill.write)),
        ):
            shape = port.request.payload.shape()
            m.submodules[name] = turns = RoundRobinArbiter(shape=shape, n_inputs=len(sources))
            wiring.connect(m, turns.o, wiring.flipped(port.request))
            for way, source in zip(turns.i, sources, strict=True):
                m.d.comb += [
                    way.valid.eq(source.valid),
                    source.ready.eq(way.ready),
                    *(Value.cast(way.payload[f]).eq(source.payload[f]) for f, _ in shape),
                ]
        m.d.comb += self.sram_write.response.ready.eq(1)

    def _elaborate_tags(
        self,
        m: Module,
        lookup: CacheLookup,
        serve: CacheServe,
        fill: CacheFill,
        sweep: CacheSweep,
    ) -> None:
        """A line that came goes first; nothing else is under way while tags are cleared."""
        m.d.comb += [
            serve.held.eq(fill.told),
            lookup.write.eq(fill.told | serve.write | sweep.clears),
            lookup.update.eq(Mux(fill.told, fill.update, serve.update)),
        ]
        with m.If(sweep.clears):
            m.d.comb += [
                lookup.update.set.eq(sweep.clear_set),
                lookup.update.way.eq(-1),
                lookup.update.entry.eq(0),
            ]
