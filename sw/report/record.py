# SPDX-License-Identifier: Apache-2.0
"""What a page shows: a run's figures, its counters, and what units did over time."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hw.arch.units import State, Unit
from hw.config import ChipConfig
from sw.report.activity import Activity
from sw.runtime.traffic import GridTraffic

__all__ = ["PAGE_COUNTERS", "WAITS", "Place", "RunRecord"]

Place = tuple[int, int]
"""Row and column of an element."""
WAITS = tuple(state for state in State if state.name.startswith("WAIT_"))
"""States in which a unit has work and cannot go on."""

PAGE_COUNTERS = (
    "cycles",
    *(f"dpe.{state.name.lower()}" for state in (State.BUSY, *WAITS)),
    "fi.read_lines",
    "fi.write_lines",
    "fi.read_bytes",
    "fi.write_bytes",
)
"""Counters that a page needs of each element of a grid; reading all takes longer than most runs."""


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A product that ran."""

    config: ChipConfig
    figures: Mapping[str, Any]
    """As `--json` writes them."""
    counters: Mapping[Place, Mapping[str, int | None]]
    """The hardware's counters of each element that had work."""
    activity: Activity
    """Of all elements, row by row."""
    is_grid: bool
    """Whether all elements of the member ran, not one."""
    traffic: GridTraffic | None = None
    """Of a grid, what its lanes, memories and links carried."""

    @property
    def cycles(self) -> int:
        """From the job's start to its completion, by the hardware's counter."""
        return int(self.figures["cycles"])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of elements that were there to work."""
        return (self.config.rows, self.config.cols) if self.is_grid else (1, 1)

    @property
    def n_elements(self) -> int:
        """Elements that were there to work."""
        return self.shape[0] * self.shape[1]

    @property
    def places(self) -> list[Place]:
        """All elements, row by row."""
        rows, columns = self.shape
        return [(row, column) for row in range(rows) for column in range(columns)]

    def counter(self, place: Place, name: str) -> int:
        """A counter of an element; 0 for one that had no part in the job."""
        return self.counters.get(place, {}).get(name) or 0

    def total(self, name: str) -> int:
        """A counter, added up over all elements."""
        return sum(self.counter(place, name) for place in self.places)

    def line_bytes(self, place: Place, way: str) -> int:
        """Bytes that an element's memory port carried; `way` is `read` or `write`."""
        return self.counter(place, f"fi.{way}_lines") * self.config.pe.link_bytes

    def port_bytes(self, way: str) -> int:
        """The same of all elements."""
        return sum(self.line_bytes(place, way) for place in self.places)

    @property
    def where(self) -> str:
        """Where A, B and C lie, in words."""
        place = str(self.figures["place"])
        return {"weights": "SRAM, B in DRAM"}.get(place, place.upper())

    @property
    def cache_ways(self) -> int:
        """Ways of each slice that were cache of DRAM."""
        return int(self.figures.get("cache_ways", 0))

    @property
    def dram_name(self) -> str:
        """What took accesses to DRAM."""
        return "cached DRAM" if self.cache_ways else "DRAM"

    @property
    def memory(self) -> str:
        """The memory whose bandwidth limits: SRAM only if nothing lies in DRAM."""
        return "sram" if self.figures["place"] == "sram" else "dram"

    def memory_bytes(self) -> int:
        """Bytes to and from the memory of the operands; a line that elements share counts once.

        Without traffic counters, what the elements' ports carried.
        """
        if self.traffic is None:
            return self.port_bytes("read") + self.port_bytes("write")
        lines = sum(self.traffic.total(f"{self.memory}_{way}") for way in ("read", "write"))
        return lines * self.config.pe.link_bytes

    def share(self, place: Place, state: State) -> float:
        """Share of the job's cycles that an element's DPE was in a state, by its counter."""
        return self.counter(place, f"dpe.{state.name.lower()}") / max(self.cycles, 1)

    def unit_share(self, unit: Unit, state: State) -> float:
        """Share of the job's cycles that a unit was in a state, over all elements, as recorded."""
        total = sum(self.activity.total(e, unit, state) for e in range(self.n_elements))
        return total / max(self.cycles * self.n_elements, 1)

    def differences(self) -> list[str]:
        """States whose recorded cycles are not what the hardware counted; there should be none."""
        return [
            f"{unit.name}.{state.name} of element {place}"
            for element, place in enumerate(self.places)
            for unit in list(Unit)[: Unit.CP]
            for state in (State.BUSY, *WAITS)
            if (name := f"{unit.name}.{state.name}".lower()) in self.counters.get(place, {})
            and self.counters[place][name] != self.activity.total(element, unit, state)
        ]
