# SPDX-License-Identifier: Apache-2.0
"""The command set.

RTL decoders (`hw.iface.command_view`), assembler and disassembler (`encode`, `decode`) and
`docs/commands.md` all follow from the tables of `hw.arch.command_set`; this module is their public
face. A command list is a sequence of 16-byte quads. Opcodes below 0x40 are *short* (one quad), the
others *long* (four quads, 64 bytes). Field offsets are bits from the start of the command; bits
that no field names must be zero.
"""

from hw.arch.command_set import COMMANDS, OFFSET_FIELDS
from hw.arch.fields import (
    LEVELS,
    LONG_BITS,
    NEVER,
    QUAD_BITS,
    QUAD_BYTES,
    Command,
    Field,
    is_long,
    n_quads,
)
from hw.arch.opcodes import (
    Addend,
    BMode,
    Destination,
    Factor,
    Function,
    LayoutOp,
    LayoutTarget,
    Opcode,
    Post,
    Pre,
    Reduce,
    ScatterMode,
    SimdOut,
    SimdSource,
    Source,
)

__all__ = [
    "Addend",
    "BMode",
    "COMMANDS",
    "Command",
    "Destination",
    "Factor",
    "Field",
    "Function",
    "LEVELS",
    "LONG_BITS",
    "LayoutOp",
    "LayoutTarget",
    "NEVER",
    "OFFSET_FIELDS",
    "Opcode",
    "Post",
    "Pre",
    "QUAD_BITS",
    "QUAD_BYTES",
    "Reduce",
    "ScatterMode",
    "SimdOut",
    "SimdSource",
    "Source",
    "decode",
    "encode",
    "is_long",
    "n_quads",
]


def encode(opcode: Opcode, **values: int) -> bytes:
    """Encode one command; fields not given take their defaults.

    Raises
    ------
    ValueError
        If a field does not exist or a value does not fit; one sentence.
    """
    command = COMMANDS[opcode]
    word = 0
    known = {field.name for field in command.fields}
    for name in values:
        if name not in known:
            raise ValueError(
                f"{command.name} has no field {name!r}; it has {', '.join(sorted(known))}."
            )
    for field in command.fields:
        value = (
            int(opcode) if field.name == "opcode" else int(values.get(field.name, field.default))
        )
        if not field.low <= value <= field.high:
            raise ValueError(
                f"{command.name}.{field.name} is {value}; it must be from {field.low} to"
                f" {field.high}."
            )
        word |= (value & ((1 << field.width) - 1)) << field.offset
    return word.to_bytes(command.bits // 8, "little")


def decode(data: bytes) -> tuple[Command, dict[str, int]]:
    """Decode the command at the start of `data`; return it with its field values.

    Raises
    ------
    ValueError
        If the opcode is unknown, the data too short, or a reserved bit set; one sentence.
    """
    if not data or data[0] not in COMMANDS:
        raise ValueError(f"0x{data[0] if data else 0:02x} is not an opcode of this command set.")
    command = COMMANDS[Opcode(data[0])]
    if len(data) < command.bits // 8:
        raise ValueError(
            f"{command.name} takes {command.bits // 8} bytes; only {len(data)} are left."
        )
    word = int.from_bytes(data[: command.bits // 8], "little")
    values: dict[str, int] = {}
    for field in command.fields:
        raw = word >> field.offset & (1 << field.width) - 1
        word &= ~(((1 << field.width) - 1) << field.offset)
        values[field.name] = raw - (1 << field.width) if field.signed and raw > field.high else raw
    if word:
        raise ValueError(f"{command.name} has reserved bits set (bit {word.bit_length() - 1}).")
    return command, values
