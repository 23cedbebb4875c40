# SPDX-License-Identifier: Apache-2.0
"""Checks of one command's fields: the first wrong one is reported."""

from functools import cache
from typing import Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import COMMANDS, LONG_BITS, Opcode
from hw.arch.traps import Trap
from hw.arch.units import UNITS_OF_OPCODE
from hw.iface.command_view import view
from hw.pe.cp.limits import CheckLimits
from hw.pe.cp.rules import field_rules

__all__ = ["CommandChecker", "Verdict", "reserved_holes"]


class Verdict(data.Struct):
    """What is wrong with a command."""

    wrong: unsigned(1)
    cause: unsigned(8)
    info: unsigned(10)  # bit offset of the first wrong field


@cache
def reserved_holes(opcode: Opcode) -> tuple[tuple[int, int], ...]:
    """Runs (offset, width) of bits that no field of `opcode` names."""
    command = COMMANDS[opcode]
    edges = sorted((field.offset, field.offset + field.width) for field in command.fields)
    holes, position = [], 0
    for start, end in [*edges, (command.bits, command.bits)]:
        if start > position:
            holes.append((position, start - position))
        position = max(position, end)
    return tuple(holes)


class CommandChecker(wiring.Component):
    """Tells whether a command may run on this element, and the first field that is wrong.

    Operation
        ILLEGAL_OPCODE (info 0) if the opcode is unknown or its unit absent. ILLEGAL_FIELD for set
        bits that no field names, and for what `hw.pe.cp.rules` says. `info` is the bit offset of
        the lowest such field, or of the lowest run of reserved bits that is not zero.

    Timing
        Combinational.

    Parameters
    ----------
    limits : what the element can do.

    Members
    -------
    command : In(512), the command.
    verdict : Out(Verdict), what is wrong with it.
    """

    def __init__(self, *, limits: CheckLimits) -> None:
        self.limits = limits
        super().__init__({"command": In(LONG_BITS), "verdict": Out(Verdict)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        present = [opcode for opcode in COMMANDS if self._is_present(opcode)]
        with m.Switch(self.command[:8]):
            for opcode in present:
                with m.Case(opcode):
                    self._elaborate_rules(m, opcode)
            with m.Default():
                m.d.comb += [self.verdict.wrong.eq(1), self.verdict.cause.eq(Trap.ILLEGAL_OPCODE)]
        return m

    def _is_present(self, opcode: Opcode) -> bool:
        units = UNITS_OF_OPCODE.get(opcode, ())
        return not units or any(unit in self.limits.units for unit in units)

    def _elaborate_rules(self, m: Module, opcode: Opcode) -> None:
        """The rule of the lowest field comes last, so that it has the last word."""
        command = COMMANDS[opcode]
        fields = view(self.command, opcode)
        rules = [
            (command.field(name).offset, wrong)
            for name, wrong in field_rules(opcode, fields, self.limits)
        ]
        rules += [
            (offset, self.command[offset : offset + width].any())
            for offset, width in reserved_holes(opcode)
        ]
        for offset, wrong in sorted(rules, key=lambda rule: -rule[0]):
            with m.If(wrong):
                m.d.comb += [
                    self.verdict.wrong.eq(1),
                    self.verdict.cause.eq(Trap.ILLEGAL_FIELD),
                    self.verdict.info.eq(offset),
                ]
