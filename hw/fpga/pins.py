# SPDX-License-Identifier: Apache-2.0
"""Pins of the chip behind its scan chain, on the ULX3S board (CABGA381 of any size)."""

__all__ = ["scan_shell_pins"]

_SITES = {
    "clk": ("G2", "25 MHz oscillator"),
    "rst": ("R1", "button fire 1"),
    "scan_in": ("B11", "header gp0"),
    "scan_enable": ("A10", "header gp1"),
    "scan_apply": ("A9", "header gp2"),
    "scan_out": ("B9", "header gp3"),
}


def scan_shell_pins(*, mhz: float) -> str:
    """The LPF file of `hw.chip.scan_shell.ScanShell`, with the clock that it shall reach."""
    lines = [f'FREQUENCY PORT "clk" {mhz:g} MHZ;']
    for name, (site, what) in _SITES.items():
        pull = " PULLMODE=DOWN" if name == "rst" else ""
        lines += [
            f'LOCATE COMP "{name}" SITE "{site}"; # {what}',
            f'IOBUF PORT "{name}" IO_TYPE=LVCMOS33{pull};',
        ]
    return "\n".join(lines) + "\n"
