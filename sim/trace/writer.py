# SPDX-License-Identifier: Apache-2.0
"""Writes a log as a file for Perfetto's viewer.

One process for each element. Each unit has a track with two layers of slices: the commands, named
by their mnemonic with the tag as an argument, and in them the states, named as in `hw.arch.units`.
Each circular buffer has a counter track with its fill. A grid has a process for each side and one
for the reduction links, with counter tracks for what passes on a lane and what waits there. The
viewer knows no cycles: one of them is a nanosecond in the file.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)
from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

from hw.arch.commands import COMMANDS
from hw.arch.units import State
from sim.trace.activity import BufferSample, Span, buffer_samples, mnemonic, unit_spans
from sim.trace.grid_log import LANE_WINDOW, GridTraceLog, LaneGroup, LaneSeries
from sim.trace.log import BUFFER_TRACK, TraceLog

__all__ = ["COMMAND_CATEGORY", "STATE_CATEGORY", "write_trace"]

COMMAND_CATEGORY, STATE_CATEGORY = "command", "state"

_PROCESS = 1
"""Track of a process; the others lie `_FIRST_TRACK` higher than in the log."""
_FIRST_TRACK = 16
_PROCESS_TRACKS = 1 << 12
"""Tracks of a process; those of the next one follow."""
_SEQUENCE = 1
_CLEARED = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
_NEEDED = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
_TAG_NAME = 1


def write_trace(log: TraceLog, path: Path) -> None:
    """Write everything in `log` to `path`, usually called `*.pftrace`."""
    with path.open("wb") as file:
        writer = _Writer(file)
        writer.names(opcode for part in log.parts() for opcode in _opcodes(part))
        for part in log.parts():
            _write_element(writer, part)
        if isinstance(log, GridTraceLog):
            for group in log.lanes():
                _write_lanes(writer, group, log.time_unit)


def _write_element(writer: "_Writer", log: TraceLog) -> None:
    """An element's units and buffers."""
    spans, samples = list(unit_spans(log)), list(buffer_samples(log))
    writer.process(log.name, f"Units and circular buffers of {log.name}.", log.time_unit)
    for unit, _ in groupby(spans, key=lambda span: span.unit):
        writer.track(unit, unit.name, f"Unit {unit.name}: commands, and in them states.")
    for cb, depths in sorted(_depths(samples).items()):
        shown = " or ".join(map(str, depths))
        words = f"64-byte units, committed and not released; depth {shown}."
        writer.counter_track(BUFFER_TRACK + cb, f"CB {cb} fill", words, "x 64 B")
    for span_group in _commands(spans):
        writer.command(span_group)
    for sample in samples:
        writer.value(BUFFER_TRACK + sample.cb, sample.time, sample.fill)


def _write_lanes(writer: "_Writer", group: LaneGroup, time_unit: str) -> None:
    """The lanes of a side, or the reduction links."""
    if not group.lanes:
        return
    writer.process(group.name, f"What passes and what waits: {group.name}.", time_unit)
    for number, lane in enumerate(group.lanes):
        _write_lane(writer, 2 * number, lane)


def _write_lane(writer: "_Writer", track: int, lane: LaneSeries) -> None:
    """One of them: how much passed, and, if it ever did, how much waited."""
    ways = [("", "passed", lane.moves), (" waits", "waited", lane.waits)]
    for shift, (more, verb, values) in enumerate(ways):
        if not values.any():
            continue
        words = f"Cycles of each {LANE_WINDOW} in which something {verb}."
        writer.counter_track(track + shift, lane.name + more, words, f"of {LANE_WINDOW} cycles")
        for time, value in zip(lane.times.tolist(), values.tolist(), strict=True):
            writer.value(track + shift, time, value)


def _opcodes(log: TraceLog) -> Iterator[int]:
    """Every opcode that an element's units worked at."""
    events = log.events
    units = events["value"][events["track"] < BUFFER_TRACK]
    yield from sorted(set((units >> 4 & 0xFF).tolist()) - {0})


def _depths(samples: Iterable[BufferSample]) -> dict[int, list[int]]:
    """Buffer to the depths that it was set up with."""
    found: dict[int, dict[int, None]] = {}
    for sample in samples:
        found.setdefault(sample.cb, {})[sample.depth] = None
    return {cb: list(depths) for cb, depths in found.items()}


def _commands(spans: list[Span]) -> Iterator[list[Span]]:
    """Spans that touch and belong to the same command of the same unit."""
    group: list[Span] = []
    for span in spans:
        if group and not _continues(group[-1], span):
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def _continues(before: Span, span: Span) -> bool:
    return (before.unit, before.end, before.opcode, before.tag) == (
        span.unit,
        span.start,
        span.opcode,
        span.tag,
    )


class _Writer:
    """Writes packets; names are written once and then referred to by number."""

    def __init__(self, file: IO[bytes]) -> None:
        self._builder = StreamingTraceProtoBuilder(file)
        self._iids: dict[str, int] = {}
        self._pid = 0

    def _packet(self, flags: int = _NEEDED) -> Any:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.sequence_flags = flags
        return packet

    @property
    def _base(self) -> int:
        """What the numbers of the process's tracks begin with."""
        return (self._pid - 1) * _PROCESS_TRACKS

    def names(self, opcodes: Iterable[int]) -> None:
        """Every name that events refer to."""
        packet = self._packet(_CLEARED | _NEEDED)
        data = packet.interned_data
        names = [command.name for command in COMMANDS.values()]
        names += [mnemonic(opcode) for opcode in opcodes]
        names += [state.name for state in State]
        for name in dict.fromkeys(names):
            self._iids[name] = len(self._iids) + 1
            data.event_names.add(iid=self._iids[name], name=name)
        for iid, category in enumerate((COMMAND_CATEGORY, STATE_CATEGORY), start=1):
            self._iids[f"category {category}"] = iid
            data.event_categories.add(iid=iid, name=category)
        data.debug_annotation_names.add(iid=_TAG_NAME, name="tag")
        self._builder.write_packet(packet)

    def process(self, name: str, description: str, time_unit: str) -> None:
        """A process, to which the tracks that follow belong."""
        self._pid += 1
        packet = self._packet()
        track = packet.track_descriptor
        track.uuid = self._base + _PROCESS
        track.process.pid = self._pid
        track.process.process_name = name
        track.process.process_labels.append(f"1 ns = 1 {time_unit}")
        track.description = (
            f"{description} Time counts {time_unit}s: what the viewer shows as one"
            f" nanosecond is one {time_unit}."
        )
        track.child_ordering = TrackDescriptor.EXPLICIT
        self._builder.write_packet(packet)

    def track(self, track: int, name: str, description: str) -> None:
        """A track of slices below the process."""
        packet = self._described(track, name, description)
        self._builder.write_packet(packet)

    def counter_track(self, track: int, name: str, description: str, unit: str) -> None:
        """A counter below the process."""
        packet = self._described(track, name, description)
        packet.track_descriptor.counter.unit_name = unit
        self._builder.write_packet(packet)

    def _described(self, track: int, name: str, description: str) -> Any:
        packet = self._packet()
        packet.track_descriptor.uuid = self._base + _FIRST_TRACK + track
        packet.track_descriptor.parent_uuid = self._base + _PROCESS
        packet.track_descriptor.name = name
        packet.track_descriptor.description = description
        packet.track_descriptor.sibling_order_rank = track
        return packet

    def command(self, spans: list[Span]) -> None:
        """The slice of a command with those of its states; without a command only these."""
        first, last = spans[0], spans[-1]
        if first.opcode:
            packet = self._begin(first, mnemonic(first.opcode), COMMAND_CATEGORY)
            packet.track_event.debug_annotations.add(name_iid=_TAG_NAME, uint_value=first.tag)
            self._builder.write_packet(packet)
        for span in spans:
            self._builder.write_packet(self._begin(span, span.state.name, STATE_CATEGORY))
            self._end(span)
        if first.opcode:
            self._end(last)

    def _event(self, time: int, track: int, kind: Any) -> Any:
        packet = self._packet()
        packet.timestamp = time
        packet.track_event.type = kind
        packet.track_event.track_uuid = self._base + _FIRST_TRACK + track
        return packet

    def _begin(self, span: Span, name: str, category: str) -> Any:
        packet = self._event(span.start, span.unit, TrackEvent.TYPE_SLICE_BEGIN)
        packet.track_event.name_iid = self._iids[name]
        packet.track_event.category_iids.append(self._iids[f"category {category}"])
        return packet

    def _end(self, span: Span) -> None:
        self._builder.write_packet(self._event(span.end, span.unit, TrackEvent.TYPE_SLICE_END))

    def value(self, track: int, time: int, value: int) -> None:
        """One value of a counter."""
        packet = self._event(time, track, TrackEvent.TYPE_COUNTER)
        packet.track_event.counter_value = value
        self._builder.write_packet(packet)
