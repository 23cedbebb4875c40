# SPDX-License-Identifier: Apache-2.0
"""Moves lookup tables of the longest paths of a placed chip to better places, before it is routed.

nextpnr's static placer minimises wire, and weighs time little: of 47,000 lookup tables a few
hundred end at the wrong edge of the chip, and one of them is enough to decide the clock. Here each
lookup table on a long path goes, in turn, to the free place that makes the longest path through it
shortest. Nothing else moves. Delays of wires are as nextpnr estimates them before it routes
(nextpnr, ecp5/arch.cc, `predictDelay`); nextpnr's own analysis after routing has the last word.
"""

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sw.synth import delays

__all__ = ["Refined", "refine_placement", "version"]

_PASSES = 12
_WORTH_NS = 0.02
"""A move that gains less is not made."""
_PULL = 0.02
"""What a wire on the near side costs beside its time, so that equally good places differ."""
_WIDE_NS = 0.2
_WRITES = ("WCK", "WRE", "CLK", "WD", "WAD")
"""Inputs of a LUT RAM, by how their names begin, that no path passes."""
_COMB = "TRELLIS_COMB"
_PASSED = (_COMB, "TRELLIS_RAMW")
_BEL = re.compile(r"X(\d+)/Y(\d+)/SLICE([A-D])\.K([01])")
_TILE = re.compile(r"X(\d+)/Y(\d+)/")


def version() -> list[bytes]:
    """Changes whenever the result may."""
    return [Path(file).read_bytes() for file in (__file__, delays.__file__)]


@dataclass(frozen=True)
class Refined:
    """What was done."""

    n_moved: int
    before_ns: float
    after_ns: float
    """Longest path, as estimated."""


_ANY_WIRE_NS = 0.080 * 6
_WIRE_NS = [0.080 * (distance + min(distance, 5)) for distance in range(1000)]
"""What a wire takes along each axis, by its tiles: the first five count twice. Speed grade 6."""
_WIRES_NS = np.array(_WIRE_NS)


@dataclass(frozen=True)
class _Arc:
    """From a pin of a cell through the cell to one of its nets."""

    cell: str
    pin: str
    ns: float
    out: int


class _Design:
    """A placed netlist with its times."""

    def __init__(self, netlist: dict[str, Any]) -> None:
        self.cells: dict[str, Any] = next(iter(netlist["modules"].values()))["cells"]
        self.places: dict[str, tuple[int, int]] = {}
        self.drivers: dict[int, tuple[str, str]] = {}
        self.readers: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for name, cell in self.cells.items():
            place = _TILE.match(cell["attributes"].get("NEXTPNR_BEL", ""))
            self.places[name] = (int(place[1]), int(place[2])) if place else (0, 0)
            for pin, bits in cell["connections"].items():
                is_output = cell["port_directions"].get(pin) == "output"
                for bit in bits:
                    if isinstance(bit, int) and is_output:
                        self.drivers[bit] = (name, pin)
                    elif isinstance(bit, int):
                        self.readers[bit].append((name, pin))
        self.arcs = {net: self._arcs_from(net) for net in self.drivers}
        self.order = self._order()
        self.arrival: dict[int, float] = {}
        self.rest: dict[int, float] = {}

    def _arcs_from(self, net: int) -> list[_Arc]:
        """What the readers of a net make of it; without an output net (-1) where a path ends."""
        found = []
        for name, pin in self.readers[net]:
            cell = self.cells[name]
            if pin in ("CLK", "WCK", "CLKA", "CLKB"):
                continue
            if cell["type"] not in _PASSED or pin.startswith(_WRITES):
                found.append(_Arc(name, pin, 0.0, -1))
                continue
            for out_pin, bits in cell["connections"].items():
                if cell["port_directions"].get(out_pin) == "output" and bits:
                    ns = _cell_ns(pin, out_pin)
                    if ns is not None and isinstance(bits[0], int):
                        found += [_Arc(name, pin, ns, bit) for bit in bits]
        return found

    def _order(self) -> list[int]:
        """Nets, each behind those that it follows from."""
        sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(self.drivers, ()))
        for net, arcs in self.arcs.items():
            for arc in arcs:
                if arc.out >= 0:
                    sorter.add(arc.out, net)
        return list(sorter.static_order())

    def wire(self, net: int, reader: str, pin: str) -> float:
        """Delay from a net's driver to one of its readers."""
        name, out_pin = self.drivers[net]
        if (out_pin, pin) in (("FCO", "FCI"), ("F", "DI")) or pin in ("FXA", "FXB"):
            return 0.0
        (x, y), (to_x, to_y) = self.places[name], self.places[reader]
        return _WIRE_NS[abs(x - to_x)] + _WIRE_NS[abs(y - to_y)] + _ANY_WIRE_NS

    def update(self) -> float:
        """Find all times anew; the longest path."""
        arrival = {net: self._start_ns(net) for net in self.drivers}
        for net in self.order:
            now = arrival[net]
            for arc in self.arcs[net]:
                if arc.out >= 0:
                    then = now + self.wire(net, arc.cell, arc.pin) + arc.ns
                    arrival[arc.out] = max(arrival[arc.out], then)
        rest: dict[int, float] = {}
        for net in reversed(self.order):
            rest[net] = max((self.after(net, arc, rest) for arc in self.arcs[net]), default=0.0)
        self.arrival, self.rest = arrival, rest
        return max(arrival[net] + rest[net] for net in self.drivers)

    def after(self, net: int, arc: _Arc, rest: dict[int, float]) -> float:
        """Time from a net's driver to the end of the longest path by way of an arc."""
        behind = rest[arc.out] if arc.out >= 0 else 0.0
        return self.wire(net, arc.cell, arc.pin) + arc.ns + behind

    def _start_ns(self, net: int) -> float:
        """When a net that begins a path has its value; others, and constants, have no time."""
        name, pin = self.drivers[net]
        cell = self.cells[name]
        if cell["type"] not in delays.START:
            return -math.inf
        registered = "OUTREG" in str(cell["parameters"].get(f"REGMODE_{pin[2:3]}", ""))
        return delays.REGISTERED_RAM if registered else delays.START[cell["type"]]


def _cell_ns(pin: str, out_pin: str) -> float | None:
    """Delay through a cell of logic; None where no path leads."""
    if pin in ("FXA", "FXB", "M"):
        return _WIDE_NS if out_pin == "OFX" else None
    if pin in delays.CARRY_IN or out_pin in delays.CARRY_OUT:
        return delays.through_carry(pin, out_pin)
    return delays.LUT


class _FreePlaces:
    """Places of lookup tables in which nothing is, beside plain ones only."""

    def __init__(self, cells: dict[str, Any]) -> None:
        taken, special, tiles = set(), set(), set()
        for cell in cells.values():
            bel = cell["attributes"].get("NEXTPNR_BEL", "")
            if cell["type"] == _COMB and (place := _BEL.match(bel)):
                x, y, slice_name, number = place.groups()
                taken.add((int(x), int(y), slice_name, number))
                if _mode(cell) != "LOGIC":
                    special.add((int(x), int(y)))
            if cell["type"] == "TRELLIS_RAMW" and (tile := _TILE.match(bel)):
                special.add((int(tile[1]), int(tile[2])))
            if cell["type"] in (_COMB, "TRELLIS_FF") and (tile := _TILE.match(bel)):
                tiles.add((int(tile[1]), int(tile[2])))
        self._free: dict[tuple[int, int], list[str]] = {}
        for x, y in sorted(tiles - special):
            names = [(s, k) for s in "ABCD" for k in "01" if (x, y, s, k) not in taken]
            if names:
                self._free[x, y] = [f"X{x}/Y{y}/SLICE{s}.K{k}" for s, k in names]
        self._update()

    def _update(self) -> None:
        tiles = np.array(list(self._free) or [(0, 0)], dtype=np.int64)
        self.x: NDArray[np.int64] = tiles[:, 0]
        self.y: NDArray[np.int64] = tiles[:, 1]

    def swap(self, tile: tuple[int, int], left: str) -> str:
        """Take a place of a tile, and give back the place `left`."""
        bel = self._free[tile].pop()
        if not self._free[tile]:
            del self._free[tile]
        x, y, *_ = _BEL.match(left).groups()  # type: ignore[union-attr]
        if (int(x), int(y)) in self._free:  # else its tile may hold more than plain lookup tables
            self._free[int(x), int(y)].append(left)
        self._update()
        return bel


def _mode(cell: dict[str, Any]) -> str:
    return str(cell["parameters"].get("MODE", "LOGIC")).strip()


def _is_movable(design: _Design, name: str, net: int) -> bool:
    """Whether a cell is a plain lookup table that no register beside it takes directly."""
    cell = design.cells[name]
    return (
        cell["type"] == _COMB
        and _mode(cell) == "LOGIC"
        and design.drivers[net] == (name, "F")
        and _BEL.match(cell["attributes"].get("NEXTPNR_BEL", "")) is not None
        and not any(pin in ("DI", "FXA", "FXB") for _, pin in design.readers[net])
    )


def refine_placement(netlist: dict[str, Any], *, aim_ns: float) -> Refined:
    """Move lookup tables on paths longer than `aim_ns`, in place.

    Parameters
    ----------
    netlist : what nextpnr's `--write` left after placement.
    aim_ns : paths that are not longer are left alone.
    """
    design, moved = _Design(netlist), set()
    free = _FreePlaces(design.cells)
    before = longest = design.update()
    for number in range(_PASSES):
        if longest <= aim_ns or not _pass(design, free, max(aim_ns, 0.9 * longest), number, moved):
            break
        longest = design.update()
    for cell in design.cells.values():  # nextpnr reads a pin without a net only so
        if cell["type"] == "MULT18X18D":
            cell["connections"] = {p: bits or ["x"] for p, bits in cell["connections"].items()}
    return Refined(len(moved), before, longest)


def _pass(design: _Design, free: _FreePlaces, limit: float, number: int, moved: set[str]) -> bool:
    """Move each lookup table on a path longer than `limit` once; whether any was moved.

    Of equally good places one pass takes those near to what drives the lookup table, from the
    paths' starts on, the next one those near to its readers, from their ends on. So a group that
    lies together at a wrong place leaves it one after another, though none gains by itself.
    """
    forward = number % 2 == 0
    late = [
        net
        for net, (name, _) in design.drivers.items()
        if design.arrival[net] + design.rest[net] > limit and _is_movable(design, name, net)
    ]
    times = design.arrival if forward else design.rest
    late.sort(key=lambda net: times[net])
    found = [_move(design, free, net, forward) for net in late]
    moved.update(name for name in found if name is not None)
    return any(name is not None for name in found)


def _move(design: _Design, free: _FreePlaces, net: int, forward: bool) -> str | None:
    """Move the driver of a net to where the longest path through it is shortest; its name if that
    is elsewhere."""
    name, _ = design.drivers[net]
    cell = design.cells[name]
    inputs = [
        (bit, pin)
        for pin, bits in cell["connections"].items()
        if cell["port_directions"].get(pin) == "input"
        for bit in bits
        if isinstance(bit, int) and bit in design.drivers
    ]
    sources = [(design.places[design.drivers[bit][0]], design.arrival[bit]) for bit, _ in inputs]
    targets = [
        (design.places[arc.cell], arc.ns + (design.rest[arc.out] if arc.out >= 0 else 0.0))
        for arc in design.arcs[net]
    ]
    own_x, own_y = design.places[name]
    x, y = np.append(free.x, own_x), np.append(free.y, own_y)
    ways = _latest(x, y, sources), _latest(x, y, targets)
    costs = ways[0] + ways[1] + _PULL * ways[0 if forward else 1]
    best = int(costs.argmin())
    if not costs[best] < costs[-1] - _WORTH_NS:
        return None
    tile = (int(x[best]), int(y[best]))
    cell["attributes"]["NEXTPNR_BEL"] = free.swap(tile, cell["attributes"]["NEXTPNR_BEL"])
    design.places[name] = tile
    # Neighbours that are moved later in this pass see it.
    design.arrival[net] = delays.LUT + max(
        design.arrival[bit] + design.wire(bit, name, pin) for bit, pin in inputs
    )
    design.rest[net] = max(design.after(net, arc, design.rest) for arc in design.arcs[net])
    return name


def _latest(
    x: NDArray[np.int64], y: NDArray[np.int64], ends: list[tuple[tuple[int, int], float]]
) -> NDArray[np.float64]:
    """Longest way from, or to, these places and times, for a lookup table at each x and y."""
    kept: dict[tuple[int, int], float] = {}
    for place, ns in ends:
        kept[place] = max(ns, kept.get(place, -math.inf))
    times = np.full(len(x), -math.inf)
    for (to_x, to_y), ns in kept.items():
        wire = _WIRES_NS[abs(x - to_x)] + _WIRES_NS[abs(y - to_y)] + _ANY_WIRE_NS
        np.maximum(times, ns + wire, out=times)
    return times
