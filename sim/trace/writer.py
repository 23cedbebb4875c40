# SPDX-License-Identifier: Apache-2.0
"""Writes a log as a file for Perfetto's viewer.

One process for the element. Each unit has a track with two layers of slices: the commands, named by
their mnemonic with the tag as an argument, and in them the states, named as in `hw.arch.units`.
Each circular buffer has a counter track with its fill. The viewer knows no cycles: one of them is a
nanosecond in the file.
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
from sim.trace.log import BUFFER_TRACK, TraceLog

__all__ = ["COMMAND_CATEGORY", "STATE_CATEGORY", "write_trace"]

COMMAND_CATEGORY, STATE_CATEGORY = "command", "state"

_PROCESS = 1
"""Track of the element; the others lie `_FIRST_TRACK` higher than in the log."""
_FIRST_TRACK = 16
_SEQUENCE = 1
_PID = 1
_CLEARED = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
_NEEDED = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
_TAG_NAME = 1


def write_trace(log: TraceLog, path: Path) -> None:
    """Write everything in `log` to `path`, usually called `*.pftrace`."""
    spans, samples = list(unit_spans(log)), list(buffer_samples(log))
    with path.open("wb") as file:
        writer = _Writer(file)
        writer.names(spans)
        writer.process(log)
        for unit, _ in groupby(spans, key=lambda span: span.unit):
            writer.track(unit, unit.name, f"Unit {unit.name}: commands, and in them states.")
        for cb, depths in sorted(_depths(samples).items()):
            shown = " or ".join(map(str, depths))
            writer.buffer_track(cb, f"64-byte units, committed and not released; depth {shown}.")
        for span_group in _commands(spans):
            writer.command(span_group)
        for sample in samples:
            writer.fill(sample)


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

    def _packet(self, flags: int = _NEEDED) -> Any:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.sequence_flags = flags
        return packet

    def names(self, spans: list[Span]) -> None:
        """Every name that events refer to."""
        packet = self._packet(_CLEARED | _NEEDED)
        data = packet.interned_data
        names = [command.name for command in COMMANDS.values()]
        names += [mnemonic(span.opcode) for span in spans]
        names += [state.name for state in State]
        for name in dict.fromkeys(names):
            self._iids[name] = len(self._iids) + 1
            data.event_names.add(iid=self._iids[name], name=name)
        for iid, category in enumerate((COMMAND_CATEGORY, STATE_CATEGORY), start=1):
            self._iids[f"category {category}"] = iid
            data.event_categories.add(iid=iid, name=category)
        data.debug_annotation_names.add(iid=_TAG_NAME, name="tag")
        self._builder.write_packet(packet)

    def process(self, log: TraceLog) -> None:
        """The element."""
        packet = self._packet()
        track = packet.track_descriptor
        track.uuid = _PROCESS
        track.process.pid = _PID
        track.process.process_name = log.name
        track.process.process_labels.append(f"1 ns = 1 {log.time_unit}")
        track.description = (
            f"One element of {log.name}. Time counts {log.time_unit}s: what the viewer shows as one"
            f" nanosecond is one {log.time_unit}."
        )
        track.child_ordering = TrackDescriptor.EXPLICIT
        self._builder.write_packet(packet)

    def track(self, track: int, name: str, description: str) -> None:
        """A track of slices below the element."""
        packet = self._described(track, name, description)
        self._builder.write_packet(packet)

    def buffer_track(self, cb: int, description: str) -> None:
        """A counter below the element."""
        packet = self._described(BUFFER_TRACK + cb, f"CB {cb} fill", description)
        packet.track_descriptor.counter.unit_name = "x 64 B"
        self._builder.write_packet(packet)

    def _described(self, track: int, name: str, description: str) -> Any:
        packet = self._packet()
        packet.track_descriptor.uuid = _FIRST_TRACK + track
        packet.track_descriptor.parent_uuid = _PROCESS
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
        packet.track_event.track_uuid = _FIRST_TRACK + track
        return packet

    def _begin(self, span: Span, name: str, category: str) -> Any:
        packet = self._event(span.start, span.unit, TrackEvent.TYPE_SLICE_BEGIN)
        packet.track_event.name_iid = self._iids[name]
        packet.track_event.category_iids.append(self._iids[f"category {category}"])
        return packet

    def _end(self, span: Span) -> None:
        self._builder.write_packet(self._event(span.end, span.unit, TrackEvent.TYPE_SLICE_END))

    def fill(self, sample: BufferSample) -> None:
        """One value of a buffer's counter."""
        packet = self._event(sample.time, BUFFER_TRACK + sample.cb, TrackEvent.TYPE_COUNTER)
        packet.track_event.counter_value = sample.fill
        self._builder.write_packet(packet)
