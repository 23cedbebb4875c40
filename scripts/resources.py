# SPDX-License-Identifier: Apache-2.0
"""Resource figures of single components: what each takes of a Lattice ECP5, out of context.

    python scripts/resources.py hw.lib.ecc                          all points of a module
    python scripts/resources.py hw.lib.ecc:SecdedDecoder            one component or point
    python scripts/resources.py hw.lib.elastic:StreamFifo shape=8 depth=4
    python scripts/resources.py hw.lib --json build/resources.json

A module offers points by a dictionary `RESOURCE_POINTS`: name to a function without arguments that
returns the component. A package offers those of its modules.
"""

import argparse
import ast
import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

__all__ = ["ResourceError", "find_points", "main", "synthesise"]

Factory = Callable[[], Any]

_CELLS = {
    "lut4": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
    "ff": {"TRELLIS_FF": 1},
    "lut_ram": {"TRELLIS_DPR16X4": 1},
    "block_ram": {"DP16KD": 1, "PDPW16KD": 1},
    "multiplier": {"MULT18X18D": 1},
}
"""What each figure counts: cell and its share. A carry cell takes two LUTs, a LUT RAM four."""

_TITLES = {
    "lut4": "LUT4",
    "ff": "FF",
    "lut_ram": "LUT RAM 16x4",
    "block_ram": "block RAM 18 Kb",
    "multiplier": "DSP 18x18",
}

# Yosys prints on stdout and keeps state between runs, so each synthesis gets its own process.
_YOSYS_SCRIPT = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


class ResourceError(Exception):
    """The figures cannot be had; the message is one sentence."""


def find_points(target: str, arguments: dict[str, Any]) -> Iterator[tuple[str, Factory]]:
    """Components that `target` names, as pairs of name and factory."""
    path, _, name = target.partition(":")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise ResourceError(f"There is no module {error.name!r}.") from error
    if not name:
        yield from _points_of(module)
        return
    points = getattr(module, "RESOURCE_POINTS", {})
    factory = points.get(name) or getattr(module, name, None)
    if factory is None:
        raise ResourceError(f"Module {path!r} has no component or resource point {name!r}.")
    label = ", ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
    yield label, lambda: factory(**arguments)


def _points_of(module: Any) -> Iterator[tuple[str, Factory]]:
    found = dict(getattr(module, "RESOURCE_POINTS", {}))
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        found |= dict(_points_of(importlib.import_module(f"{module.__name__}.{info.name}")))
    yield from found.items()


def synthesise(factory: Factory) -> dict[str, int]:
    """Figures of one component, after synthesis for the ECP5."""
    from hw.lib.emit_once import module_rtlil  # found through the path above

    netlist, _domains = module_rtlil(factory(), name="top")
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "in.il"), Path(folder, "stat.json")
        source.write_text(netlist)
        script = (
            f"read_rtlil {source}",
            "synth_ecp5 -abc9 -top top",
            f"tee -q -o {result} stat -json",
        )
        command = [sys.executable, "-c", _YOSYS_SCRIPT, *script]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise ResourceError(f"Yosys failed: {run.stderr.strip()[-500:]}")
        cells = json.loads(result.read_text())["design"]["num_cells_by_type"]
    return {
        figure: sum(share * cells.get(cell, 0) for cell, share in shares.items())
        for figure, shares in _CELLS.items()
    }


def _show(figures: dict[str, dict[str, int]]) -> None:
    table = Table("component", title="Lattice ECP5, out of context")
    for title in _TITLES.values():
        table.add_column(title, justify="right")
    for name, row in figures.items():
        table.add_row(name, *(f"{row[figure]:,}" for figure in _TITLES))
    Console().print(table)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ResourceError(f"Argument {text!r} must have the form name=value.")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        raise ResourceError(f"Value of argument {text!r} is no Python literal.") from None


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Resource figures of single components.")
    parser.add_argument("target", help="module, package, or module:component")
    parser.add_argument("arguments", nargs="*", help="constructor arguments, name=value")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    try:
        arguments = dict(map(_argument, options.arguments))
        points = list(find_points(options.target, arguments))
        if not points:
            raise ResourceError(f"Module {options.target!r} has no RESOURCE_POINTS.")
        figures = {name: synthesise(factory) for name, factory in points}
    except (ResourceError, TypeError, ValueError) as error:
        print(f"resources: {error}", file=sys.stderr)
        return 1
    _show(figures)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
