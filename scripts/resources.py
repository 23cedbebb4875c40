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
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hw.fpga.devices import DEFAULT_DEVICE, get_device
from sw.errors import UserError
from sw.synth.area import AREA_TITLES, Area
from sw.synth.synthesis import synthesise

__all__ = ["ResourceError", "figures_of", "find_points", "main"]

Factory = Callable[[], Any]


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


def figures_of(factory: Factory) -> Area:
    """Figures of one component, after synthesis for the ECP5."""
    return synthesise(factory(), get_device(DEFAULT_DEVICE)).area


def _show(figures: dict[str, Area]) -> None:
    table = Table("component", title="Lattice ECP5, out of context")
    for title in AREA_TITLES.values():
        table.add_column(title, justify="right")
    for name, area in figures.items():
        table.add_row(name, *(f"{number:,}" for number in area.to_dict().values()))
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
        figures = {name: figures_of(factory) for name, factory in points}
    except (ResourceError, UserError, TypeError, ValueError) as error:
        print(f"resources: {error}", file=sys.stderr)
        return 1
    _show(figures)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: area.to_dict() for name, area in figures.items()}, indent=2)
        options.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
