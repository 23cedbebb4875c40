# SPDX-License-Identifier: Apache-2.0
"""How long paths of a netlist will be, before it is placed.

A placed unit shows the paths inside it; those that lead from unit to unit show in the whole chip
only, which takes long to place. This takes seconds: cells have the delays of the device, wires
those that a good placement gives a net of so many readers.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sw.errors import UserError
from sw.synth import delays
from sw.synth.netlist import Netlist

__all__ = ["EstimateError", "EstimatedPath", "estimate_paths", "wire_ns"]

_ADDRESSES = ("RAD",)
"""Inputs through which a LUT RAM is read; the others are written with the clock."""
_CLOCKS = ("CLK", "WCK", "CLKA", "CLKB", "CLK0", "CLK1", "CLK2", "CLK3")
_STATIONS = 6


class EstimateError(UserError):
    """Paths have no end; the message is one sentence."""


@dataclass(frozen=True)
class EstimatedPath:
    """The slowest path from one part to another, of those that are the slowest of their end."""

    start: str
    """Register, memory or multiplier where it begins."""
    end: str
    delay_ns: float
    luts: int
    """LUTs in a row."""
    carries: int
    ends: int
    """Inputs of registers and memories in that part whose slowest start is in this one."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary."""
        return asdict(self)


def wire_ns(n_readers: int) -> float:
    """Delay of a net, fitted to a chip of 47,000 LUTs: longest path 18.9 ns, when routed 19.0."""
    return 0.45 + 0.22 * math.log2(max(1, n_readers)) + min(0.02 * n_readers, 1.2)


def estimate_paths(netlist: Netlist, *, depth: int = 3) -> list[EstimatedPath]:
    """Of each end the path from its slowest start; of these the slowest for each pair of parts.

    The slowest pair comes first; a part has `depth` names.

    Raises
    ------
    EstimateError
        When cells need one another's outputs in the same cycle.
    """
    timing = _Timing(netlist)
    found: dict[tuple[str, str], EstimatedPath] = {}
    counts: dict[tuple[str, str], int] = {}
    names: dict[str, str] = {}

    def name(cell: str) -> str:
        if cell not in names:
            names[cell] = netlist.register(cell).name
        return names[cell]

    for cell, way in timing.ends():
        start, end = name(way.start), name(cell)
        pair = _part(start, depth), _part(end, depth)
        counts[pair] = counts.get(pair, 0) + 1
        if pair not in found or way.ns > found[pair].delay_ns:
            found[pair] = EstimatedPath(start, end, round(way.ns, 2), way.luts, way.carries, 0)
    paths = [
        EstimatedPath(**{**asdict(path), "ends": counts[pair]}) for pair, path in found.items()
    ]
    return sorted(paths, key=lambda path: -path.delay_ns)


def _part(name: str, depth: int) -> str:
    """The part that a register is in."""
    return ".".join(name.split(".")[:-1][:depth])


@dataclass(frozen=True)
class _Way:
    """The latest way to a net."""

    ns: float
    start: str
    luts: int = 0
    carries: int = 0


class _Timing:
    """Arrival of every net, from register to register."""

    def __init__(self, netlist: Netlist) -> None:
        self._cells = netlist.cells
        self._drivers: dict[int, str] = {}
        self._readers: dict[int, int] = {}
        for name, cell in self._cells.items():
            for _, bit, is_output in _pins(cell):
                if is_output:
                    self._drivers[bit] = name
                else:
                    self._readers[bit] = self._readers.get(bit, 0) + 1
        self._ways: dict[int, _Way] = {}
        for name in self._order():
            self._visit(name)

    def ends(self) -> Iterator[tuple[str, _Way]]:
        """Every input that a clock samples, with the latest way to it."""
        for name, cell in self._cells.items():
            if cell["type"] not in delays.START and not _is_lut_ram(cell):
                continue
            for port, bit, is_output in _pins(cell):
                if is_output or port in _CLOCKS or (_is_lut_ram(cell) and port in _ADDRESSES):
                    continue
                way = self._arrives(bit, port)
                if way is not None:
                    yield name, way

    def _order(self) -> Iterable[str]:
        """Cells, each behind those whose outputs it needs in the same cycle."""
        graph = {
            name: {
                self._drivers[bit]
                for port, bit, is_output in _pins(cell)
                if not is_output and _passes(cell, port) and bit in self._drivers
            }
            for name, cell in self._cells.items()
        }
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            way = ", ".join(error.args[1][:_STATIONS])
            raise EstimateError(
                f"There is no estimate of paths, for cells need one another's outputs: {way}."
            ) from None

    def _visit(self, name: str) -> None:
        """Find the latest ways to a cell's outputs."""
        cell = self._cells[name]
        start = _clock_to_output(cell)
        for out, bit, is_output in _pins(cell):
            if not is_output:
                continue
            if start is not None:
                self._ways[bit] = _Way(start, name)
                continue
            ways = [
                way
                for port, source, is_source in _pins(cell)
                if not is_source and _passes(cell, port)
                if (way := self._through(cell, port, source, out)) is not None
            ]
            if ways:
                self._ways[bit] = max(ways, key=lambda way: way.ns)

    def _through(self, cell: Any, port: str, bit: int, out: str) -> _Way | None:
        """The way to an output by one input."""
        way = self._arrives(bit, port)
        if way is None:
            return None
        if cell["type"] == "CCU2C":
            delay = delays.through_carry(port, out)
            return _Way(way.ns + delay, way.start, way.luts, way.carries + 1)
        return _Way(way.ns + delays.LUT, way.start, way.luts + 1, way.carries)

    def _arrives(self, bit: int, port: str) -> _Way | None:
        """The latest way to an input, behind its wire; carry chains have none."""
        way = self._ways.get(bit)
        if way is None or port == delays.CARRY_IN:
            return way
        return _Way(way.ns + wire_ns(self._readers[bit]), way.start, way.luts, way.carries)


def _pins(cell: Any) -> Iterator[tuple[str, int, bool]]:
    """Port, net and direction of every connected bit."""
    for port, bits in cell["connections"].items():
        is_output = cell["port_directions"].get(port) == "output"
        for bit in bits:
            if isinstance(bit, int):
                yield port, bit, is_output


def _is_lut_ram(cell: Any) -> bool:
    return cell["type"] == "TRELLIS_DPR16X4"


def _passes(cell: Any, port: str) -> bool:
    """Whether an input reaches an output in the same cycle."""
    if cell["type"] in delays.START:
        return False
    return port in _ADDRESSES if _is_lut_ram(cell) else True


def _clock_to_output(cell: Any) -> float | None:
    """Delay from the clock to a cell's output; None for logic."""
    kind = cell["type"]
    if kind in ("DP16KD", "PDPW16KD") and "OUTREG" in str(cell.get("parameters", {})):
        return delays.REGISTERED_RAM
    return delays.START.get(kind)
