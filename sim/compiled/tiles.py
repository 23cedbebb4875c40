# SPDX-License-Identifier: Apache-2.0
"""Cuts a grid's Verilog in two, so that its tile is built once and runs once for each place.

Verilator makes C++ for every instance of a module that it does not inline, and its hierarchical
blocks take every output for a function of every input, which in a grid is a loop. A tile's outputs
come from registers (but for `ready` of the reduction links), so the harness can do without: it
clocks one model of the rest of the chip and as many of the tile as there are, and carries values
between them once in a phase of the clock.
"""

import dataclasses
import re
from collections.abc import Iterator

__all__ = ["TileSplit", "split_tiles"]

_MODULE = re.compile(r"^module (\\\S+|\w+).*?^endmodule\n", re.DOTALL | re.MULTILINE)
_PORT = re.compile(r"^  (input|output) (\[\d+:0\] )?(\w+);$", re.MULTILINE)
_INSTANCE = r"^\s+(\\\S+|\w+)\s+(?:#\([^;]*?\)\s*)?(\\\S+|\w+)\s*\("


@dataclasses.dataclass(frozen=True, kw_only=True)
class TileSplit:
    """A chip in two parts."""

    module: str
    """Name of the tile's module."""
    tile: str
    """Verilog of the tile with every module it needs."""
    shell: str
    """Verilog of the rest: in place of each tile there is an empty module, whose outputs the
    harness sets and whose inputs it reads."""
    places: tuple[str, ...]
    """Instances of the tile."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Ports of the tile, without the clock."""

    def header(self, top: str) -> str:
        """C++ macros: `TILES(X)`, and `TILE_INPUTS(X, PLACE)` and `TILE_OUTPUTS(X, PLACE)`, which
        give each port's name in the tile and that of its wire in module `top`'s model."""
        lines = [
            f"#define N_TILES {len(self.places)}",
            "#define TILES(X) " + " ".join(f"X({place})" for place in self.places),
        ]
        for kind, ports in (("INPUTS", self.inputs), ("OUTPUTS", self.outputs)):
            uses = [
                f"X({port}, {top}__DOT__##PLACE##__DOT__{port})" for port in map(_encoded, ports)
            ]
            lines.append(f"#define TILE_{kind}(X, PLACE) " + " ".join(uses))
        return "\n".join([*lines, ""])


def split_tiles(verilog: str, *, top: str, tile: str, clock: str) -> TileSplit:
    """Cut the Verilog of module `top`, which has instances of module `tile`, in two.

    Raises
    ------
    ValueError
        If there is no instance, or a module below `top` other than `top` itself has one.
    """
    modules = {match[1]: match[0] for match in _MODULE.finditer(verilog)}
    places = [place for module, place in _instances(modules[top]) if module == tile]
    outside = _needed(modules, top, without=tile)
    strangers = [
        name
        for name in outside - {top}
        if any(module == tile for module, _ in _instances(modules[name]))
    ]
    if not places or strangers:
        raise ValueError(f"Module {tile!r} must have instances in module {top!r}, and there only.")
    ports = [match.groups(default="") for match in _PORT.finditer(modules[tile])]
    inside = _needed(modules, tile)
    return TileSplit(
        module=tile,
        tile="".join(text for name, text in modules.items() if name in inside),
        shell="".join(text for name, text in modules.items() if name in outside)
        + _empty_module(tile, ports),
        places=tuple(places),
        inputs=tuple(name for kind, _, name in ports if kind == "input" and name != clock),
        outputs=tuple(name for kind, _, name in ports if kind == "output"),
    )


def _instances(module: str) -> Iterator[tuple[str, str]]:
    """Module and name of each instance in a module's text."""
    for match in re.finditer(_INSTANCE, module, re.MULTILINE):
        yield match[1], match[2]


def _needed(modules: dict[str, str], first: str, *, without: str = "") -> set[str]:
    """Names of module `first` and of all that its instances need."""
    found: set[str] = set()
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            below = {module for module, _ in _instances(modules[name])}
            waiting += [module for module in below if module in modules and module != without]
    return found


def _empty_module(name: str, ports: list[tuple[str, ...]]) -> str:
    """A module whose ports are variables that C++ sees; inlined, so that their names are known."""
    kinds = {
        "input": ("input wire", "public_flat_rd"),
        "output": ("output reg", "public_flat_rw"),
    }
    lines = [
        f"  {kinds[kind][0]} {width}{port} /*verilator {kinds[kind][1]}*/"
        for kind, width, port in ports
    ]
    return f"module {name}(\n" + ",\n".join(lines) + "\n); /*verilator inline_module*/\nendmodule\n"


def _encoded(name: str) -> str:
    """The name in C++: Verilator writes the second of two underscores as its code."""
    return name.replace("__", "___05F")
