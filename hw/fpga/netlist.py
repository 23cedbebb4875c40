# SPDX-License-Identifier: Apache-2.0
"""A component as the netlist that an FPGA tool starts from, with the line of each of its parts."""

import re
from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import Elaboratable

from hw.lib.emit_once import emission, module_rtlil

__all__ = ["TOP", "FpgaNetlist", "fpga_netlist"]

TOP = "top"
"""Name of the module at the top."""

_ROOT = Path(__file__).resolve().parents[2]
_SOURCE = re.compile(r'(attribute \\src )"([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class FpgaNetlist:
    """What Yosys reads."""

    rtlil: str
    """Amaranth's modules; source lines are relative to the project."""
    verilog: str
    """Hand-written modules."""


def fpga_netlist(component: Elaboratable, *, family: str) -> FpgaNetlist:
    """The component as module `top`, for one family of devices.

    Gated clocks become enables: a gate in the fabric would cost the device's clock network.
    """
    with emission(clock_gating=False, source_lines=True, target=family) as collected:
        top, _domains = module_rtlil(component, name=TOP)
    text = "\n".join([*collected.rtlil.values(), top])
    return FpgaNetlist(
        rtlil=_SOURCE.sub(lambda match: f'{match[1]}"{_relative(match[2])}"', text),
        verilog="\n".join(collected.verilog.values()),
    )


def _relative(source: str) -> str:
    """A file and line without what differs from machine to machine."""
    source = source.removeprefix(f"{_ROOT}/")
    return re.sub(r"^.*/(amaranth/)", r"\1", source)
