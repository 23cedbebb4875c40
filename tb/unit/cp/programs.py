# SPDX-License-Identifier: Apache-2.0
"""Random commands and programs that are legal on a small element, and commands with one fault."""

import random
from collections import Counter

from hw.arch.commands import (
    COMMANDS,
    LEVELS,
    NEVER,
    Destination,
    Factor,
    Function,
    LayoutTarget,
    Opcode,
    Reduce,
    ScatterMode,
    SimdOut,
    Source,
    encode,
    is_long,
)
from hw.arch.formats import Format
from hw.arch.units import UNITS_OF_OPCODE, Unit
from sim.golden.command_processor import Limits, illegal

__all__ = ["LIMITS", "LONG_OPCODES", "RandomProgram", "random_fault", "random_long"]

LIMITS = Limits()
LONG_OPCODES = tuple(opcode for opcode in COMMANDS if is_long(opcode))
_BY_UNIT = tuple((opcode, unit) for opcode, units in UNITS_OF_OPCODE.items() for unit in units)
_WIDE = (Format.INT32, Format.FP32)
_SIGNALLED = range(8)
"""Counters that signals increment; the others are set and waited for by one source each."""


def _operand(rng: random.Random, prefix: str, least_step: int = 1) -> dict[str, int]:
    step = rng.randint(least_step, LEVELS)
    return {
        f"{prefix}cb": rng.randrange(LIMITS.cbs),
        f"{prefix}step_level": step,
        f"{prefix}adv_level": rng.choice((*range(step, LEVELS + 1), NEVER)),
    }


def _formats(rng: random.Random) -> dict[str, int]:
    integers = (Format.INT8, Format.UINT8)
    a = rng.choice((*integers, Format.FP16, Format.BF16))
    return {"a_format": a, "b_format": rng.choice(integers) if a in integers else a}


def random_long(rng: random.Random, opcode: Opcode, **header: int) -> dict[str, int]:
    """Field values of a legal long command; every field that may hold anything is random."""
    command = COMMANDS[opcode]
    values = {field.name: rng.randint(field.low, field.high) for field in command.fields}
    values |= {"store": 0, "signal_en": 0, "signal_counter": rng.choice(_SIGNALLED)}
    values |= {name: rng.choice((1, 2, 0xFFFF)) for name in values if name[:-1] == "count"}
    values["context"] = rng.randrange(LIMITS.contexts)
    for name in list(values):
        prefix, found, _ = name.partition("step_level")
        values |= _operand(rng, prefix) if found else {}
    values |= {
        Opcode.MML: _mml,
        Opcode.DRAIN: _drain,
        Opcode.SE_PROGRAM: _program,
        Opcode.SIMD: _simd,
    }.get(opcode, _other)(rng, values)
    if opcode is Opcode.PRELOAD:
        values["count0"] = 1
    if "bank" in values:
        values["bank"] = rng.randrange(LIMITS.banks)
    del values["opcode"]
    return values | header


def _tile(rng: random.Random) -> dict[str, int]:
    count0 = rng.randint(1, LIMITS.tile_rows)
    return {
        "count0": count0,
        "m_tail": rng.randint(0, count0),
        "n_tail": rng.randint(0, LIMITS.columns),
        "m_level": rng.randrange(LEVELS),
        "n_level": rng.randrange(LEVELS),
    }


def _mml(rng: random.Random, values: dict[str, int]) -> dict[str, int]:
    held = rng.randint(1, LEVELS)
    formats = _formats(rng)
    return (
        _tile(rng)
        | _operand(rng, "b_", held)
        | formats
        | {
            "held_level": held,
            "k_level": rng.randrange(LEVELS),
            "k_tail": 2 * rng.randint(0, LIMITS.k_bytes // 2),
        }
        | _odd_tail(rng, formats)
    )


def _odd_tail(rng: random.Random, formats: dict[str, int]) -> dict[str, int]:
    """Elements of one byte may leave any number of bytes."""
    is_byte = formats["a_format"] in (Format.INT8, Format.UINT8)
    return {"k_tail": rng.randint(0, LIMITS.k_bytes)} if is_byte else {}


def _drain(rng: random.Random, values: dict[str, int]) -> dict[str, int]:
    return _tile(rng) | {
        "format": rng.choice(_WIDE),
        "source": rng.choice(list(Source)),
        "destination": rng.choice(list(Destination)),
    }


def _program(rng: random.Random, values: dict[str, int]) -> dict[str, int]:
    return {
        "program": rng.randrange(LIMITS.programs),
        **{name: rng.choice(list(Format)) for name in ("a_format", "b_format", "out_format")},
        **{name: rng.choice(list(Function)) for name in ("function", "stat_function")},
        "factor": rng.choice(list(Factor)),
        "reduce": rng.choice(list(Reduce)),
        "out": rng.choice(list(SimdOut)),
    }


def _simd(rng: random.Random, values: dict[str, int]) -> dict[str, int]:
    return {
        "program": rng.randrange(LIMITS.programs),
        "tail_level": rng.choice((2, 3, 4)),
        "tail_count": rng.randint(0, min(values["count1"], 127)),
    }


def _other(rng: random.Random, values: dict[str, int]) -> dict[str, int]:
    legal = {
        "target": rng.choice(list(LayoutTarget)),
        "out_level": rng.choice((*range(LEVELS), NEVER)),
        "index_cb": rng.randrange(LIMITS.cbs),
        "format": rng.choice(_WIDE),
    }
    if "multicast" in values:
        legal["multicast"] = 0
    if "out_level" in values:  # LAYOUT: a tail is never longer than what it is a tail of
        legal["tail_count"] = rng.randint(0, values[f"count{values['tail_inner']}"])
    if "mem_addr" in values:  # a run of bytes goes on from word to word
        legal["stride0"] = values["stride0"] // LIMITS.k_bytes * LIMITS.k_bytes
    if values.get("mode") == ScatterMode.ADD:
        legal |= {name: 4 * rng.randint(1, 1000) for name in ("count0", "mem_addr", "row_pitch")}
    return {name: value for name, value in legal.items() if name in values}


def _random_short(rng: random.Random, opcode: Opcode) -> dict[str, int]:
    """Field values of a legal short command."""
    command = COMMANDS[opcode]
    values = {field.name: rng.randint(field.low, field.high) for field in command.fields}
    values |= {"signal_en": 0, "signal_counter": rng.randrange(LIMITS.counters)}
    if "counter" in values:
        values["counter"] = rng.randrange(LIMITS.counters)
    if opcode is Opcode.FENCE:
        values["units"] &= 0x7F
    if opcode is Opcode.CB:
        base = rng.randrange(LIMITS.ls_units)
        values |= {
            "cb": rng.randrange(LIMITS.cbs),
            "base": base,
            "depth": rng.randint(1, LIMITS.ls_units - base),
        }
    del values["opcode"]
    return values


def random_fault(rng: random.Random) -> bytes:
    """A command that is wrong in at least one place, mostly at the edge of what is allowed."""
    while True:
        opcode = rng.choice(list(COMMANDS))
        command = COMMANDS[opcode]
        values = random_long(rng, opcode) if is_long(opcode) else _random_short(rng, opcode)
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            field = rng.choice(command.fields[1:])
            near = values[field.name] + rng.choice((-1, 1))
            edges = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 32, 255, 256, field.high, near]
            value = rng.choice([edge for edge in edges if field.low <= edge <= field.high])
            values[field.name] = value
        word = int.from_bytes(encode(opcode, **values), "little")
        if rng.random() < 0.2:
            word ^= 1 << rng.randrange(command.bits)
        if rng.random() < 0.05:
            word ^= 1 << rng.randrange(8)
        if word & 0xFF == Opcode.WAIT:  # commands are checked when they go, so it must be able to
            word &= ~(0xFFFFFFFF << COMMANDS[Opcode.WAIT].field("value").offset)
        data = word.to_bytes(64, "little")
        if illegal(data, LIMITS):
            return data


class RandomProgram:
    """A legal program of one source, which surely ends: it waits only for what it has signalled.

    Contexts and set counters belong to one source each, so that what a command does never depends
    on how the sources interleave.
    """

    def __init__(self, rng: random.Random, source: int) -> None:
        self.rng = rng
        self.source = source
        self.contexts: list[int] = []
        self.adds: set[int] = set()
        """Contexts whose memory address must stay a multiple of 4."""
        self.sent: Counter[int] = Counter()
        self.set: dict[int, int] = {}
        self.commands: list[bytes] = []

    def generate(self, n: int) -> list[bytes]:
        """The next `n` commands."""
        makers = (
            (self._long, 35),
            (self._store, 6),
            (self._run, 14),
            (self._signal, 8),
            (self._wait, 8),
            (self._set, 5),
            (self._fence, 3),
            (self._nop, 8),
            (self._cb, 4),
        )
        self.commands = []
        for _ in range(n):
            self.rng.choices([maker for maker, _ in makers], [share for _, share in makers])[0]()
        return self.commands

    def _header(self, *, certain: bool = False) -> dict[str, int]:
        """Random tag and signal; a local signal is counted, as it may be waited for."""
        rng = self.rng
        here = rng.random() < 0.8
        header = {
            "tag": rng.getrandbits(16),
            "signal_en": int(certain or rng.random() < 0.4),
            "signal_counter": rng.choice(_SIGNALLED),
            "signal_row": 0 if here else rng.randrange(16),
            "signal_col": 0 if here else rng.randrange(1, 16),
        }
        if header["signal_en"] and here:
            self.sent[header["signal_counter"]] += 1
        return header

    def _add(self, opcode: Opcode, **values: int) -> None:
        self.commands.append(encode(opcode, **values))

    def _long(self) -> None:
        """Every unit gets as many, however many opcodes it has."""
        unit = self.rng.choice(LIMITS.units)
        opcode = self.rng.choice([opcode for opcode, runs in _BY_UNIT if runs is unit])
        header = self._header()
        if opcode is Opcode.DMA_IN:
            header["column"] = int(unit is Unit.FI_IN_COL)
        self._add(opcode, **random_long(self.rng, opcode, **header))

    def _store(self) -> None:
        opcode = self.rng.choice(LONG_OPCODES)
        context = self.rng.randrange(LIMITS.contexts // 4) * 4 + self.source
        self.contexts.append(context)
        values = random_long(self.rng, opcode, store=1, context=context)
        (self.adds.add if values.get("mode") == ScatterMode.ADD else self.adds.discard)(context)
        self._add(opcode, **values)

    def _run(self) -> None:
        if not self.contexts:
            return self._store()
        rng = self.rng
        context = rng.choice(self.contexts)
        step = 4 if context in self.adds else 1
        self._add(
            Opcode.RUN,
            ctx=context,
            keep=rng.getrandbits(1),
            mem_delta=rng.randint(-(1 << 39), (1 << 39) - 1) // step * step,
            ls_delta=rng.randint(-(1 << 19), (1 << 19) - 1),
            **self._header(),
        )

    def _signal(self) -> None:
        header = self._header(certain=True)
        self._add(Opcode.SIGNAL, **header | {"signal_en": self.rng.getrandbits(1)})

    def _wait(self) -> None:
        counter = self.rng.choice(_SIGNALLED)
        value = max(0, self.sent[counter] - self.rng.choice((0, 0, 1, 3)))
        if self.set and self.rng.random() < 0.4:
            counter, top = self.rng.choice(list(self.set.items()))
            value = (top - self.rng.choice((0, 1, 1000))) % (1 << 32)
        self._add(Opcode.WAIT, counter=counter, value=value, **self._header())

    def _set(self) -> None:
        counter = 8 + self.source + 4 * self.rng.getrandbits(1)
        self.set[counter] = value = self.rng.choice((0, 5, 1 << 31, self.rng.getrandbits(32)))
        self._add(Opcode.SET_COUNTER, counter=counter, value=value)

    def _fence(self) -> None:
        self._add(Opcode.FENCE, units=self.rng.getrandbits(7), **self._header())

    def _nop(self) -> None:
        self._add(Opcode.NOP, **self._header())

    def _cb(self) -> None:
        values = _random_short(self.rng, Opcode.CB)
        self._add(Opcode.CB, **values | self._header())
