# SPDX-License-Identifier: Apache-2.0
"""The events of a grid: those of the elements that somebody wants to see, sides and links."""

import dataclasses
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from hw.arch.traffic import LANE_KINDS, ROW_LANES, SIDE_TRAFFIC_MOST, SideShape, side_shapes
from hw.config import ChipConfig
from sim.trace.log import EVENT, TraceLog

__all__ = [
    "ELEMENT_TRACKS",
    "LANE_TRACK",
    "LANE_WINDOW",
    "GridTraceLog",
    "LaneGroup",
    "LaneSeries",
    "Place",
    "default_elements",
]

Place = tuple[int, int]
"""Row and column of an element."""
ELEMENT_TRACKS = 128
"""Tracks of an element; those of element n begin at n times as many."""
LANE_TRACK = 1 << 16
"""Track of the first side's first counter; sides, then links, as sim/compiled/lane_recorder.h."""
LANE_WINDOW = 64
"""Cycles of the windows in which lanes are counted."""
_LINKS, _LANES = 4 * SIDE_TRAFFIC_MOST, 32  # tracks of all sides; of a way of a row
_LINK_WAYS = ("south", "east")
_FOREVER = 1 << 62
_FEW_ELEMENTS = 16


@dataclasses.dataclass(frozen=True)
class LaneSeries:
    """What passed on a lane or link, or at a memory, and what waited there."""

    name: str
    times: NDArray[np.int64]
    """First cycles of the windows in which one of the counts changed."""
    moves: NDArray[np.int64]
    waits: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class LaneGroup:
    """What a side counts, or all reduction links."""

    name: str
    lanes: list[LaneSeries]


def default_elements(config: ChipConfig) -> set[Place]:
    """What one wants to see of a grid at first: all elements, or, if they are many, those of the
    first row and the first column, hence a whole chain and the head of each."""
    places = {(row, column) for row in range(config.rows) for column in range(config.cols)}
    return {place for place in places if len(places) <= _FEW_ELEMENTS or 0 in place}


class GridTraceLog(TraceLog):
    """Collects events of some elements and of all lanes, within some cycles.

    Operation: what lasts when the window begins, begins with it; what lasts when it ends, ends with
    it. Everything else is thrown away as it comes, so a long run on many elements fits.

    Parameters
    ----------
    config : ChipConfig
        The member.
    elements : Collection[Place]
        Elements to keep; all events of others are dropped.
    first, last : int
        The window, in cycles since power-on; `last` is not in it.
    """

    def __init__(
        self,
        config: ChipConfig,
        *,
        elements: Collection[Place],
        first: int = 0,
        last: int = _FOREVER,
    ) -> None:
        super().__init__(config.name)
        self.config, self.first, self.last = config, first, last
        self._columns = config.cols
        self._elements = sorted(elements)
        self._before: dict[int, int] = {}

    def add(self, events: NDArray[np.void]) -> None:
        """Take events that a device has recorded by itself, an array of `EVENT`."""
        track, time = events["track"], events["time"]
        wanted = [row * self._columns + column for row, column in self._elements]
        mine = (track >= LANE_TRACK) | np.isin(track // ELEMENT_TRACKS, wanted)
        for event in events[mine & (time < self.first)]:
            self._before[int(event["track"])] = int(event["value"])
        super().add(events[mine & (time >= self.first) & (time < self.last)])

    def end(self, time: int) -> None:
        """What has not ended yet ends at `time`, or with the window."""
        super().end(min(time, self.last))

    @property
    def events(self) -> NDArray[np.void]:
        """Everything so far, what lasted when the window began in front."""
        lasts = [(self.first, value, track) for track, value in self._before.items()]
        return np.concatenate([np.array(lasts, EVENT), super().events])

    def parts(self) -> Iterator[TraceLog]:
        """A log for each element, called `element row,column`."""
        events = self.events
        for row, column in self._elements:
            number = row * self._columns + column
            own = events[events["track"] // ELEMENT_TRACKS == number]
            own["track"] %= ELEMENT_TRACKS
            log = TraceLog(f"element {row},{column}", time_unit=self.time_unit)
            log.add(own)
            log.end(self.last_time)
            yield log

    def lanes(self) -> Iterator[LaneGroup]:
        """Side by side what each counts, then links; where nothing ever was is left out."""
        events = self.events
        events = events[events["track"] >= LANE_TRACK]
        config = self.config
        for side in side_shapes(
            rows=config.rows,
            columns=config.cols,
            n_slices=config.sram.slices,
            has_cache=config.sram.cache_ways > 0,
        ):
            names = {
                side.number * SIDE_TRAFFIC_MOST + index: _shown(side, counter)
                for index, counter in enumerate(side.counters)
            }
            yield LaneGroup(f"side {side.name}", list(_series(events, names)))
        names = {
            _LINKS + (row * len(_LINK_WAYS) + way) * _LANES + column: f"{row},{column} {name}"
            for way, name in enumerate(_LINK_WAYS)
            for row in range(config.rows)
            for column in range(config.cols)
        }
        yield LaneGroup("reduction links", list(_series(events, names)))


def _shown(side: SideShape, counter: str) -> str:
    """Name of a counter's track: the host's lane is called that."""
    kind, _, number = counter.partition(".")
    is_host = kind in (*LANE_KINDS, *ROW_LANES) and number == str(side.n_lanes - 1)
    return f"{kind} {'host' if is_host else number}"


def _series(events: NDArray[np.void], names: dict[int, str]) -> Iterator[LaneSeries]:
    """What is known of each of these tracks."""
    for track, name in names.items():
        own = events[events["track"] == LANE_TRACK + track]
        if own.size:
            values = own["value"].astype(np.int64)
            times = own["time"].astype(np.int64)
            yield LaneSeries(name, times, values & 0xFFFF, values >> 16)
