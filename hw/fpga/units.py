# SPDX-License-Identifier: Apache-2.0
"""The parts of a chip that the FPGA flow can synthesise alone, each as the chip has it."""

import difflib
import warnings
from typing import Any

from amaranth.hdl import Module, UnusedElaboratable
from amaranth.lib import wiring

from hw.chip.top import OneElementChip
from hw.config.checks import ConfigError
from hw.config.tree import ChipConfig
from hw.fpga.array_path import ArrayPath
from hw.fpga.compute_path import ComputePath
from hw.grid.chip import GridChip
from hw.lib.clock_gate import Gated
from hw.lib.emit_once import EmitOnce

__all__ = ["GRID", "TILE_UNITS", "UNITS", "get_unit", "parts_of"]

_CHIP_PARTS = {
    "host_port": "AXI4 port of the host",
    "dram_bridge": "AXI4 port to external memory",
    "reads": "crossbar of reads",
    "writes": "crossbar of writes",
    "control": "control block: registers, jobs, errors",
    "sram": "shared SRAM slice with its ECC",
    "element": "the processing element",
}
_ELEMENT_PARTS = {
    "cp": "command processor, queues, circular buffers, counters",
    "wqe": "work-queue engine",
    "ls": "local memory",
    "fi": "fabric interface",
    "remote": "access to local memory from outside",
    "dpe": "dot-product engine",
    "re": "reduction engine: accumulators, drain",
    "se": "SIMD engine",
    "mlu": "memory layout unit",
}
_SUBMODULES = {"control": "control_block", "element": "pe"}
"""Names of submodules that differ from the unit's."""

UNITS: dict[str, str] = {
    **_ELEMENT_PARTS,
    "dpe+re": "dot-product and reduction engine as one: the compute path",
    "array": "multipliers, adders and accumulators alone, without what feeds and empties them",
    **_CHIP_PARTS,
}
"""Name to what it is; `a.b` is part `b` of unit `a`, to any depth."""

GRID = "grid"
"""`grid.a` is part `a` of the grid of a member of several elements, as `grid.side_w`."""

TILE_UNITS = ("dpe", "dpe+re", "array", "element")
"""Those that hold the whole tile of multipliers."""


def get_unit(config: ChipConfig, name: str) -> wiring.Component:
    """The part of the one-element chip of `config`, or of its grid, that is called `name`.

    Raises
    ------
    ConfigError
        When there is none; the sentence lists the names, nearest first.
    """
    # The rest of the chip is made only to be as the chip has it, and never elaborated.
    warnings.filterwarnings("ignore", category=UnusedElaboratable)
    first, *rest = name.split(".")
    part: Any
    if first == GRID:
        part = _grid(config)
    elif first in UNITS:
        part = _unit(OneElementChip(config), first)
    else:
        raise ConfigError(_no_unit(name, list(UNITS), ""))
    path = first
    for word in rest:
        parts = parts_of(part)
        if word not in parts:
            raise ConfigError(_no_unit(name, list(parts), path))
        part, path = parts[word], f"{path}.{word}"
    return part


def _grid(config: ChipConfig) -> wiring.Component:
    if config.n_pes == 1:
        raise ConfigError(
            f"{config.name!r} has one element, so no grid; members of several, as 'tiny', have"
            f" units {GRID}.a."
        )
    return GridChip(config)


def _unit(chip: OneElementChip, name: str) -> wiring.Component:
    chip_parts = parts_of(chip)
    if name in _CHIP_PARTS:
        return chip_parts[_SUBMODULES.get(name, name)]
    element_parts = parts_of(chip_parts["pe"])
    if name == "array":
        return ArrayPath(config=chip.config.pe)
    if name == "dpe+re":
        return ComputePath(dpe=element_parts["dpe"], re=element_parts["re"])
    return element_parts[name]


def parts_of(component: wiring.Component) -> dict[str, wiring.Component]:
    """The submodules of a component that have a signature, by name."""
    module = component.elaborate(None)
    if not isinstance(module, Module):
        return {}
    named = {name: _bare(part) for name, (part, *_) in module._named_submodules.items()}
    return {name: part for name, part in named.items() if isinstance(part, wiring.Component)}


def _bare(part: Any) -> Any:
    """A submodule without what renames its clock, gates it, or emits it once."""
    while True:
        if isinstance(part, (Gated, EmitOnce)):
            part = part.component
        elif hasattr(part, "_elaboratable_"):
            part = part._elaboratable_
        else:
            return part


def _no_unit(name: str, names: list[str], path: str) -> str:
    """The sentence for a name that nothing has."""
    prefix = f"{path}." if path else ""
    near = difflib.get_close_matches(name.removeprefix(prefix), names, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(prefix + one) for one in near)}?" if near else ""
    where = f" in {path!r}" if path else ""
    listed = f"there are {', '.join(names)}" if names else "it has no parts"
    return f"There is no unit {name!r}{where}; {listed}.{hint}"
