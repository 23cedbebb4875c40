# SPDX-License-Identifier: Apache-2.0
"""The last stage: words to local memory or to the dot-product engine."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LayoutTarget
from hw.iface.pe import LsWritePort
from hw.lib.elastic import PingPongBuffer
from hw.pe.mlu.geometry import MluGeometry

__all__ = ["WordSender"]


class WordSender(wiring.Component):
    """Sends each word to where it belongs, in order.

    Operation
        1. A step is reported when its last word was granted by local memory.
        2. After `stop` only words that were taken before are finished.

    Timing
        A word per cycle, 1 cycle after it came; what is told of it a cycle after it left. What is
        taken depends on `stop` and `step_room` in the same cycle, nothing else does on an input.

    Parameters
    ----------
    geometry : sizes.

    Members
    -------
    words : In(stream.Signature(geometry.out_layout)), words.
    ls : Out(LsWritePort(...)), a write slot of local memory.
    to_dpe_a, to_dpe_b : Out(stream.Signature(8 * word_bytes)), operands of the engine.
    step : Out(stream.Signature(StructLayout({"cb": 6, "advance": 16}))), steps that are written;
        they do not wait.
    step_room : In(1), at least 3 steps can be reported.
    stop : In(1), take nothing new.
    sent : Out(1), a word has left.
    ends : Out(1), it was the last one of its command.
    moving : Out(1), a word for local memory waits, or a step is told of.
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
                "step_room": In(1),
                "stop": In(1),
                "sent": Out(1),
                "ends": Out(1),
                "moving": Out(1),
                "blocked": Out(1),
                "waits_for_dpe": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = PingPongBuffer(shape=self.geometry.out_layout)
        m.d.comb += [
            buffer.i.payload.eq(self.words.payload),
            buffer.i.valid.eq(self.words.valid & self.step_room & ~self.stop),
            self.words.ready.eq(buffer.i.ready & self.step_room & ~self.stop),
        ]
        word, to, request = buffer.o.payload, buffer.o.payload.to, self.ls.request
        ports = {
            LayoutTarget.LS: request,
            LayoutTarget.DPE_A: self.to_dpe_a,
            LayoutTarget.DPE_B: self.to_dpe_b,
        }
        m.d.comb += [
            request.payload.data.eq(word.data),
            request.payload.strobe.eq(word.strobe),
            request.payload.address.eq(to.address),
            self.to_dpe_a.payload.eq(word.data),
            self.to_dpe_b.payload.eq(word.data),
        ]
        taken, kept = {}, {}
        for target, port in ports.items():
            m.d.comb += port.valid.eq(buffer.o.valid & (to.target == target))
            taken[target] = port.valid & port.ready
            kept[target] = port.valid & ~port.ready
        leaves = Cat(taken.values()).any()
        m.d.comb += [
            buffer.o.ready.eq(leaves),
            self.moving.eq(request.valid | self.step.valid),
        ]
        m.d.sync += [
            self.sent.eq(leaves),
            self.ends.eq(leaves & to.command_end),
            self.step.valid.eq(taken[LayoutTarget.LS] & to.step_end),
            self.step.payload.cb.eq(to.cb),
            self.step.payload.advance.eq(to.advance),
            self.blocked.eq(kept[LayoutTarget.LS]),
            self.waits_for_dpe.eq(kept[LayoutTarget.DPE_A] | kept[LayoutTarget.DPE_B]),
        ]
        return m
