# SPDX-License-Identifier: Apache-2.0
"""The host's AXI4 port: bursts in, memory and register accesses out."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import PAGE_BITS
from hw.chip.axi_burst import BurstWalker
from hw.chip.host_reader import HostReader
from hw.chip.host_writer import HostWriter
from hw.iface.axi import Axi4Port
from hw.iface.control import ControlPort
from hw.iface.memory import MemoryReadPort, MemoryWritePort

__all__ = ["HostPort"]


class HostPort(wiring.Component):
    """AXI4 subordinate in front of the crossbar and the control registers.

    Operation: INCR bursts of up to 256 beats, beats of any size up to `link_bytes`; every beat is
    one access. Control registers take 4-byte beats. Answers come in the order of the addresses,
    whatever their ID. DECERR: nothing is there. SLVERR: the memory refused, a word cannot be
    corrected, or the chip does not know how (FIXED, WRAP, a register access that is not 4 whole
    bytes). A burst's write response follows when all its beats are acknowledged, so it is visible
    to every later read.

    Timing: reads one beat per cycle while `read_slots` cover the latency; writes one beat per cycle
    within a burst, the next burst starts when the response was taken.

    Parameters
    ----------
    link_bytes : bytes of a line and of a data beat.
    id_width : bits of an AXI ID.
    read_slots : beats under way, a power of two.
    sram_bytes, dram_bytes, local_bytes : how much of each memory exists.
    rows, columns : elements that have a local memory.
    control_bits : bits of an offset into the control region, by how much of it exists.

    Members
    -------
    axi : In(Axi4Port), the host. read, write : Out, to the crossbar. control : Out(ControlPort).
    """

    def __init__(
        self,
        *,
        link_bytes: int,
        id_width: int,
        sram_bytes: int,
        dram_bytes: int,
        local_bytes: int,
        rows: int = 1,
        columns: int = 1,
        control_bits: int = PAGE_BITS,
        read_slots: int = 16,
    ) -> None:
        walkers = [
            BurstWalker(
                id_width=id_width,
                data_bytes=link_bytes,
                sram_bytes=sram_bytes,
                dram_bytes=dram_bytes,
                local_bytes=local_bytes,
                control_bytes=1 << control_bits,
                rows=rows,
                columns=columns,
            )
            for _ in range(2)
        ]
        sizes = {"link_bytes": link_bytes, "control_bits": control_bits}
        self._reader = HostReader(walker=walkers[0], read_slots=read_slots, **sizes)
        self._writer = HostWriter(walker=walkers[1], **sizes)
        super().__init__(
            {
                "axi": In(
                    Axi4Port(
                        address_width=ADDRESS_BITS, data_width=8 * link_bytes, id_width=id_width
                    )
                ),
                "read": Out(
                    MemoryReadPort(link_bytes=link_bytes, tag_width=self._reader.tag_width)
                ),
                "write": Out(
                    MemoryWritePort(link_bytes=link_bytes, tag_width=self._writer.tag_width)
                ),
                "control": Out(ControlPort(offset_bits=control_bits)),
            }
        )

    @staticmethod
    def tag_widths(read_slots: int) -> tuple[int, int]:
        """Bits of tags of `read` and `write`."""
        return (read_slots - 1).bit_length(), HostWriter.tag_width

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reader = reader = self._reader
        m.submodules.writer = writer = self._writer
        wiring.connect(m, reader.memory, wiring.flipped(self.read))
        wiring.connect(m, writer.memory, wiring.flipped(self.write))
        wiring.connect(m, writer.control, wiring.flipped(self.control.write))
        wiring.connect(m, reader.control, wiring.flipped(self.control.read))
        wiring.connect(m, wiring.flipped(self.control.answer), reader.control_answer)
        axi = self.axi
        for channel, port in (("ar", reader.burst), ("aw", writer.burst)):
            for field in ("id", "addr", "len", "size", "burst"):
                m.d.comb += port.payload[field].eq(getattr(axi, channel + field))
            m.d.comb += [
                port.valid.eq(getattr(axi, f"{channel}valid")),
                getattr(axi, f"{channel}ready").eq(port.ready),
            ]
        m.d.comb += [
            writer.data.valid.eq(axi.wvalid),
            writer.data.payload.data.eq(axi.wdata),
            writer.data.payload.strobe.eq(axi.wstrb),
            axi.wready.eq(writer.data.ready),
            axi.bvalid.eq(writer.response.valid),
            axi.bid.eq(writer.response.payload.id),
            axi.bresp.eq(writer.response.payload.resp),
            writer.response.ready.eq(axi.bready),
            axi.rvalid.eq(reader.data.valid),
            axi.rid.eq(reader.data.payload.id),
            axi.rdata.eq(reader.data.payload.data),
            axi.rresp.eq(reader.data.payload.resp),
            axi.rlast.eq(reader.data.payload.last),
            reader.data.ready.eq(axi.rready),
        ]
        return m
