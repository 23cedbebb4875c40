# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a job: traps of the hardware, broken rules, hangs; each one sentence."""

import dataclasses
import enum

from hw.arch.commands import COMMANDS, Opcode
from hw.arch.traps import TRAP_TEXT, Trap, trap_sentence
from hw.arch.units import Unit

__all__ = ["FunctionalTrap", "Hang", "Issued", "Rule", "RuleBroken"]


class Rule(enum.IntEnum):
    """Rules that the hardware does not check; codes follow the traps'."""

    UNWRITTEN_LS = 100
    UNWRITTEN_MEMORY = 101
    OUTSIDE_STEP = 102
    SECOND_PRODUCER = 103
    OVERLAP = 104
    UNWRITTEN_ROW = 105
    ROW_COUNT = 106


@dataclasses.dataclass(frozen=True)
class Issued:
    """A command of the list, as it was issued to a unit."""

    index: int
    """Its place in the list, from 0; that of the RUN for a stored command."""
    opcode: Opcode
    unit: Unit
    fields: dict[str, int]

    @property
    def tag(self) -> int:
        """Software's own number."""
        return self.fields["tag"]

    def __str__(self) -> str:
        return f"{COMMANDS[self.opcode].name} (tag {self.tag})"


class FunctionalTrap(Exception):
    """A command that the hardware would trap on.

    Parameters
    ----------
    cause : Trap
        The hardware's cause.
    info : int
        The hardware's info, as far as it is known here.
    """

    def __init__(self, cause: Trap, info: int = 0) -> None:
        super().__init__()
        self.cause, self.info = cause, info
        self.command: Issued | None = None

    def at(self, command: Issued) -> "FunctionalTrap":
        """The same, with the command at fault."""
        if self.command is None:
            self.command = command
        return self

    def __str__(self) -> str:
        if self.command is None:
            text = TRAP_TEXT[self.cause]
            return f"{text[:1].upper()}{text[1:]}."
        command = self.command
        sentence = trap_sentence(self.cause, command.unit, command.opcode, command.tag, self.info)
        return f"{sentence[:-1]}; it is command {command.index} of the list."


class RuleBroken(FunctionalTrap):
    """A rule that the hardware does not check: it would go on with whatever it finds."""

    def __init__(self, rule: Rule, text: str) -> None:
        super().__init__(Trap.NONE)
        self.rule, self.text = rule, text

    def __str__(self) -> str:
        if self.command is None:
            return f"A command {self.text}."
        where = f"Command {self.command.index} of the list, {self.command} on"
        return f"{where} {self.command.unit.name}, {self.text}."


class Hang(RuntimeError):
    """No unit can go on; the text has one line for each that waits."""
