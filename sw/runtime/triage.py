# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom: reads a stuck chip through its debug port and writes it up as a table."""

from collections.abc import Callable

from hw.arch.commands import COMMANDS, Opcode, decode, is_long
from hw.arch.csr import DebugSpace
from hw.arch.units import State, Unit
from hw.config import ChipConfig

__all__ = ["DebugRead", "command_text", "state_text", "triage"]

DebugRead = Callable[[int, int, int], int]
"""(space, index, word) to value."""

_BANK_STATES = ("free", "ready", "open", "closing", "full", "draining", "filling")
_SOURCES = ("core A", "core B", "work queue")
_NEIGHBOUR_WORDS = {
    Unit.RE: "waits for a neighbour on a reduction link",
    Unit.SE: "waits for rows of the reduction engine",
    Unit.MLU: "waits for the dot-product engine to take words",
}


def command_text(opcode: int, tag: int) -> str:
    """A unit's command by name."""
    if opcode == Opcode.NOP:  # no unit runs one: the command that it shows has ended
        return "no command"
    name = COMMANDS[Opcode(opcode)].name if opcode in COMMANDS else f"opcode 0x{opcode:02x}"
    return f"{name} (tag {tag})"


def state_text(unit: Unit, state: int, cb: int = 0, bank: int = 0) -> str:
    """What a unit's state means, in words."""
    words: dict[int, str] = {
        State.IDLE: "idle",
        State.BUSY: "busy",
        State.WAIT_CB_DATA: f"waits for data in CB {cb}",
        State.WAIT_CB_ROOM: f"waits for room in CB {cb}",
        State.WAIT_BANK: f"waits for accumulator bank {bank}",
        State.WAIT_LS: "waits for local memory",
        State.WAIT_MEMORY: "waits for memory to take or answer a request",
        State.WAIT_TAGS: "waits for answers: everything allowed is in flight",
        State.WAIT_HELD: "waits for its held block to load",
        State.WAIT_NEIGHBOUR: _NEIGHBOUR_WORDS.get(unit, "waits for a neighbour"),
        State.HALTED: "halted",
    }
    return words.get(state, f"state {state}")


def _units(read: DebugRead, users: dict[int, list[str]]) -> list[str]:
    lines = []
    for unit in Unit:
        if unit is Unit.CP:
            continue
        first, second, steps = (read(DebugSpace.UNIT, unit, word) for word in range(3))
        state, cb, bank, fill = first & 0xFF, first >> 8 & 0xFF, first >> 16 & 0xFF, first >> 24
        command = command_text(second >> 16 & 0xFF, second & 0xFFFF)
        if state in (State.WAIT_CB_DATA, State.WAIT_CB_ROOM):
            users.setdefault(cb, []).append(unit.name)
        lines.append(
            f"  {unit.name:<10} {state_text(unit, state, cb, bank):<44} {command:<22}"
            f" steps {steps:>8}  queued {fill}"
        )
    return lines


def _buffers(read: DebugRead, n_cbs: int, users: dict[int, list[str]]) -> list[str]:
    lines = []
    for cb in range(n_cbs):
        flags = read(DebugSpace.CB, cb, 3)
        if not flags & 1:
            continue
        extent, produced, consumed, fill = (read(DebugSpace.CB, cb, word) for word in (0, 1, 2, 4))
        producer = Unit(flags >> 8 & 0x7F).name if flags >> 15 & 1 else "nobody yet"
        consumer = Unit(flags >> 16 & 0x7F).name if flags >> 23 & 1 else "nobody yet"
        waiting = f"  <- {', '.join(users[cb])}" if cb in users else ""
        lines.append(
            f"  CB {cb:<3} base {extent & 0xFFFF:>5} depth {extent >> 16:>5}"
            f"  reserve {produced & 0xFFFF:>5} commit {produced >> 16:>5}"
            f" claim {consumed & 0xFFFF:>5} release {consumed >> 16:>5}"
            f"  data {fill & 0xFFFF:>5} room {fill >> 16:>5}"
            f"  {producer} -> {consumer}{waiting}"
        )
    return lines


def _sources(read: DebugRead) -> list[str]:
    lines = []
    for index, name in enumerate(_SOURCES):
        word = read(DebugSpace.SOURCE, index, 0)
        if not word & 1:
            continue
        command = command_text(word >> 8 & 0xFF, word >> 16)
        quad = b"".join(
            read(DebugSpace.SOURCE, index, 1 + n).to_bytes(4, "little") for n in range(4)
        )
        lines.append(f"  {name:<10} {command} waits{_cause(read, word >> 8 & 0xFF, quad)}")
    return lines or ["  no command waits to be issued"]


def _cause(read: DebugRead, opcode: int, quad: bytes) -> str:
    """What a command that is not issued yet waits for."""
    if is_long(opcode):
        return " for room in a unit's queue"
    if opcode == Opcode.WAIT:
        fields = decode(quad)[1]
        counter, found = fields["counter"], read(DebugSpace.COUNTER, fields["counter"], 0)
        return f" until counter {counter} reaches {fields['value']}; it is {found}"
    if opcode == Opcode.FENCE:
        mask = decode(quad)[1]["units"]
        units = [unit.name for unit in Unit if unit is not Unit.CP and mask >> unit & 1]
        return f" until {', '.join(units)} are idle" if units else ""
    return ""


def triage(config: ChipConfig, read: DebugRead) -> str:
    """The state of a stuck element as text: command sources, units, circular buffers, banks.

    Parameters
    ----------
    config : ChipConfig
        For the numbers of CBs and banks.
    read : DebugRead
        Reads one word of the debug port.
    """
    users: dict[int, list[str]] = {}
    units = _units(read, users)
    banks = [
        _BANK_STATES[read(DebugSpace.BANK, bank, 0) % len(_BANK_STATES)]
        for bank in range(config.pe.re.banks)
    ]
    return "\n".join(
        [
            "command sources:",
            *_sources(read),
            "units:",
            *units,
            "circular buffers (64-byte units):",
            *_buffers(read, config.pe.cp.cbs, users),
            "accumulator banks: " + ", ".join(f"{i} {state}" for i, state in enumerate(banks)),
        ]
    )
