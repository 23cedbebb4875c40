# SPDX-License-Identifier: Apache-2.0
"""GTKWave save files: what to show of a waveform, and names in place of numbers.

For a `dump.fst` this writes `dump.gtkw` beside it, and a folder `translate` with one file per
enumeration (opcodes, unit states, traps, bank states, FSM states) and a filter program that shows
FP16, BF16 and FP32 bit patterns as values.
"""

import enum
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pywellen
from vcd.gtkw import GTKWSave

from hw.arch.commands import Opcode
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import State

__all__ = ["fsm_names", "has_instance", "write_save_file"]

_BANK_STATES = ("FREE", "READY", "OPEN", "CLOSING", "FULL", "DRAINING", "FILLING")

_BY_NAME: tuple[tuple[str, int, str], ...] = (
    # (end of the signal's name, width, translation)
    (r"status\.state|(^|\.)state", 4, "state"),
    (r"\.opcode|(^|_)opcode", 8, "opcode"),
    (r"\.cause|(^|_)cause", 8, "trap"),
    (r"states\[\d+\]|bank_state\d*", 3, "bank_state"),
    (r"_format|\.format", 3, "format"),
)
"""Signals that are shown by name wherever they occur."""

_FLOAT_NAMES = re.compile(r"fp32|float_values|partial_fp|f32")
_USUAL = re.compile(
    r"(^|__)(valid|ready|payload)$|^(clk|rst|irq|busy|halt|idle)$|status\.|fsm_state|\.state$"
    r"|states\[\d+\]|opcode|cause"
)
_MOST_SIGNALS = 60
"""Signals shown of one scope; the others are a click away in GTKWave's tree."""


def _tables() -> dict[str, dict[int, str]]:
    """Every enumeration of the architecture: value to name."""

    def table(members: type[enum.IntEnum]) -> dict[int, str]:
        return {int(member): member.name for member in members}

    return {
        "opcode": table(Opcode),
        "state": table(State),
        "trap": table(Trap),
        "format": table(Format),
        "bank_state": dict(enumerate(_BANK_STATES)),
    }


def has_instance(verilog: str, top: str, path: str) -> bool:
    """Whether module `top` of a Verilog text has an instance at `path` (dots between levels)."""
    bodies = dict(re.findall(r"^module (\\?\S+?)\s*\(.*?\n(.*?)^endmodule", verilog, re.M | re.S))
    module = top
    for name in filter(None, path.split(".")):
        pattern = rf"^\s+(\\?\S+)\s+(?:#\(.*?\)\s*)?\\?{re.escape(name)}\s*\("
        found = re.search(pattern, bodies.get(module, ""), re.M)
        if found is None:
            return False
        module = found[1]
    return True


def fsm_names(rtlil: str) -> dict[tuple[str, str], dict[int, str]]:
    """State names of every enumerated wire in Amaranth's RTLIL, by (module, wire)."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    module, values = "", {}
    for line in rtlil.splitlines():
        if match := re.match(r"\s*module \\(\S+)", line):
            module = match[1]
        elif match := re.match(r'\s*attribute \\enum_value_([01]+) "([^"]*)"', line):
            values[int(match[1], 2)] = match[2]
        elif match := re.match(r"\s*wire .*\\(\S+)$", line):
            if values:
                found[module, match[1]] = values
            values = {}
    return found


def write_save_file(
    waves: Path,
    *,
    enumerations: Mapping[tuple[str, str], Mapping[int, str]] | None = None,
    scopes: Iterable[str] = (),
) -> Path:
    """Write `waves` with suffix `.gtkw`; return its path.

    Parameters
    ----------
    waves : Path
        A complete FST or VCD file.
    enumerations : mapping, optional
        From `fsm_names`; modules are named by their instance path, as Amaranth names them.
    scopes : iterable of str
        Instance paths to show first; by default the outermost ones.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    signals = _signals(waves)
    folder = waves.parent / "translate"
    folder.mkdir(exist_ok=True)
    for name, table in _tables().items():
        _write_table(folder / f"{name}.txt", table)
    program = folder / "float.py"
    program.write_text(_FLOAT_FILTER.replace("PYTHON", sys.executable))
    program.chmod(0o755)
    target = waves.with_suffix(".gtkw")
    with target.open("w") as file:
        save = GTKWSave(file)
        save.dumpfile(str(waves.resolve()))
        save.savefile(str(target.resolve()))
        save.size(1500, 900)
        save.signals_width(260)
        _units_first(save, signals, folder)
        for scope in [*scopes, *sorted(signals, key=lambda s: (s.count("."), s))]:
            chosen = [v for v in signals.pop(scope, []) if _USUAL.search(v[0])][:_MOST_SIGNALS]
            if chosen:
                with save.group(scope, closed=scope.count(".") > 0):
                    for leaf, width in chosen:
                        _trace(save, scope, leaf, width, folder, enumerations or {})
    return target


def _units_first(
    save: GTKWSave, signals: Mapping[str, list[tuple[str, int]]], folder: Path
) -> None:
    """An open group that tells what every unit does: its state, command, CB and bank."""
    units = {
        (scope, leaf.removesuffix("state")): dict(leaves)
        for scope, leaves in signals.items()
        for leaf, _ in leaves
        if re.fullmatch(r"(control__)?status\.state", leaf)
    }
    inner = {scope.rpartition(".")[0] for scope, _ in units if scope.rpartition(".")[0]}
    shown = {key: leaves for key, leaves in units.items() if key[0] not in inner}
    if not shown:
        return
    with save.group("units"):
        for (scope, prefix), leaves in sorted(shown.items()):
            # GTKWave shows what is behind the last dot only.
            short = scope.split(".pe.")[-1].removesuffix(".engine").replace(".", "/")
            fields = ("state", "opcode", "cb") + (() if "fi/" in short else ("bank",))
            for field in fields:
                if (leaf := prefix + field) in leaves:
                    _trace(save, scope, leaf, leaves[leaf], folder, {}, f"{short} {field}")


def _signals(waves: Path) -> dict[str, list[tuple[str, int]]]:
    """Scope to its (name, width) pairs; parameters and duplicates left out."""
    found: dict[str, list[tuple[str, int]]] = {}
    file = pywellen.Waveform(str(waves))  # pyright: ignore[reportAttributeAccessIssue]
    for variable in file.all_vars():
        scope, _, leaf = _split(variable.full_name)
        entry = (leaf, variable.bitwidth or 1)
        if entry not in found.setdefault(scope, []):
            found[scope].append(entry)
    return found


def _split(full_name: str) -> tuple[str, str, str]:
    """Scope and name; a field's name keeps its dots, since it is written with a backslash."""
    if "\\" in full_name:
        scope, _, leaf = full_name.partition("\\")
        return scope.rstrip("."), "\\", leaf.strip()
    scope, dot, leaf = full_name.rpartition(".")
    if (match := re.match(r"(.*)\.(\w*(?:status|payload|trap))$", scope)) is not None:
        return match[1], dot, f"{match[2]}.{leaf}"
    return scope, dot, leaf


def _trace(
    save: GTKWSave,
    scope: str,
    leaf: str,
    width: int,
    folder: Path,
    enumerations: Mapping[tuple[str, str], Mapping[int, str]],
    alias: str = "",
) -> None:
    """One line of the save file, with its translation if it has one."""
    alias = alias or leaf
    name = f"{scope}.{leaf}" + (f"[{width - 1}:0]" if width > 1 else "")
    table = enumerations.get((scope, leaf)) or enumerations.get((_without_top(scope), leaf))
    if table:
        path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '_', f'{scope}_{leaf}')}.txt"
        _write_table(path, table)
        save.trace(name, alias=alias, translate_filter_file=str(path.resolve()))
    elif (kind := _kind(leaf, width)) is not None:
        path = (folder / f"{kind}.txt").resolve()
        save.trace(name, alias=alias, translate_filter_file=str(path))
    elif width in (16, 32) and _FLOAT_NAMES.search(leaf):
        save.trace(name, alias=alias, translate_filter_proc=str((folder / "float.py").resolve()))
    else:
        save.trace(name, alias=alias)


def _kind(leaf: str, width: int) -> str | None:
    """The architecture's enumeration that a signal's name and width stand for."""
    for pattern, wanted, kind in _BY_NAME:
        if width == wanted and re.search(f"({pattern})$", leaf):
            return kind
    return None


def _without_top(scope: str) -> str:
    """Verilator's own outermost scope is not part of Amaranth's module names."""
    return scope.partition(".")[2] if scope.startswith("TOP.") else scope


def _write_table(path: Path, table: Mapping[int, str]) -> None:
    """Translate file: value in hexadecimal as GTKWave shows it, then the name."""
    digits = max((len(f"{value:x}") for value in table), default=1)
    lines = []
    for value, name in table.items():
        # GTKWave compares text, and pads to the signal's width.
        lines += [f"{value:0{n}X} {name}" for n in range(len(f"{value:x}"), max(digits, 2) + 1)]
    path.write_text("\n".join(dict.fromkeys(lines)) + "\n")


_FLOAT_FILTER = '''#!PYTHON
"""GTKWave translate process: hexadecimal FP16 or FP32 patterns on stdin, their values on stdout."""
import struct
import sys

for line in sys.stdin:
    text = line.strip()
    try:
        value = struct.unpack(">e" if len(text) == 4 else ">f", bytes.fromhex(text))[0]
        print(f"{value:.6g}", flush=True)
    except (ValueError, struct.error):
        print(text, flush=True)
'''
