# SPDX-License-Identifier: Apache-2.0
"""A chip with one element: the element, its memories, and the host's way in."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.chip.control import ControlBlock
from hw.chip.crossbar import Crossbar, element_targets
from hw.chip.dram_bridge import DramBridge
from hw.chip.element import elaborate_controlled_element
from hw.chip.host_port import HostPort
from hw.chip.memory_control import connect_memories
from hw.config.element import PeConfig
from hw.config.tree import ChipConfig
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.mem.sram_slice import SramSlice
from hw.pe.cp.counter_file import event_name
from hw.pe.pe import ProcessingElement

__all__ = ["HOST_ID_WIDTH", "OneElementChip"]

HOST_ID_WIDTH = 4
"""Bits of an ID at the host port."""


class OneElementChip(wiring.Component):
    """One element of a member of the family, with the member's whole SRAM and one DRAM channel.

    Operation: docs/design.md, "One-element chip". The host writes operands and a command list,
    starts the job through the control registers, waits for `irq`, and reads the results. The
    element has a clock domain of its own, alike but for a reset that the control block gives at the
    start of a job and after an error; memories, host port and registers never notice.

    Parameters
    ----------
    config : the member; its grid and its number of slices and channels do not count here.

    Members
    -------
    host : In(Axi4Port), `link_bytes` wide. dram : Out(Axi4Port), `dram.bytes_per_cycle` wide.
    irq : Out(1), high from the end of a job to the next start.
    trace : Out(TracePort()), what the element's units and buffers do.

    Raises: ConfigError when the configuration cannot be built.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config.validate()
        pe, sizes = (
            config.pe,
            {
                "sram_bytes": config.sram.size_bytes,
                "dram_bytes": config.dram.size_bytes,
                "local_bytes": config.pe.ls.size_bytes,
            },
        )
        self._host = HostPort(link_bytes=pe.link_bytes, id_width=HOST_ID_WIDTH, **sizes)
        self._pe = ProcessingElement(
            config=pe,
            with_links=False,
            with_cores=False,
            remote_tag_widths=self._remote_tag_widths(pe),
        )
        self._readers = (self._host.read, self._pe.memory_read, self._pe.list_read)
        self._writers = (self._host.write, self._pe.memory_write)
        self._reads = self._crossbar(MemoryReadPort, self._readers, sizes)
        self._writes = self._crossbar(MemoryWritePort, self._writers, sizes)
        self._sram = SramSlice(
            size_bytes=config.sram.size_bytes,
            link_bytes=pe.link_bytes,
            read_tag_width=self._reads.slave_tag_width,
            write_tag_width=self._writes.slave_tag_width,
            ecc=config.sram.ecc,
        )
        self._dram = DramBridge(
            link_bytes=pe.link_bytes,
            beat_bytes=config.dram.bytes_per_cycle,
            read_tag_width=self._reads.slave_tag_width,
            write_tag_width=self._writes.slave_tag_width,
            size_bytes=config.dram.size_bytes,
            read_slots=self._dram_read_slots(),
        )
        self._control = ControlBlock(
            config_id=int(config.digest(), 16), count_width=len(self._sram.corrected)
        )
        super().__init__(
            {
                "host": self._host.signature.members["axi"],
                "dram": self._dram.signature.members["axi"],
                "irq": Out(1),
                "trace": self._pe.signature.members["trace"],
            }
        )

    def _remote_tag_widths(self, pe: PeConfig) -> tuple[int, int]:
        """Bits of tags that reads and writes have behind the crossbars."""
        widths = ProcessingElement.tag_widths(pe)
        read, write = (
            len(port.request.payload.tag) for port in (self._host.read, self._host.write)
        )
        return (
            Crossbar.tag_width((read, widths["memory_read"], widths["list_read"])),
            Crossbar.tag_width((write, widths["memory_write"])),
        )

    def _dram_read_slots(self) -> int:
        """Lines that are read at once: 128 cycles of data or more, 16 lines at least."""
        n_beats = self.config.pe.link_bytes // self.config.dram.bytes_per_cycle
        return min(32, max(16, 128 // n_beats))

    def _crossbar(self, port: Any, masters: tuple[Any, ...], sizes: dict[str, int]) -> Crossbar:
        return Crossbar(
            port=port,
            link_bytes=self.config.pe.link_bytes,
            tag_widths=tuple(len(master.request.payload.tag) for master in masters),
            targets=element_targets(**sizes),
            staged=True,
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.host_port = self._host
        m.submodules.reads = self._reads
        m.submodules.writes = self._writes
        m.submodules.dram_bridge = self._dram
        m.submodules.control_block = self._control
        m.submodules.sram = self._sram.gated()
        connect_memories(m, self._control, [self._sram])
        self._elaborate_element(m)
        for masters, crossbar in ((self._readers, self._reads), (self._writers, self._writes)):
            for master, port in zip(masters, crossbar.masters, strict=True):
                wiring.connect(m, master, port)
        for kind, crossbar in (("read", self._reads), ("write", self._writes)):
            wiring.connect(m, crossbar.sram, getattr(self._sram, kind))
            wiring.connect(m, crossbar.dram, getattr(self._dram, kind))
            wiring.connect(m, crossbar.local, getattr(self._pe, f"remote_{kind}"))
        wiring.connect(m, wiring.flipped(self.host), self._host.axi)
        wiring.connect(m, self._dram.axi, wiring.flipped(self.dram))
        wiring.connect(m, self._host.control, self._control.port)
        m.d.comb += self.irq.eq(self._control.irq)
        return m

    def _elaborate_element(self, m: Module) -> None:
        """The element in its own reset, jobs, errors, counters and the debug port."""
        pe, sram, dram = self._pe, self._sram, self._dram
        elaborate_controlled_element(m, pe, self._control)
        wiring.connect(m, pe.trace, wiring.flipped(self.trace))
        # No neighbours: signals for others are dropped, none come in.
        m.d.comb += pe.remote_signal.ready.eq(1)
        beat_bytes = dram.beat_bytes
        events = {
            "sram.read_lines": sram.read_line,
            "sram.write_lines": sram.write_line,
            "dram.read_bytes": dram.read_beat * beat_bytes,
            "dram.write_bytes": dram.write_beat * beat_bytes,
        }
        for name, amount in events.items():
            m.d.comb += getattr(pe, event_name(name)).eq(amount)
