# SPDX-License-Identifier: Apache-2.0
"""The reading half of the host port."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.chip.axi_burst import BurstWalker, Target, burst_layout
from hw.iface.axi import AxiResponse
from hw.iface.memory import MemoryReadPort

__all__ = ["HostReader"]

_OKAY, _SLVERR = AxiResponse.OKAY.value, AxiResponse.SLVERR.value


class HostReader(wiring.Component):
    """Reads bursts for the host, answers in order.

    Operation: every beat takes the next *slot* of a ring before it asks, so an answer always has
    room, however long the host does not listen. Answers come into the slots in any order and leave
    in the order of the beats. One register read is under way at a time.

    Timing: one beat per cycle. An answer leaves a slot in the cycle after it came at the earliest.

    Parameters
    ----------
    walker : takes the bursts apart. link_bytes, control_bits : as for `HostPort`.
    read_slots : slots, a power of two.

    Members
    -------
    burst : In(stream), read addresses. data : Out(stream), read data.
    memory : Out(MemoryReadPort). control, control_answer : register reads and their answers.

    Raises: ValueError when `read_slots` is no power of two from 2.
    """

    def __init__(
        self,
        *,
        walker: BurstWalker,
        link_bytes: int,
        control_bits: int,
        read_slots: int,
    ) -> None:
        if read_slots < 2 or read_slots & (read_slots - 1):
            raise ValueError(
                f"HostReader read_slots must be a power of two from 2, not {read_slots!r}."
            )
        self.link_bytes = link_bytes
        self.read_slots = read_slots
        self.tag_width = (read_slots - 1).bit_length()
        self._walker, id_width = walker, walker.id_width
        beat = data.StructLayout({"id": id_width, "data": 8 * link_bytes, "resp": 2, "last": 1})
        super().__init__(
            {
                "burst": In(stream.Signature(burst_layout(id_width))),
                "data": Out(stream.Signature(beat)),
                "memory": Out(MemoryReadPort(link_bytes=link_bytes, tag_width=self.tag_width)),
                "control": Out(stream.Signature(unsigned(control_bits))),
                "control_answer": In(stream.Signature(unsigned(32), always_ready=True)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.walker = walker = self._walker
        wiring.connect(m, wiring.flipped(self.burst), walker.burst)
        issued = Signal(self.tag_width + 1)  # beats that took a slot so far
        left = Signal(self.tag_width + 1)  # beats that left theirs
        done = Signal(self.read_slots)  # slots whose answer is there
        busy = Signal()  # a register read is under way or waits to leave
        slot, oldest = issued[: self.tag_width], left[: self.tag_width]
        beat, issue = walker.beat, Signal()
        m.d.comb += issue.eq(beat.valid & beat.ready)
        with m.If((issued ^ left) != self.read_slots):
            self._elaborate_issue(m, beat, slot, busy)
        with m.If(issue):
            m.d.sync += [
                issued.eq(issued + 1),
                done.bit_select(slot, 1).eq(
                    (beat.payload.target == Target.REFUSED)
                    | (beat.payload.target == Target.NOWHERE)
                ),
            ]
        with m.If(self.memory.response.valid):
            m.d.sync += done.bit_select(self.memory.response.payload.tag, 1).eq(1)
        m.d.comb += [
            self.memory.response.ready.eq(1),
            self.data.valid.eq((issued != left) & done.bit_select(oldest, 1)),
        ]
        control = self._elaborate_control(m, issue, beat.payload, slot, busy, done)
        is_control = self._elaborate_slots(m, issue, beat.payload, slot, oldest, control)
        with m.If(self.data.valid & self.data.ready):
            m.d.sync += left.eq(left + 1)
            with m.If(is_control):
                m.d.sync += busy.eq(0)
        return m

    def _elaborate_issue(self, m: Module, beat: Any, slot: Value, busy: Signal) -> None:
        """Send the beat where it belongs; whatever is refused needs nobody."""
        line_bits = self.link_bytes.bit_length() - 1
        m.d.comb += [
            self.memory.request.payload.address.eq(beat.payload.address[line_bits:] << line_bits),
            self.memory.request.payload.tag.eq(slot),
            self.control.payload.eq(beat.payload.address),
        ]
        with m.Switch(beat.payload.target):
            with m.Case(Target.MEMORY):
                m.d.comb += [
                    self.memory.request.valid.eq(beat.valid),
                    beat.ready.eq(self.memory.request.ready),
                ]
            with m.Case(Target.CONTROL):
                m.d.comb += [
                    self.control.valid.eq(beat.valid & ~busy),
                    beat.ready.eq(self.control.ready & ~busy),
                ]
            with m.Default():
                m.d.comb += beat.ready.eq(1)

    def _elaborate_control(
        self, m: Module, issue: Signal, beat: Any, slot: Value, busy: Signal, done: Signal
    ) -> Signal:
        """The one register read under way; returns its data."""
        control_slot = Signal(self.tag_width)
        control_data = Signal(32)
        with m.If(issue & (beat.target == Target.CONTROL)):
            m.d.sync += [busy.eq(1), control_slot.eq(slot)]
        with m.If(self.control_answer.valid):
            m.d.sync += [
                control_data.eq(self.control_answer.payload),
                done.bit_select(control_slot, 1).eq(1),
            ]
        return control_data

    def _elaborate_slots(
        self, m: Module, issue: Signal, beat: Any, slot: Value, oldest: Value, control_data: Signal
    ) -> Value:
        """What stands in each slot; returns whether the oldest is a register read."""
        asked = data.StructLayout({"id": len(beat.id), "last": 1, "target": Target})
        got = data.StructLayout({"data": 8 * self.link_bytes, "failed": 1})
        m.submodules.asked = asked_memory = memory.Memory(
            shape=asked, depth=self.read_slots, init=[]
        )
        m.submodules.got = got_memory = memory.Memory(shape=got, depth=self.read_slots, init=[])
        asked_write, asked_read = asked_memory.write_port(), asked_memory.read_port(domain="comb")
        got_write, got_read = got_memory.write_port(), got_memory.read_port(domain="comb")
        response, answer = self.memory.response, self.data.payload
        m.d.comb += [
            asked_write.en.eq(issue),
            asked_write.addr.eq(slot),
            asked_write.data.id.eq(beat.id),
            asked_write.data.last.eq(beat.last),
            asked_write.data.target.eq(beat.target),
            got_write.en.eq(response.valid),
            got_write.addr.eq(response.payload.tag),
            got_write.data.data.eq(response.payload.data),
            got_write.data.failed.eq(response.payload.error | response.payload.poison),
            asked_read.addr.eq(oldest),
            got_read.addr.eq(oldest),
            answer.id.eq(asked_read.data.id),
            answer.last.eq(asked_read.data.last),
            answer.data.eq(got_read.data.data),
        ]
        with m.Switch(asked_read.data.target):
            with m.Case(Target.MEMORY):
                m.d.comb += answer.resp.eq(Mux(got_read.data.failed, _SLVERR, _OKAY))
            with m.Case(Target.CONTROL):
                m.d.comb += answer.data.eq(control_data.replicate(self.link_bytes // 4))
            with m.Case(Target.REFUSED):
                m.d.comb += answer.resp.eq(_SLVERR)
            with m.Case(Target.NOWHERE):
                m.d.comb += answer.resp.eq(AxiResponse.DECERR.value)
        return asked_read.data.target == Target.CONTROL
