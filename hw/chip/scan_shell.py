# SPDX-License-Identifier: Apache-2.0
"""The one-element chip on a board with few pins: every port behind a serial scan chain.

A place and route of `OneElementChip` alone would need some 600 pins. Here registers stand at each
of its ports, so that nothing is optimised away and every path runs from register to register, and
the host shifts their values in and out.
"""

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.chip.scan_harness import ScanHarness
from hw.chip.top import OneElementChip
from hw.config.tree import ChipConfig
from hw.lib.global_net import on_global_net

__all__ = ["ScanShell"]


class ScanShell(wiring.Component):
    """`OneElementChip` behind four pins, a clock and a reset.

    Operation: `ScanHarness` says how values are shifted in, applied for a cycle, captured and
    shifted out. Host and DRAM port are both behind it, so whoever shifts plays host and memory. The
    trace port is left open. In a netlist `chip` is the chip and `harness` what this shell adds.

    Timing: as `ScanHarness`. The chip leaves reset 2 cycles after the pin does.

    Parameters
    ----------
    config : the member.

    Members
    -------
    scan_in, scan_enable, scan_apply : In(1). scan_out : Out(1). See `ScanHarness`.

    Raises: ConfigError when the configuration cannot be built.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.chip = OneElementChip(config)
        members = self.chip.signature.members
        # The chip is no manager at its host port, so its view of that port is the other one.
        host, memory = members["host"].signature.flip(), members["dram"].signature
        self.harness = ScanHarness(host=host, memory=memory)
        super().__init__(
            {"scan_in": In(1), "scan_enable": In(1), "scan_apply": In(1), "scan_out": Out(1)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        chip, harness = self.chip, self.harness
        domain = ClockDomain("chip", local=True)
        m.domains += domain
        # A pin's edge must not end the reset of some registers a cycle before that of others.
        resets = [Signal(name=f"reset{stage}", init=1, reset_less=True) for stage in range(2)]
        m.d.sync += [resets[0].eq(ResetSignal()), resets[1].eq(resets[0])]
        reset = on_global_net(m, resets[1], name="chip_rst")
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(reset)]
        m.submodules.harness = DomainRenamer(domain.name)(harness)
        m.submodules.chip = DomainRenamer(domain.name)(chip)
        wiring.connect(m, harness.host, chip.host)
        wiring.connect(m, chip.dram, harness.memory)
        m.d.comb += [
            harness.irq.eq(chip.irq),
            harness.scan_in.eq(self.scan_in),
            harness.scan_enable.eq(self.scan_enable),
            harness.scan_apply.eq(self.scan_apply),
            self.scan_out.eq(harness.scan_out),
        ]
        return m
