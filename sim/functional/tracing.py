# SPDX-License-Identifier: Apache-2.0
"""Feeds a trace with what units do, in steps granted so far: the machine knows no other time."""

from typing import TYPE_CHECKING

from hw.arch.units import State, Unit
from sim.trace import TraceLog

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine, Running

__all__ = ["Recorder"]

_STATES = (
    ("data in CB", State.WAIT_CB_DATA),
    ("room in CB", State.WAIT_CB_ROOM),
    ("until bank", State.WAIT_BANK),
    ("", State.WAIT_NEIGHBOUR),
)
"""What a waiting unit's sentence contains, and the state that it stands for."""


class Recorder:
    """Writes one machine's activity into a log.

    Units run in turn, so their spans lie one after another; what counts is who waits for whom.

    Parameters
    ----------
    machine : FunctionalMachine
        The machine.
    log : TraceLog
        Where its events go; times count steps.
    """

    def __init__(self, machine: "FunctionalMachine", log: TraceLog) -> None:
        self._machine, self._log = machine, log
        self._before = self._base = 0

    def begin_job(self) -> None:
        """Steps begin at 0 again."""
        self._base = self._before = self._log.last_time

    def resumed(self, unit: Unit, running: "Running") -> None:
        """A unit has run as far as it could; `running` is what it is doing now."""
        now = self._base + self._machine.state.steps
        command = running.current
        if command is None:
            return
        self._log.unit(self._before, unit, State.BUSY, command.opcode, command.tag)
        for number, buffer in enumerate(self._machine.buffers):
            if buffer.valid:
                self._log.buffer(now, number, buffer.commit - buffer.release, buffer.depth)
        self._before = now
        if running.work is None:
            self._log.unit(now, unit, State.IDLE)
            return
        state = next(state for text, state in _STATES if text in running.waits)
        self._log.unit(now, unit, state, command.opcode, command.tag)

    def end(self) -> None:
        """The log is whole."""
        self._log.end(self._base + self._machine.state.steps)
