# SPDX-License-Identifier: Apache-2.0
"""Where each memory of a design went."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from sw.synth.netlist import Netlist, without_indices
from sw.synth.synthesis import Synthesis

__all__ = ["LARGE_DEPTH", "LARGE_MEMORY_BITS", "MemoryUse", "memory_uses"]

LARGE_MEMORY_BITS = 4096
LARGE_DEPTH = 32
"""A memory of more bits *and* of more words than these belongs into block RAM. Less deep ones are
queues and tables: a block RAM would hold few of their wide words, and they are read at once."""

_PLACES = {"DP16KD": "block RAM", "PDPW16KD": "block RAM", "TRELLIS_DPR16X4": "LUT RAM"}
_SIZES = ("SIZE", "WIDTH", "RD_PORTS", "WR_PORTS")


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """One memory."""

    name: str
    depth: int
    width: int
    read_ports: int
    write_ports: int
    place: str
    """`block RAM`, `LUT RAM`, both, `flip-flops`, or `LUTs` for one that is only read."""
    cells: int
    """Block RAMs, or LUT RAMs of 16 words of 4 bits."""
    source: str

    @property
    def bits(self) -> int:
        """Capacity in bits."""
        return self.depth * self.width

    @property
    def is_misplaced(self) -> bool:
        """Whether it is too large for the place where it is."""
        if "block RAM" in self.place:
            return False
        return self.bits > LARGE_MEMORY_BITS and self.depth > LARGE_DEPTH

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary."""
        return {**asdict(self), "bits": self.bits}


def memory_uses(synthesis: Synthesis, netlist: Netlist) -> list[MemoryUse]:
    """Every memory of a flat design, the largest first."""
    mapped: dict[str, Counter[str]] = {}
    for name, kind in netlist.cell_types.items():
        if kind in _PLACES:
            mapped.setdefault(without_indices(name), Counter())[kind] += 1
    found = [
        _use(name, cell, mapped.get(without_indices(name), Counter()), netlist)
        for name, cell in synthesis.memory_cells.items()
    ]
    return sorted(found, key=lambda use: -use.bits)


def _use(name: str, cell: dict[str, Any], kinds: Counter[str], netlist: Netlist) -> MemoryUse:
    """What became of one memory."""
    parameters = {key: cell["parameters"][key] for key in _SIZES}
    depth, width, reads, writes = (int(text, 2) for text in parameters.values())
    places = sorted({_PLACES[kind] for kind in kinds})
    return MemoryUse(
        name=name,
        depth=depth,
        width=width,
        read_ports=reads,
        write_ports=writes,
        place=" and ".join(places) or ("flip-flops" if writes else "LUTs"),
        cells=kinds.total(),
        source=netlist.amaranth_line(cell["attributes"].get("src", "").partition("|")[0], name),
    )
