# SPDX-License-Identifier: Apache-2.0
"""Causes with which a processing element halts, one definition for RTL, runtime and
documentation."""

import enum

from hw.arch.commands import COMMANDS, Opcode
from hw.arch.units import Unit

__all__ = ["LINK_TEXT", "TRAP_TEXT", "Trap", "trap_sentence"]


class Trap(enum.IntEnum):
    """Cause code of a halted element."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    ILLEGAL_FIELD = 2
    CB_UNINITIALISED = 3
    CB_TOO_SMALL = 4
    CB_UNDERFLOW = 5
    CB_SHARED = 6
    CB_BUSY = 7
    LS_RANGE = 8
    MEMORY_ERROR = 9
    MEMORY_POISON = 10
    LS_PARITY = 11
    ACCUMULATOR_PARITY = 12
    CONTEXT_EMPTY = 13
    LIST_OVERRUN = 14
    ABORTED = 15
    INDEX_RANGE = 16
    MEMORY_RANGE = 17
    NO_NEIGHBOUR = 18
    MULTICAST_GROUP = 19
    MULTICAST_MISMATCH = 20
    NO_ELEMENT = 21


TRAP_TEXT: dict[Trap, str] = {
    Trap.NONE: "no error",
    Trap.ILLEGAL_OPCODE: "the opcode is not one of this element's commands",
    Trap.ILLEGAL_FIELD: "a field holds a value that the command does not allow",
    Trap.CB_UNINITIALISED: "the circular buffer was never set up with a CB command",
    Trap.CB_TOO_SMALL: "a step needs more of the circular buffer than its depth, so never starts",
    Trap.CB_UNDERFLOW: "a pointer of the circular buffer was moved past the one it follows",
    Trap.CB_SHARED: "a second unit uses one side of a circular buffer that was not declared shared",
    Trap.CB_BUSY: "a CB command would set up a circular buffer that is still in use",
    Trap.LS_RANGE: "an address lies outside local memory",
    Trap.MEMORY_ERROR: "a memory access outside the memories, or refused by the memory",
    Trap.MEMORY_POISON: "a memory word with an uncorrectable error was read",
    Trap.LS_PARITY: "a local-memory byte that is in use has wrong parity",
    Trap.ACCUMULATOR_PARITY: "an accumulator that is in use has wrong parity",
    Trap.CONTEXT_EMPTY: "RUN names a context that was never stored",
    Trap.LIST_OVERRUN: "the command list ended without END, or inside a command",
    Trap.ABORTED: "the host aborted the job",
    Trap.INDEX_RANGE: "an index of a gather or scatter is not below the table's number of rows",
    Trap.MEMORY_RANGE: "a memory access outside the address ranges that the job may use",
    Trap.NO_NEIGHBOUR: "the reduction link leads to no other element",
    Trap.MULTICAST_GROUP: "the element is no member of the group with which it is to share reads",
    Trap.MULTICAST_MISMATCH: "another member of the group that shares this read reads other lines,"
    " or has failed",
    Trap.NO_ELEMENT: "the signal is for an element that is not there",
}
"""One clause for each cause, for people."""

LINK_TEXT = ("from the north", "from the west", "to the south", "to the east")
"""Reduction links in words, by the number in the info register."""

_ADDRESS_CAUSES = (
    Trap.LS_RANGE,
    Trap.MEMORY_ERROR,
    Trap.MEMORY_POISON,
    Trap.LS_PARITY,
    Trap.MEMORY_RANGE,
    Trap.MULTICAST_MISMATCH,
)


def trap_sentence(cause: int, unit: int, opcode: int, tag: int, info: int) -> str:
    """One sentence for what the error registers say: unit, command, cause and place."""
    if cause == Trap.ABORTED:
        return "The job was aborted."
    name = COMMANDS[Opcode(opcode)].name if opcode in COMMANDS else f"opcode 0x{opcode:02x}"
    where = Unit(unit).name if unit in set(Unit) else f"unit {unit}"
    text = TRAP_TEXT[Trap(cause)] if cause in set(Trap) else f"cause {cause}"
    if cause == Trap.NO_NEIGHBOUR:  # found outside of the unit, where no tag is known
        return f"{where} trapped in {name}: {text} ({LINK_TEXT[info]})."
    if cause == Trap.NO_ELEMENT:  # of any command
        return f"{where} trapped (tag {tag}): {text} (row {info & 0xFF}, column {info >> 8})."
    return f"{where} trapped in {name} (tag {tag}): {text}{_place(cause, opcode, info)}."


def _place(cause: int, opcode: int, info: int) -> str:
    """What the info register names, in words."""
    if cause == Trap.ILLEGAL_FIELD and opcode in COMMANDS:
        for field in COMMANDS[Opcode(opcode)].fields:
            if field.offset <= info < field.offset + field.width:
                return f" (field {field.name})"
        return f" (reserved bit {info})"
    if cause in _ADDRESS_CAUSES:
        return f" (address 0x{info:08x})"
    if Trap.CB_UNINITIALISED <= cause <= Trap.CB_BUSY:
        return f" (CB {info & 0xFF})"
    if cause == Trap.MULTICAST_GROUP:
        return f" (group {info})"
    return f" (index {info})" if cause == Trap.INDEX_RANGE else ""
