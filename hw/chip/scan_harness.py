# SPDX-License-Identifier: Apache-2.0
"""Shift registers that play the host and the memory of a chip through four pins."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.axi import Axi4Port

__all__ = ["ScanHarness"]

_PORTS = ("host", "memory")


class ScanHarness(wiring.Component):
    """Every signal of two AXI4 ports, and an interrupt, behind a serial chain.

    Operation: while `scan_enable` is high, each cycle shifts `scan_in` into the chain of driven
    signals, and the chain of captured ones on to `scan_out`; both lowest bit first, so the bits of
    the *last* `driven.size` cycles count, and the first `captured.size` bits that come out are what
    was captured. `scan_apply` (high for a cycle, without `scan_enable`) drives for one cycle what
    was shifted in, and captures what the chip shows in that cycle. Afterwards

    * a driven `valid` stays until its `ready`, as AXI wants it, with its payload; until then the
      channel ignores what is applied;
    * a driven `ready` falls, so at most one transfer is taken, and it is the captured one.

    So a transfer from the chip took place where a captured `valid` meets the `ready` that was
    applied with it.

    Timing: the pins are registered. What `scan_apply` says in cycle t stands at the ports in t + 2
    and can be shifted out from t + 3 on: the first captured bit is at `scan_out` from t + 3, and
    moves on 2 cycles after a cycle with `scan_enable`.

    Parameters
    ----------
    host : signature of the port to play the manager of.
    memory : signature of the port to play the subordinate of.

    Members
    -------
    scan_in, scan_enable, scan_apply : In(1). scan_out : Out(1).
    host : Out(Axi4Port). memory : In(Axi4Port). irq : In(1).
    """

    def __init__(self, *, host: Axi4Port, memory: Axi4Port) -> None:
        shapes = {
            f"{port}__{name}": (member.shape, (member.flow is Out) == (port == "host"))
            for port, signature in zip(_PORTS, (host, memory), strict=True)
            for name, member in signature.members.items()
        }
        self.driven = data.StructLayout({k: shape for k, (shape, mine) in shapes.items() if mine})
        self.captured = data.StructLayout(
            {k: shape for k, (shape, mine) in shapes.items() if not mine} | {"irq": 1}
        )
        super().__init__(
            {
                "scan_in": In(1),
                "scan_enable": In(1),
                "scan_apply": In(1),
                "scan_out": Out(1),
                "host": Out(host),
                "memory": In(memory),
                "irq": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shift, apply, bit = Signal(), Signal(), Signal()
        applied = Signal()  # what was shifted in stands at the ports
        m.d.sync += [
            shift.eq(self.scan_enable),
            apply.eq(self.scan_apply),
            bit.eq(self.scan_in),
            applied.eq(apply),
        ]
        to_drive = Signal(self.driven.size, reset_less=True)
        found = Signal(self.captured.size, reset_less=True)
        with m.If(shift):
            m.d.sync += to_drive.eq(Cat(to_drive[1:], bit))
        with m.If(shift | applied):
            seen = Cat(self._signal(name) for name, _ in self.captured)
            m.d.sync += found.eq(Mux(applied, seen, found[1:]))
        m.d.comb += self.scan_out.eq(found[0])
        values = {name: to_drive[at.offset :][: at.width] for name, at in self.driven}
        for name, value in values.items():
            if name.endswith("valid"):
                self._elaborate_offer(m, name.removesuffix("valid"), values, apply)
            elif name.endswith("ready"):
                kept = Signal(name=f"{name}_kept")
                m.d.sync += kept.eq(value & apply)
                m.d.comb += self._signal(name).eq(kept)
        return m

    def _elaborate_offer(self, m: Module, channel: str, values: dict[str, Any], apply: Any) -> None:
        """The registers of one channel on which the harness offers transfers."""
        valid, ready = self._signal(f"{channel}valid"), self._signal(f"{channel}ready")
        offer = Signal(name=f"{channel}offer")
        kept_valid = Signal(name=f"{channel}valid_kept")
        m.d.comb += [
            offer.eq(apply & values[f"{channel}valid"] & ~(valid & ~ready)),
            valid.eq(kept_valid),
        ]
        with m.If(offer | ready):
            m.d.sync += kept_valid.eq(offer)
        for name, value in values.items():
            if name.startswith(channel) and not name.endswith(("valid", "ready")):
                kept = Signal(len(value), name=f"{name}_kept", reset_less=True)
                m.d.comb += self._signal(name).eq(kept)
                with m.If(offer):
                    m.d.sync += kept.eq(value)

    def _signal(self, name: str) -> Any:
        """The member that a field of `driven` or `captured` stands for."""
        port, _, member = name.partition("__")
        return getattr(getattr(self, port), member) if member else getattr(self, port)
