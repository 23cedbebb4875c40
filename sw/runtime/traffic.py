# SPDX-License-Identifier: Apache-2.0
"""What the counters of lanes, memories and links tell of a job."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from hw.arch import address_map
from hw.arch.csr import PAGE_BITS, ControlPage
from hw.arch.traffic import ELEMENT_TRAFFIC, element_traffic_offset, side_shapes
from sw.runtime.grid import Grid, Place

__all__ = ["GridTraffic", "read_traffic"]


@dataclasses.dataclass(frozen=True)
class GridTraffic:
    """Flits, accesses and rows, by their counters' names (`hw.arch.traffic`)."""

    sides: Mapping[str, Mapping[str, int]]
    """By side: flits of each lane at the side's end and on each way out through its corner,
    accesses to each of its memories; at W flits of the rows' other lanes, and what the host and its
    DMA engine asked for."""
    elements: Mapping[Place, Mapping[str, int]]
    """By element: flits at its taps and on its row's other lanes, rows sent to neighbours."""

    def total(self, kind: str) -> int:
        """Flits of a kind on all lanes of all sides, or accesses of a kind to all memories."""
        return sum(
            count
            for counts in self.sides.values()
            for name, count in counts.items()
            if name.partition(".")[0] == kind
        )

    def count(self, place: Place, name: str) -> int:
        """A counter of an element; 0 for one that had no part in the job."""
        return self.elements.get(place, {}).get(name, 0)

    def to_dict(self) -> dict[str, Any]:
        """As performance figures have it."""
        return {
            "sides": {side: dict(counts) for side, counts in self.sides.items()},
            "elements": {
                f"{row},{column}": dict(counts) for (row, column), counts in self.elements.items()
            },
        }


def read_traffic(
    grid: Grid, places: Collection[Place], names: Collection[str] | None = None
) -> GridTraffic:
    """What lanes, memories and links carried in the last job that `Grid.run_job` ran.

    Parameters
    ----------
    grid : Grid
        The chip.
    places : Collection[Place]
        Elements whose counters are read, which takes longer than a small job.
    names : Collection[str], optional
        Those of their counters that are read; all by default.
    """
    config, page = grid.config, address_map.CONTROL.base + (ControlPage.TRAFFIC << PAGE_BITS)
    shapes = side_shapes(
        rows=config.rows,
        columns=config.cols,
        n_slices=config.sram.slices,
        has_cache=config.sram.cache_ways > 0,
    )
    sides = {
        shape.name: {
            name: grid.port.read_register(page + shape.base + 4 * index)
            for index, name in enumerate(shape.counters)
        }
        for shape in shapes
    }
    wanted = [counter.name for counter in ELEMENT_TRAFFIC] if names is None else names
    elements = {
        place: {name: grid.element(place).at(element_traffic_offset(name)) for name in wanted}
        for place in places
    }
    return GridTraffic(sides, elements)
