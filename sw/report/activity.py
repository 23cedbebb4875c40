# SPDX-License-Identifier: Apache-2.0
"""Unit states over time, folded into windows while a run goes on."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hw.arch.units import State, Unit
from sim.trace.grid_log import ELEMENT_TRACKS, LANE_TRACK
from sim.trace.log import TraceLog

__all__ = ["N_UNITS", "Activity", "ActivityLog"]

N_UNITS = int(Unit.CP)
"""Units that have a state of their own."""
_N_STATES = len(State)
_N_WINDOWS = 512
"""Windows at most; when a run outgrows them, neighbours are added up in pairs."""


@dataclasses.dataclass(frozen=True)
class Activity:
    """What every unit of every element did, in windows of equal length."""

    cycles: NDArray[np.int64]
    """Cycles by element, unit, state and window."""
    window: int
    """Cycles of a window; the last one may be shorter."""
    length: int
    """Cycles from the first unit's start to the last one's end."""

    @property
    def widths(self) -> NDArray[np.int64]:
        """Cycles of each window."""
        starts = np.arange(self.cycles.shape[-1]) * self.window
        return np.minimum(self.window, self.length - starts)

    @property
    def edges(self) -> NDArray[np.int64]:
        """Where windows begin, and where the last one ends."""
        return np.concatenate([[0], np.cumsum(self.widths)])

    def shares(self, unit: Unit, states: tuple[State, ...]) -> NDArray[np.float64]:
        """By element and window: share of its cycles that a unit was in one of these states."""
        return self.cycles[:, unit, list(states)].sum(axis=1) / self.widths

    def total(self, element: int, unit: Unit, state: State) -> int:
        """Cycles of the whole run that a unit of an element was in a state."""
        return int(self.cycles[element, unit, state].sum())

    def is_used(self, unit: Unit) -> bool:
        """Whether a unit of any element did anything."""
        return bool(self.cycles[:, unit, State.BUSY :].any())


class ActivityLog(TraceLog):
    """A log that folds what it is told into windows, so a run of any length fits.

    Operation: time counts from the first event in which any unit is not IDLE. Windows are exact: a
    state that lasts over an edge counts on both sides for as long as it was there. A window is one
    cycle at first and doubles whenever a run outgrows `_N_WINDOWS` of them.

    Parameters
    ----------
    name, time_unit
        See `TraceLog`.
    n_elements : int
        Elements that are recorded.
    """

    def __init__(self, name: str, *, n_elements: int, time_unit: str = "cycle") -> None:
        super().__init__(name, time_unit=time_unit)
        self._n_elements = n_elements
        self._origin: int | None = None
        self._window = 1
        self._cycles = np.zeros((n_elements * N_UNITS * _N_STATES, _N_WINDOWS), np.int64)
        self._state = np.zeros(n_elements * N_UNITS, np.int64)
        self._since = np.zeros(n_elements * N_UNITS, np.int64)
        self._latest = 0

    def add(self, events: NDArray[np.void]) -> None:
        """Take events that a device has recorded by itself, an array of `EVENT`."""
        if events.size:
            self._time = max(self._time, int(events["time"].max()))
        track = events["track"].astype(np.int64)
        is_unit = (track % ELEMENT_TRACKS < N_UNITS) & (track < LANE_TRACK)
        units = track // ELEMENT_TRACKS * N_UNITS + track % ELEMENT_TRACKS
        self._take(
            units[is_unit],
            events["time"][is_unit].astype(np.int64),
            events["value"][is_unit].astype(np.int64) & 0xF,
        )

    def end(self, time: int) -> None:
        """What has not ended yet ends at `time`."""
        super().end(time)
        units = np.arange(self._state.size)
        self._take(units, np.full(units.size, time), self._state)

    def activity(self) -> Activity:
        """Everything so far."""
        length = max(self._latest - (self._origin or 0), 1)
        n_windows = -(-length // self._window)
        shape = (self._n_elements, N_UNITS, _N_STATES, _N_WINDOWS)
        cycles = self._cycles.reshape(shape)[..., :n_windows].copy()
        return Activity(cycles, self._window, length)

    def _take(
        self, units: NDArray[np.int64], times: NDArray[np.int64], states: NDArray[np.int64]
    ) -> None:
        """Count what lasted until these changes."""
        if self._origin is None:
            starts = times[states != State.IDLE]
            if not starts.size:
                return
            self._origin = int(starts.min())
            self._since[:] = self._origin
        order = np.argsort(units, kind="stable")
        units, times, states = units[order], times[order], states[order]
        is_first = np.diff(units, prepend=-1) != 0
        before = np.where(is_first, self._state[units], np.roll(states, 1))
        since = np.where(is_first, self._since[units], np.roll(times, 1))
        self._count(units * _N_STATES + before, since - self._origin, times - self._origin)
        is_last = np.diff(units, append=-1) != 0
        self._state[units[is_last]] = states[is_last]
        self._since[units[is_last]] = times[is_last]

    def _count(
        self, rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> None:
        """Add spans to the windows that they reach into."""
        is_at_work = (rows % _N_STATES != State.IDLE) & (ends > starts)
        rows, starts, ends = rows[is_at_work], starts[is_at_work], ends[is_at_work]
        if not rows.size:
            return
        self._latest = max(self._latest, int(ends.max()) + (self._origin or 0))
        while int(ends.max()) > _N_WINDOWS * self._window:
            self._double()
        self._cycles += self._until(rows, ends) - self._until(rows, starts)

    def _until(self, rows: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """By row and window: cycles of the window before each of these times, added up."""
        window, shape = self._window, self._cycles.shape
        column = times // window
        at = rows * (_N_WINDOWS + 1) + column
        size = shape[0] * (_N_WINDOWS + 1)
        inside = np.bincount(at, times % window, size).reshape(shape[0], -1)
        passed = np.bincount(at, minlength=size).reshape(shape[0], -1)
        whole = passed[:, ::-1].cumsum(axis=1)[:, ::-1] - passed
        return (inside[:, :-1].astype(np.int64)) + window * whole[:, :-1]

    def _double(self) -> None:
        """Windows of twice the length."""
        pairs = self._cycles[:, ::2] + self._cycles[:, 1::2]
        self._cycles = np.concatenate([pairs, np.zeros_like(pairs)], axis=1)
        self._window *= 2
