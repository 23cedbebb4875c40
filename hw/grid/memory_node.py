# SPDX-License-Identifier: Apache-2.0
"""A slice of the shared SRAM, with the DRAM channel behind it."""

from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS, DRAM, SRAM
from hw.arch.cache import CACHE_EVENTS
from hw.arch.traffic import MEMORY_EVENTS
from hw.chip.crossbar import Crossbar, Target, exists
from hw.chip.dram_bridge import DramBridge
from hw.grid.cache_control import own_lines
from hw.grid.geometry import GridGeometry
from hw.grid.traffic import moves
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.mem.cache.cached_slice import CachedSlice
from hw.mem.cache.shape import CacheShape
from hw.mem.sram_slice import SramSlice
from hw.net.fold import line_number, slice_number

__all__ = ["MemoryNode"]


class MemoryNode(wiring.Component):
    """What is at one place of a side: a slice, and a channel if the node's number has one.

    Operation: accesses to SRAM are those of lines that the interleaving gives to this slice;
    accesses to DRAM, those of the channel. Faults meant for other slices pass by. The slice's clock
    stands still while nobody needs it. Where channels have caches, accesses to DRAM pass that, and
    SRAM in ways that are cache answers as if no memory held it, also at nodes without a channel.

    Timing: that of `Crossbar`, `SramSlice`, `DramBridge` and `MemoryCache`. Without a cache no path
    between reads and writes.

    Parameters
    ----------
    geometry : the grid.
    number : number of the slice.
    read_tag_width, write_tag_width : bits of tags.

    Members
    -------
    read, write : In, the memory ports; addresses are those of the chip.
    axi : Out(Axi4Port), the channel; only if `has_channel`.
    inject : In(stream.Signature(EccFault)), a fault for whichever slice; taken at once by others.
    clear, clearing, corrected, uncorrected : see `SramSlice`.
    cache : In(CacheControlPort), lines are those of all DRAM; only if there are caches.
    accesses : Out(len(SideShape.memory_events)), accesses that slice and channel take in this
        cycle, and what the cache counts.

    Raises: ValueError for a slice that is not there.
    """

    def __init__(
        self, *, geometry: GridGeometry, number: int, read_tag_width: int, write_tag_width: int
    ) -> None:
        n_slices = geometry.sram.n_slices
        if not 0 <= number < n_slices:
            raise ValueError(f"MemoryNode number must be 0 to {n_slices - 1}, not {number!r}.")
        self.geometry, self.number = geometry, number
        config, link_bytes = geometry.config, geometry.link_bytes
        tags = {"read_tag_width": read_tag_width, "write_tag_width": write_tag_width}
        self.has_channel = number < config.dram.channels
        self.has_cache = self.has_channel and geometry.cache_control is not None
        self._sram: SramSlice | CachedSlice
        if self.has_cache:
            self._sram = self._cached_slice(max(tags.values()))
            tags = dict.fromkeys(tags, self._sram.dram_tag_width)
        else:
            self._sram = SramSlice(
                size_bytes=config.sram.size_bytes // config.sram.slices,
                link_bytes=link_bytes,
                ecc=config.sram.ecc,
                **tags,
            )
        self._dram = self._bridge(tags) if self.has_channel else None
        members: dict[str, Any] = {
            "read": In(MemoryReadPort(link_bytes=link_bytes, tag_width=read_tag_width)),
            "write": In(MemoryWritePort(link_bytes=link_bytes, tag_width=write_tag_width)),
        }
        if self._dram is not None:
            members["axi"] = self._dram.signature.members["axi"]
        for name in ("inject", "clear", "clearing", "corrected", "uncorrected"):
            members[name] = self._sram.signature.members[name]
        events = MEMORY_EVENTS
        if geometry.cache_control is not None:
            members["cache"] = In(geometry.cache_control)
            events += CACHE_EVENTS
        members["accesses"] = Out(len(events))
        super().__init__(members)

    @property
    def _read_slots(self) -> int:
        """Lines that are read at once: 128 cycles of data or more, 16 lines at least."""
        dram, link_bytes = self.geometry.config.dram, self.geometry.link_bytes
        return min(32, max(16, 128 * dram.bytes_per_cycle // link_bytes))

    def _cached_slice(self, tag_width: int) -> CachedSlice:
        config, link_bytes = self.geometry.config, self.geometry.link_bytes
        return CachedSlice(
            shape=CacheShape(
                n_lines=config.dram.size_bytes // config.dram.channels // link_bytes,
                slice_lines=config.sram.size_bytes // config.sram.slices // link_bytes,
                n_ways=config.sram.cache_ways,
                link_bytes=link_bytes,
                tag_width=tag_width,
            ),
            ecc=config.sram.ecc,
            slots=self._read_slots,
        )

    def _bridge(self, tags: dict[str, int]) -> DramBridge:
        dram, link_bytes = self.geometry.config.dram, self.geometry.link_bytes
        return DramBridge(
            link_bytes=link_bytes,
            beat_bytes=dram.bytes_per_cycle,
            size_bytes=dram.size_bytes // dram.channels,
            read_slots=self._read_slots,
            **tags,
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config, geometry = self.geometry.config, self.geometry
        targets = {
            "sram": Target(region=SRAM, size_bytes=config.sram.size_bytes, interleave=geometry.sram)
        }
        if self._dram is not None:
            m.submodules.dram = self._dram
            wiring.connect(m, self._dram.axi, wiring.flipped(self.axi))
            targets["dram"] = Target(
                region=DRAM, size_bytes=config.dram.size_bytes, interleave=geometry.dram
            )
        taken = {}
        for kind, port in (("read", MemoryReadPort), ("write", MemoryWritePort)):
            outer = getattr(self, kind)
            crossbar = Crossbar(
                port=port,
                link_bytes=geometry.link_bytes,
                tag_widths=(len(outer.request.payload.tag),),
                targets=targets,
            )
            m.submodules[f"{kind}s"] = crossbar
            wiring.connect(m, wiring.flipped(outer), crossbar.master0)
            if self.geometry.cache_control is not None:
                asked = outer.request.payload.address
                self._elaborate_refused(m, crossbar.master0.request.payload.address, asked)
            self._elaborate_memories(m, kind, crossbar)
            taken |= {f"{n}_{kind}": moves(getattr(crossbar, n).request) for n in targets}
        events = [taken.get(name, 0) for name in MEMORY_EVENTS]
        if isinstance(self._sram, CachedSlice):
            self._elaborate_cache(m, self._sram)
            events.append(self._sram.events)
        m.d.comb += self.accesses.eq(Cat(events))
        self._elaborate_sram(m)
        return m

    def _elaborate_memories(self, m: Module, kind: str, crossbar: Crossbar) -> None:
        """Accesses of one kind reach their memory."""
        sram, dram = self._sram, self._dram
        if isinstance(sram, CachedSlice):
            _carry(m, crossbar.sram, getattr(sram, kind))
            _carry(m, crossbar.dram, getattr(sram, f"cached_{kind}"))
            wiring.connect(m, getattr(sram, f"dram_{kind}"), getattr(dram, kind))
            return
        wiring.connect(m, crossbar.sram, getattr(sram, kind))
        if dram is not None:
            wiring.connect(m, crossbar.dram, getattr(dram, kind))

    def _elaborate_refused(self, m: Module, inner: Value, outer: Value) -> None:
        """SRAM in ways that are cache has the address of no memory."""
        sram = self.geometry.config.sram
        ways = self._sram.ways if isinstance(self._sram, CachedSlice) else self.cache.ways
        size_bits, way_bits = sram.size_bytes.bit_length() - 1, sram.cache_ways.bit_length() - 1
        # Ways of the cache count from above.
        way = ~outer[size_bits - way_bits : size_bits]
        refused = exists(outer, SRAM, sram.size_bytes) & (way < ways)
        m.d.comb += inner.eq(outer | refused << ADDRESS_BITS - 1)

    def _elaborate_cache(self, m: Module, cached: CachedSlice) -> None:
        """The control, and which lines of a range are those of this channel."""
        first, last, is_any = own_lines(
            self.cache.first, self.cache.last, self.geometry.dram, self.number
        )
        own = cached.control
        m.d.comb += [
            own.ways.eq(self.cache.ways),
            own.start.eq(self.cache.start & is_any),
            own.op.eq(self.cache.op),
            own.first.eq(first),
            own.last.eq(last),
            self.cache.busy.eq(own.busy),
            self.cache.lost.eq(own.lost),
            self.cache.failed.eq(own.failed),
        ]

    def _elaborate_sram(self, m: Module) -> None:
        """The slice on its gated clock, and the faults that are meant for it."""
        sram, fault = self._sram, self.inject.payload
        m.submodules.sram = sram.gated() if isinstance(sram, SramSlice) else sram
        interleave = self.geometry.sram
        there = exists(fault.address, SRAM, self.geometry.config.sram.size_bytes)
        mine = there & (slice_number(fault.address, interleave) == self.number)
        line_log2 = interleave.line_log2
        m.d.comb += [
            sram.inject.valid.eq(self.inject.valid & mine),
            sram.inject.payload.eq(fault),
            sram.inject.payload.address.eq(
                Cat(fault.address[:line_log2], line_number(fault.address, interleave))
            ),
            self.inject.ready.eq(sram.inject.ready | ~mine),
            sram.clear.eq(self.clear),
            self.clearing.eq(sram.clearing),
            self.corrected.eq(sram.corrected),
            self.uncorrected.eq(sram.uncorrected),
        ]


def _carry(m: Module, master: Any, slave: Any) -> None:
    """Connect ports whose tags may differ in width."""
    for source, sink in ((master.request, slave.request), (slave.response, master.response)):
        m.d.comb += [
            sink.valid.eq(source.valid),
            source.ready.eq(sink.ready),
            *(
                Value.cast(sink.payload[name]).eq(source.payload[name])
                for name, _ in sink.payload.shape()
            ),
        ]
