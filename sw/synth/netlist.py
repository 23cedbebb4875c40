# SPDX-License-Identifier: Apache-2.0
"""Names and source lines of what is in a netlist.

Registers, memories and carry chains keep theirs through synthesis. A LUT has none: Yosys calls it
after a neighbour, `pointer_TRELLIS_FF_Q_DI_LUT4_Z`, so what stands in front of the capitals is the
signal that it helps to make.
"""

import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hw.fpga.netlist import TOP

__all__ = ["VERILOG_FILE", "Name", "Netlist", "without_indices"]

VERILOG_FILE = "design.v"
"""Hand-written modules of a design, in the folder in which Yosys runs."""

_BIT = re.compile(r"^(.*)\[(\d+)\]$")
_DERIVED = re.compile(r"^(.+?)_[A-Z][A-Z0-9]*(?:[_\[$].*)?$")
_INDICES = re.compile(r"(\.\d+)+$")
_UNNAMED = re.compile(r"(?:^|\.)\\?\$")
_NAMED_CELLS = ("TRELLIS_FF", "TRELLIS_DPR16X4", "DP16KD", "PDPW16KD", "MULT18X18D")
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
    """Yosys's JSON netlist of a flat design, and what was declared where in Amaranth's.

    Of a register that is wired to a port of a part, Yosys often keeps the port's name alone. The
    line where the register is declared stays, and leads back to its own name.
    """

    def __init__(self, path: Path, design: Path) -> None:
        module = json.loads(path.read_text())["modules"][TOP]
        self._cells: dict[str, Any] = module["cells"]
        self._nets: dict[str, Any] = module["netnames"]
        self._declared = _declarations(design.read_text())

    def cell_type(self, cell: str) -> str:
        """Type of a cell; nextpnr appends to names of cells that it splits."""
        return self._cell(cell).get("type", "")

    @property
    def cells(self) -> dict[str, Any]:
        """Every cell as Yosys writes it."""
        return self._cells

    @property
    def cell_types(self) -> dict[str, str]:
        """Name to type of every cell."""
        return {name: cell["type"] for name, cell in self._cells.items()}

    def named_scope(self, cell: str) -> str | None:
        """The part that a register, memory or multiplier is in; None for logic."""
        kind = self._cells[cell]["type"]
        if kind not in _NAMED_CELLS:
            return None
        name = self.register(cell).name if kind == "TRELLIS_FF" else cell
        while "." in name:
            name = name.rpartition(".")[0]
            if name in self._scopes:
                return name
        return ""

    def neighbours(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The cells that each cell drives, and those by which it is driven."""
        drivers: dict[int, str] = {}
        ports = [
            (name, cell["port_directions"].get(port) == "output", bits)
            for name, cell in self._cells.items()
            for port, bits in cell["connections"].items()
        ]
        for name, is_output, bits in ports:
            if is_output:
                drivers.update((bit, name) for bit in bits if isinstance(bit, int))
        readers: dict[str, list[str]] = {}
        sources: dict[str, list[str]] = {}
        for name, is_output, bits in ports:
            for bit in () if is_output else bits:
                if bit in drivers:
                    readers.setdefault(drivers[bit], []).append(name)
                    sources.setdefault(name, []).append(drivers[bit])
        return readers, sources

    def register(self, cell: str) -> Name:
        """What a path begins or ends at."""
        name = self._register(cell)
        return replace(name, source=self.amaranth_line(name.source, cell))

    def _register(self, cell: str) -> Name:
        found = self._cell(cell)
        source = _own_source(found)
        if found.get("type") == "TRELLIS_FF":
            for bit in found["connections"].get("Q", []):
                return self._best(bit, source)
        plain = _DERIVED.sub(r"\1", cell)
        return Name(without_indices(plain), source or self._source_of(plain))

    def net(self, name: str) -> Name:
        """A net between two cells."""
        bits = self._bits_of(name)
        found = self._near(name) if bits is None else self._best(bits, "")
        return replace(found, source=self.amaranth_line(found.source, found.name))

    def line(self, cell: str) -> str:
        """Where the expression stands that became a cell; empty for most LUTs."""
        return self.amaranth_line(_own_source(self._cell(cell)), cell)

    def amaranth_line(self, source: str, path: str) -> str:
        """The line `source` of what is called `path`; for what is in a hand-written module, whose
        file is gone when Yosys is done, the line of the module's instance."""
        scope = path
        while scope and source.startswith(f"{VERILOG_FILE}:"):
            scope = scope.rpartition(".")[0]
            if scope in self._scopes:
                source = self._cells[scope].get("attributes", {}).get("cell_src", source)
        return source

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
        """Of all names of a bit the one that tells most; `source` is the register's line."""
        aliases = self._aliases.get(bit, [])
        declared = [
            name
            for name in aliases
            if _own_source(self._nets[name]) and not _DERIVED.match(name.rpartition(".")[2])
        ]
        same = [name for name in declared if _own_source(self._nets[name]) == source]
        for group in (same, [n for n in declared if not self._is_library(n)], declared):
            if group:
                best = max(group, key=lambda name: (name.count("."), -len(name)))
                shown = self._indexed(best, bit)
                if source and not same:
                    return self._declared_above(best, source) or Name(shown, source)
                return Name(shown, _own_source(self._nets[best]))
        return self._near(min(aliases, key=len)) if aliases else Name("?", source, False)

    def _declared_above(self, alias: str, source: str) -> Name | None:
        """What is declared in line `source` of a part that holds `alias`."""
        scope = alias
        while scope:
            scope = scope.rpartition(".")[0]
            names = self._declared.get((scope, source), [])
            if names:
                own = f"{scope}.{names[0]}" if scope else names[0]
                return Name(own, source, exact=len(names) == 1)
        return None

    def _near(self, name: str) -> Name:
        """A name that Yosys made from a neighbour's."""
        match = _DERIVED.match(name)
        plain = without_indices(match[1] if match is not None else name)
        shown = "an unnamed value" if _UNNAMED.search(plain) else plain
        return Name(shown, self._source_of(plain), match is None)

    def _source_of(self, name: str) -> str:
        """Where a net, or a memory of this name, is declared."""
        for plain in (name, _BIT.sub(r"\1", name)):  # an element of an array has an index, too
            for items in (self._nets, self._cells):
                source = _own_source(items.get(plain, {}))
                if source:
                    return source
        return ""

    def _is_library(self, name: str) -> bool:
        return _own_source(self._nets[name]).startswith(_LIBRARY)

    def _indexed(self, name: str, bit: int) -> str:
        bits = self._nets[name]["bits"]
        return name if len(bits) == 1 else f"{name}[{bits.index(bit)}]"

    @cached_property
    def _scopes(self) -> set[str]:
        """Every part of the design, which is flat, by its path."""
        return {name for name, cell in self._cells.items() if cell["type"] == "$scopeinfo"}

    @cached_property
    def _aliases(self) -> dict[int, list[str]]:
        """Names of each bit."""
        found: dict[int, list[str]] = {}
        for name, net in self._nets.items():
            for bit in net["bits"]:
                if isinstance(bit, int):
                    found.setdefault(bit, []).append(name)
        return found


def without_indices(name: str) -> str:
    """A memory's name without what Yosys appends where it takes several cells."""
    return _INDICES.sub("", name)


def _declarations(design: str) -> dict[tuple[str, str], list[str]]:
    """Wires of Amaranth's netlist by the path of their part and their line."""
    found: dict[tuple[str, str], list[str]] = {}
    scope, source = "", ""
    for line in design.splitlines():
        if line.startswith("module "):
            scope = line.removeprefix(f"module \\{TOP}").removeprefix(".")
        elif line.startswith("  attribute \\src "):
            source = line.split('"')[1]
        elif line.startswith("  wire ") and source:
            name = line.rpartition("\\")[2]
            if "$" not in name:
                found.setdefault((scope, source), []).append(name)
            source = ""
    return found


def _own_source(item: Any) -> str:
    """The line of ours, or of Amaranth's library, from which a cell or net comes."""
    places = item.get("attributes", {}).get("src", "").split("|")
    known = [place for place in places if place and not place.startswith("/")]
    ours = [place for place in known if not place.startswith(_LIBRARY)]
    return (ours or known or [""])[0].partition("-")[0]
