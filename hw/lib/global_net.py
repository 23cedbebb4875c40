# SPDX-License-Identifier: Apache-2.0
"""A net that reaches registers everywhere: a global network on an FPGA, plain wire else."""

from amaranth.hdl import Const, Instance, Module, Signal, Value

from hw.lib.emit_once import current_emission

__all__ = ["on_global_net"]


def on_global_net(m: Module, value: Value, *, name: str) -> Signal:
    """Return `value` as a signal that is to reach many registers, such as a reset.

    On an ECP5 it goes through a DCCA, whose output nextpnr puts on one of the 16 global networks;
    tens of thousands of reset pins would fill the ordinary wires. Elsewhere it is a wire. No
    latency; `value` should come from a register, since the way to the buffer is long.
    """
    spread = Signal(name=name)
    emission = current_emission()
    if emission is not None and emission.target == "ecp5":
        m.submodules[f"{name}_buffer"] = Instance(
            "DCCA", i_CLKI=value, i_CE=Const(1, 1), o_CLKO=spread
        )
    else:
        m.d.comb += spread.eq(value)
    return spread
