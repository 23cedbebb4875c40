# SPDX-License-Identifier: Apache-2.0
"""Tables and maps of what the lanes, memories and reduction links of a grid carried."""

import html
from collections.abc import Mapping, Sequence

from hw.arch.traffic import (
    CORNER_KINDS,
    HOST_EVENTS,
    LANE_KINDS,
    MEMORY_EVENTS,
    ROW_LANES,
    SIDE_NAMES,
)
from sw.report.heat_map import grid_map, ground
from sw.report.record import Place, RunRecord
from sw.report.svg import bytes_text, percent, tag
from sw.runtime.traffic import GridTraffic

__all__ = ["LINK_COUNTERS", "lane_section"]

LINK_COUNTERS = ("link.south", "link.east")
"""Counters of each element that the section needs."""
_CARRIES_DATA = ("line", "write")
_WORDS = {
    "read": "reads, to the side", "line": "lines, into the grid",
    "write": "writes, to the side", "ack": "acknowledgements, into the grid",
    "corner_read": "shared reads", "corner_line": "lines for those that came",
    "ask": "requests for local memories, to W",
    "visit": "requests for local memories, into the grid",
    "reply": "their answers, to W", "told": "their answers, into the grid",
    "sent": "signals, to W", "received": "signals, into the grid",
    "access": "accesses to registers", "report": "their answers, and ends of jobs",
    "host_port.read": "reads of the host", "host_port.write": "writes of the host",
    "dma.read": "lines read by its DMA engine", "dma.write": "lines written by its DMA engine",
    "dma.host_read": "lines of the host's memory that it read",
    "dma.host_write": "lines of the host's memory that it wrote",
}  # fmt: skip


def lane_section(run: RunRecord, traffic: GridTraffic) -> str:
    """Lanes at the ends of their sides, memories, and links between elements."""
    line = run.config.pe.link_bytes
    note = (
        "Each lane carries a flit per cycle; here and below the colour is the share of the job's"
        " cycles in which one passed the lane's end at the side. A line or write has"
        f" {line} bytes of data, a read or acknowledgement none: of these the flits are shown."
        " Lanes of W and E run along rows,"
        " those of N and S along columns. All by hardware counters, from the job's start to its"
        " completion."
    )
    return "".join(
        [
            tag("h3", "Lanes of each side"),
            tag("p", note),
            _lane_table(run, traffic),
            _corner_table(run, traffic),
            _row_lane_table(run, traffic),
            _host_table(run, traffic),
            tag("h3", "Memories of each side"),
            _memory_table(run, traffic),
            _link_maps(run, traffic),
        ]
    )


def _lane_table(run: RunRecord, traffic: GridTraffic) -> str:
    """A row for each side and kind, a column for each lane."""
    most = max(run.shape)
    head = ["side", "what", *(f"lane {number}" for number in range(most)), "host"]
    rows = []
    for side, counts in traffic.sides.items():
        for kind in LANE_KINDS:
            *own, host = _counts(counts, kind)
            padded = [*own, *[None] * (most - len(own)), host]
            size = run.config.pe.link_bytes if kind in _CARRIES_DATA else 0
            cells = [_cell(run, count, size) for count in padded]
            rows.append(_row([side, _WORDS[kind]], cells))
    return _table(head, rows, "lanes")


def _corner_table(run: RunRecord, traffic: GridTraffic) -> str:
    """A row for each side and kind, a column for each way through the side's corner; nothing where
    there are no corners."""
    rows, n_ways = [], 0
    for side, counts in traffic.sides.items():
        for kind in CORNER_KINDS:
            found = _counts(counts, kind)
            n_ways = len(found)
            size = run.config.pe.link_bytes if kind == "corner_line" else 0
            rows.append(_row([side, _WORDS[kind]], [_cell(run, count, size) for count in found]))
    if not n_ways:
        return ""
    head = ["from side", "what", *(f"way {number}" for number in range(n_ways))]
    title = tag("h3", "Through the corners, to the side beyond")
    return title + _table(head, rows, "corners")


def _row_lane_table(run: RunRecord, traffic: GridTraffic) -> str:
    """A row for each kind, a column for each row of elements and the host; flits."""
    counts, rows = traffic.sides[SIDE_NAMES[0]], []
    for kind, has_host in ROW_LANES.items():
        found: list[int | None] = [*_counts(counts, kind), *[None] * (not has_host)]
        rows.append(_row([_WORDS[kind]], [_cell(run, count, 0) for count in found]))
    head = ["what", *(f"row {number}" for number in range(run.config.rows)), "host"]
    title = tag("h3", "Other lanes of each row, at W, in flits")
    return title + _table(head, rows, "row-lanes", n_texts=1)


def _host_table(run: RunRecord, traffic: GridTraffic) -> str:
    """A row for each way of the host and its DMA engine; a sentence if they did nothing, which is
    usual: operands are stored before a job, and results are read behind it."""
    counts, title = traffic.sides[SIDE_NAMES[0]], tag("h3", "Host and DMA engine")
    if not any(counts[name] for name in HOST_EVENTS):
        return title + tag("p", "They asked for nothing while the job ran.")
    rows = [_row([_WORDS[name]], [_cell(run, counts[name], 0)]) for name in HOST_EVENTS]
    return title + _table(["what", "accesses"], rows, "host", n_texts=1)


def _counts(counts: Mapping[str, int], kind: str) -> list[int]:
    """Counters of a kind, by their numbers."""
    return [count for name, count in counts.items() if name.startswith(f"{kind}.")]


def _memory_table(run: RunRecord, traffic: GridTraffic) -> str:
    """A row for each memory, a column for each kind of access."""
    pairs = [event.split("_") for event in MEMORY_EVENTS]
    head = ["side", "memory", *(f"{memory.upper()} {way}s" for memory, way in pairs)]
    rows = []
    for side, counts in traffic.sides.items():
        for node in range(sum(name.startswith("sram_read.") for name in counts)):
            cells = [
                _cell(run, counts[f"{event}.{node}"], run.config.pe.link_bytes)
                for event in MEMORY_EVENTS
            ]
            rows.append(_row([side, str(node)], cells))
    return _table(head, rows, "memories")


def _link_maps(run: RunRecord, traffic: GridTraffic) -> str:
    """Reduction links by the element that sends; a sentence if none was used."""
    row_bytes = 4 * run.config.pe.dpe.columns

    def of_link(name: str, where: str) -> str:
        def rows(place: Place) -> int:
            return traffic.count(place, name)

        def share(place: Place) -> float:
            return rows(place) / max(run.cycles, 1)

        def words(place: Place) -> str:
            return bytes_text(rows(place) * row_bytes)

        if not any(rows(place) for place in run.places):
            return ""
        return grid_map(run, f"to the {where}", "c-busy", (56, 30), share, words)

    maps = [of_link("link.south", "south"), of_link("link.east", "east")]
    title = tag("h3", "Reduction links")
    if not any(maps):
        return title + tag("p", "They carried nothing: no sums go from element to element.")
    note = f"Bytes that each element sent; the colour is the share of {row_bytes} bytes per cycle."
    return title + tag("p", note) + tag("div", *maps, class_="maps")


def _cell(run: RunRecord, count: int | None, size: int) -> str:
    """A count as bytes, or as flits if these carry none, on its share of the cycles."""
    if count is None:
        return tag("td")
    share = count / max(run.cycles, 1)
    words = bytes_text(count * size) if size else f"{count:,}"
    tip = f"{count:,} flits, {percent(share)}"
    return tag("td", html.escape(words), style=ground("busy", share), title=tip)


def _row(heads: Sequence[str], cells: Sequence[str]) -> str:
    return tag("tr", *(tag("th", html.escape(text), scope="row") for text in heads), *cells)


def _table(head: Sequence[str], rows: Sequence[str], name: str, n_texts: int = 2) -> str:
    """`n_texts` columns say what a row is."""
    texts, numbers = head[:n_texts], head[n_texts:]
    names = (tag("th", html.escape(text), scope="col", class_="text") for text in texts)
    first = tag("tr", *names, *(tag("th", html.escape(text), scope="col") for text in numbers))
    whole = tag("table", tag("thead", first), tag("tbody", *rows), class_="figures tight", id=name)
    return tag("div", whole, class_="scroll")
