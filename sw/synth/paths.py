# SPDX-License-Identifier: Apache-2.0
"""Critical paths in the words of the design: registers, nets, source lines."""

from dataclasses import asdict, dataclass, field
from typing import Any

from sw.synth.netlist import Name, Netlist

__all__ = ["Step", "TimingPath", "critical_paths", "port_delays"]

_ASYNC = "<async>"
_CARRY_PORTS = ("FCO", "FCI")


@dataclass(frozen=True)
class Step:
    """One cell of a path, and the net behind it."""

    cell: str
    """`LUT`, `mux`, `carry`, or the cell's type."""
    logic_ns: float
    routing_ns: float
    total_ns: float
    """From the beginning of the path to the end of this net."""
    net: Name
    line: str
    """Where the expression stands that became the cell, if known."""


@dataclass(frozen=True)
class TimingPath:
    """The slowest path of one clock."""

    clock: str
    start: Name
    end: Name
    delay_ns: float
    logic_ns: float
    routing_ns: float
    luts: int
    """LUTs in a row."""
    muxes: int
    """Dedicated multiplexers (PFUMX, L6MUX21) in a row."""
    carries: int
    """Steps along carry chains."""
    steps: list[Step] = field(default_factory=list)

    @property
    def mhz(self) -> float:
        """Clock that this path allows."""
        return 1000 / self.delay_ns

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary."""
        return {"mhz": round(self.mhz, 2), **asdict(self)}


def critical_paths(report: dict[str, Any], netlist: Netlist) -> list[TimingPath]:
    """The slowest path of each clock, the slowest first."""
    found = [
        _path(entry, netlist)
        for entry in report["critical_paths"]
        if entry["from"] == entry["to"] and _ASYNC not in entry["from"]
    ]
    return sorted(found, key=lambda path: -path.delay_ns)


def port_delays(report: dict[str, Any]) -> dict[str, float]:
    """Longest delays in ns from a port to a register, from a register to a port, and through."""
    found: dict[str, float] = {}
    for entry in report["critical_paths"]:
        from_port, to_port = _ASYNC in entry["from"], _ASYNC in entry["to"]
        if from_port or to_port:
            name = "through" if from_port and to_port else "input" if from_port else "output"
            delay = sum(step["delay"] for step in entry["path"])
            found[name] = round(max(delay, found.get(name, 0.0)), 2)
    return found


def _path(entry: dict[str, Any], netlist: Netlist) -> TimingPath:
    items = entry["path"]
    steps = _steps(items, netlist)
    routing = sum(item["delay"] for item in items if item["type"] == "routing")
    delay = sum(item["delay"] for item in items)
    return TimingPath(
        clock=entry["from"].split(" ")[-1],
        start=netlist.register(items[0]["from"]["cell"]),
        end=netlist.register(items[-1]["to"]["cell"]),
        delay_ns=round(delay, 3),
        logic_ns=round(delay - routing, 3),
        routing_ns=round(routing, 3),
        luts=sum(step.cell == "LUT" for step in steps),
        muxes=sum(step.cell == "mux" for step in steps),
        carries=sum(step.cell == "carry" for step in steps),
        steps=steps,
    )


def _steps(items: list[dict[str, Any]], netlist: Netlist) -> list[Step]:
    """Each cell with the net that it drives; a net inside of a slice costs nothing."""
    steps: list[Step] = []
    logic, total = 0.0, 0.0
    for item in items:
        total += item["delay"]
        if item["type"] != "routing":
            logic = item["delay"]
            continue
        start = item["from"]
        steps.append(
            Step(
                cell=_kind(start["cell"], start["port"], netlist),
                logic_ns=round(logic, 3),
                routing_ns=round(item["delay"], 3),
                total_ns=round(total, 3),
                net=netlist.net(item["net"]),
                line=netlist.line(start["cell"]),
            )
        )
        logic = 0.0
    return steps


def _kind(cell: str, port: str, netlist: Netlist) -> str:
    """What a step goes through."""
    if port in _CARRY_PORTS:
        return "carry"
    if port.startswith("OFX"):
        return "mux"
    kind = netlist.cell_type(cell)
    if port in ("F", "F0", "F1"):
        return "carry" if kind == "CCU2C" else "LUT"
    return {"TRELLIS_FF": "register", "DP16KD": "block RAM", "MULT18X18D": "DSP"}.get(kind, kind)
