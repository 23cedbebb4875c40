# SPDX-License-Identifier: Apache-2.0
"""What a command is made of: fields at bits, one after another."""

import dataclasses

from hw.arch.opcodes import Opcode

__all__ = [
    "LEVELS",
    "LONG_BITS",
    "NEVER",
    "QUAD_BITS",
    "QUAD_BYTES",
    "Command",
    "Field",
    "FieldLayout",
    "is_long",
    "n_quads",
]

QUAD_BITS = 128
QUAD_BYTES = 16
LONG_BITS = 512
LEVELS = 5
"""Levels of every loop nest; level 0 is innermost."""
NEVER = 7
"""`adv_level` of an operand whose CB pointer does not move."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: `width` bits at bit `offset` of the command."""

    name: str
    offset: int
    width: int
    doc: str
    signed: bool = False
    default: int = 0

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.width - self.signed)) - 1


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: its opcode, fields, and what it does."""

    opcode: Opcode
    doc: str
    fields: tuple[Field, ...]

    @property
    def name(self) -> str:
        """Assembler mnemonic, lower case."""
        return self.opcode.name.lower()

    @property
    def bits(self) -> int:
        """Encoded size in bits."""
        return LONG_BITS if is_long(self.opcode) else QUAD_BITS

    def field(self, name: str) -> Field:
        """Return the field called `name`; `KeyError` if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} has no field {name!r}")


def is_long(opcode: int) -> bool:
    """Whether a command of this opcode takes four quads."""
    return bool(opcode & 0x40)


def n_quads(opcode: int) -> int:
    """Quads of a command of this opcode."""
    return 4 if is_long(opcode) else 1


class FieldLayout:
    """Places fields one after another."""

    def __init__(self, start: int) -> None:
        self.position = start
        self.fields: list[Field] = []

    def add(
        self, name: str, width: int, doc: str, signed: bool = False, default: int = 0
    ) -> "FieldLayout":
        self.fields.append(Field(name, self.position, width, doc, signed, default))
        self.position += width
        return self

    def skip_to(self, position: int) -> "FieldLayout":
        assert position >= self.position
        self.position = position
        return self

    def counts(self) -> "FieldLayout":
        for level in range(LEVELS):
            self.add(
                f"count{level}", 16, f"iterations of loop level {level}, at least 1", default=1
            )
        return self

    def operand(
        self,
        prefix: str,
        stride_width: int,
        unit: str,
        *,
        first_level: int = 0,
        amount_width: int = 16,
    ) -> "FieldLayout":
        """A circular-buffer operand; `unit` is the unit of its offset and strides."""
        self.add(f"{prefix}cb", 8, "circular buffer")
        self.add(f"{prefix}offset", stride_width, f"start, in {unit} from the CB pointer")
        for level in range(first_level, LEVELS):
            self.add(
                f"{prefix}stride{level}",
                stride_width,
                f"{unit} per iteration of level {level}",
                True,
            )
        self.add(f"{prefix}step_level", 3, "levels below this one form one step", default=1)
        self.add(
            f"{prefix}adv_level",
            3,
            "the CB pointer moves when all levels below this one end; 7: it does not move",
            default=NEVER,
        )
        self.add(
            f"{prefix}need",
            amount_width,
            "extent of one step, in 64-byte units from the step's start",
        )
        self.add(f"{prefix}adv", amount_width, "how far the CB pointer moves, in 64-byte units")
        return self

    def banks(self) -> "FieldLayout":
        self.add("bank", 4, "accumulator bank of the first visit")
        for level in range(1, LEVELS):
            self.add(
                f"bank_stride{level}", 4, f"banks per iteration of level {level}, modulo banks"
            )
        return self

    def tuple(self) -> tuple[Field, ...]:
        return tuple(self.fields)
