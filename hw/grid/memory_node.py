# SPDX-License-Identifier: Apache-2.0
"""A slice of the shared SRAM, with the DRAM channel behind it."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import DRAM, SRAM
from hw.arch.traffic import MEMORY_EVENTS
from hw.chip.crossbar import Crossbar, Target, exists
from hw.chip.dram_bridge import DramBridge
from hw.grid.geometry import GridGeometry
from hw.grid.traffic import moves
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.mem.sram_slice import SramSlice
from hw.net.fold import line_number, slice_number

__all__ = ["MemoryNode"]


class MemoryNode(wiring.Component):
    """What is at one place of a side: a slice, and a channel if the node's number has one.

    Operation: accesses to SRAM are those of lines that the interleaving gives to this slice;
    accesses to DRAM, those of the channel. Faults meant for other slices pass by. The slice's clock
    stands still while nobody needs it.

    Timing: that of `Crossbar`, `SramSlice` and `DramBridge`; no path between reads and writes.

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
    accesses : Out(len(MEMORY_EVENTS)), accesses that slice and channel take in this cycle.

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
        self._sram = SramSlice(
            size_bytes=config.sram.size_bytes // config.sram.slices,
            link_bytes=link_bytes,
            ecc=config.sram.ecc,
            **tags,
        )
        self.has_channel = number < config.dram.channels
        self._dram = self._bridge(tags) if self.has_channel else None
        members: dict[str, Any] = {
            "read": In(MemoryReadPort(link_bytes=link_bytes, tag_width=read_tag_width)),
            "write": In(MemoryWritePort(link_bytes=link_bytes, tag_width=write_tag_width)),
        }
        if self._dram is not None:
            members["axi"] = self._dram.signature.members["axi"]
        for name in ("inject", "clear", "clearing", "corrected", "uncorrected"):
            members[name] = self._sram.signature.members[name]
        members["accesses"] = Out(len(MEMORY_EVENTS))
        super().__init__(members)

    def _bridge(self, tags: dict[str, int]) -> DramBridge:
        dram, link_bytes = self.geometry.config.dram, self.geometry.link_bytes
        return DramBridge(
            link_bytes=link_bytes,
            beat_bytes=dram.bytes_per_cycle,
            size_bytes=dram.size_bytes // dram.channels,
            # Lines that are read at once: 128 cycles of data or more, 16 lines at least.
            read_slots=min(32, max(16, 128 * dram.bytes_per_cycle // link_bytes)),
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
            wiring.connect(m, crossbar.sram, getattr(self._sram, kind))
            if self._dram is not None:
                wiring.connect(m, crossbar.dram, getattr(self._dram, kind))
            taken |= {f"{n}_{kind}": moves(getattr(crossbar, n).request) for n in targets}
        m.d.comb += self.accesses.eq(Cat(taken.get(name, 0) for name in MEMORY_EVENTS))
        self._elaborate_sram(m)
        return m

    def _elaborate_sram(self, m: Module) -> None:
        """The slice on its gated clock, and the faults that are meant for it."""
        sram, fault = self._sram, self.inject.payload
        m.submodules.sram = sram.gated()
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
