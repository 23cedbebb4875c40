# SPDX-License-Identifier: Apache-2.0
"""The area of a design by its parts.

A flat netlist has no parts any more, so the parts come from a second synthesis that keeps the
boundaries of the upper levels. Nothing is optimised across these, and the sum is a little larger;
`AreaTree.excess` says by how much.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hw.fpga.devices import Device
from hw.fpga.netlist import TOP, FpgaNetlist
from sw.synth.area import Area
from sw.synth.progress import Progress
from sw.synth.synthesis import Synthesis, synthesise_netlist

__all__ = ["AreaTree", "Part", "area_tree", "kept_modules"]

_MODULE = re.compile(r"^module \\(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """A module with everything below it."""

    name: str
    area: Area
    parts: list["Part"] = field(default_factory=list)

    @property
    def own(self) -> Area:
        """What it takes apart from its parts."""
        own = self.area
        for part in self.parts:
            own = own - part.area
        return own

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


@dataclass(frozen=True)
class AreaTree:
    """Parts of a design, and how they compare with the design in one piece."""

    root: Part
    flat: Area

    @property
    def excess(self) -> float:
        """By which part of the flat design's LUTs the sum of the parts is larger."""
        return self.root.area.lut / max(self.flat.lut, 1) - 1


def area_tree(
    netlist: FpgaNetlist,
    device: Device,
    flat: Synthesis,
    *,
    depth: int,
    name: str,
    progress: Progress | None = None,
) -> AreaTree:
    """Synthesise with boundaries down to `depth` below the top, and add up."""
    keep = kept_modules(netlist, depth)
    kept = synthesise_netlist(netlist, device, keep=keep, progress=progress)
    modules = {
        name.removeprefix("\\"): {
            kind.removeprefix("\\"): number for kind, number in module["num_cells_by_type"].items()
        }
        for name, module in kept.statistics["modules"].items()
    }
    return AreaTree(_part(TOP, name, modules), flat.area)


def kept_modules(netlist: FpgaNetlist, depth: int) -> list[str]:
    """Modules down to `depth` below the top, and those that are there once for many places."""
    names = _MODULE.findall(netlist.rtlil)
    return [name for name in names if name != TOP and name.count(".") <= depth]


def _part(module: str, name: str, modules: Mapping[str, Mapping[str, int]]) -> Part:
    """A module and all below it; equal ones are one part with their number."""
    cells = modules[module]
    parts = []
    for kind, number in cells.items():
        if kind in modules:
            short = kind.rpartition(".")[2]
            parts += [_part(kind, short, modules)] * number
    area = Area.of_cells(cells)
    for part in parts:
        area = area + part.area
    return Part(name, area, sorted(parts, key=lambda part: -part.area.lut))
