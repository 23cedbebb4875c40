# SPDX-License-Identifier: Apache-2.0
"""Memory layout unit as a coroutine on `sim.golden.mlu`."""

import itertools
from typing import TYPE_CHECKING

from hw.arch.commands import COMMANDS, LayoutTarget, Opcode
from hw.arch.traps import Trap
from sim.functional.faults import FunctionalTrap, Issued
from sim.functional.operand import Operand, Waiting
from sim.golden.mlu import LayoutCommand

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["layout"]


def layout(machine: "FunctionalMachine", command: Issued) -> Waiting:
    """LAYOUT: within local memory, or into the dot-product engine."""
    unit = LayoutCommand(command.fields, machine.word)
    if name := unit.illegal():
        raise FunctionalTrap(Trap.ILLEGAL_FIELD, COMMANDS[Opcode.LAYOUT].field(name).offset)
    source = Operand(machine, command, unit.nest("src_"), producer=False) if unit.reads else None
    target = Operand(machine, command, unit.nest(""), producer=True) if unit.writes else None
    for run, following in itertools.pairwise(itertools.chain(unit.runs(), [None])):
        assert run is not None  # only the last one is None
        upcoming = None if following is None else following.index
        data = run.source[:0].astype("uint8")
        if source is not None:
            yield from source.enter(run.index)
            data = source.read(run.source)
        if target is not None:
            yield from target.enter(run.index)
            target.write(run.target, run.result(data))
            target.leave_before(upcoming)
        else:
            link = machine.words[LayoutTarget(command.fields["target"])]
            yield from link.send(run.words(data))
        if source is not None:
            source.leave_before(upcoming)
