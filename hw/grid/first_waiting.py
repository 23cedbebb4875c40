# SPDX-License-Identifier: Apache-2.0
"""Which unit of an element waits, for who asks why a job does not end."""

from typing import Any

from amaranth.hdl import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.units import State, Unit
from hw.iface.trace import UnitTrace

__all__ = ["FirstWaiting"]

_WAITS = [state for state in State if state.name.startswith("WAIT_")]


class FirstWaiting(wiring.Component):
    """Of all units, the first one that waits, in the order of their codes.

    Operation: shows zeros while none waits: then units work, or the command processor has none for
    them.

    Timing: combinational.

    Members
    -------
    units : In(UnitTrace).array(units), what each is doing.
    command : Out(32), unit | opcode << 8 | tag << 16, as ERROR_UNIT has it.
    state : Out(4), what it waits for, see `hw.arch.units.State`.
    """

    def __init__(self) -> None:
        super().__init__(
            {"units": In(UnitTrace).array(Unit.CP), "command": Out(32), "state": Out(4)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        low, high = min(_WAITS), max(_WAITS)  # their codes are in a row
        for number, unit in reversed(list(enumerate(self.units))):
            with m.If((unit.state >= low) & (unit.state <= high)):
                m.d.comb += [
                    self.command.eq(Cat(Const(number, 8), unit.opcode, unit.tag)),
                    self.state.eq(unit.state),
                ]
        return m
