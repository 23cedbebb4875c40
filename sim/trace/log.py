# SPDX-License-Identifier: Apache-2.0
"""The events of one element, as devices report them.

A device that can be traced is a `TraceSource`. One that has no records of its own calls the log's
methods as things happen, with a time that never goes back:

    log.unit(time, Unit.DPE, State.BUSY, Opcode.MML, tag)   # it started a step of this command
    log.unit(time, Unit.DPE, State.WAIT_CB_DATA, Opcode.MML, tag)
    log.unit(time, Unit.DPE, State.IDLE)                    # the command is done
    log.buffer(time, cb, fill, depth)                       # after a commit, release or set-up
    log.end(time)                                           # nothing lasts longer than this

A state holds until the next one of the same unit; repeating it changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hw.arch.units import State, Unit

__all__ = [
    "BUFFER_TRACK",
    "EVENT",
    "TeeLog",
    "TraceLog",
    "TraceSource",
    "buffer_value",
    "unit_value",
]

EVENT = np.dtype([("time", "<u8"), ("value", "<u4"), ("track", "<u4")])
"""One change. Track: a unit's code, or `BUFFER_TRACK` and a CB's number."""

BUFFER_TRACK = 64
_FILL_BITS, _STATE_BITS, _OPCODE_BITS = 13, 4, 8


def unit_value(state: int, opcode: int, tag: int) -> int:
    """Value of a unit's event."""
    return state | opcode << _STATE_BITS | tag << _STATE_BITS + _OPCODE_BITS


def buffer_value(fill: int, depth: int) -> int:
    """Value of a circular buffer's event."""
    return fill | depth << _FILL_BITS


class TraceLog:
    """Collects the events of one element, in the order of time.

    Parameters
    ----------
    name : str
        What the element is called in the viewer.
    time_unit : str
        What times count, in the singular: `cycle` or `step`.

    Raises
    ------
    ValueError
        From `unit` and `buffer`, when time goes back.
    """

    def __init__(self, name: str, *, time_unit: str = "cycle") -> None:
        self.name, self.time_unit = name, time_unit
        self._pieces: list[NDArray[np.void]] = []
        self._new: list[tuple[int, int, int]] = []
        self._last: dict[int, int] = {}
        self._time = 0

    def unit(self, time: int, unit: Unit, state: State, opcode: int = 0, tag: int = 0) -> None:
        """From `time` on a unit is in this state, at work on this command."""
        self._put(time, int(unit), unit_value(state, opcode, tag))

    def buffer(self, time: int, cb: int, fill: int, depth: int) -> None:
        """A circular buffer holds `fill` of `depth` 64-byte units, committed and not released."""
        self._put(time, BUFFER_TRACK + cb, buffer_value(fill, depth))

    def _put(self, time: int, track: int, value: int) -> None:
        if time < self._time:
            raise ValueError(f"An event at {time} follows one at {self._time}.")
        self._time = time
        if self._last.get(track, 0) != value:
            self._last[track] = value
            self._new.append((time, value, track))

    def add(self, events: NDArray[np.void]) -> None:
        """Take events that a device has recorded by itself, an array of `EVENT`."""
        if events.size:
            self._collect()
            self._pieces.append(events)
            self._time = max(self._time, int(events["time"][-1]))

    def end(self, time: int) -> None:
        """What has not ended yet ends at `time`."""
        self._time = max(self._time, time)

    @property
    def last_time(self) -> int:
        """When the last state ends: the time of the last event, or of `end`."""
        return self._time

    @property
    def events(self) -> NDArray[np.void]:
        """Everything so far."""
        self._collect()
        return np.concatenate([np.empty(0, EVENT), *self._pieces])

    def parts(self) -> Iterator["TraceLog"]:
        """The logs of single elements, of which this one is made."""
        yield self

    def _collect(self) -> None:
        if self._new:
            self._pieces.append(np.array(self._new, EVENT))
            self._new = []


class TeeLog(TraceLog):
    """Passes on to several logs what a device has recorded, and keeps nothing."""

    def __init__(self, logs: Sequence[TraceLog]) -> None:
        super().__init__(logs[0].name, time_unit=logs[0].time_unit)
        self._logs = tuple(logs)

    def _put(self, time: int, track: int, value: int) -> None:
        self.add(np.array([(time, value, track)], EVENT))

    def add(self, events: NDArray[np.void]) -> None:
        """Take events that a device has recorded by itself, an array of `EVENT`."""
        for log in self._logs:
            log.add(events)

    def end(self, time: int) -> None:
        """What has not ended yet ends at `time`."""
        for log in self._logs:
            log.end(time)


@runtime_checkable
class TraceSource(Protocol):
    """A device that can be traced."""

    def record(self, log: TraceLog | None) -> None:
        """From now on put what happens into `log`; None: the log so far is whole, stop."""
        ...
