# SPDX-License-Identifier: Apache-2.0
"""Model of the command processor: which commands are legal, and what each one does.

Commands are bytes, as in a command list. The model knows nothing of cycles: `take` is called in the
order in which the device takes commands from its sources.
"""

from dataclasses import dataclass, field

from hw.arch.commands import COMMANDS, OFFSET_FIELDS, Opcode, decode, encode, is_long
from hw.arch.traps import Trap
from hw.arch.units import Unit, unit_of
from sim.golden.command_checks import Limits, illegal

__all__ = ["CommandProcessorModel", "Effect", "Limits", "Signal", "illegal", "signal_of"]


@dataclass(frozen=True)
class Signal:
    """One increment of a counter of the element at a relative place."""

    counter: int
    row: int
    col: int
    tag: int


@dataclass
class Effect:
    """What one command did."""

    trap: tuple[Trap, int] | None = None
    """Cause and info; of `command` where that is given, else of the command taken."""
    unit: Unit | None = None
    command: bytes = b""
    """Command that `unit` gets."""
    signal: Signal | None = None
    """Signal that the command processor itself sent."""
    status: int | None = None
    """Status of an END."""


@dataclass
class CommandProcessorModel:
    """Contexts and counters of one element, and the commands that its units must get."""

    limits: Limits
    contexts: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    counters: dict[int, int] = field(default_factory=dict[int, int])

    def take(self, data: bytes) -> Effect:
        """Run the next command of a source."""
        if wrong := illegal(data, self.limits):
            return Effect(trap=wrong)
        _, v = decode(data)
        opcode = Opcode(v["opcode"])
        effect = Effect()
        if is_long(opcode):
            if v["store"]:
                self.contexts[v["context"]] = {**v, "store": 0}
            else:
                effect.unit, effect.command = unit_of(opcode, v), data[:64]
        elif opcode is Opcode.RUN:
            return self._run(v)
        elif opcode is Opcode.SET_COUNTER:
            self.counters[v["counter"]] = v["value"]
        elif opcode is Opcode.END:
            effect.status = v["status"]
        if not is_long(opcode) and (v["signal_en"] or opcode is Opcode.SIGNAL):
            effect.signal = signal_of(v)
            self.deliver(effect.signal)
        return effect

    def _run(self, v: dict[str, int]) -> Effect:
        stored = self.contexts.get(v["ctx"])
        if stored is None:
            return Effect(trap=(Trap.CONTEXT_EMPTY, v["ctx"]))
        opcode = Opcode(stored["opcode"])
        moved = dict(stored)
        for name in ("tag", "signal_en", "signal_counter", "signal_row", "signal_col"):
            moved[name] = v[name]
        if offset := OFFSET_FIELDS.get(opcode):
            width = COMMANDS[opcode].field(offset).width
            moved[offset] = (moved[offset] + v["ls_delta"]) % (1 << width)
        if "mem_addr" in moved:
            moved["mem_addr"] = (moved["mem_addr"] + v["mem_delta"]) % (1 << 40)
        del (fields := dict(moved))["opcode"]
        command = encode(opcode, **fields)
        if wrong := illegal(command, self.limits):
            return Effect(trap=wrong, command=command)
        if v["keep"]:
            self.contexts[v["ctx"]] = moved
        return Effect(unit=unit_of(opcode, moved), command=command)

    def deliver(self, signal: Signal) -> None:
        """A signal arrives; one for another element does nothing here."""
        if (signal.row, signal.col) == (0, 0):
            self.counters[signal.counter] = (self.counters.get(signal.counter, 0) + 1) % (1 << 32)


def signal_of(values: dict[str, int]) -> Signal:
    """The signal that a command's header names."""
    return Signal(
        values["signal_counter"], values["signal_row"], values["signal_col"], values["tag"]
    )
