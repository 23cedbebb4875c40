# SPDX-License-Identifier: Apache-2.0
"""Names and source lines of what is in a netlist.

Registers, memories and carry chains keep theirs through synthesis. A LUT has none: Yosys calls it
after a neighbour, `pointer_TRELLIS_FF_Q_DI_LUT4_Z`, so what stands in front of the capitals is the
signal that it helps to make.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hw.fpga.netlist import TOP

__all__ = ["Name", "Netlist"]

_BIT = re.compile(r"^(.*)\[(\d+)\]$")
_DERIVED = re.compile(r"^(.+?)_[A-Z][A-Z0-9]*(?:[_\[$].*)?$")
_LIBRARY = "amaranth/"


@dataclass(frozen=True)
class Name:
    """A register or net as its author knows it."""

    name: str
    source: str = ""
    """`file:line` where it is declared, if known."""
    exact: bool = True
    """False where only a neighbour's name is known."""


class Netlist:
    """Yosys's JSON netlist of a flat design."""

    def __init__(self, path: Path) -> None:
        module = json.loads(path.read_text())["modules"][TOP]
        self._cells: dict[str, Any] = module["cells"]
        self._nets: dict[str, Any] = module["netnames"]

    def cell_type(self, cell: str) -> str:
        """Type of a cell; nextpnr appends to names of cells that it splits."""
        return self._cell(cell).get("type", "")

    @property
    def cell_types(self) -> dict[str, str]:
        """Name to type of every cell."""
        return {name: cell["type"] for name, cell in self._cells.items()}

    def register(self, cell: str) -> Name:
        """What a path begins or ends at."""
        found = self._cell(cell)
        source = _own_source(found)
        if found.get("type") == "TRELLIS_FF":
            for bit in found["connections"].get("Q", []):
                return self._best(bit, source)
        plain = _DERIVED.sub(r"\1", cell)
        return Name(re.sub(r"(\.\d+)+$", "", plain), source or self._source_of(plain))

    def net(self, name: str) -> Name:
        """A net between two cells."""
        bits = self._bits_of(name)
        if bits is None:
            return self._near(name)
        return self._best(bits, "")

    def line(self, cell: str) -> str:
        """Where the expression stands that became a cell; empty for most LUTs."""
        return _own_source(self._cell(cell))

    def _cell(self, name: str) -> Any:
        while name not in self._cells and "$" in name[1:]:
            name = name[: name.rindex("$")]
        return self._cells.get(name, {})

    def _bits_of(self, name: str) -> int | None:
        """The bit that a name of nextpnr's stands for."""
        match = _BIT.match(name)
        if name in self._nets:
            bits = self._nets[name]["bits"]
            return bits[0] if bits and isinstance(bits[0], int) else None
        if match is not None and match[1] in self._nets:
            bits, index = self._nets[match[1]]["bits"], int(match[2])
            return bits[index] if index < len(bits) and isinstance(bits[index], int) else None
        return None

    def _best(self, bit: int, source: str) -> Name:
        """Of all names of a bit the one that tells most: declared in a line, the deepest first."""
        aliases = self._aliases.get(bit, [])
        declared = [name for name in aliases if _own_source(self._nets[name])]
        same = [name for name in declared if _own_source(self._nets[name]) == source]
        for group in (same, [n for n in declared if not self._is_library(n)], declared):
            if group:
                best = max(group, key=lambda name: (name.count("."), -len(name)))
                return Name(self._indexed(best, bit), _own_source(self._nets[best]))
        return self._near(min(aliases, key=len)) if aliases else Name("?", source, False)

    def _near(self, name: str) -> Name:
        """A name that Yosys made from a neighbour's."""
        match = _DERIVED.match(name)
        plain = match[1] if match is not None else name
        shown = "an unnamed value" if "$" in plain else plain
        return Name(shown, self._source_of(plain), match is None)

    def _source_of(self, name: str) -> str:
        """Where a net, or a memory of this name, is declared."""
        plain = _BIT.sub(r"\1", name)
        return _own_source(self._nets.get(plain, {})) or _own_source(self._cells.get(plain, {}))

    def _is_library(self, name: str) -> bool:
        return _own_source(self._nets[name]).startswith(_LIBRARY)

    def _indexed(self, name: str, bit: int) -> str:
        bits = self._nets[name]["bits"]
        return name if len(bits) == 1 else f"{name}[{bits.index(bit)}]"

    @cached_property
    def _aliases(self) -> dict[int, list[str]]:
        """Names of each bit."""
        found: dict[int, list[str]] = {}
        for name, net in self._nets.items():
            for bit in net["bits"]:
                if isinstance(bit, int):
                    found.setdefault(bit, []).append(name)
        return found


def _own_source(item: Any) -> str:
    """The line of ours, or of Amaranth's library, from which a cell or net comes."""
    places = item.get("attributes", {}).get("src", "").split("|")
    ours = [place for place in places if place and not place.startswith("/")]
    return ours[0].partition("-")[0] if ours else ""
