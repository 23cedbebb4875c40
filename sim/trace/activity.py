# SPDX-License-Identifier: Apache-2.0
"""From changes to spans: who did what from when to when."""

import dataclasses
from collections.abc import Iterator

from hw.arch.commands import COMMANDS, Opcode
from hw.arch.units import State, Unit
from sim.trace.log import BUFFER_TRACK, TraceLog

__all__ = ["BufferSample", "Span", "buffer_samples", "mnemonic", "unit_spans"]


@dataclasses.dataclass(frozen=True)
class Span:
    """One state of one unit, from `start` to before `end`."""

    unit: Unit
    start: int
    end: int
    state: State
    opcode: int
    tag: int


@dataclasses.dataclass(frozen=True)
class BufferSample:
    """A circular buffer from `time` on, in 64-byte units."""

    cb: int
    time: int
    fill: int
    depth: int


def mnemonic(opcode: int) -> str:
    """The assembler's name of a command, or the bare code of one that does not exist."""
    return COMMANDS[Opcode(opcode)].name if opcode in COMMANDS else f"0x{opcode:02x}"


def unit_spans(log: TraceLog) -> Iterator[Span]:
    """Spans in which a unit is not IDLE, unit by unit, each in the order of time."""
    events = log.events
    for unit in Unit:
        mine = events[events["track"] == unit]
        times, values = mine["time"].tolist(), mine["value"].tolist()
        ends = [*times, log.last_time][1:]
        for start, end, value in zip(times, ends, values, strict=True):
            state = State(value & 0xF)
            if state is not State.IDLE and end > start:
                yield Span(unit, start, end, state, value >> 4 & 0xFF, value >> 12)


def buffer_samples(log: TraceLog) -> Iterator[BufferSample]:
    """Every change of a buffer's fill or depth, in the order of time."""
    events = log.events
    last: dict[int, int] = {}
    for time, value, track in events[events["track"] >= BUFFER_TRACK].tolist():
        if last.get(track) != value:
            last[track] = value
            yield BufferSample(track - BUFFER_TRACK, time, value & 0x1FFF, value >> 13)
