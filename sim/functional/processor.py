# SPDX-License-Identifier: Apache-2.0
"""The command processor: takes a list command by command, and issues the long ones to units."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hw.arch.commands import QUAD_BYTES, Opcode, decode, n_quads
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.config import ChipConfig
from sim.functional.faults import FunctionalTrap, Issued
from sim.functional.operand import Waiting
from sim.functional.state import UNIT_BYTES
from sim.golden.command_processor import CommandProcessorModel, Limits, illegal, signal_of

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["CommandProcessor", "limits_of"]


def limits_of(config: ChipConfig) -> Limits:
    """What an element with every unit takes; reads that may be shared are plain reads here."""
    pe = config.pe
    return Limits(
        cbs=pe.cp.cbs,
        counters=pe.cp.counters,
        contexts=pe.cp.contexts,
        banks=pe.re.banks,
        tile_rows=pe.dpe.tile_rows,
        columns=pe.dpe.columns,
        k_bytes=pe.dpe.k_bytes,
        ls_units=pe.ls.size_bytes // UNIT_BYTES,
        programs=pe.se.programs,
        with_fp=pe.dpe.with_fp,
        with_scatter_add=pe.fi.with_scatter_add,
        multicast_lanes=config.multicast_lanes,
    )


_HOLD_BACK = (Opcode.FENCE, Opcode.WAIT, Opcode.END)
"""Commands that wait themselves."""


class CommandProcessor:
    """Executes one command list.

    Parameters
    ----------
    machine : FunctionalMachine
        Whose units get the commands.
    """

    def __init__(self, machine: "FunctionalMachine") -> None:
        self._machine = machine
        self._limits = limits_of(machine.config)
        self._model = CommandProcessorModel(self._limits)
        self.n_long = self.n_short = 0
        self.status: int | None = None
        """Status of END, once that is reached and every unit idle."""

    def signal(self, command: Issued) -> None:
        """A unit has finished a command."""
        if command.fields["signal_en"]:
            self._model.deliver(signal_of(command.fields))

    def execute(self, commands: bytes) -> Waiting:
        """Take the whole list; yields '' after each command, or why it waits."""
        position = index = 0
        while self.status is None:
            data = commands[position : position + QUAD_BYTES * n_quads(_opcode(commands, position))]
            if not data or len(data) < QUAD_BYTES * n_quads(data[0]):
                raise FunctionalTrap(Trap.LIST_OVERRUN)
            yield from self._take(index, data)
            position, index = position + len(data), index + 1
            yield ""

    def _take(self, index: int, data: bytes) -> Waiting:
        """One command."""
        if data[0] in _HOLD_BACK and not illegal(data, self._limits):
            yield from self._hold_back(Opcode(data[0]), decode(data)[1])
        effect = self._model.take(data)
        if effect.trap is not None:
            raise self._at(index, effect.command or data, FunctionalTrap(*effect.trap))
        if effect.unit is not None:
            self.n_long += 1
            issued, fields = decode(effect.command)
            yield from self._machine.issue(Issued(index, issued.opcode, effect.unit, fields))
        else:
            self.n_short += 1
        if data[0] == Opcode.CB:
            try:
                self._machine.set_up_buffer(decode(data)[1])
            except FunctionalTrap as trap:
                raise self._at(index, data, trap) from None
        self.status = effect.status

    def _hold_back(self, opcode: Opcode, fields: dict[str, int]) -> Waiting:
        """Wait as FENCE, WAIT and END do."""
        if opcode is Opcode.FENCE:
            units = [unit for unit in Unit if fields["units"] >> unit & 1]
            yield from self._until(lambda: self._machine.are_idle(units), "units are idle")
        elif opcode is Opcode.END:
            units = list(self._machine.units)
            yield from self._until(lambda: self._machine.are_idle(units), "every unit is idle")
        elif opcode is Opcode.WAIT:
            counter, value = fields["counter"], fields["value"]
            yield from self._until(
                lambda: not (self._model.counters.get(counter, 0) - value) & 1 << 31,
                f"counter {counter} reaches {value}",
            )

    @staticmethod
    def _until(condition: Callable[[], bool], what: str) -> Waiting:
        while not condition():
            yield f"waits until {what}"

    @staticmethod
    def _at(index: int, data: bytes, trap: FunctionalTrap) -> FunctionalTrap:
        opcode = Opcode(data[0]) if data[0] in set(Opcode) else Opcode.NOP
        tag = int.from_bytes(data[1:3], "little")
        return trap.at(Issued(index, opcode, Unit.CP, {"tag": tag}))


def _opcode(commands: bytes, position: int) -> int:
    return commands[position] if position < len(commands) else Opcode.NOP
