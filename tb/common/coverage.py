# SPDX-License-Identifier: Apache-2.0
"""Functional coverage: which situations the tests brought about, and which they never did.

With `COVERAGE_FOLDER` naming a folder, every process of a run leaves there what it saw: commands
that units or whole elements were given (opcode, formats, options, tails), operands that wrapped,
states that units stalled in, causes of traps. `scripts/coverage_report.py` adds them up. Without
it nothing is recorded.
"""

import atexit
import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hw.arch.codes import FIELD_CODES
from hw.arch.commands import COMMANDS, LayoutOp, Opcode, decode
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import CbPortId, State, Unit

__all__ = [
    "POINTS",
    "cover",
    "cover_command",
    "cover_list",
    "cover_state",
    "cover_trap",
    "cover_wrap",
]

_INTEGERS = (Format.INT8, Format.UINT8)
_OPTIONS = {
    opcode: {field: codes for field, codes in fields.items() if codes is not Format}
    for opcode, fields in FIELD_CODES.items()
}
"""Options whose every value is a point of its own."""
_FLAGS = {
    Opcode.DMA_IN: ("column", "zero_fill", "tail_count", "tail_adv"),
    Opcode.DMA_OUT: ("tail_count",),
    Opcode.MML: ("by_row", "init", "done", "k_tail", "m_tail", "n_tail"),
    Opcode.DRAIN: ("minmax", "m_tail", "n_tail"),
    Opcode.SE_PROGRAM: ("relu", "clamp", "stochastic", "b_pair"),
    Opcode.SIMD: ("accumulate", "tail_count"),
    Opcode.LAYOUT: ("tail_count",),
    Opcode.GATHER: ("zero_fill",),
}
"""Options that are either off or on: both are points."""
_STALLS = {
    Unit.FI_IN_ROW: "CB_ROOM LS MEMORY TAGS",
    Unit.FI_IN_COL: "CB_ROOM LS MEMORY TAGS",
    Unit.FI_OUT: "CB_DATA LS MEMORY TAGS",
    Unit.MLU: "CB_DATA CB_ROOM LS",
    Unit.DPE: "CB_DATA BANK LS HELD",
    Unit.RE: "CB_DATA CB_ROOM BANK LS NEIGHBOUR",
    Unit.SE: "CB_DATA CB_ROOM LS NEIGHBOUR",
}
"""Stalls that each unit can have."""


def _points() -> Iterator[str]:
    """Every point by name."""
    for opcode in Opcode:
        yield f"command {opcode.name}"
    for a in _INTEGERS:
        yield from (f"MML {a.name} x {b.name}" for b in _INTEGERS)
    yield from (f"MML {fmt.name} x {fmt.name}" for fmt in (Format.FP16, Format.BF16))
    yield from (f"DRAIN format {fmt.name}" for fmt in (Format.INT32, Format.FP32))
    for fmt in Format:
        yield f"SE_PROGRAM a {fmt.name}"
        yield f"SE_PROGRAM out {fmt.name}"
    yield from (f"LAYOUT TRANSPOSE of {4 << size} bits" for size in range(4))
    for opcode, options in _OPTIONS.items():
        for field, codes in options.items():
            yield from (f"{opcode.name} {field} {code.name}" for code in codes)
    for opcode, fields in _FLAGS.items():
        yield from (f"{opcode.name} {field} {on}" for field in fields for on in ("off", "on"))
    for port in CbPortId:
        yield f"wrap {port.name}"
    for unit, stalls in _STALLS.items():
        yield f"state {unit.name} BUSY"
        yield from (f"state {unit.name} WAIT_{stall}" for stall in stalls.split())
    yield from (f"trap {cause.name}" for cause in Trap if cause != Trap.NONE)


POINTS: tuple[str, ...] = tuple(_points())
"""What should be seen at least once."""


@cache
def _seen() -> Counter[str]:
    """Counts of this process, written when it ends."""
    counts: Counter[str] = Counter()
    folder = os.environ.get("COVERAGE_FOLDER", "0")
    if folder != "0":
        path = Path(folder) / f"{os.getpid()}_{secrets.token_hex(4)}.json"
        atexit.register(lambda: path.parent.is_dir() and path.write_text(json.dumps(counts)))
    return counts


def cover(point: str) -> None:
    """Something happened."""
    _seen()[point] += 1


def cover_command(command: bytes) -> None:
    """A unit or an element was given this command; what cannot be decoded counts as a trap."""
    try:
        kind, values = decode(command)
    except ValueError:
        return
    opcode = kind.opcode
    cover(f"command {opcode.name}")
    for name in _names(opcode, values):
        cover(name)


def _names(opcode: Opcode, values: dict[str, int]) -> Iterator[str]:
    def format_name(field: str) -> str:
        code = values[field]
        return Format(code).name if code in set(Format) else "illegal"

    match opcode:
        case Opcode.MML:
            yield f"MML {format_name('a_format')} x {format_name('b_format')}"
        case Opcode.DRAIN:
            yield f"DRAIN format {format_name('format')}"
        case Opcode.SE_PROGRAM:
            yield f"SE_PROGRAM a {format_name('a_format')}"
            yield f"SE_PROGRAM out {format_name('out_format')}"
        case Opcode.LAYOUT if values["operation"] == LayoutOp.TRANSPOSE:
            yield f"LAYOUT TRANSPOSE of {4 << values['element']} bits"
    for field, codes in _OPTIONS.get(opcode, {}).items():
        if values[field] in set(codes):
            yield f"{opcode.name} {field} {codes(values[field]).name}"
    for field in _FLAGS.get(opcode, ()):
        yield f"{opcode.name} {field} {'on' if values[field] else 'off'}"


def cover_list(commands: bytes) -> None:
    """An element was given this command list."""
    position = 0
    while position < len(commands) and commands[position] in COMMANDS:
        size = COMMANDS[Opcode(commands[position])].bits // 8
        cover_command(commands[position : position + size])
        position += size


def cover_state(unit: Unit, state: int) -> None:
    """A unit was in this state."""
    if state in set(State):
        cover(f"state {unit.name} {State(state).name}")


def cover_trap(report: int) -> None:
    """A unit shows these bits of a `TrapReport`: valid, then the cause."""
    if report & 1 and (cause := report >> 1 & 0xFF) in set(Trap):
        cover(f"trap {Trap(cause).name}")


def cover_wrap(top: str, port: str) -> None:
    """A step at this buffer port of bench `top` reached beyond the buffer's end."""
    name = port.removeprefix("cb_").upper()
    unit = top.split("_")[0].upper()
    for candidate in (name, f"{unit}_{name}"):
        if candidate in CbPortId.__members__:
            cover(f"wrap {candidate}")
            return
