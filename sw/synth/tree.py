# SPDX-License-Identifier: Apache-2.0
"""The area of a design by its parts, counted in the flat netlist that is placed.

A second synthesis that keeps the parts' boundaries would count a quarter more LUTs, for nothing is
optimised across them. So every cell of the flat netlist is given to a part. Registers, memories and
multipliers keep their names. Logic that all comes from one part, or all goes to one, counts for
that part; what comes from several and goes to several, for the part in which these are.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sw.synth.area import Area
from sw.synth.netlist import Netlist

__all__ = ["Part", "area_tree"]

_NUMBER = re.compile(r"\$\d+$")
"""What Amaranth appends to a name that something else in the same part has."""


@dataclass
class Part:
    """A part of the design with everything below it."""

    name: str
    area: Area = field(default_factory=Area)
    parts: list["Part"] = field(default_factory=list)

    @property
    def own_area(self) -> Area:
        """What of it is in none of its parts."""
        return self.area - sum((part.area for part in self.parts), Area())

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "Part"]]:
        """It and all below it, with their depths, in the order of a table."""
        yield depth, self
        for part in self.parts:
            yield from part.walk(depth + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary."""
        return {
            "name": self.name,
            **self.area.to_dict(),
            "parts": [part.to_dict() for part in self.parts],
        }


def area_tree(netlist: Netlist, *, depth: int, name: str) -> Part:
    """Every cell in its part, down to `depth` below the top."""
    cells: dict[str, Counter[str]] = {}
    types = netlist.cell_types
    for cell, scope in _owners(netlist).items():
        words = scope.split(".")[:depth] if scope else []
        for length in range(len(words) + 1):
            cells.setdefault(".".join(words[:length]), Counter())[types[cell]] += 1
    return _part("", name, cells)


def _part(path: str, name: str, cells: dict[str, Counter[str]]) -> Part:
    """A part and all below it, the largest first."""
    prefix = f"{path}." if path else ""
    below = [
        scope
        for scope in cells
        if scope and scope.startswith(prefix) and "." not in scope.removeprefix(prefix)
    ]
    names = _plain([scope.removeprefix(prefix) for scope in below])
    parts = [_part(scope, name, cells) for scope, name in zip(below, names, strict=True)]
    area = Area.of_cells(cells.get(path, Counter()))
    return Part(name, area, sorted(parts, key=lambda part: -part.area.lut))


def _plain(names: list[str]) -> list[str]:
    """Names without numbers, as long as they stay apart."""
    short = [_NUMBER.sub("", name) for name in names]
    return [s if short.count(s) == 1 else name for s, name in zip(short, names, strict=True)]


def _owners(netlist: Netlist) -> dict[str, str]:
    """The part of every cell, empty for the top."""
    named = {
        cell: scope
        for cell in netlist.cell_types
        if (scope := netlist.named_scope(cell)) is not None
    }
    readers, drivers = netlist.neighbours()
    ahead, behind = (_reached(netlist, named, cells) for cells in (readers, drivers))
    return {cell: _deeper(behind[cell], ahead[cell]) for cell in netlist.cell_types}


def _reached(
    netlist: Netlist, named: Mapping[str, str], neighbours: Mapping[str, list[str]]
) -> dict[str, str]:
    """For every cell the part that holds all named cells which it reaches through logic."""
    found = dict(named)
    for start in netlist.cell_types:
        begun, stack = {start}, [start]
        while stack and start not in named:  # cones are too deep to recurse
            cell = stack[-1]
            near = neighbours.get(cell, ())
            left = next((c for c in near if c not in found and c not in begun), None)
            if left is not None:
                begun.add(left)
                stack.append(left)
            else:
                found[cell] = _common({found[c] for c in near if c in found})
                stack.pop()
    return found


def _common(scopes: Collection[str]) -> str:
    """The deepest part that holds all of these."""
    return ".".join(os.path.commonprefix([scope.split(".") for scope in scopes]))


def _deeper(first: str, second: str) -> str:
    """The deeper one of two parts, the first if they are as deep."""
    depths = [scope.count(".") + 1 if scope else 0 for scope in (first, second)]
    return first if depths[0] >= depths[1] else second
