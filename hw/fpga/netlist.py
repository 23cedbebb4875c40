# SPDX-License-Identifier: Apache-2.0
"""A component as the netlist that an FPGA tool starts from, with the line of each of its parts."""

import re
from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import CombinationalCycle, Elaboratable

from hw.lib.emit_once import emission, module_rtlil

__all__ = ["TOP", "CombinationalLoop", "FpgaNetlist", "fpga_netlist"]

TOP = "top"
"""Name of the module at the top."""

_ROOT = Path(__file__).resolve().parents[2]
_SOURCE = re.compile(r'(attribute \\src )"([^"]*)"')
_STATION = re.compile(r"^  (\S+): (?:signal|operator|cell) (\S+) bit \d+$", re.MULTILINE)
_STATIONS = 6


class CombinationalLoop(ValueError):
    """A value that needs itself in the same cycle; the message is one sentence."""


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

    Raises
    ------
    CombinationalLoop
        When Amaranth finds one.
    """
    with emission(clock_gating=False, source_lines=True, target=family) as collected:
        try:
            top, _domains = module_rtlil(component, name=TOP)
        except CombinationalCycle as error:
            raise CombinationalLoop(_loop_sentence(str(error))) from None
    text = "\n".join([*collected.rtlil.values(), top])
    return FpgaNetlist(
        rtlil=_SOURCE.sub(lambda match: f'{match[1]}"{_relative(match[2])}"', text),
        verilog="\n".join(collected.verilog.values()),
    )


def _loop_sentence(text: str) -> str:
    """Amaranth's complaint, a line a bit, as one sentence."""
    stations = [f"{name} ({_relative(source)})" for source, name in _STATION.findall(text)]
    way = ", ".join(list(dict.fromkeys(stations))[:_STATIONS])
    return f"A combinational loop goes through {way or 'the design'}."


def _relative(source: str) -> str:
    """A file and line without what differs from machine to machine."""
    source = source.removeprefix(f"{_ROOT}/")
    return re.sub(r"^.*/(amaranth/)", r"\1", source)
