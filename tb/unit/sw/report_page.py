# SPDX-License-Identifier: Apache-2.0
"""What tests of reports share: a reader of their pages, and a record made up of plain numbers."""

import html.parser
import re

import numpy as np

from hw.arch.traffic import side_shapes
from hw.arch.units import State, Unit
from hw.config import ChipConfig
from sim.trace.log import EVENT, unit_value
from sw.report.activity import ActivityLog
from sw.report.record import Place, RunRecord
from sw.runtime.traffic import GridTraffic

__all__ = ["PageReader", "made_up", "number", "read_page"]


class PageReader(html.parser.HTMLParser):
    """Tables by `id`, as rows of texts, and every address that the page names."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._rows: list[list[str]] | None = None
        self._is_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note addresses, and where tables, rows and cells begin."""
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [
            found[key] or "" for key in ("href", "src", "xlink:href") if key in found
        ]
        if tag == "table" and "id" in found:
            self._rows = self.tables.setdefault(found["id"] or "", [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows is not None:
            self._rows[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        """Note where they end."""
        if tag == "table":
            self._rows = None
        elif tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        """Text of a cell."""
        if self._is_cell and self._rows:
            self._rows[-1][-1] += data

    def cell(self, table: str, row: str, column: int = 1) -> str:
        """The text of a cell; rows have names."""
        return next(cells[column] for cells in self.tables[table] if cells[0] == row)


def read_page(text: str) -> PageReader:
    """Read a page."""
    reader = PageReader()
    reader.feed(text)
    reader.close()
    return reader


def number(text: str) -> float:
    """The number that a text begins with."""
    found = re.match(r"-?[\d,]+(\.\d+)?", text)
    assert found, text
    return float(found[0].replace(",", ""))


def made_up(
    config: ChipConfig,
    *,
    is_grid: bool,
    cycles: int = 1000,
    place: str = "sram",
    cache_ways: int = 0,
) -> RunRecord:
    """A run in which every element's DPE works a quarter of the time and waits another."""
    rows, columns = (config.rows, config.cols) if is_grid else (1, 1)
    places: list[Place] = [(row, column) for row in range(rows) for column in range(columns)]
    quarter = cycles // 4
    log = ActivityLog(config.name, n_elements=len(places))
    changes = [
        (time, unit_value(state, 0, 0), 128 * element + Unit.DPE)
        for time, state in (
            (100, State.BUSY),
            (100 + quarter, State.WAIT_CB_DATA),
            (100 + 2 * quarter, State.IDLE),
        )
        for element in range(len(places))
    ]
    log.add(np.array(changes, EVENT))
    log.end(100 + cycles)
    counters = {
        "cycles": cycles, "dpe.busy": quarter, "dpe.wait_cb_data": quarter,
        "fi.read_lines": 30, "fi.write_lines": 10,
        "sram.read_lines": 31, "sram.write_lines": 10, "dram.read_bytes": 0, "dram.write_bytes": 8,
    }  # fmt: skip
    peak = config.pe.dpe.macs_per_cycle(1) * len(places)
    macs = peak * quarter
    figures = {
        "config": config.name, "m": 8, "n": 8, "k": macs // 64, "dtype_a": "int8",
        "dtype_b": "uint8", "out": "int32", "place": place, "cycles": cycles, "macs": macs,
        "peak_macs_per_cycle": peak, "utilisation": macs / cycles / peak, "grid": [rows, columns],
        "k_parts": 1, "held_blocks": 0, "expected_cycles": cycles - 100,
        "cache_ways": cache_ways,
    }  # fmt: skip
    return RunRecord(
        config,
        figures,
        dict.fromkeys(places, counters),
        log.activity(),
        is_grid=is_grid,
        traffic=made_up_traffic(config) if is_grid else None,
    )


def made_up_traffic(config: ChipConfig) -> GridTraffic:
    """Each counter of a side is 100 times the side's number and its own; a row goes south from each
    element but the last ones."""
    shapes = side_shapes(
        rows=config.rows,
        columns=config.cols,
        n_slices=config.sram.slices,
        has_cache=config.sram.cache_ways > 0,
    )
    sides = {
        shape.name: {name: 100 * shape.number + index for index, name in enumerate(shape.counters)}
        for shape in shapes
    }
    elements = {
        (row, column): {"link.south": int(row < config.rows - 1), "link.east": 0}
        for row in range(config.rows)
        for column in range(config.cols)
    }
    return GridTraffic(sides, elements)
