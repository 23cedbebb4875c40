# SPDX-License-Identifier: Apache-2.0
"""Checks of one command's fields: the first wrong one is reported."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import COMMANDS, LONG_BITS, Opcode
from hw.arch.traps import Trap
from hw.arch.units import UNITS_OF_OPCODE
from hw.iface.command_view import view
from hw.lib.select import lowest_one
from hw.pe.cp.limits import CheckLimits
from hw.pe.cp.rules import field_rules

__all__ = ["CommandChecker", "Verdict", "reserved_holes"]


_N_PARTS = 4


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
    wrong : Out(1), something is wrong with it; wrong_parts : Out(4), the same in parts.
    wrong_at : Out, a bit for each of `offsets`: what lies there is wrong.
    verdict : Out(Verdict), what is wrong with it: as `judge` says.
    """

    def __init__(self, *, limits: CheckLimits) -> None:
        self.limits = limits
        self.present = tuple(opcode for opcode in COMMANDS if self._is_present(opcode))
        names = {
            COMMANDS[opcode].field(name).offset
            for opcode in self.present
            for name, _ in field_rules(opcode, view(Const(0, LONG_BITS), opcode), limits)
        }
        holes = {offset for opcode in self.present for offset, _ in reserved_holes(opcode)}
        self.offsets = tuple(sorted(names | holes))
        super().__init__(
            {
                "command": In(LONG_BITS),
                "wrong": Out(1),
                "wrong_parts": Out(_N_PARTS),
                "wrong_at": Out(len(self.offsets)),
                "verdict": Out(Verdict),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        flags: dict[int, list[Value]] = {offset: [] for offset in self.offsets}
        known = Signal()
        m.d.comb += known.eq(self.command[:8].matches(*(int(opcode) for opcode in self.present)))
        for opcode in self.present:
            here = Signal(name=f"is_{opcode.name.lower()}")
            m.d.comb += here.eq(self.command[:8] == opcode)
            for offset, wrong in self._rules(opcode):
                flags[offset].append(here & wrong)
        for i, offset in enumerate(self.offsets):
            m.d.comb += self.wrong_at[i].eq(Cat(flags[offset]).any())
        m.d.comb += [
            self.wrong_parts.eq(
                Cat(
                    Cat(self.wrong_at[part::_N_PARTS], *([~known] if part == 0 else [])).any()
                    for part in range(_N_PARTS)
                )
            ),
            self.wrong.eq(self.wrong_parts.any()),
            self.verdict.eq(self.judge(m, self.wrong, self.wrong_at)),
        ]
        return m

    def judge(self, m: Module, wrong: Value, wrong_at: Value) -> Value:
        """The verdict that follows from `wrong` and `wrong_at`, here or in another cycle."""
        lowest = lowest_one(m, wrong_at)
        info = [
            Cat(lowest[i] for i, offset in enumerate(self.offsets) if offset >> bit & 1).any()
            for bit in range(Verdict.as_shape()["info"].width)
        ]
        field, opcode = (Const(trap, 8) for trap in (Trap.ILLEGAL_FIELD, Trap.ILLEGAL_OPCODE))
        cause = Mux(wrong, Mux(wrong_at.any(), field, opcode), Const(0, 8))
        return Cat(wrong, cause, Cat(info))

    def _is_present(self, opcode: Opcode) -> bool:
        units = UNITS_OF_OPCODE.get(opcode, ())
        return not units or any(unit in self.limits.units for unit in units)

    def _rules(self, opcode: Opcode) -> Iterator[tuple[int, Value]]:
        """Offsets, and whether what lies there is wrong."""
        for name, wrong in field_rules(opcode, view(self.command, opcode), self.limits):
            yield COMMANDS[opcode].field(name).offset, Value.cast(wrong)
        for offset, width in reserved_holes(opcode):
            yield offset, self.command[offset : offset + width].any()
