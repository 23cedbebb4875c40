# SPDX-License-Identifier: Apache-2.0
"""Checks of one command's fields, and the routing of opcodes to units.

The rules are written once per opcode, as pairs of a field and what makes it wrong, in order of
their bit offsets; the first wrong one is reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from amaranth.hdl import Module, Mux, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import (
    COMMANDS,
    LEVELS,
    LONG_BITS,
    NEVER,
    Destination,
    Opcode,
    Source,
    is_long,
)
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.config.tree import PeConfig
from hw.iface.command_view import view

__all__ = [
    "BASE_UNITS",
    "CheckLimits",
    "CommandChecker",
    "UNITS_OF_OPCODE",
    "Verdict",
    "reserved_holes",
]

UNITS_OF_OPCODE: dict[Opcode, tuple[Unit, ...]] = {
    Opcode.DMA_IN: (Unit.FI_IN_ROW, Unit.FI_IN_COL),
    Opcode.DMA_OUT: (Unit.FI_OUT,),
    Opcode.MML: (Unit.DPE,),
    Opcode.DRAIN: (Unit.RE,),
    Opcode.PRELOAD: (Unit.RE,),
}
"""Units that run an opcode; DMA_IN has one for each value of its `column` bit."""

BASE_UNITS = (Unit.FI_IN_ROW, Unit.FI_IN_COL, Unit.FI_OUT, Unit.DPE, Unit.RE)
"""Units that every element has."""

_TOP_LEVEL = LEVELS - 1
_INTEGER = (Format.INT8, Format.UINT8)


@dataclass(frozen=True, kw_only=True)
class CheckLimits:
    """What an element can do, as far as checks of commands need it.

    Parameters
    ----------
    units : units that are present.
    cbs, counters, contexts, banks : sizes of tables.
    tile_rows, columns, k_bytes : sizes of the tile.
    ls_units : size of local memory in 64-byte units.
    with_fp : whether the tile multiplies FP16 and BF16.

    Raises: ValueError for a table that the command set cannot name.
    """

    units: tuple[Unit, ...]
    cbs: int
    counters: int
    contexts: int
    banks: int
    tile_rows: int
    columns: int
    k_bytes: int
    ls_units: int
    with_fp: bool = True

    def __post_init__(self) -> None:
        for name, top in (
            ("cbs", 64),
            ("counters", 32),
            ("contexts", 16),
            ("banks", 16),
            ("ls_units", 8192),
        ):
            value = getattr(self, name)
            if not 2 <= value <= top:
                raise ValueError(f"CheckLimits {name} must be from 2 to {top}, not {value!r}.")
        if Unit.CP in self.units:
            raise ValueError("CheckLimits units must not name CP, which has no queue.")

    @classmethod
    def of(cls, pe: PeConfig, units: tuple[Unit, ...] = BASE_UNITS) -> "CheckLimits":
        """The limits of an element of this configuration with these units."""
        return cls(
            units=units,
            cbs=pe.cp.cbs,
            counters=pe.cp.counters,
            contexts=pe.cp.contexts,
            banks=pe.re.banks,
            tile_rows=pe.dpe.tile_rows,
            columns=pe.dpe.columns,
            k_bytes=pe.dpe.k_bytes,
            ls_units=pe.ls.size_bytes // 64,
            with_fp=pe.dpe.with_fp,
        )


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
        ILLEGAL_OPCODE (info 0) if the opcode is unknown or its unit absent. ILLEGAL_FIELD for: set
        bits that no field names; a count of 0; a CB, counter, context or bank that does not exist;
        step_level 0 or above 5; adv_level below step_level or 6; a level above 4; held_level out of
        1 to 5, or above b_step_level; more rows than a bank has; tails beyond what they are a tail
        of; formats or pairs of formats that the tile does not multiply; a circular buffer that is
        empty or leaves local memory; a mask bit of no unit. `info` is the bit offset of the lowest
        such field, or of the lowest run of reserved bits that is not zero.

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
        rules = [(command.field(name).offset, wrong) for name, wrong in self._rules(opcode, fields)]
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

    def _rules(self, opcode: Opcode, f: data.View) -> Iterator[tuple[str, Value]]:
        """Pairs of a field of `opcode` and whether it is wrong."""
        limits = self.limits
        signals = 1 if opcode is Opcode.SIGNAL else f.signal_en
        yield "signal_counter", signals & (f.signal_counter >= limits.counters)
        if is_long(opcode):
            yield "context", f.store & (f.context >= limits.contexts)
            for level in range(LEVELS):
                yield f"count{level}", f[f"count{level}"] == 0
        match opcode:
            case Opcode.FENCE:
                yield "units", f.units[Unit.CP]
            case Opcode.WAIT:
                yield "counter", f.counter >= limits.counters
            case Opcode.SET_COUNTER:
                yield "signal_en", f.signal_en
                yield "counter", f.counter >= limits.counters
            case Opcode.RUN:
                yield "ctx", f.ctx >= limits.contexts
            case Opcode.CB:
                yield "cb", f.cb >= limits.cbs
                yield "base", f.base >= limits.ls_units
                yield (
                    "depth",
                    ((f.depth == 0) | (f.depth >= 1 << 13) | (f.base + f.depth > limits.ls_units)),
                )
            case Opcode.DMA_IN:
                yield from self._operand_rules(f, "")
                for column, unit in enumerate(UNITS_OF_OPCODE[opcode]):
                    if unit not in limits.units:
                        yield "column", f.column == column
            case Opcode.DMA_OUT:
                yield from self._operand_rules(f, "")
            case Opcode.MML:
                yield from self._mml_rules(f)
            case Opcode.DRAIN:
                yield from self._drain_rules(f)
            case Opcode.PRELOAD:
                yield "count0", f.count0 != 1
                yield from self._operand_rules(f, "")
                yield "bank", f.bank >= limits.banks

    def _operand_rules(self, f: data.View, prefix: str) -> Iterator[tuple[str, Value]]:
        step_level, adv_level = f[f"{prefix}step_level"], f[f"{prefix}adv_level"]
        yield f"{prefix}cb", f[f"{prefix}cb"] >= self.limits.cbs
        yield f"{prefix}step_level", (step_level == 0) | (step_level > LEVELS)
        yield (
            f"{prefix}adv_level",
            (adv_level < step_level) | ((adv_level > LEVELS) & (adv_level != NEVER)),
        )

    def _tile_rules(self, f: data.View) -> Iterator[tuple[str, Value]]:
        """What MML and DRAIN have in common."""
        yield "count0", f.count0 > self.limits.tile_rows
        yield "bank", f.bank >= self.limits.banks
        yield "m_level", f.m_level > _TOP_LEVEL
        yield "n_level", f.n_level > _TOP_LEVEL
        yield "m_tail", f.m_tail > f.count0
        yield "n_tail", f.n_tail > self.limits.columns

    def _mml_rules(self, f: data.View) -> Iterator[tuple[str, Value]]:
        formats = [*_INTEGER, *((Format.FP16, Format.BF16) if self.limits.with_fp else ())]
        yield from self._operand_rules(f, "a_")
        yield from self._operand_rules(f, "b_")
        yield from self._tile_rules(f)
        yield "b_step_level", f.b_step_level < f.held_level
        yield "held_level", (f.held_level == 0) | (f.held_level > LEVELS)
        yield "k_level", f.k_level > _TOP_LEVEL
        yield "k_tail", f.k_tail > self.limits.k_bytes
        yield "a_format", ~_any_of(f.a_format, formats)
        # Integers mix; a floating-point format multiplies with itself only.
        yield (
            "b_format",
            Mux(
                _any_of(f.a_format, _INTEGER),
                ~_any_of(f.b_format, _INTEGER),
                f.b_format != f.a_format,
            ),
        )

    def _drain_rules(self, f: data.View) -> Iterator[tuple[str, Value]]:
        to_ls = f.destination == Destination.LS
        for name, wrong in self._operand_rules(f, ""):
            yield name, to_ls & wrong  # rows that leave the element have no buffer here
        yield from self._tile_rules(f)
        yield "format", ~_any_of(f.format, [Format.INT32, Format.FP32])
        if Unit.SE not in self.limits.units:
            yield "destination", f.destination == Destination.SE
        yield "source", f.source > max(Source)


def _any_of(value: Value, allowed: list[Format] | tuple[Format, ...]) -> Value:
    """Whether a format field is one of these; one bit, so that `~` negates it."""
    return Value.cast(value).matches(*(int(item) for item in allowed))
