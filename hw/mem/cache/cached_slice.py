# SPDX-License-Identifier: Apache-2.0
"""An SRAM slice whose upper ways are a cache of a DRAM channel."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.lib.arbiter import RoundRobinArbiter
from hw.mem.cache.memory_cache import MemoryCache
from hw.mem.cache.shape import CacheShape
from hw.mem.sram_slice import SramSlice

__all__ = ["CachedSlice"]

_OF_CACHE = ("dram_read", "dram_write", "control", "events", "ways")
_OF_SLICE = ("inject", "clear", "clearing", "corrected", "uncorrected")


class CachedSlice(wiring.Component):
    """A slice and the cache in front of a channel, which share the slice's ports.

    Operation: accesses to the slice and those of the cache take turns, in the same cycle. `clear`
    writes zero to the lines of the scratchpad only.

    Timing: that of `SramSlice` and `MemoryCache`; nothing is added.

    Parameters
    ----------
    shape : sizes of the cache.
    ecc : SECDED on every 8-byte word.
    slots, places : see `MemoryCache`.

    Members
    -------
    read, write : In, accesses to the slice.
    cached_read, cached_write : In, accesses to the channel, through the cache.
    dram_read, dram_write, control, events, ways : see `MemoryCache`.
    inject, clear, clearing, corrected, uncorrected : see `SramSlice`.
    """

    def __init__(
        self, *, shape: CacheShape, ecc: bool = True, slots: int = 32, places: int = 16
    ) -> None:
        self.shape = shape
        self._cache = MemoryCache(shape=shape, slots=slots, places=places)
        self.dram_tag_width = self._cache.dram_tag_width
        wide = shape.tag_width + 2  # that of the cache's reads, and whose it is
        self._sram = SramSlice(
            size_bytes=shape.slice_lines * shape.link_bytes,
            link_bytes=shape.link_bytes,
            read_tag_width=wide,
            write_tag_width=wide,
            ecc=ecc,
            clear_parts=shape.n_ways,
        )
        self.latency = self._sram.latency
        cache, sram = self._cache.signature.members, self._sram.signature.members
        super().__init__(
            {
                "read": In(shape.read_port(shape.tag_width)),
                "write": In(shape.write_port(shape.tag_width)),
                "cached_read": cache["read"],
                "cached_write": cache["write"],
                **{name: cache[name] for name in _OF_CACHE},
                **{name: sram[name] for name in _OF_SLICE},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.sram, m.submodules.cache = self._sram.gated(), self._cache
        cache, sram = self._cache, self._sram
        wiring.connect(m, wiring.flipped(self.cached_read), cache.read)
        wiring.connect(m, wiring.flipped(self.cached_write), cache.write)
        wiring.connect(m, cache.dram_read, wiring.flipped(self.dram_read))
        wiring.connect(m, cache.dram_write, wiring.flipped(self.dram_write))
        wiring.connect(m, wiring.flipped(self.control), cache.control)
        self._share(m, "reads", sram.read, self.read, cache.sram_read)
        self._share(m, "writes", sram.write, self.write, cache.sram_write)
        m.d.comb += [
            self.events.eq(cache.events),
            self.ways.eq(cache.ways),
            sram.inject.valid.eq(self.inject.valid),
            sram.inject.payload.eq(self.inject.payload),
            self.inject.ready.eq(sram.inject.ready),
            sram.clear.eq(self.clear & (cache.ways != self.shape.n_ways)),
            sram.kept_parts.eq(cache.ways),
            self.clearing.eq(sram.clearing),
            self.corrected.eq(sram.corrected),
            self.uncorrected.eq(sram.uncorrected),
        ]
        return m

    def _share(self, m: Module, name: str, port: Any, outer: Any, cache: Any) -> None:
        """Two masters of one port of the slice, told apart by the highest bit of the tag."""
        shape, told = port.request.payload.shape(), port.response
        m.submodules[name] = turns = RoundRobinArbiter(shape=shape, n_inputs=2)
        wiring.connect(m, turns.o, port.request)
        ours = told.payload.tag[-1]
        m.d.comb += told.ready.eq(Value.cast(cache.response.ready) & ours)
        with m.If(~ours):
            m.d.comb += told.ready.eq(outer.response.ready)
        for number, (way, master) in enumerate(zip(turns.i, (outer, cache), strict=True)):
            asked, answer = master.request, master.response
            m.d.comb += [
                way.valid.eq(asked.valid),
                asked.ready.eq(way.ready),
                answer.valid.eq(told.valid & (ours == number)),
                *(
                    Value.cast(answer.payload[f]).eq(told.payload[f])
                    for f, _ in answer.payload.shape()
                ),
            ]
            for field, _ in shape:
                value = Value.cast(asked.payload[field])
                if field == "tag":
                    value = value | number << len(way.payload.tag) - 1
                m.d.comb += Value.cast(way.payload[field]).eq(value)
