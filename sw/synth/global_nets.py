# SPDX-License-Identifier: Apache-2.0
"""Keeps logic off the global networks of a netlist."""

import json
from pathlib import Path
from typing import Any

__all__ = ["free_logic"]

_BUFFER = "DCCA"
_PINS = {"TRELLIS_FF": ("CLK", "CE", "LSR"), _BUFFER: ("CLKI",)}
"""Pins that a global network reaches, by cell."""


def free_logic(path: Path) -> None:
    """Connect what a global network does not reach to what drives the network, in place.

    A global network reaches clocks, enables and resets of flip-flops. A lookup table that Yosys
    made use of such a net, as it may of any, would have no way to it.
    """
    netlist = json.loads(path.read_text())
    changed = False
    for module in netlist["modules"].values():
        cells: dict[str, Any] = module["cells"]
        sources = {
            cell["connections"]["CLKO"][0]: cell["connections"]["CLKI"][0]
            for cell in cells.values()
            if cell["type"] == _BUFFER
        }
        for cell in cells.values() if sources else ():
            changed |= _free_cell(cell, sources)
    if changed:
        path.write_text(json.dumps(netlist))


def _free_cell(cell: dict[str, Any], sources: dict[Any, Any]) -> bool:
    """Reconnect one cell's inputs; whether there was anything to do."""
    changed = False
    for pin, bits in cell["connections"].items():
        if pin in _PINS.get(cell["type"], ()) or cell["port_directions"][pin] != "input":
            continue
        freed = [sources.get(bit, bit) for bit in bits]
        changed |= freed != bits
        cell["connections"][pin] = freed
    return changed
