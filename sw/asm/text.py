# SPDX-License-Identifier: Apache-2.0
"""Command lists as text: one command a line, `mnemonic field=value ...`, `#` starts a comment.

::

    cb cb=1 base=0x40 depth=16
    dma_in cb=1 mem_addr=0x1000 count0=64 step_level=1 adv_level=1 need=1 adv=1
    mml a_cb=1 b_cb=2 a_format=int8 b_format=uint8 init done signal=3   # signals counter 3
    wait counter=3 value=1
    fence units=dpe|re
    end

Fields that are not given have their defaults. A field of one bit may be named without a value, and
then is 1. Numbers are decimal, or hexadecimal and binary with 0x and 0b. Some fields also take
names: those whose values are codes (`hw.arch.codes`), units (joined by `|`), `never` for
`adv_level`. `signal=3` stands for `signal_en signal_counter=3`, and `signal=3@1,15` also names the
row and column of the element, relative to this one.
"""

import difflib
import re
from collections.abc import Iterable

from hw.arch.codes import FIELD_CODES
from hw.arch.commands import (
    COMMANDS,
    NEVER,
    Command,
    Field,
    decode,
    encode,
)
from hw.arch.units import Unit
from sw.errors import UserError

__all__ = ["AssemblyError", "assemble", "disassemble"]

_MNEMONICS = {command.name: command for command in COMMANDS.values()}
_SIGNAL_FIELDS = ("signal_en", "signal_counter", "signal_row", "signal_col")
_UNIT_MASK = {unit.name.lower(): 1 << unit for unit in Unit if unit is not Unit.CP}


class AssemblyError(UserError):
    """Text or bytes that are no command list; one sentence that names the place."""


def assemble(text: str) -> bytes:
    """The command list that `text` describes.

    Raises
    ------
    AssemblyError
        For the first mistake, with its line and column.
    """
    return b"".join(
        _assemble_line(number, line) for number, line in enumerate(text.splitlines(), start=1)
    )


def disassemble(data: bytes) -> str:
    """One line for each command of a list; fields at their defaults are left out.

    Raises
    ------
    AssemblyError
        If the bytes are no whole commands, with the byte offset.
    """
    lines: list[str] = []
    offset = 0
    while offset < len(data):
        try:
            command, values = decode(data[offset:])
        except ValueError as error:
            raise AssemblyError(f"byte {offset}: {error}") from None
        lines.append(_write_command(command, values))
        offset += command.bits // 8
    return "".join(f"{line}\n" for line in lines)


def _assemble_line(number: int, line: str) -> bytes:
    words = [
        (match.start() + 1, match.group()) for match in re.finditer(r"\S+", line.partition("#")[0])
    ]
    if not words:
        return b""
    column, mnemonic = words[0]
    command = _MNEMONICS.get(mnemonic)
    if command is None:
        raise _mistake(number, column, f"there is no command {mnemonic!r}", mnemonic, _MNEMONICS)
    values: dict[str, int] = {}
    for column, word in words[1:]:
        for name, value in _read_word(number, column, word, command).items():
            if name in values:
                raise _mistake(number, column, f"{name!r} is given twice")
            values[name] = value
    return encode(command.opcode, **values)


def _read_word(number: int, column: int, word: str, command: Command) -> dict[str, int]:
    """Fields that one `name=value` sets."""
    name, equals, text = word.partition("=")
    if name == "signal":
        return _read_signal(number, column + len(name) + 1, text, command)
    fields = {field.name: field for field in command.fields if field.name != "opcode"}
    if name not in fields:
        sentence = f"{command.name} has no field {name!r}"
        raise _mistake(number, column, sentence, name, [*fields, "signal"])
    if not equals:
        if fields[name].width != 1:
            raise _mistake(number, column, f"{name!r} needs a value, as in {name}=1")
        return {name: 1}
    return {name: _read_value(number, column + len(name) + 1, text, command, fields[name])}


def _read_signal(number: int, column: int, text: str, command: Command) -> dict[str, int]:
    match = re.fullmatch(r"(\w+)(?:@(\w+),(\w+))?", text)
    if match is None:
        raise _mistake(number, column, f"{text!r} is no signal; write signal=3 or signal=3@1,15")
    values = {"signal_en": 1}
    for group, name in enumerate(_SIGNAL_FIELDS[1:], start=1):
        if match[group] is not None:
            values[name] = _read_value(
                number, column + match.start(group), match[group], command, command.field(name)
            )
    return values


def _read_value(number: int, column: int, text: str, command: Command, field: Field) -> int:
    names = _names(command, field)
    parts = text.split("|") if field.name == "units" else [text]
    value = 0
    for part in parts:
        if part.lower() in names:
            value |= names[part.lower()]
            continue
        try:
            value |= int(part, 0)
        except ValueError:
            sentence = f"{part!r} is no value of {command.name}.{field.name}"
            raise _mistake(number, column, sentence, part, names) from None
    if not field.low <= value <= field.high:
        raise _mistake(
            number,
            column,
            f"{command.name}.{field.name} is {value}; it must be from {field.low} to {field.high}",
        )
    return value


def _names(command: Command, field: Field) -> dict[str, int]:
    """Values of a field that have names."""
    if field.name == "units":
        return _UNIT_MASK
    if field.name.endswith("adv_level"):
        return {"never": NEVER}
    codes = FIELD_CODES.get(command.opcode, {}).get(field.name, ())
    return {code.name.lower(): int(code) for code in codes}


def _write_command(command: Command, values: dict[str, int]) -> str:
    words = [command.name]
    short_signal = bool(values["signal_en"])
    for field in command.fields[1:]:
        value = values[field.name]
        if short_signal and field.name in _SIGNAL_FIELDS:
            continue
        if value != field.default:
            words.append(_write_value(command, field, value))
    if short_signal:
        place = values["signal_row"], values["signal_col"]
        words.append(
            f"signal={values['signal_counter']}" + (f"@{place[0]},{place[1]}" if any(place) else "")
        )
    return " ".join(words)


def _write_value(command: Command, field: Field, value: int) -> str:
    if field.name == "units":
        units = [name for name, bit in _UNIT_MASK.items() if value & bit]
        unknown = value & ~sum(_UNIT_MASK.values())
        return "units=" + ("|".join([*units, *([hex(unknown)] if unknown else [])]) or "0")
    for name, number in _names(command, field).items():
        if number == value:
            return f"{field.name}={name}"
    if field.width == 1 and value == 1:
        return field.name
    return f"{field.name}={hex(value) if field.width >= 32 and value > 255 else value}"


def _mistake(
    number: int, column: int, sentence: str, word: str = "", known: Iterable[str] = ()
) -> AssemblyError:
    """A sentence with its place, and the nearest word that would have been right."""
    near = difflib.get_close_matches(word, list(known), n=1)
    hint = f"; did you mean {near[0]!r}" if near else ""
    end = "?" if near else "."
    return AssemblyError(f"line {number}, column {column}: {sentence}{hint}{end}")
