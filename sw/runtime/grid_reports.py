# SPDX-License-Identifier: Apache-2.0
"""What a grid says of jobs that failed or hang: which element, which unit, and why."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hw.arch.csr import JobState
from hw.arch.traps import Trap
from hw.arch.units import State, Unit
from sw.runtime.chip import element_error
from sw.runtime.grid_sharing import missing_members
from sw.runtime.link_triage import link_triage
from sw.runtime.places import Place
from sw.runtime.triage import DebugRead, command_text, triage

if TYPE_CHECKING:
    from sw.runtime.grid import Grid

__all__ = ["GridReports"]

_TAKEN_ALONG = (Trap.MULTICAST_MISMATCH, Trap.ABORTED)
"""Causes that another element may have brought about."""


class GridReports:
    """Reads what the elements of a grid wait for, and their first errors.

    Parameters
    ----------
    grid : Grid
        The device.
    lists : Mapping[Place, Sequence[bytes]]
        Command lists of the last jobs of each element; the one that reports reads it each time.
    """

    def __init__(self, grid: "Grid", lists: Mapping[Place, Sequence[bytes]]) -> None:
        self._grid, self._lists = grid, lists

    def of_elements(self, places: Iterable[Place]) -> str:
        """Who waits for whom: first for shared lines and across reduction links, then in each of
        these elements that has a job."""
        stuck = [place for place in places if self._is_working(place)]
        links = link_triage(self._debug_port, self._is_working, self._lists)
        missing = missing_members(
            self._grid, stuck, {place: self._running(place) for place in stuck}
        )
        tables = [
            f"element {place}:\n{triage(self._grid.config, self._debug_port(place))}"
            for place in stuck
        ]
        return "\n".join([*missing, *links, *tables])

    def first_stuck(self) -> str:
        """Which element of which job the watchdog has named, and what that waits for."""
        hang = self._grid.register("GRID_HANG")
        if not hang:
            return "The job has ended since."
        place = (hang & 0xFF, hang >> 8 & 0xFF)
        who = f"Element {place} has not completed job {hang >> 24 & 0x7F}"
        command = self._grid.element(place).register("WAIT_UNIT")
        state = self._grid.element(place).register("WAIT_STATE")
        if state == State.IDLE:
            return f"{who}; none of its units waits."
        words = command_text(command >> 8 & 0xFF, command >> 16)
        unit = Unit(command & 0xFF).name
        return f"{who}: {unit} is in {State(state).name}, {words}."

    def raise_error(self, places: Collection[Place], job: int) -> None:
        """Raise for the first element on which the job failed, if possible by itself."""
        if not self._grid.register("GRID_FAILED") >> job & 1:
            return
        error = self._grid.register("GRID_ERROR")
        first = (error & 0xFF, error >> 8 & 0xFF)
        # That of another job, if one failed before.
        known = [first] if error >> 24 & 0x7F == job and first in places else []
        failed = [
            place
            for place in dict.fromkeys((*known, *places))
            if self._grid.element(place).register("JOB_STATE") == JobState.ERROR
        ]
        # One that others took along may be the first to come to rest.
        by_itself = [
            place
            for place in failed
            if self._grid.element(place).register("ERROR_CAUSE") not in _TAKEN_ALONG
        ]
        for place in (*by_itself, *failed):
            raise element_error(self._grid.element(place), f"Element {place}: ")

    def _debug_port(self, place: Place) -> DebugRead:
        return self._grid.element(place).debug_word

    def _is_working(self, place: Place) -> bool:
        return bool(self._grid.element(place).register("JOB_QUEUE"))

    def _running(self, place: Place) -> bytes:
        """The command list that an element runs; its last job may wait behind it."""
        lists = self._lists.get(place, [b""])
        return lists[-min(self._grid.element(place).register("JOB_QUEUE") or 1, len(lists))]
