# SPDX-License-Identifier: Apache-2.0
"""Model of the command processor: which commands are legal, and what each one does.

Commands are bytes, as in a command list. The model knows nothing of cycles: `take` is called in the
order in which the device takes commands from its sources.
"""

from dataclasses import dataclass, field

from hw.arch.commands import COMMANDS, LEVELS, NEVER, Destination, Opcode, decode, encode, is_long
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import Unit

__all__ = ["CommandProcessorModel", "Effect", "Limits", "Signal", "illegal", "signal_of", "unit_of"]

UNITS_ONE = (Unit.FI_IN_ROW, Unit.FI_IN_COL, Unit.FI_OUT, Unit.DPE, Unit.RE)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes that decide what is legal."""

    units: tuple[Unit, ...] = UNITS_ONE
    cbs: int = 32
    counters: int = 16
    contexts: int = 16
    banks: int = 4
    tile_rows: int = 8
    columns: int = 8
    k_bytes: int = 8
    ls_units: int = 256
    with_fp: bool = True


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
    """Cause and info."""
    unit: Unit | None = None
    command: bytes = b""
    """Command that `unit` gets."""
    signal: Signal | None = None
    """Signal that the command processor itself sent."""
    status: int | None = None
    """Status of an END."""


def unit_of(values: dict[str, int]) -> Unit | None:
    """Unit of a decoded command, None for a short one."""
    match Opcode(values["opcode"]):
        case Opcode.DMA_IN:
            return Unit.FI_IN_COL if values["column"] else Unit.FI_IN_ROW
        case Opcode.DMA_OUT:
            return Unit.FI_OUT
        case Opcode.MML:
            return Unit.DPE
        case Opcode.DRAIN | Opcode.PRELOAD:
            return Unit.RE
        case _:
            return None


def illegal(data: bytes, limits: Limits) -> tuple[Trap, int] | None:
    """Cause and info of the trap that this command raises, or None."""
    if data[0] not in COMMANDS:
        return Trap.ILLEGAL_OPCODE, 0
    command = COMMANDS[Opcode(data[0])]
    word = int.from_bytes(data[: command.bits // 8], "little")
    values: dict[str, int] = {}
    named: set[int] = set()
    for item in command.fields:
        named.update(range(item.offset, item.offset + item.width))
        values[item.name] = word >> item.offset & (1 << item.width) - 1
    units = {Opcode.DMA_IN: {Unit.FI_IN_ROW, Unit.FI_IN_COL}}.get(command.opcode, {unit_of(values)})
    if is_long(command.opcode) and not units & set(limits.units):
        return Trap.ILLEGAL_OPCODE, 0
    wrong = [command.field(name).offset for name in _wrong_fields(values, limits)]
    for bit in range(command.bits):
        if bit not in named and word >> bit & 1:
            while bit - 1 not in named:
                bit -= 1
            wrong.append(bit)
            break
    return (Trap.ILLEGAL_FIELD, min(wrong)) if wrong else None


def _wrong_fields(v: dict[str, int], limits: Limits) -> set[str]:
    """Names of the fields that are wrong, each for itself."""
    opcode = Opcode(v["opcode"])
    bad: set[str] = set()

    def check(name: str, fine: bool) -> None:
        if not fine:
            bad.add(name)

    if v["signal_en"] or opcode is Opcode.SIGNAL:
        check("signal_counter", v["signal_counter"] < limits.counters)
    if is_long(opcode):
        if v["store"]:
            check("context", v["context"] < limits.contexts)
        for level in range(LEVELS):
            check(f"count{level}", v[f"count{level}"] >= 1)
    if opcode is Opcode.FENCE:
        check("units", v["units"] < 0x80)
    if opcode in (Opcode.WAIT, Opcode.SET_COUNTER):
        check("counter", v["counter"] < limits.counters)
    if opcode is Opcode.SET_COUNTER:
        check("signal_en", not v["signal_en"])
    if opcode is Opcode.RUN:
        check("ctx", v["ctx"] < limits.contexts)
    if opcode is Opcode.CB:
        check("cb", v["cb"] < limits.cbs)
        check("base", v["base"] < limits.ls_units)
        check("depth", 1 <= v["depth"] < 8192 and v["base"] + v["depth"] <= limits.ls_units)
    for prefix in {Opcode.MML: ("a_", "b_")}.get(opcode, ("",) if is_long(opcode) else ()):
        if opcode is Opcode.DRAIN and v["destination"] != Destination.LS:
            continue
        check(f"{prefix}cb", v[f"{prefix}cb"] < limits.cbs)
        step, advance = v[f"{prefix}step_level"], v[f"{prefix}adv_level"]
        check(f"{prefix}step_level", 1 <= step <= LEVELS)
        check(f"{prefix}adv_level", advance == NEVER or step <= advance <= LEVELS)
    if opcode in (Opcode.MML, Opcode.DRAIN):
        check("count0", 1 <= v["count0"] <= limits.tile_rows)
        check("m_level", v["m_level"] < LEVELS)
        check("n_level", v["n_level"] < LEVELS)
        check("m_tail", v["m_tail"] <= v["count0"])
        check("n_tail", v["n_tail"] <= limits.columns)
    if opcode in (Opcode.MML, Opcode.DRAIN, Opcode.PRELOAD):
        check("bank", v["bank"] < limits.banks)
    if opcode is Opcode.DMA_IN:
        check("column", unit_of(v) in limits.units)
    if opcode is Opcode.PRELOAD:
        check("count0", v["count0"] == 1)
    if opcode is Opcode.DRAIN:
        check("format", v["format"] in (Format.INT32, Format.FP32))
        check("destination", v["destination"] != Destination.SE or Unit.SE in limits.units)
        check("source", v["source"] <= 2)
    if opcode is Opcode.MML:
        check("b_step_level", v["b_step_level"] >= v["held_level"])
        check("held_level", 1 <= v["held_level"] <= LEVELS)
        check("k_level", v["k_level"] < LEVELS)
        check("k_tail", v["k_tail"] <= limits.k_bytes)
        pair = (v["a_format"], v["b_format"])
        integers = (Format.INT8, Format.UINT8)
        floats = (Format.FP16, Format.BF16) if limits.with_fp else ()
        check("a_format", pair[0] in (*integers, *floats))
        check("b_format", pair[1] in integers if pair[0] in integers else pair[1] == pair[0])
    return bad


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
                effect.unit, effect.command = unit_of(v), data[:64]
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
        offset = "a_offset" if opcode is Opcode.MML else "offset"
        width = COMMANDS[opcode].field(offset).width
        moved[offset] = (moved[offset] + v["ls_delta"]) % (1 << width)
        if "mem_addr" in moved:
            moved["mem_addr"] = (moved["mem_addr"] + v["mem_delta"]) % (1 << 40)
        if v["keep"]:
            self.contexts[v["ctx"]] = moved
        del (fields := dict(moved))["opcode"]
        return Effect(unit=unit_of(moved), command=encode(opcode, **fields))

    def deliver(self, signal: Signal) -> None:
        """A signal arrives; one for another element does nothing here."""
        if (signal.row, signal.col) == (0, 0):
            self.counters[signal.counter] = (self.counters.get(signal.counter, 0) + 1) % (1 << 32)


def signal_of(values: dict[str, int]) -> Signal:
    """The signal that a command's header names."""
    return Signal(
        values["signal_counter"], values["signal_row"], values["signal_col"], values["tag"]
    )
