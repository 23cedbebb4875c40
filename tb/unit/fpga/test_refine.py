# SPDX-License-Identifier: Apache-2.0
"""Lookup tables of long paths move to better places, and nothing else does."""

import copy
import random
from typing import Any

import pytest

from sw.synth.refine import refine_placement

_AIM_NS = 1.0


class Chip:
    """A placed netlist, as nextpnr writes it."""

    def __init__(self) -> None:
        self.cells: dict[str, Any] = {}
        self._nets = iter(range(2, 10_000))

    def net(self) -> int:
        return next(self._nets)

    def register(self, name: str, place: str, data: int | None, out: int, **pins: int) -> None:
        """A flip-flop that takes its data from the fabric (pin M)."""
        inputs = {**pins, **({} if data is None else {"M": data})}
        self._add(name, "TRELLIS_FF", f"{place}.FF0", inputs, {"Q": out})

    def lut(self, name: str, place: str, inputs: list[int], out: int, mode: str = "LOGIC") -> None:
        self._add(name, "TRELLIS_COMB", place, dict(zip("ABCD", inputs, strict=False)), {"F": out})
        self.cells[name]["parameters"]["MODE"] = mode

    def _add(
        self, name: str, kind: str, bel: str, inputs: dict[str, int], outputs: dict[str, int]
    ) -> None:
        self.cells[name] = {
            "type": kind,
            "parameters": {},
            "attributes": {"NEXTPNR_BEL": bel},
            "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
            "connections": {pin: [net] for pin, net in {**inputs, **outputs}.items()},
        }

    @property
    def netlist(self) -> dict[str, Any]:
        return {"modules": {"top": {"cells": self.cells}}}

    def places(self) -> dict[str, str]:
        return {name: cell["attributes"]["NEXTPNR_BEL"] for name, cell in self.cells.items()}


def chain(*places: str) -> Chip:
    """Registers at X10/Y10 and X14/Y10 with lookup tables between, and room in their tiles."""
    chip = Chip()
    net = chip.net()
    chip.register("start", "X10/Y10/SLICEA", None, net)
    for number, place in enumerate(places):
        out = chip.net()
        chip.lut(f"lut{number}", place, [net], out)
        net = out
    chip.register("end", "X14/Y10/SLICEA", net, chip.net())
    return chip


def test_a_table_at_the_wrong_edge_comes_back() -> None:
    """Its path gets shorter by the whole detour; registers stay."""
    chip = chain("X90/Y80/SLICEA.K0")
    done = refine_placement(chip.netlist, aim_ns=_AIM_NS)
    assert done.n_moved == 1
    assert done.before_ns == pytest.approx(0.525 + 0.24 + 0.08 * (2 * 26 + 75 + 65 + 71 + 65))
    assert done.after_ns == pytest.approx(0.525 + 0.24 + 0.08 * (2 * 6 + 2 * 4))
    assert chip.places()["lut0"].split("/")[:2] in (["X10", "Y10"], ["X14", "Y10"])
    assert chip.places()["start"] == "X10/Y10/SLICEA.FF0"


def test_a_group_at_the_wrong_edge_comes_back() -> None:
    """No single one of them gains by leaving, for its neighbours are where it is."""
    chip = chain(*(f"X90/Y80/SLICE{name}.K0" for name in "ABC"))
    done = refine_placement(chip.netlist, aim_ns=_AIM_NS)
    assert done.n_moved == 3
    assert done.after_ns < done.before_ns / 4


@pytest.mark.parametrize("mode", ("CCU2", "DPRAM"))
def test_carries_and_memories_stay(mode: str) -> None:
    """They are bound to their neighbours."""
    chip = chain("X90/Y80/SLICEA.K0")
    chip.cells["lut0"]["parameters"]["MODE"] = mode
    before = chip.places()
    assert refine_placement(chip.netlist, aim_ns=_AIM_NS).n_moved == 0
    assert chip.places() == before


def test_a_table_stays_beside_the_register_that_takes_it_directly() -> None:
    """Pin DI of a flip-flop is reached from the lookup table of its own place only."""
    chip = chain("X90/Y80/SLICEA.K0")
    out = chip.cells["lut0"]["connections"]["F"][0]
    chip.register("beside", "X90/Y80/SLICEA", None, chip.net(), DI=out)
    assert refine_placement(chip.netlist, aim_ns=_AIM_NS).n_moved == 0


def test_short_paths_and_constants_are_left_alone() -> None:
    """A lookup table without inputs is a constant: nothing waits for it."""
    chip = chain("X90/Y80/SLICEA.K0")
    constant = chip.net()
    chip.lut("one", "X2/Y2/SLICEA.K0", [], constant)
    chip.cells["end"]["connections"]["CE"] = [constant]
    chip.cells["end"]["port_directions"]["CE"] = "input"
    before = chip.places()
    assert refine_placement(copy.deepcopy(chip.netlist), aim_ns=_AIM_NS).n_moved == 1
    assert refine_placement(chip.netlist, aim_ns=40.0).n_moved == 0
    assert chip.places() == before


@pytest.mark.parametrize("seed", range(6))
def test_random_chips_get_no_slower_and_no_place_is_used_twice(seed: int) -> None:
    """Also none where a memory or a carry chain is, and each pin keeps its net."""
    rng = random.Random(seed)
    chip = Chip()
    free = [
        f"X{x}/Y{y}/SLICE{name}.K{k}"
        for x in range(0, 40, 4) for y in range(0, 40, 4) for name in "ABCD" for k in "01"
    ]  # fmt: skip
    rng.shuffle(free)
    nets = []
    for number in range(20):
        nets.append(chip.net())
        chip.register(f"from{number}", f"X{rng.randrange(0, 40, 4)}/Y0/SLICEA", None, nets[-1])
    special = set()
    for number in range(300):
        out, place = chip.net(), free.pop()
        mode = rng.choices(("LOGIC", "CCU2", "DPRAM"), (20, 1, 1))[0]
        chip.lut(f"lut{number}", place, rng.sample(nets[-40:], 3), out, mode)
        if mode != "LOGIC":
            special.add(place.split("/SLICE")[0])
        nets.append(out)
    for number, net in enumerate(nets[-30:]):
        place = f"X{rng.randrange(0, 40, 4)}/Y36/SLICEA"
        chip.register(f"to{number}", place, net, chip.net())
    before = copy.deepcopy(chip.cells)
    done = refine_placement(chip.netlist, aim_ns=_AIM_NS)
    assert done.n_moved and done.after_ns < done.before_ns
    tables = [place for name, place in chip.places().items() if name.startswith("lut")]
    assert len(set(tables)) == len(tables)
    for name, cell in chip.cells.items():
        assert cell["connections"] == before[name]["connections"]
        place = cell["attributes"]["NEXTPNR_BEL"]
        if place != before[name]["attributes"]["NEXTPNR_BEL"]:
            assert name.startswith("lut") and place.split("/SLICE")[0] not in special
