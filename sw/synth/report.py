# SPDX-License-Identifier: Apache-2.0
"""What the flow found out about one design: figures, paths, memories, faults."""

import json
from dataclasses import dataclass, field
from typing import Any

from sw.synth.area import Area
from sw.synth.estimate import EstimatedPath
from sw.synth.memories import MemoryUse
from sw.synth.order import Order
from sw.synth.paths import TimingPath
from sw.synth.placement import Runs
from sw.synth.tree import Part

__all__ = ["SCHEMA", "Report"]

SCHEMA = 1
"""Number of the JSON's form; docs/fpga.md describes it."""

_PLACED = ("TRELLIS_COMB", "TRELLIS_FF", "TRELLIS_RAMW", "DP16KD", "MULT18X18D", "TRELLIS_IO")


@dataclass(kw_only=True)
class Report:
    """The result of one order."""

    order: Order
    tools: dict[str, str | None]
    netlist: str | None = None
    """Key of the netlist from which all of it comes; None where synthesis failed."""
    area: Area = field(default_factory=Area)
    memories: list[MemoryUse] = field(default_factory=list)
    tree: Part | None = None
    runs: Runs | None = None
    bitstream_seed: int | None = None
    """Of the run from which the bitstream is; None without one."""
    paths: list[TimingPath] = field(default_factory=list)
    ports: dict[str, float] = field(default_factory=dict)
    estimates: list[EstimatedPath] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What one should know, but is no fault."""
    files: tuple[str, ...] = ()
    """What was left in the order's folder."""

    def utilisation(self, figure: str) -> float | None:
        """Per cent of the device that a figure is; None where the device has no number of it."""
        there = self.order.device.capacity(figure)
        return None if there is None else 100 * getattr(self.area, figure) / there

    @property
    def per_mac(self) -> float | None:
        """LUT4s and flip-flops for each multiply-accumulate of a cycle; None without the tile."""
        if self.netlist is None or not self.order.has_tile:
            return None
        return (self.area.lut4 + self.area.ff) / self.order.config.pe.dpe.macs_per_cycle()

    def to_dict(self) -> dict[str, Any]:
        """The form of `report.json`."""
        order, config = self.order, self.order.config
        return {
            "schema": SCHEMA,
            "config": config.name,
            "changes": list(order.changes),
            "digest": config.digest(),
            "unit": order.unit,
            "target": order.device.name,
            "part": order.device.part,
            "tools": self.tools,
            "netlist": self.netlist,
            "area": self.area.to_dict(),
            "per_cent": {
                name: round(share, 2)
                for name in ("lut", "ff", "multiplier", "block_ram")
                if (share := self.utilisation(name)) is not None
            },
            "per_mac": _rounded(self.per_mac),
            "placed": self._placed(),
            "clock": self._clock(),
            "bitstream_seed": self.bitstream_seed,
            "paths": [path.to_dict() for path in self.paths],
            "ports_ns": self.ports,
            "estimates": [path.to_dict() for path in self.estimates],
            "memories": [memory.to_dict() for memory in self.memories],
            "tree": self.tree and self.tree.to_dict(),
            "faults": self.faults,
            "notes": self.notes,
        }

    def to_json(self) -> str:
        """`report.json`."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def _placed(self) -> dict[str, int] | None:
        """What nextpnr counts after packing."""
        if self.runs is None:
            return None
        used = self.runs.typical.report["utilization"]
        return {name: used[name]["used"] for name in _PLACED if name in used}

    def _clock(self) -> dict[str, Any]:
        order, runs = self.order, self.runs
        found: dict[str, Any] = {"stated_mhz": order.config.clock_mhz, "aim_mhz": order.mhz}
        if runs is not None:
            found |= {
                "median_mhz": _rounded(runs.median_mhz),
                "best_mhz": _rounded(runs.best_mhz),
                "seeds": [
                    {"seed": p.seed, "mhz": _rounded(p.slowest_mhz)} for p in runs.placements
                ],
            }
        return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
