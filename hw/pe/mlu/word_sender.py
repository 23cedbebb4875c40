# SPDX-License-Identifier: Apache-2.0
"""The last stage: words to local memory or to the dot-product engine."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LayoutTarget
from hw.iface.pe import LsWritePort
from hw.lib.elastic import SkidBuffer
from hw.pe.mlu.geometry import MluGeometry

__all__ = ["WordSender"]


class WordSender(wiring.Component):
    """Sends each word to where it belongs, in order.

    Operation
        1. A step is reported when its last word is granted by local memory.
        2. After `stop` only a word that was offered before is finished.

    Timing
        A word per cycle, 1 cycle after it came. No combinational path.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    words : In(stream.Signature(geometry.out_layout)), words.
    ls : Out(LsWritePort(...)), a write slot of local memory.
    to_dpe_a, to_dpe_b : Out(stream.Signature(8 * word_bytes)), operands of the engine.
    step : Out(stream.Signature(StructLayout({"cb": 6, "advance": 16}))), steps that are written.
    stop : In(1), start nothing new.
    sent : Out(1), a word leaves.
    ends : Out(1), it is the last one of its command.
    blocked : Out(1), local memory keeps a word waiting.
    waits_for_dpe : Out(1), the dot-product engine does.
    """

    def __init__(self, *, geometry: MluGeometry) -> None:
        self.geometry = geometry
        slot = LsWritePort(address_width=geometry.address_width, word_bytes=geometry.word_bytes)
        operand = stream.Signature(8 * geometry.word_bytes)
        super().__init__(
            {
                "words": In(stream.Signature(geometry.out_layout)),
                "ls": Out(slot),
                "to_dpe_a": Out(operand),
                "to_dpe_b": Out(operand),
                "step": Out(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "stop": In(1),
                "sent": Out(1),
                "ends": Out(1),
                "blocked": Out(1),
                "waits_for_dpe": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = SkidBuffer(shape=self.geometry.out_layout)
        wiring.connect(m, wiring.flipped(self.words), buffer.i)
        word, to = buffer.o.payload, buffer.o.payload.to
        offered = Signal()  # in the cycle before, and not taken
        may_send = buffer.o.valid & (~self.stop | offered)
        request = self.ls.request
        ports = {
            LayoutTarget.LS: request,
            LayoutTarget.DPE_A: self.to_dpe_a,
            LayoutTarget.DPE_B: self.to_dpe_b,
        }
        m.d.comb += [
            request.valid.eq(may_send & (to.target == LayoutTarget.LS) & self.step.ready),
            request.payload.data.eq(word.data),
            request.payload.strobe.eq(word.strobe),
            request.payload.address.eq(to.address),
            self.step.valid.eq(request.valid & request.ready & to.step_end),
            self.step.payload.cb.eq(to.cb),
            self.step.payload.advance.eq(to.advance),
        ]
        for target, port in ports.items():
            if target is not LayoutTarget.LS:
                m.d.comb += [
                    port.valid.eq(may_send & (to.target == target)),
                    port.payload.eq(word.data),
                ]
        m.d.comb += [
            self.sent.eq(Cat(port.valid & port.ready for port in ports.values()).any()),
            buffer.o.ready.eq(self.sent),
            self.ends.eq(self.sent & to.command_end),
            self.blocked.eq(request.valid & ~request.ready),
            self.waits_for_dpe.eq(
                (self.to_dpe_a.valid & ~self.to_dpe_a.ready)
                | (self.to_dpe_b.valid & ~self.to_dpe_b.ready)
            ),
        ]
        m.d.sync += offered.eq(self.blocked | self.waits_for_dpe)
        return m
