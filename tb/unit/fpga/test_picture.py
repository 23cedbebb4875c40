# SPDX-License-Identifier: Apache-2.0
"""The area tree and its picture: every LUT has a place with a name."""

from typing import Any

import pytest
from matplotlib.axes import Axes

from hw.config import get_config
from hw.fpga.devices import DEVICES
from sw.synth.area import Area
from sw.synth.order import Order
from sw.synth.picture import draw_tree
from sw.synth.tree import Part, area_tree

_ORDER = Order(member=get_config("fpga"), device=DEVICES["ecp5-25f"], unit="wqe")


class Cells:
    """LUTs in parts, as a netlist gives them."""

    def __init__(self, scopes: list[str]) -> None:
        self._scopes = {f"cell{index}": scope for index, scope in enumerate(scopes)}
        self.cell_types = dict.fromkeys(self._scopes, "LUT4")

    def named_scope(self, cell: str) -> str:
        """The part of a cell."""
        return self._scopes[cell]

    def neighbours(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """None is connected."""
        return {}, {}


def _tree(*scopes: str) -> Part:
    netlist: Any = Cells(list(scopes))
    return area_tree(netlist, depth=3, name="whole")


def _labels(tree: Part, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written into the picture."""
    found: list[str] = []
    monkeypatch.setattr(Axes, "text", lambda _axes, _x, _y, text, **_: found.append(text))
    assert draw_tree(tree, _ORDER).startswith(b"\x89PNG")
    return found


def test_what_is_in_no_part_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A white area would be taken for nothing, though it may be most of a unit."""
    tree = _tree("", "", "", "a", "a", "a.b")
    assert (tree.own_area, tree.parts[0].own_area) == (Area(lut4=3), Area(lut4=2))
    assert _labels(tree, monkeypatch) == ["a  3", "b  1", "own logic  2", "own logic  3"]


def test_a_unit_without_parts_fills_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is its own logic, and has its own name."""
    limits: list[float] = []
    monkeypatch.setattr(Axes, "set_xlim", lambda _axes, *both: limits.extend(both))
    assert _labels(_tree("", ""), monkeypatch) == ["whole  2"]
    assert limits == [0.0, 0.98]


def test_numbers_that_amaranth_appends_are_left_out() -> None:
    """They change with every line of the source, so two reports could not be compared."""
    tree = _tree("drain$216", "drain$216.c$3", "one$1", "one$2")
    assert sorted(part.name for part in tree.parts) == ["drain", "one$1", "one$2"]
    (drain,) = (part for part in tree.parts if part.name == "drain")
    assert [part.name for part in drain.parts] == ["c"]
