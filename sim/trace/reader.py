# SPDX-License-Identifier: Apache-2.0
"""Reads a trace file with Perfetto's own classes, and measures in it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from hw.arch.units import State
from sim.trace.writer import COMMAND_CATEGORY, STATE_CATEGORY

__all__ = ["ElementTrace", "Slice", "read_processes", "read_trace"]


@dataclasses.dataclass(frozen=True)
class Slice:
    """Something that lasts from `start` to before `end`."""

    name: str
    start: int
    end: int
    tag: int | None = None
    """Tag of a command; states have none."""


@dataclasses.dataclass
class ElementTrace:
    """One element, side, or all reduction links, as a trace file shows it."""

    name: str = ""
    description: str = ""
    commands: dict[str, list[Slice]] = dataclasses.field(default_factory=dict[str, list[Slice]])
    """Unit's name to its commands."""
    states: dict[str, list[Slice]] = dataclasses.field(default_factory=dict[str, list[Slice]])
    """Unit's name to its states, IDLE left out."""
    fills: dict[str, list[tuple[int, int]]] = dataclasses.field(
        default_factory=dict[str, list[tuple[int, int]]]
    )
    """Counter's name, `CB n fill` or that of a lane, to its (time, value) pairs."""

    @property
    def span(self) -> tuple[int, int]:
        """When the first unit began and the last one ended."""
        slices = [piece for pieces in self.states.values() for piece in pieces]
        return min((p.start for p in slices), default=0), max((p.end for p in slices), default=0)

    def total(self, unit: str, state: State) -> int:
        """Cycles that a unit was in a state."""
        return sum(
            piece.end - piece.start
            for piece in self.states.get(unit, [])
            if piece.name == state.name
        )

    def shares(self, unit: str, state: State, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of each window, between two neighbours of `edges`, that a unit was in a state."""
        pieces = [p for p in self.states.get(unit, []) if p.name == state.name]
        corners = np.array([t for p in pieces for t in (p.start, p.end)], np.float64)
        lengths = np.array([t for p in pieces for t in (0, p.end - p.start)], np.float64)
        if not pieces:
            return np.zeros(len(edges) - 1)
        # Time in the state up to each edge: it grows within pieces and rests between them.
        return np.diff(np.interp(edges, corners, np.cumsum(lengths))) / np.diff(edges)


class _Names:
    """Names that packets refer to by number."""

    def __init__(self) -> None:
        self.events: dict[int, str] = {}
        self.categories: dict[int, str] = {}

    def learn(self, data: Any) -> None:
        """Take the names of a packet."""
        self.events |= {item.iid: item.name for item in data.event_names}
        self.categories |= {item.iid: item.name for item in data.event_categories}


class _Tracks:
    """Tracks by their numbers: whose they are, and what they are called."""

    def __init__(self) -> None:
        self.processes: dict[int, ElementTrace] = {}
        self.owners: dict[int, ElementTrace] = {}
        self.names: dict[int, str] = {}

    def learn(self, descriptor: Any) -> None:
        """Take what a packet says of a process or a track."""
        if descriptor.HasField("process"):
            found = ElementTrace(descriptor.process.process_name, descriptor.description)
            self.processes[descriptor.uuid] = found
            return
        found = self.processes[descriptor.parent_uuid]
        self.owners[descriptor.uuid], self.names[descriptor.uuid] = found, descriptor.name
        if descriptor.HasField("counter"):
            found.fills[descriptor.name] = []
        else:
            found.commands[descriptor.name], found.states[descriptor.name] = [], []


def read_trace(path: Path) -> ElementTrace:
    """Read the first element of a file that `write_trace` wrote; see `read_processes`."""
    return read_processes(path)[0]


def read_processes(path: Path) -> list[ElementTrace]:
    """Read a file that `write_trace` wrote: its elements, sides and links.

    Raises
    ------
    ValueError
        If slices do not nest, or the file is not a trace.
    """
    trace, tracks, names = Trace(), _Tracks(), _Names()
    try:
        trace.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's own class differs between its implementations
        raise ValueError(f"{path} is not a trace file.") from error
    open_slices: dict[int, list[tuple[str, str, int, int | None]]] = {}
    for packet in trace.packet:
        names.learn(packet.interned_data)
        if packet.HasField("track_descriptor"):
            tracks.learn(packet.track_descriptor)
        elif packet.HasField("track_event"):
            _event(tracks, names, open_slices, packet)
    if any(open_slices.values()):
        raise ValueError(f"{path} has slices that do not end.")
    return list(tracks.processes.values())


def _event(
    tracks: _Tracks,
    names: _Names,
    open_slices: dict[int, list[tuple[str, str, int, int | None]]],
    packet: Any,
) -> None:
    event, time = packet.track_event, packet.timestamp
    found, track = tracks.owners[event.track_uuid], tracks.names[event.track_uuid]
    stack = open_slices.setdefault(event.track_uuid, [])
    if event.type == TrackEvent.TYPE_COUNTER:
        found.fills[track].append((time, event.counter_value))
    elif event.type == TrackEvent.TYPE_SLICE_BEGIN:
        tag = event.debug_annotations[0].uint_value if event.debug_annotations else None
        category = names.categories[event.category_iids[0]]
        stack.append((category, names.events[event.name_iid], time, tag))
    elif event.type == TrackEvent.TYPE_SLICE_END:
        if not stack:
            raise ValueError(f"A slice of {track} ends at {time} that never began.")
        category, name, start, tag = stack.pop()
        kind = {COMMAND_CATEGORY: found.commands, STATE_CATEGORY: found.states}[category]
        kind[track].append(Slice(name, start, time, tag))
