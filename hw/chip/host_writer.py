# SPDX-License-Identifier: Apache-2.0
"""The writing half of the host port."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.chip.axi_burst import BurstWalker, Target, burst_layout
from hw.iface.axi import AxiResponse
from hw.iface.control import control_write
from hw.iface.memory import MemoryWritePort

__all__ = ["HostWriter"]

_REGISTER_BYTES = 4


class HostWriter(wiring.Component):
    """Writes bursts for the host and answers each when all its beats are acknowledged.

    Operation: joins beats with data; `wlast` is not looked at, the burst's length counts. The
    response is the worst of all beats. A register takes only 4 whole bytes.

    Timing: one beat per cycle; the first beat of a burst follows the response of the one before.

    Parameters
    ----------
    walker : takes the bursts apart. link_bytes, control_bits : as for `HostPort`.

    Members
    -------
    burst, data : In(stream), write addresses and data. response : Out(stream), write responses.
    memory : Out(MemoryWritePort). control : Out(stream), register writes.
    """

    tag_width = 1
    """Acknowledgements are only counted, so all requests carry the same tag."""

    def __init__(
        self,
        *,
        walker: BurstWalker,
        link_bytes: int,
        control_bits: int,
    ) -> None:
        self.link_bytes = link_bytes
        self._walker, id_width = walker, walker.id_width
        beat = data.StructLayout({"data": 8 * link_bytes, "strobe": link_bytes})
        super().__init__(
            {
                "burst": In(stream.Signature(burst_layout(id_width))),
                "data": In(stream.Signature(beat)),
                "response": Out(stream.Signature(data.StructLayout({"id": id_width, "resp": 2}))),
                "memory": Out(MemoryWritePort(link_bytes=link_bytes, tag_width=self.tag_width)),
                "control": Out(stream.Signature(control_write(control_bits), always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.walker = walker = self._walker
        wiring.connect(m, wiring.flipped(self.burst), walker.burst)
        beat = walker.beat
        open_writes = Signal(9)  # beats sent and not acknowledged; a burst has at most 256
        sent, acknowledged = Signal(), Signal()
        worst = Signal(2)
        m.d.comb += [
            sent.eq(self.memory.request.valid & self.memory.request.ready),
            acknowledged.eq(self.memory.response.valid),
            self.memory.response.ready.eq(1),
            self.response.payload.resp.eq(worst),
        ]
        m.d.sync += open_writes.eq(open_writes + sent - acknowledged)
        with m.If(acknowledged & self.memory.response.payload.error):
            self._worsen(m, worst, AxiResponse.SLVERR)
        with m.FSM(name="state"):
            with m.State("BEATS"):
                with m.If(beat.valid & self.data.valid):
                    self._elaborate_beat(m, beat, worst)
                with m.If(beat.valid & beat.ready):
                    m.d.sync += self.response.payload.id.eq(beat.payload.id)
                    with m.If(beat.payload.last):
                        m.next = "ACKNOWLEDGED"
            with m.State("ACKNOWLEDGED"):
                with m.If(open_writes == 0):
                    m.next = "RESPOND"
            with m.State("RESPOND"):
                m.d.comb += self.response.valid.eq(1)
                with m.If(self.response.ready):
                    m.d.sync += worst.eq(AxiResponse.OKAY.value)
                    m.next = "BEATS"
        return m

    def _elaborate_beat(self, m: Module, beat: Any, worst: Signal) -> None:
        """Send one beat where it belongs."""
        line_bits = self.link_bytes.bit_length() - 1
        address, request = beat.payload.address, self.memory.request
        lane = address[2:line_bits]
        m.d.comb += [
            request.payload.address.eq(address[line_bits:] << line_bits),
            request.payload.tag.eq(0),
            request.payload.data.eq(self.data.payload.data),
            request.payload.strobe.eq(self.data.payload.strobe),
            self.control.payload.offset.eq(address),
            self.control.payload.data.eq(self.data.payload.data.word_select(lane, 32)),
            self.data.ready.eq(beat.ready),
        ]
        with m.Switch(beat.payload.target):
            with m.Case(Target.MEMORY):
                m.d.comb += [request.valid.eq(1), beat.ready.eq(request.ready)]
            with m.Case(Target.CONTROL):
                m.d.comb += beat.ready.eq(1)
                with m.If(self.data.payload.strobe.word_select(lane, _REGISTER_BYTES).all()):
                    m.d.comb += self.control.valid.eq(1)
                with m.Else():
                    self._worsen(m, worst, AxiResponse.SLVERR)
            with m.Case(Target.REFUSED):
                m.d.comb += beat.ready.eq(1)
                self._worsen(m, worst, AxiResponse.SLVERR)
            with m.Case(Target.NOWHERE):
                m.d.comb += beat.ready.eq(1)
                self._worsen(m, worst, AxiResponse.DECERR)

    def _worsen(self, m: Module, worst: Signal, response: AxiResponse) -> None:
        """SLVERR and DECERR both have bit 1, so the worst of all beats is their OR."""
        m.d.sync += worst.eq(worst | response.value)
