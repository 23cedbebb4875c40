# SPDX-License-Identifier: Apache-2.0
"""Control registers, as `hw/arch/csr.py` lists them: one decoder for all of a block."""

from collections.abc import Collection
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import COUNTER_BASE, COUNTERS, Register
from hw.arch.traffic import ELEMENT_TRAFFIC, TRAFFIC_BASE, TRAFFIC_BITS
from hw.iface.control import ControlPort

__all__ = ["RegisterFile"]

_READ_CYCLES = 16  # covers the way to a counter or a debug word and back
_COUNTER_END = COUNTER_BASE + 8 * len(COUNTERS)
_TRAFFIC_END = TRAFFIC_BASE + 4 * len(ELEMENT_TRAFFIC)
assert _COUNTER_END <= TRAFFIC_BASE


class RegisterFile(wiring.Component):
    """Decodes register accesses; what the registers do is the control block's.

    Operation: every one of the registers has members of its own, by its access. A write to a
    register that is not `ro` raises `<name>_write` for a cycle, with the data in `written`; `rw`
    registers keep the data as well, in `<name>`, which starts with their reset value. Reads show
    `<name>_read`; a `rw` register shows what it keeps unless `live` names it. Offsets from
    `COUNTER_BASE` on show performance counters, those from `TRAFFIC_BASE` on traffic counters.

    Timing: a write strobe comes 1 cycle after the write was taken, an answer `_READ_CYCLES` + 1
    cycles after the read.

    Parameters
    ----------
    registers : the registers, as `hw.arch.csr` lists them.
    with_counters : whether there are performance counters to show.
    with_traffic : whether, beside those, there are traffic counters of an element.
    live : names of `rw` registers that do not show what was written but `<name>_read`.

    Members
    -------
    port : In(ControlPort).
    counter_index, counter_word : Out, counter to show. counter_data : In(32), its word, up to 16
        cycles later.
    traffic_index : Out, traffic counter to show. traffic_data : In(32), its value, as late. Only
        `with_traffic`.
    written : Out(32). <name>_write : Out(1). <name> : Out(32). <name>_read : In(32).
    """

    def __init__(
        self,
        *,
        registers: Collection[Register],
        with_counters: bool = True,
        with_traffic: bool = False,
        live: tuple[str, ...] = (),
    ) -> None:
        self.registers = tuple(registers)
        self.with_counters, self.with_traffic = with_counters, with_traffic
        self.live = live
        members: dict[str, Any] = {
            "port": In(ControlPort()),
            "counter_index": Out(range(len(COUNTERS))),
            "counter_word": Out(1),
            "counter_data": In(32),
            "written": Out(32),
        }
        if with_traffic:
            members["traffic_index"] = Out(range(len(ELEMENT_TRAFFIC)))
            members["traffic_data"] = In(TRAFFIC_BITS)
        for register in self.registers:
            name = register.name.lower()
            if register.access != "ro":
                members[f"{name}_write"] = Out(1)
            if register.access == "rw":
                members[name] = Out(32, init=register.reset)
            if register.access == "ro" or register.name in live:
                members[f"{name}_read"] = In(32)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._elaborate_writes(m)
        offset = Signal(12)
        left = Signal(range(_READ_CYCLES + 1))
        busy = Signal()
        m.d.comb += [
            self.port.read.ready.eq(~busy),
            self.counter_index.eq((offset - COUNTER_BASE)[3:]),
            self.counter_word.eq(offset[2]),
            self.port.answer.valid.eq(busy & (left == 0)),
            self.port.answer.payload.eq(self._value(m, offset)),
        ]
        if self.with_traffic:
            m.d.comb += self.traffic_index.eq((offset - TRAFFIC_BASE)[2:])
        with m.If(self.port.read.valid & ~busy):
            m.d.sync += [busy.eq(1), offset.eq(self.port.read.payload), left.eq(_READ_CYCLES)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += busy.eq(0)
        return m

    def _elaborate_writes(self, m: Module) -> None:
        """Strobes, and what `rw` registers keep."""
        write = self.port.write
        m.d.sync += self.written.eq(write.payload.data)
        for register in self.registers:
            if register.access == "ro":
                continue
            name = register.name.lower()
            hit = Signal(name=f"{name}_hit")
            m.d.comb += hit.eq(write.valid & (write.payload.offset[2:] == register.offset >> 2))
            m.d.sync += getattr(self, f"{name}_write").eq(hit)
            if register.access == "rw":
                with m.If(hit):
                    m.d.sync += getattr(self, name).eq(write.payload.data)

    def _value(self, m: Module, offset: Signal) -> Signal:
        """The register or counter word at `offset`; zero where there is none."""
        value = Signal(32)
        with m.Switch(offset[2:]):
            for register in self.registers:
                name = register.name.lower()
                if register.access == "wo":
                    continue
                shown = f"{name}_read" if hasattr(self, f"{name}_read") else name
                with m.Case(register.offset >> 2):
                    m.d.comb += value.eq(getattr(self, shown))
            if self.with_counters:
                with m.Default():
                    with m.If((offset >= COUNTER_BASE) & (offset < _COUNTER_END)):
                        m.d.comb += value.eq(self.counter_data)
                    if self.with_traffic:
                        with m.If((offset >= TRAFFIC_BASE) & (offset < _TRAFFIC_END)):
                            m.d.comb += value.eq(self.traffic_data)
        return value
