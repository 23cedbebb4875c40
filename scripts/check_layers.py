# SPDX-License-Identifier: Apache-2.0
"""Check who imports whom: definitions stand alone, models never see RTL, RTL never sees tests.

Prints one line per forbidden import; the exit code is their number, at most 1.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["RULES", "forbidden_imports", "main"]

ROOT = Path(__file__).resolve().parents[1]

RULES: dict[str, tuple[str, ...]] = {
    "hw.arch": ("hw.arch",),
    "hw.config": ("hw.config", "hw.arch"),
    "hw": ("hw",),
    "sim.golden": ("sim.golden", "hw.arch", "hw.config"),
    "sim": ("sim", "hw"),
    "sw": ("sw", "sim", "hw.arch", "hw.config"),
    "sw.synth": ("sw", "sim", "hw"),
    "sw.cli": ("sw", "sim", "hw"),
    "tb": ("scripts", "tb", "sw", "sim", "hw"),
    "scripts": ("scripts", "tb", "sw", "sim", "hw"),
}
"""Folder to what it may import of ours; the longest name that fits a file counts."""

_OURS = ("hw", "sim", "sw", "tb", "scripts")


def forbidden_imports(root: Path) -> list[str]:
    """One line for each import that the rules do not allow."""
    faults: list[str] = []
    for top in _OURS:
        for path in sorted((root / top).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            allowed = RULES[max((rule for rule in RULES if _is_in(module, rule)), key=len)]
            for line, name in _imports(ast.parse(path.read_text(), str(path)), module):
                ours = name.partition(".")[0] in _OURS
                if ours and not any(_is_in(name, prefix) for prefix in allowed):
                    where = f"{path.relative_to(root)}:{line}"
                    faults.append(f"{where}: {module} may not import {name}")
    return faults


def _imports(tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:  # `from hw import arch` names a folder too
                yield node.lineno, f"{base}.{alias.name}"


def _is_in(name: str, prefix: str) -> bool:
    """Whether a dotted name is `prefix` or below it."""
    return name == prefix or name.startswith(f"{prefix}.")


def main() -> int:
    """Print the faults."""
    faults = forbidden_imports(ROOT)
    print("\n".join(faults) or "layers: every import is allowed")
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
