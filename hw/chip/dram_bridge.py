# SPDX-License-Identifier: Apache-2.0
"""From the crossbar to a DRAM channel's AXI4 port."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.chip.dram_reader import DramReader
from hw.chip.dram_writer import DramWriter
from hw.iface.axi import Axi4Port, AxiBurst
from hw.iface.memory import MemoryReadPort, MemoryWritePort

__all__ = ["DramBridge"]


class DramBridge(wiring.Component):
    """AXI4 manager: every line is one INCR burst of `link_bytes / beat_bytes` beats.

    Operation: lines are read as a whole and written with strobes. Each line under way has an ID of
    its own, so the memory may answer in any order and mix the beats of different reads. An error
    response of the memory comes back as `error`. Addresses are relative to the DRAM region's base.

    Timing: one beat per cycle in each direction, as long as `read_slots` and `write_slots` lines
    cover the memory's latency. `rready` is always high: every read has its room.

    Parameters
    ----------
    link_bytes, read_tag_width, write_tag_width : of the memory ports.
    beat_bytes : bytes of an AXI data beat, a power of two, at most `link_bytes`.
    size_bytes : size of the memory, a power of two.
    read_slots, write_slots : lines under way, powers of two.

    Members
    -------
    read, write : In, the memory ports. axi : Out(Axi4Port), the channel.
    read_beat, write_beat : Out(1), a beat was transferred in the cycle before.

    Raises: ValueError when a parameter is no power of two or too large.
    """

    def __init__(
        self,
        *,
        link_bytes: int,
        beat_bytes: int,
        read_tag_width: int,
        write_tag_width: int,
        size_bytes: int,
        read_slots: int = 32,
        write_slots: int = 16,
    ) -> None:
        for name, value, least in (
            ("beat_bytes", beat_bytes, 1),
            ("read_slots", read_slots, 2),
            ("write_slots", write_slots, 2),
        ):
            if value < least or value & (value - 1):
                raise ValueError(
                    f"DramBridge {name} must be a power of two from {least}, not {value!r}."
                )
        if beat_bytes > link_bytes:
            raise ValueError(
                f"DramBridge beat_bytes must be at most {link_bytes}, not {beat_bytes!r}."
            )
        self.size_bytes = size_bytes
        common = {"link_bytes": link_bytes, "beat_bytes": beat_bytes}
        self._reader = DramReader(slots=read_slots, tag_width=read_tag_width, **common)
        self._writer = DramWriter(slots=write_slots, tag_width=write_tag_width, **common)
        self.beat_bytes = beat_bytes
        self.n_beats = link_bytes // beat_bytes
        super().__init__(
            {
                "read": In(MemoryReadPort(link_bytes=link_bytes, tag_width=read_tag_width)),
                "write": In(MemoryWritePort(link_bytes=link_bytes, tag_width=write_tag_width)),
                "axi": Out(
                    Axi4Port(
                        address_width=ADDRESS_BITS,
                        data_width=8 * beat_bytes,
                        id_width=max(self._reader.id_width, self._writer.id_width),
                    )
                ),
                "read_beat": Out(1),
                "write_beat": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reader = reader = self._reader
        m.submodules.writer = writer = self._writer
        wiring.connect(m, wiring.flipped(self.read), reader.memory)
        wiring.connect(m, wiring.flipped(self.write), writer.memory)
        axi, offset_bits = self.axi, (self.size_bytes - 1).bit_length()
        for channel, port in (("ar", reader.line), ("aw", writer.line)):
            m.d.comb += [
                getattr(axi, f"{channel}valid").eq(port.valid),
                port.ready.eq(getattr(axi, f"{channel}ready")),
                getattr(axi, f"{channel}id").eq(port.payload.id),
                getattr(axi, f"{channel}addr").eq(port.payload.address[:offset_bits]),
                getattr(axi, f"{channel}len").eq(self.n_beats - 1),
                getattr(axi, f"{channel}size").eq(self.beat_bytes.bit_length() - 1),
                getattr(axi, f"{channel}burst").eq(AxiBurst.INCR.value),
            ]
        m.d.comb += [
            axi.wvalid.eq(writer.beat.valid),
            axi.wdata.eq(writer.beat.payload.data),
            axi.wstrb.eq(writer.beat.payload.strobe),
            axi.wlast.eq(writer.beat.payload.last),
            writer.beat.ready.eq(axi.wready),
            writer.response.valid.eq(axi.bvalid),
            writer.response.payload.id.eq(axi.bid),
            writer.response.payload.failed.eq(axi.bresp[1]),
            axi.bready.eq(writer.response.ready),
            reader.beat.valid.eq(axi.rvalid),
            reader.beat.payload.id.eq(axi.rid),
            reader.beat.payload.data.eq(axi.rdata),
            reader.beat.payload.failed.eq(axi.rresp[1]),
            reader.beat.payload.last.eq(axi.rlast),
            axi.rready.eq(1),
        ]
        m.d.sync += [
            self.read_beat.eq(axi.rvalid),
            self.write_beat.eq(axi.wvalid & axi.wready),
        ]
        return m
