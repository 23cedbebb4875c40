# SPDX-License-Identifier: Apache-2.0
"""The netlist of a grid without the inside of elements and slices, and what is assumed of these."""

import contextlib
import itertools
import tempfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any
from unittest import mock

from amaranth.hdl import Const, Elaboratable, Instance, Value
from amaranth.lib.wiring import In

from hw.arch.csr import N_GROUPS
from hw.config import ChipConfig
from hw.grid.chip import GridChip
from hw.grid.geometry import GridGeometry
from hw.grid.link_guard import LINKS
from hw.lib.emit_once import current_emission, emission, mark_used, module_rtlil
from hw.mem.sram_slice import SramSlice
from hw.pe.pe import ProcessingElement
from hw.yosys import run_yosys
from sim.channels.names import recorded_streams
from sim.channels.netlist import Netlist

__all__ = ["chip_arrivals", "chip_netlist", "chip_waits", "component_netlist"]

_CUTS = ("trap", "halt", "halt_request", "element_reset", "to_host")
"""An abort and a trap empty what is held up, so nothing waits for one; the way of a DMA transfer
changes only while none is under way."""


def chip_netlist(config: ChipConfig) -> Netlist:
    """The netlist of a whole grid; elements and slices of the SRAM are boxes."""
    with contextlib.ExitStack() as boxes:
        for component in (ProcessingElement, SramSlice):
            boxes.enter_context(mock.patch.object(component, "elaborate", _box))
        return component_netlist(GridChip(config), name="mtia_chip", cuts=_CUTS)


def component_netlist(component: Elaboratable, *, name: str, cuts: Collection[str] = ()) -> Netlist:
    """The netlist of a component, registers and gates as words; `cuts` as in `StreamNames`."""
    with emission() as collected, recorded_streams(cuts=cuts) as names:
        top, _domains = module_rtlil(component, name=name)
    with tempfile.TemporaryDirectory() as folder:
        rtlil, verilog, result = (Path(folder, file) for file in ("in.il", "in.v", "out.json"))
        rtlil.write_text("\n".join([*collected.rtlil.values(), top]))
        verilog.write_text("\n".join(collected.verilog.values()))
        read = [f"read_verilog -sv {verilog.name}"] if collected.verilog else []
        script = [f"read_rtlil {rtlil.name}", *read, "proc -noopt", f"write_json {result.name}"]
        run_yosys(script, folder=Path(folder))
        return Netlist(result.read_text(), name, names)


def chip_waits(config: ChipConfig) -> dict[str, list[str]]:
    """What is assumed of boxes and of the world outside; docs/verification.md has the reasons.

    A stream that is not here waits for nobody: an element's answers and acknowledgements above all.
    """
    return {**_element_waits(config), **_slice_waits(config), **_dram_waits(config)}


def chip_arrivals(config: ChipConfig) -> dict[str, list[str]]:
    """What only looks like waiting for room: the groups of a collector share the notes' queues, but
    a member is in one group at a time, so no note stands before one of another group."""
    geometry = GridGeometry(config)
    found: dict[str, list[str]] = {}
    for side in geometry.sides:
        for lane in range(geometry.n_lanes(side) - 1):
            entry = f"side_{side.name.lower()}.reads.entry{lane}"
            reads = [f"{entry}.collector.reads{group}.o" for group in range(N_GROUPS)]
            found |= {name: [other for other in reads if other != name] for name in reads}
    return found


def _element_waits(config: ChipConfig) -> dict[str, list[str]]:
    """A row from a neighbour may wait for the row's way on, and for the command that takes it; who
    asks for local memory waits for room for the answer alone."""
    waits: dict[str, list[str]] = {}
    for row, column in itertools.product(range(config.built_rows), range(config.cols)):
        pe = f"tile{row}_{column}.pe"
        asks = [f"{pe}.memory_read.request", f"{pe}.memory_write.request"]
        for link in LINKS:
            waits[f"{pe}.{link}"] = [*(f"{pe}.{out}" for out in LINKS.values()), *asks]
        for kind in ("read", "write"):
            waits[f"{pe}.remote_{kind}.request"] = [f"{pe}.remote_{kind}.response"]
    return waits


def _slice_waits(config: ChipConfig) -> dict[str, list[str]]:
    """Whatever a slice takes waits for room for its answers."""
    geometry = GridGeometry(config)
    places = [(side, number) for side in geometry.sides for number in geometry.nodes(side)]
    waits: dict[str, list[str]] = {}
    for side, number in places:
        cached = config.sram.cache_ways and number < config.dram.channels
        part = "sram.sram" if cached else "sram"  # within a `CachedSlice`
        sram = f"side_{side.name.lower()}.node{number}.{part}.component"
        answers = [f"{sram}.read.response", f"{sram}.write.response"]
        waits |= {f"{sram}.{asked}": answers for asked in ("read.request", "write.request")}
        waits[f"{sram}.inject"] = answers
    return waits


def _dram_waits(config: ChipConfig) -> dict[str, list[str]]:
    """A DRAM, or the host's memory, may take nothing while its answers are not taken."""
    memories = [f"dram{number}" for number in range(config.dram.channels)]
    return {
        f"{memory}.{asked}": [f"{memory}.{answer}"]
        for memory in (*memories, "host_memory")
        for asked, answer in (("ar", "r"), ("aw", "b"), ("w", "b"))
    }


def _box(component: Any, platform: Any) -> Instance:
    """In place of `elaborate`: a module of which the ports are known and nothing else."""
    mark_used(vars(component))
    pins, ports = {}, []
    for path, member, value in component.signature.flatten(component):
        if isinstance(value, Const):
            continue
        name = "__".join(map(str, path))
        way, letter = ("input", "i") if member.flow is In else ("output", "o")
        pins[f"{letter}_{name}"] = value
        ports.append(f"{way} [{len(Value.cast(value)) - 1}:0] {name}")
    emitted = current_emission()
    assert emitted is not None, "boxes are for netlists"
    text = f"({', '.join(ports)}); endmodule"
    name = f"box_{zlib.crc32(text.encode()):08x}"
    emitted.add_verilog(name, f"(* blackbox *) module {name} {text}")
    return Instance(name, **pins)
