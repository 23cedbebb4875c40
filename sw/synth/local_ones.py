# SPDX-License-Identifier: Apache-2.0
"""Keeps constant address bits of LUT RAMs out of the router's way.

A memory of fewer than 16 words leaves address bits of its LUT RAMs constant. nextpnr leads every
constant pin of a LUT RAM to one lookup table, wherever that is: for a chip 11,000 wires of one net,
all of which end in the fullest tiles. A pin that nothing drives costs no wire; it reads 1 (nextpnr,
ecp5/bitstream.cc, `write_comb`).
"""

import json
from pathlib import Path
from typing import Any

__all__ = ["free_addresses"]

_RAM = "TRELLIS_DPR16X4"
_SHARED_BY = 16
"""LUT RAMs of one source of ones."""
_ONE: dict[str, Any] = {
    "hide_name": 0,
    "type": "LUT4",
    "parameters": {"INIT": "1" * 16},
    "port_directions": {**dict.fromkeys("ABCD", "input"), "Z": "output"},
}


def free_addresses(path: Path) -> None:
    """Let constant address bits of LUT RAMs be 1, in place.

    What reads loses the pin. What writes is the same tile's and would share its wires, but nobody
    says what it reads without one, so it gets the 1 from a lookup table close by. Where a value is
    kept does not matter, so long as both agree. Initial values are found again, for nextpnr fills
    both halves with what the pin selects from.
    """
    netlist = json.loads(path.read_text())
    for module in netlist["modules"].values():
        _free_module(module)
    path.write_text(json.dumps(netlist))


def _free_module(module: dict[str, Any]) -> None:
    """Change one module."""
    rams = [
        (name, cell["connections"], bits)
        for name, cell in module["cells"].items()
        if cell["type"] == _RAM and (bits := _constant_bits(cell["connections"]))
    ]
    nets = module["netnames"].values()
    free = 1 + max((bit for net in nets for bit in net["bits"] if isinstance(bit, int)), default=1)
    for number, (name, connections, bits) in enumerate(sorted(rams, key=lambda ram: ram[0])):
        if number % _SHARED_BY == 0:
            _add_one(module, f"{name}_one", free + number)
        one = free + number - number % _SHARED_BY
        for bit in bits:
            connections["RAD"][bit], connections["WAD"][bit] = "x", one


def _constant_bits(connections: dict[str, Any]) -> list[int]:
    """Address bits that are 0 where a LUT RAM reads and where it writes."""
    pairs = zip(connections["RAD"], connections["WAD"], strict=True)
    return [bit for bit, (read, write) in enumerate(pairs) if read == write == "0"]


def _add_one(module: dict[str, Any], name: str, net: int) -> None:
    """Add a lookup table whose output is 1."""
    connections = {**{pin: ["0"] for pin in "ABCD"}, "Z": [net]}
    module["cells"][name] = {**_ONE, "attributes": {}, "connections": connections}
    module["netnames"][name] = {"hide_name": 0, "bits": [net], "attributes": {}}
