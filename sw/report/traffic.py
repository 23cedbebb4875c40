# SPDX-License-Identifier: Apache-2.0
"""The section that shows how many bytes went where, as far as there are counters."""

from sw.report.caches import cache_section
from sw.report.heat_map import grid_map
from sw.report.lanes import lane_section
from sw.report.record import Place, RunRecord
from sw.report.roofs import Slope, roofline
from sw.report.svg import bytes_text, percent, table, tag

__all__ = ["Way", "memory_rows", "traffic", "ways"]

Way = tuple[str, int, float, str]
"""Name, bytes, most bytes per cycle, counter."""

_LISTS_TOO = (
    "Lanes and memories carry command lists as well, which work-queue engines read by themselves;"
    " an element's port does not count them. A line that several elements share passes a lane's"
    " end and the memory once, and the port of each of them."
)


def traffic(run: RunRecord) -> str:
    """A table of all ways with a counter, and for a grid maps of the elements' memory ports."""
    rows = [_row(run, way) for way in ways(run)]
    head = ["way", "bytes", "bytes exactly", "bytes per cycle", "of its bandwidth", "counter"]
    parts = [table(head, rows, class_="figures", id="ways")]
    if run.is_grid:
        parts.append(_maps(run))
    if run.traffic is not None:
        parts += [lane_section(run, run.traffic), tag("p", _LISTS_TOO, class_="note")]
        parts.append(cache_section(run, run.traffic))
    return "".join(parts)


def ways(run: RunRecord) -> list[Way]:
    """Everything that counters tell of bytes on their way."""
    link = run.config.pe.link_bytes * run.n_elements
    ports = "memory ports of all elements" if run.is_grid else "memory port"
    found: list[Way] = [
        (f"{ports}, reads", run.port_bytes("read"), link, "fi.read_lines x line"),
        (f"{ports}, writes", run.port_bytes("write"), link, "fi.write_lines x line"),
    ]
    return found if run.is_grid else found + _memories(run)


def _memories(run: RunRecord) -> list[Way]:
    """SRAM and DRAM: only a chip with one element counts what each carries."""
    line = run.config.pe.link_bytes
    sram, dram = (slope.bytes_per_cycle for slope in roofline(run).slopes)
    return [
        ("SRAM, reads", run.total("sram.read_lines") * line, sram, "sram.read_lines x line"),
        ("SRAM, writes", run.total("sram.write_lines") * line, sram, "sram.write_lines x line"),
        ("DRAM channel, reads", run.total("dram.read_bytes"), dram, "dram.read_bytes"),
        ("DRAM channel, writes", run.total("dram.write_bytes"), dram, "dram.write_bytes"),
    ]


def memory_rows(run: RunRecord) -> list[list[str]]:
    """Bytes read and written of each memory, for the summary.

    In a grid all operands and results lie in one memory; without traffic counters, what the
    elements' ports carry is its.
    """
    if run.traffic is not None:
        line = run.config.pe.link_bytes
        return [
            [name, *(bytes_text(run.traffic.total(f"{key}_{w}") * line) for w in ("read", "write"))]
            for name, key in (("SRAM", "sram"), (run.dram_name, "dram"))
        ]
    if not run.is_grid:
        counted = {name: n_bytes for name, n_bytes, _, _ in _memories(run)}
        return [
            [name, *(bytes_text(counted[f"{key}, {way}"]) for way in ("reads", "writes"))]
            for name, key in (("SRAM", "SRAM"), ("DRAM", "DRAM channel"))
        ]
    used: Slope = roofline(run).used
    return [[used.name, *(bytes_text(run.port_bytes(way)) for way in ("read", "write"))]]


def _row(run: RunRecord, way: Way) -> list[str]:
    name, n_bytes, bandwidth, counter = way
    rate = n_bytes / max(run.cycles, 1)
    return [
        name, bytes_text(n_bytes), f"{n_bytes:,}", f"{rate:,.2f} of {bandwidth:,.6g}",
        percent(rate / bandwidth), counter,
    ]  # fmt: skip


def _maps(run: RunRecord) -> str:
    """Memory port of each element, reads and writes."""
    link = run.config.pe.link_bytes

    def of_way(way: str) -> str:
        def share(place: Place) -> float:
            return run.line_bytes(place, way) / max(run.cycles * link, 1)

        def words(place: Place) -> str:
            return bytes_text(run.line_bytes(place, way))

        title = f"memory port, {way}s"
        return grid_map(run, title, "c-busy", (56, 30), share, words)

    note = f"Bytes of each element's port; the colour is the share of its {link} bytes per cycle."
    return tag("p", note) + tag("div", of_way("read"), of_way("write"), class_="maps")
