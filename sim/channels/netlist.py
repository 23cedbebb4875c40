# SPDX-License-Identifier: Apache-2.0
"""A hierarchical netlist that is walked backwards, one bit at a time, without being flattened.

Modules are read once, however many instances there are, so a grid of equal tiles costs one tile.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sim.channels.names import Role, StreamNames, Wire

__all__ = ["Bit", "Instance", "Net", "Netlist", "Part"]

Bit = int | str
"""A bit of a module: Yosys's number, or a constant's digit."""

_BITWISE = ("$not", "$and", "$or", "$xor", "$xnor", "$pos")


@dataclass(frozen=True, eq=False)
class Part:
    """A module of the netlist as Yosys's JSON has it."""

    name: str
    raw: Mapping[str, Any] = field(repr=False)
    wires: Mapping[str, Wire] = field(repr=False)
    """What named wires are."""
    is_piece: bool
    """Paths of streams begin here."""

    @property
    def is_box(self) -> bool:
        """Nothing is known of its inside."""
        return "blackbox" in self.raw["attributes"]

    @cached_property
    def ports(self) -> dict[str, list[Bit]]:
        """Bits of each port."""
        return {name: port["bits"] for name, port in self.raw["ports"].items()}

    @cached_property
    def inputs(self) -> dict[Bit, tuple[str, int]]:
        """Port and position of each bit that comes from outside."""
        return {
            bit: (name, at)
            for name, port in self.raw["ports"].items()
            if port["direction"] == "input"
            for at, bit in enumerate(port["bits"])
        }

    @cached_property
    def drivers(self) -> dict[Bit, tuple[str, str, int]]:
        """Cell, port and position that drive each other bit."""
        return {
            bit: (name, port, at)
            for name, cell in self.raw["cells"].items()
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output"
            for at, bit in enumerate(bits)
        }

    @cached_property
    def meanings(self) -> dict[Bit, list[Wire]]:
        """What each bit is to streams."""
        found: dict[Bit, list[Wire]] = {}
        for name, wire in self.wires.items():
            for bit in self.raw["netnames"].get(name, {"bits": []})["bits"]:
                found.setdefault(bit, []).append(wire)
        return found

    @cached_property
    def _resets(self) -> set[Bit]:
        """Bits that put registers back to where they began."""
        nets = self.raw["netnames"].items()
        found = [net["bits"] for name, net in nets if name == "rst" or name.endswith("_rst")]
        return {bit for bits in found for bit in bits}

    def roles(self, bit: Bit) -> set[Role]:
        """What a bit is to streams; a reset is where to end."""
        roles = {wire.role for wire in self.meanings.get(bit, ())}
        return roles | {Role.CUT} if bit in self._resets else roles

    def cell(self, name: str) -> Mapping[str, Any]:
        """A cell."""
        return self.raw["cells"][name]


@dataclass(eq=False)
class Instance:
    """A module at one place of the hierarchy."""

    path: str
    part: Part
    parent: "Instance | None" = None
    cell: str = ""
    children: dict[str, "Instance"] = field(default_factory=dict)

    def name_of(self, wire: Wire) -> str:
        """Path of a stream from the top, of which one of this module's wires is a part."""
        piece = self
        while not piece.part.is_piece and piece.parent is not None:
            piece = piece.parent
        return f"{piece.path}.{wire.stream}".strip(".")


Net = tuple[Instance, Bit]
"""A bit at one place."""


class Netlist:
    """The hierarchy below one module.

    Parameters
    ----------
    text : str
        What Yosys's `write_json` wrote after `proc`.
    top : str
        The module at the top.
    names : StreamNames
        Which wires are streams'.
    """

    def __init__(self, text: str, top: str, names: StreamNames) -> None:
        self.parts = {
            name: Part(name, raw, names.wires.get(name, {}), name in names.pieces)
            for name, raw in json.loads(text)["modules"].items()
        }
        self.top = self._place(Instance("", self.parts[top]))

    def _place(self, at: Instance) -> Instance:
        """Add the instances below one."""
        for name, cell in at.part.raw["cells"].items():
            part = self.parts.get(cell["type"])
            if part is not None:
                path = f"{at.path}.{name}" if at.path else name
                at.children[name] = self._place(Instance(path, part, at, name))
        return at

    def instances(self) -> Iterator[Instance]:
        """All, from the top down."""
        waiting = [self.top]
        while waiting:
            at = waiting.pop()
            yield at
            waiting += at.children.values()

    def levels(self, net: Net) -> Iterator[Net]:
        """The same bit under all names it has on its way back to what drives it, that one last.

        The last is driven by a cell, by a box, from outside of the top, or is a constant.
        """
        at, bit = net
        while True:
            yield at, bit
            if bit in at.part.inputs and at.parent is not None:
                port, index = at.part.inputs[bit]
                at, bit = at.parent, at.parent.part.cell(at.cell)["connections"][port][index]
                continue
            cell, port, index = at.part.drivers.get(bit, ("", "", 0))
            below = at.children.get(cell)
            if below is None:
                return
            at, bit = below, below.part.ports[port][index]
            if below.part.is_box:
                yield at, bit
                return

    def driver(self, net: Net) -> Net:
        """Where a bit is made; equal for all names of one bit."""
        *_, last = self.levels(net)
        return last

    def sources(self, net: Net) -> Iterator[Net]:
        """The bits that decide about a driven bit: in this cycle, or of a register in the next."""
        at, bit = net
        if at.part.is_box or bit not in at.part.drivers:
            return
        name, _port, index = at.part.drivers[bit]
        for source in _deciding(at.part.cell(name), index):
            if not isinstance(source, str):
                yield at, source


def _deciding(cell: Mapping[str, Any], index: int) -> list[Bit]:
    """The bits of a cell's inputs on which bit `index` of its output depends."""
    kind, pins = cell["type"], cell["connections"]
    if kind.startswith("$") and "ff" in kind:  # clock and reset left out
        return [pins["D"][index], *pins.get("EN", [])]
    if kind == "$mux":
        return [pins["A"][index], pins["B"][index], *pins["S"]]
    if kind == "$pmux":
        return [pins["A"][index], *pins["B"][index :: len(pins["A"])], *pins["S"]]
    inputs = [pins[name] for name, way in cell["port_directions"].items() if way == "input"]
    if kind in _BITWISE:
        return [bits[min(index, len(bits) - 1)] for bits in inputs]
    return [bit for bits in inputs for bit in bits]
