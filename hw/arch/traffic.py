# SPDX-License-Identifier: Apache-2.0
"""Counters of what passes on a grid's lanes and links, one definition.

An element counts what its taps take and give, the rows that leave it on reduction links, and its
flits on its row's other lanes; a side counts the flits of each of its lanes and of each way through
its corner, and the accesses of each of its memories; side W those of the rows' other lanes and of
the host as well. Each counter has 32 bits and wraps.
"""

import dataclasses

from hw.arch.cache import CACHE_EVENTS
from hw.arch.interleave import N_SIDES

__all__ = [
    "CORNER_KINDS",
    "ELEMENT_TRAFFIC",
    "HOST_EVENTS",
    "LANE_KINDS",
    "MEMORY_EVENTS",
    "REMOTE_LANES",
    "ROW_LANES",
    "SIDE_NAMES",
    "SIDE_PAGE_BITS",
    "SIDE_TRAFFIC_MOST",
    "TRAFFIC_BASE",
    "TRAFFIC_BITS",
    "SideShape",
    "TrafficCounter",
    "element_traffic_offset",
    "side_shapes",
]

TRAFFIC_BITS = 32
"""Bits of a counter."""
LANE_KINDS = ("read", "line", "write", "ack")
"""What a lane carries: requests to a side, and its answers."""
SIDE_NAMES = ("W", "E", "N", "S")
"""Sides by their number."""
MEMORY_EVENTS = ("sram_read", "sram_write", "dram_read", "dram_write")
"""Accesses that a memory of a side takes."""
REMOTE_LANES = ("ask", "visit", "reply", "told")
"""Lanes of accesses to local memories: requests to W, from there, answers to W, from there."""
ROW_LANES = {
    "ask": True,
    "visit": False,
    "reply": False,
    "told": True,
    "sent": False,
    "received": True,
    "access": False,
    "report": False,
}
"""Lanes that each row has to W and from there besides those of memory: `REMOTE_LANES`, signals,
accesses to registers, reports; and whether the host is at one more of them."""
CORNER_KINDS = ("corner_read", "corner_line")
"""What leaves a side through its corner: shared reads, and lines for those of the other side."""
HOST_EVENTS = (
    "host_port.read",
    "host_port.write",
    "dma.read",
    "dma.write",
    "dma.host_read",
    "dma.host_write",
)
"""What the host port asks all memories of the chip for, an access for each beat of its AXI4 port;
lines that the DMA engine asks them for, and those that it asks the host's memory for."""


@dataclasses.dataclass(frozen=True)
class TrafficCounter:
    """One 32-bit counter."""

    name: str
    doc: str


_TAPPED = {
    "read": "reads that the element sent to side {side}",
    "line": "lines that it took from there",
    "write": "writes that it sent to side {side}",
    "ack": "acknowledgements that it took from there",
}

ELEMENT_TRAFFIC: tuple[TrafficCounter, ...] = (
    *(
        TrafficCounter(f"{kind}.{side.lower()}", _TAPPED[kind].format(side=side))
        for kind in LANE_KINDS
        for side in SIDE_NAMES
    ),
    TrafficCounter("link.south", "rows of accumulators sent to the southern neighbour"),
    TrafficCounter("link.east", "rows of accumulators sent to the eastern neighbour"),
    TrafficCounter(
        "window.ask", "reads of lines, and writes of words, of any local memory that it asked for"
    ),
    TrafficCounter("window.visit", "such requests that came for its own local memory"),
    TrafficCounter("window.reply", "words, and acknowledgements of words, that this answered with"),
    TrafficCounter("window.told", "such answers that it was given"),
    TrafficCounter("signal.sent", "signals that it sent to other elements, or to the host"),
    TrafficCounter("signal.received", "signals that came for it, of other jobs too"),
    TrafficCounter("control.access", "accesses to its registers that came for it"),
    TrafficCounter("control.report", "answers to these, and ends of jobs, that it reported"),
)
"""Counters of an element since its last job started, in address order."""

TRAFFIC_BASE = 0x800
"""Offset of the first of them in an element's page."""


def element_traffic_offset(name: str) -> int:
    """Offset of an element's counter in its page.

    Raises
    ------
    KeyError
        If there is no such counter.
    """
    for index, counter in enumerate(ELEMENT_TRAFFIC):
        if counter.name == name:
            return TRAFFIC_BASE + 4 * index
    raise KeyError(f"there is no traffic counter {name!r}")


SIDE_PAGE_BITS = 10
"""Bits of a byte offset into a side's part of page TRAFFIC; the part of side n is at n * 1024."""
SIDE_TRAFFIC_MOST = (1 << SIDE_PAGE_BITS) // 4
"""Counters that a side can have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SideShape:
    """What there is to count at a side."""

    name: str
    number: int
    n_lanes: int
    """Lanes, the host's among them: the last one."""
    n_nodes: int
    """Memories, each a slice with the DRAM channel behind it."""
    n_corners: int = 0
    """Ways through its corner."""
    has_cache: bool = False
    """Whether channels have a cache."""

    @property
    def memory_events(self) -> tuple[str, ...]:
        """What is counted at each memory."""
        return MEMORY_EVENTS + (CACHE_EVENTS if self.has_cache else ())

    @property
    def chip_counters(self) -> tuple[str, ...]:
        """Names of those of `ROW_LANES`, which end at W only, and `HOST_EVENTS`."""
        if self.name != SIDE_NAMES[0]:
            return ()
        rows = self.n_lanes - 1
        lanes = (
            f"{kind}.{lane}"
            for kind, has_host in ROW_LANES.items()
            for lane in range(rows + has_host)
        )
        return (*lanes, *HOST_EVENTS)

    @property
    def counters(self) -> tuple[str, ...]:
        """Names in address order: `read.0` counts flits of lane 0, `sram_read.0` accesses to
        memory 0 of the side, `corner_read.0` flits on way 0 out through the corner, `ask.0` flits
        of the lane of row 0. The host's lane, where it has one, is the last of a kind."""
        return (
            *(f"{kind}.{lane}" for kind in LANE_KINDS for lane in range(self.n_lanes)),
            *(f"{event}.{node}" for node in range(self.n_nodes) for event in self.memory_events),
            *(f"{kind}.{way}" for kind in CORNER_KINDS for way in range(self.n_corners)),
            *self.chip_counters,
        )

    @property
    def base(self) -> int:
        """Offset of the first counter in page TRAFFIC."""
        return self.number << SIDE_PAGE_BITS


def side_shapes(
    *, rows: int, columns: int, n_slices: int, has_cache: bool = False
) -> tuple[SideShape, ...]:
    """Every side that has memories: W and E have a lane for each row, N and S one for each column,
    slices are dealt to the sides in turn, and where there are four, as many ways lead through the
    corner of a side as it has memories."""
    n_sides = min(N_SIDES, n_slices)
    n_nodes = n_slices // n_sides
    return tuple(
        SideShape(
            name=name,
            number=number,
            n_lanes=(rows if name in "WE" else columns) + 1,
            n_nodes=n_nodes,
            n_corners=n_nodes if n_sides == N_SIDES else 0,
            has_cache=has_cache,
        )
        for number, name in enumerate(SIDE_NAMES[:n_sides])
    )
