# SPDX-License-Identifier: Apache-2.0
"""The tags of a memory-side cache."""

from functools import reduce
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.select import one_of
from hw.lib.sram import DualPortSram
from hw.mem.cache.shape import CacheShape, Kind

__all__ = ["CacheLookup", "looked_layout"]


def looked_layout(shape: CacheShape) -> data.StructLayout:
    """What a lookup found: the line, or the way that the line would get."""
    return data.StructLayout(
        {
            "request": shape.request,
            "entry": shape.entry,  # of `way`
            "way": shape.n_ways,  # one-hot
            "hit": 1,  # the line is there; for a sweep, some line of the set is meant
            "room": 1,  # there is a way that the line could get
        }
    )


class CacheLookup(wiring.Component):
    """Looks a request up, one set after the other, and keeps the tags.

    Operation: an access finds its line's way, or else the way that the line would get: one that is
    not in use, or one chosen at random of those that do not wait for DRAM. A sweep (FLUSH,
    INVALIDATE, DROP) finds the first way of its request's set that holds a line of `first` to
    `last`, for FLUSH a dirty one, but not one that its `data` names. A request waits while another
    of its set is under way, so it sees what that changes; a line that waits for DRAM may change
    meanwhile, so who finds it pending must ask again.

    Timing: latency 2, a request per cycle when sets differ. A change is seen by requests taken in
    the cycle after it. Combinational path from `o.ready` and the request's set to `i.ready`.

    Parameters
    ----------
    shape : sizes of the cache.

    Members
    -------
    i : In(stream.Signature(shape.request)). o : Out(stream.Signature(looked_layout(shape))).
    write : In(1), update : In(shape.update), change one entry of a set (the ways that are named).
    ways : In(range(n_ways + 1)), ways in use.
    first, last : In(line_bits), lines that a sweep means.
    n_inside : Out(2), requests under way.
    """

    latency = 2
    """Cycles from a request to what was found."""

    def __init__(self, *, shape: CacheShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "i": In(stream.Signature(shape.request)),
                "o": Out(stream.Signature(looked_layout(shape))),
                "write": In(1),
                "update": In(shape.update),
                "ways": In(range(shape.n_ways + 1)),
                "first": In(shape.line_bits),
                "last": In(shape.line_bits),
                "n_inside": Out(2),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, n_ways = self.shape, self.shape.n_ways
        width = shape.entry.size
        m.submodules.tags = tags = DualPortSram(
            width=width * n_ways, depth=shape.n_sets, lane_width=width
        )
        valid, request = Signal(), Signal(shape.request)
        moves, clash = Signal(), Signal()
        asked = shape.set_of(self.i.payload.line)
        before = ((valid, request.line), (self.o.valid, self.o.payload.request.line))
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            clash.eq(Cat(v & (shape.set_of(line) == asked) for v, line in before).any()),
            self.i.ready.eq((moves | ~valid) & ~clash),
            tags.r_en.eq(self.i.valid & self.i.ready),
            tags.r_addr.eq(asked),
            tags.w_addr.eq(self.update.set),
            tags.w_mask.eq(Mux(self.write, self.update.way, 0)),
            tags.w_data.eq(Value.cast(self.update.entry).replicate(n_ways)),
            self.n_inside.eq(valid + self.o.valid),
        ]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [valid.eq(1), request.eq(self.i.payload)]
        with m.Elif(moves):
            m.d.sync += valid.eq(0)
        with m.If(moves):
            m.d.sync += self.o.valid.eq(valid)
            with m.If(valid):
                m.d.sync += self.o.payload.eq(self._found(m, request, tags.r_data))
        return m

    def _found(self, m: Module, request: data.View, read: Value) -> data.View:
        """What was found in the set that was read."""
        shape, n_ways = self.shape, self.shape.n_ways
        found = Signal(looked_layout(shape))
        entries = [shape.entry(read.word_select(way, shape.entry.size)) for way in range(n_ways)]
        set_number, tag = shape.set_of(request.line), shape.tag_of(request.line)
        used = [self.ways > way for way in range(n_ways)]
        is_sweep = Signal()
        hits, places = Signal(n_ways), Signal(n_ways)
        m.d.comb += is_sweep.eq(request.kind.as_value() >= Kind.FLUSH.value)
        for way, entry in enumerate(entries):
            line = Cat(set_number, entry.tag)
            meant = (line >= self.first) & (line <= self.last) & ~request.data[way]
            meant &= entry.dirty | entry.pending | (request.kind != Kind.FLUSH)
            here = Mux(is_sweep, meant, entry.tag == tag)
            m.d.comb += hits[way].eq(used[way] & entry.present & here)
        free = Cat(u & ~entry.present for u, entry in zip(used, entries, strict=True))
        rested = Cat(u & ~entry.pending for u, entry in zip(used, entries, strict=True))
        m.d.comb += [
            places.eq(Mux(free.any(), free, self._by_chance(m, rested))),
            found.request.eq(request),
            found.hit.eq(hits.any()),
            found.room.eq(places.any()),
            found.way.eq(_lowest(Mux(found.hit, hits, places))),
            found.entry.eq(one_of(entries, list(found.way))),
        ]
        return found

    def _by_chance(self, m: Module, ways: Value) -> Value:
        """Those of some ways that a pointer, which walks at random, does not pass over."""
        noise = Signal(16, init=1)
        taps = reduce(lambda a, b: a ^ b, (noise[bit] for bit in (15, 14, 12, 3)))
        pointer, above = Signal(range(self.shape.n_ways)), Signal(self.shape.n_ways)
        m.d.sync += noise.eq(Cat(taps, noise[:-1]))
        with m.If(noise[0]):
            m.d.sync += pointer.eq(Mux(pointer + 1 >= self.ways, 0, pointer + 1))
        below_last = range(self.shape.n_ways - 1)
        m.d.comb += above.eq(ways & Cat(*(pointer <= way for way in below_last), 1))
        return Mux(above.any(), above, ways)


def _lowest(bits: Value) -> Value:
    """The lowest bit that is set, alone."""
    below = [bits[:place].any() for place in range(len(bits))]
    return Cat(bits[place] & ~below[place] for place in range(len(bits)))
