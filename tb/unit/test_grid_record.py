# SPDX-License-Identifier: Apache-2.0
"""Cycles of products on `mtia100` as docs/grid.md shows them, beside the record and the model."""

import json
import re
from pathlib import Path

import pytest

from scripts.cycle_record import RECORD

_ROW = re.compile(r"\| (\d+x\d+x\d+ [^|]*?) \| ([\d,]+) \| [\d.]+ % \| [\d.]+ % \| (\d) \|")
DOCUMENT = RECORD.parent / "grid.md"


def documented(path: Path = DOCUMENT) -> dict[str, tuple[int, int]]:
    """Cycles and K parts of each product in the tables."""
    found = (_ROW.match(line) for line in path.read_text().splitlines())
    return {row[1]: (int(row[2].replace(",", "")), int(row[3])) for row in found if row}


def test_the_record_has_the_documented_cycles() -> None:
    """Would break if `make bench` failed on the very figures that the documents show."""
    record = json.loads(RECORD.read_text())
    rows = documented()
    assert len(rows) >= 43
    for name, (cycles, _) in rows.items():
        assert record[f"mtia100 grid: {name}"]["cycles"] == pytest.approx(cycles, rel=0.01), name
