# SPDX-License-Identifier: Apache-2.0
"""The estimate of paths: delays add up, memories begin and end paths, parts pair up."""

import json
from pathlib import Path
from typing import Any

import pytest

from hw.fpga.netlist import TOP
from sw.synth.estimate import EstimatedPath, EstimateError, estimate_paths, wire_ns
from sw.synth.netlist import Netlist

LUT, FF, CARRY, OUT_OF_CARRY = 0.24, 0.525, 0.45, 0.44


def cell(kind: str, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> dict[str, Any]:
    """A cell as Yosys writes it."""
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {
        "type": kind,
        "parameters": {},
        "attributes": {},
        "port_directions": directions,
        "connections": inputs | outputs,
    }


def register(d: int, q: int) -> dict[str, Any]:
    """A flip-flop."""
    return cell("TRELLIS_FF", {"DI": [d], "CLK": [1]}, {"Q": [q]})


def estimate(tmp_path: Path, cells: dict[str, Any], names: dict[str, int]) -> list[EstimatedPath]:
    """Paths of a netlist, whose nets are called so."""
    nets = {name: {"bits": [bit], "attributes": {"src": "x.py:1"}} for name, bit in names.items()}
    module = {"cells": cells, "netnames": nets}
    (tmp_path / "netlist.json").write_text(json.dumps({"modules": {TOP: module}}))
    (tmp_path / "design.il").write_text("")
    netlist = Netlist(tmp_path / "netlist.json", tmp_path / "design.il")
    return estimate_paths(netlist, depth=1)


def test_delays_of_cells_and_wires_add_up(tmp_path: Path) -> None:
    """Two LUTs between two registers; a third register makes the first wire slower."""
    cells = {
        "a.x_FF": register(9, 2),
        "lut1": cell("LUT4", {"A": [2]}, {"Z": [3]}),
        "lut2": cell("LUT4", {"A": [3], "B": [2]}, {"Z": [4]}),
        "b.y_FF": register(4, 5),
    }
    (path,) = estimate(tmp_path, cells, {"a.x": 2, "b.y": 5})
    assert (path.start, path.end, path.luts, path.ends) == ("a.x", "b.y", 2, 1)
    assert path.delay_ns == pytest.approx(FF + wire_ns(2) + 2 * (LUT + wire_ns(1)), abs=0.006)
    assert wire_ns(100) > wire_ns(10) > wire_ns(1) > 0


def test_a_carry_chain_costs_little_along_and_much_in_and_out(tmp_path: Path) -> None:
    """Three steps: in, along, out."""
    cells = {
        "a.x_FF": register(9, 2),
        "c1": cell("CCU2C", {"A0": [2]}, {"COUT": [3]}),
        "c2": cell("CCU2C", {"CIN": [3]}, {"COUT": [4]}),
        "c3": cell("CCU2C", {"CIN": [4]}, {"S0": [5]}),
        "a.y_FF": register(5, 6),
    }
    (path,) = estimate(tmp_path, cells, {"a.x": 2, "a.y": 6})
    assert (path.luts, path.carries) == (0, 3)
    wanted = FF + wire_ns(1) + CARRY + 0.07 + OUT_OF_CARRY + wire_ns(1)
    assert path.delay_ns == pytest.approx(wanted, abs=0.006)


def test_memories_begin_and_end_paths(tmp_path: Path) -> None:
    """A LUT RAM is read like logic and written like a register; block RAM is slow."""
    ram = cell("TRELLIS_DPR16X4", {"RAD": [2], "DI": [3], "WCK": [1]}, {"DO": [4]})
    cells = {
        "a.x_FF": register(9, 2),
        "b.block": cell("DP16KD", {"ADA": [4], "CLKA": [1]}, {"DOA": [3]}),
        "c.ram": ram,
    }
    found = {(path.start, path.end): path for path in estimate(tmp_path, cells, {"a.x": 2})}
    assert set(found) == {("a.x", "b.block"), ("b.block", "c.ram")}
    assert found["b.block", "c.ram"].delay_ns == pytest.approx(5.7 + wire_ns(1), abs=0.006)
    read = FF + wire_ns(1) + LUT + wire_ns(1)
    assert found["a.x", "b.block"].delay_ns == pytest.approx(read, abs=0.006)


def test_the_slowest_of_a_pair_stands_for_all(tmp_path: Path) -> None:
    """Two ends in one part: one line, with their number."""
    cells = {
        "a.x_FF": register(9, 2),
        "lut": cell("LUT4", {"A": [2]}, {"Z": [3]}),
        "b.y_FF": register(3, 5),
        "b.z_FF": register(2, 6),
    }
    (path,) = estimate(tmp_path, cells, {"a.x": 2, "b.y": 5, "b.z": 6})
    assert (path.end, path.luts, path.ends) == ("b.y", 1, 2)


def test_cells_in_a_ring_get_a_sentence(tmp_path: Path) -> None:
    """A path along them has no end."""
    cells = {
        "one": cell("LUT4", {"A": [2]}, {"Z": [3]}),
        "two": cell("LUT4", {"A": [3]}, {"Z": [2]}),
    }
    with pytest.raises(EstimateError, match="cells need one another's outputs: (one|two), "):
        estimate(tmp_path, cells, {})
