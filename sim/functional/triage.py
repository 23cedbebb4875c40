# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom: what `sw.runtime.triage` says of a stuck chip, said of a stuck machine."""

from typing import TYPE_CHECKING

from hw.arch.units import Unit
from sim.functional.state import BankState

if TYPE_CHECKING:
    from sim.functional.machine import FunctionalMachine

__all__ = ["triage"]


def triage(machine: "FunctionalMachine", source_waits: str) -> str:
    """The state of a stuck machine as text: command source, units, circular buffers, banks."""
    banks = [BankState(int(state)).name.lower() for state in machine.bank_states]
    return "\n".join(
        [
            "command sources:",
            f"  work queue {source_waits or 'waits'}",
            "units:",
            *_units(machine),
            "circular buffers (64-byte units):",
            *_buffers(machine),
            "accumulator banks: " + ", ".join(f"{i} {state}" for i, state in enumerate(banks)),
        ]
    )


def _units(machine: "FunctionalMachine") -> list[str]:
    lines = []
    for unit, running in machine.units.items():
        if running.current is None:
            lines.append(f"  {unit.name:<10} idle")
            continue
        lines.append(
            f"  {unit.name:<10} {running.waits:<44} {running.current!s:<22}"
            f" command {running.current.index:>4}  queued {len(running.queue)}"
        )
    return lines


def _buffers(machine: "FunctionalMachine") -> list[str]:
    lines = []
    for number, buffer in enumerate(machine.buffers):
        if not buffer.valid:
            continue
        waiting = [
            unit.name
            for unit, running in machine.units.items()
            if running.waits.endswith(f" in CB {number}")
        ]
        lines.append(
            f"  CB {number:<3} base {buffer.base:>5} depth {buffer.depth:>5}"
            f"  reserve {buffer.reserve:>5} commit {buffer.commit:>5}"
            f" claim {buffer.claim:>5} release {buffer.release:>5}"
            f"  data {buffer.commit - buffer.claim:>5}"
            f" room {buffer.release + buffer.depth - buffer.reserve:>5}"
            f"  {_user(buffer.producer)} -> {_user(buffer.consumer)}"
            + (f"  <- {', '.join(waiting)}" if waiting else "")
        )
    return lines


def _user(unit: int) -> str:
    return "nobody yet" if unit < 0 else Unit(unit).name
