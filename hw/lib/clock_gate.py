# SPDX-License-Identifier: Apache-2.0
"""Clock gating with one meaning in simulation, on an FPGA and in silicon.

A unit that idles is put behind `Gated`. Verilator skips a stopped clock domain altogether, while a
clock enable is evaluated in every cycle; in silicon the same gate saves the power.
"""

from typing import Any

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Elaboratable,
    EnableInserter,
    Fragment,
    Instance,
    Module,
    ResetSignal,
    Value,
)

from hw.lib.emit_once import current_emission, emission_below_enable

__all__ = ["CLOCK_GATE_MODULE", "Gated"]

CLOCK_GATE_MODULE = "clock_gate"
"""Name of the gate cell in Verilog; a standard-cell flow puts its integrated gate in its place."""

# The enable is captured in the low phase, so that it cannot change while the clock is high. An edge
# in place of a transparent latch: nothing else happens at the falling edge, so both behave alike,
# and Verilator need not follow the enable through the whole low phase.
_VERILOG = f"""
module {CLOCK_GATE_MODULE}(input clk, input en, output gclk);
  reg open = 1'b1;
  always @(negedge clk) open <= en;
  assign gclk = clk & open;
endmodule
"""


class Gated(Elaboratable):
    """`component`, whose clock runs only in cycles with `enable`.

    Operation: registers and memories of the component's `sync` domain keep their state at every
    clock edge at which `enable` is low, except that reset works always. Where gated clocks are
    emitted (`emission(clock_gating=True)`) the component gets a clock of its own through a gate
    cell; elsewhere, on FPGAs and in Amaranth's simulator, an enable on every register. Both forms
    are alike cycle by cycle.

    In the second form an `EmitOnce` below is expanded in place, since an enable does not reach into
    a module that is emitted already.

    Timing: `enable` belongs to the cycle that ends with the clock edge, like any register's enable,
    and must come from registers of `sync` early enough for the falling edge.

    Parameters
    ----------
    component : what to gate; its ports are used directly by the parent.
    enable : one-bit value of the parent's `sync` domain.
    rests : without `enable` the component does nothing that anybody sees, so the enable is there to
        save power only. Then the second form has none: it would go to every register of a unit.
    """

    def __init__(self, component: Elaboratable, *, enable: Value, rests: bool = False) -> None:
        self.component = component
        self.rests = rests
        self.enable = Value.cast(enable)
        if len(self.enable) != 1:
            raise ValueError(f"Enable of a gated clock must have one bit, not {len(self.enable)}.")

    def elaborate(self, platform: Any) -> Module | Fragment:
        collected = current_emission()
        if collected is None or not collected.clock_gating:
            if self.rests:
                return Fragment.get(self.component, platform)
            with emission_below_enable():
                return Fragment.get(EnableInserter(self.enable)(self.component), platform)
        collected.add_verilog(CLOCK_GATE_MODULE, _VERILOG)
        m = Module()
        gated = ClockDomain(f"gated{next(collected.gates)}", local=True)
        m.domains += gated
        m.d.comb += gated.rst.eq(ResetSignal(allow_reset_less=True))
        m.submodules.gate = Instance(
            CLOCK_GATE_MODULE,
            i_clk=ClockSignal(),
            i_en=self.enable | ResetSignal(allow_reset_less=True),
            o_gclk=gated.clk,
        )
        m.submodules.component = DomainRenamer(gated.name)(self.component)
        return m
