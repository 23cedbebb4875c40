# SPDX-License-Identifier: Apache-2.0
"""From a component to a netlist of a device's cells, each design once."""

import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from inspect import getsource
from pathlib import Path
from typing import Any

from amaranth.hdl import Elaboratable

from hw.fpga.devices import Device
from hw.fpga.netlist import TOP, CombinationalLoop, FpgaNetlist, fpga_netlist
from hw.yosys import YosysError, run_yosys
from sim.build_cache import BuildCache, content_key
from sw.errors import UserError
from sw.synth import global_nets, local_ones
from sw.synth.area import Area
from sw.synth.netlist import VERILOG_FILE, Netlist
from sw.synth.progress import Progress

__all__ = [
    "CACHE",
    "CACHE_BYTES",
    "SynthesisError",
    "Synthesis",
    "make_netlist",
    "synthesise",
    "synthesise_netlist",
]

CACHE = BuildCache(Path(__file__).resolve().parents[2] / "build" / "synthesis")
"""Netlists and placements, by the content of what they were made from."""

CACHE_BYTES = 4 << 30
"""What of it is kept."""

_SOURCE = "design.il"
_NETLIST, _LOG = "netlist.json", "yosys.log"
_MEMORY = "$mem_v2"
_PASS = re.compile(r"^[\d.]+ Executing ([A-Z0-9_]+)\b")
_LATCH = re.compile(r"Latch inferred for signal `\\?([^']+)'")


class SynthesisError(UserError):
    """Amaranth or Yosys refuses the design."""


class Synthesis:
    """A netlist in the cache, and what Yosys says about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def key(self) -> str:
        """Changes whenever the netlist may."""
        return self.folder.name

    @property
    def netlist(self) -> Path:
        """The netlist, as nextpnr reads it."""
        return self.folder / _NETLIST

    def read_netlist(self) -> Netlist:
        """The same with names and lines."""
        return Netlist(self.netlist, self.folder / _SOURCE)

    @property
    def log(self) -> str:
        """What Yosys printed."""
        return (self.folder / _LOG).read_text()

    @cached_property
    def coarse_cells(self) -> dict[str, int]:
        """Cells by type after products found their DSPs, before anything else is mapped."""
        return json.loads((self.folder / "coarse.json").read_text())["design"]["num_cells_by_type"]

    @property
    def memory_cells(self) -> dict[str, Any]:
        """Every memory before it is mapped, by name."""
        return {name: c for name, c in self._coarse.items() if c["type"] == _MEMORY}

    @property
    def soft_products(self) -> int:
        """Products that found no DSP."""
        return sum(
            int(cell["parameters"].get("NPRODUCTS", "1"), 2)
            for cell in self._coarse.values()
            if cell["type"] != _MEMORY
        )

    @cached_property
    def _coarse(self) -> dict[str, Any]:
        """Memories and arithmetic before they are mapped, by name."""
        modules = json.loads((self.folder / "arithmetic.json").read_text())["modules"]
        return {name: cell for module in modules.values() for name, cell in module["cells"].items()}

    @cached_property
    def area(self) -> Area:
        """What the whole design takes."""
        modules = json.loads(self.netlist.read_text())["modules"].values()
        return Area.of_cells(Counter(c["type"] for m in modules for c in m["cells"].values()))


def synthesise(
    component: Elaboratable,
    device: Device,
    *,
    progress: Progress | None = None,
    cache: BuildCache = CACHE,
) -> Synthesis:
    """The netlist of a component, flat.

    Raises
    ------
    SynthesisError
        When Amaranth or Yosys refuses the design.
    """
    netlist = make_netlist(component, device)
    return synthesise_netlist(netlist, device, progress=progress, cache=cache)


def make_netlist(component: Elaboratable, device: Device) -> FpgaNetlist:
    """The component as Yosys reads it.

    Raises
    ------
    SynthesisError
        When Amaranth finds a combinational loop.
    """
    try:
        return fpga_netlist(component, family=device.family)
    except CombinationalLoop as error:
        raise SynthesisError(str(error)) from None


def synthesise_netlist(
    netlist: FpgaNetlist,
    device: Device,
    *,
    progress: Progress | None = None,
    cache: BuildCache = CACHE,
) -> Synthesis:
    """The same from Amaranth's netlist."""
    script = _script(device, has_verilog=bool(netlist.verilog))

    def build(folder: Path) -> None:
        (folder / _SOURCE).write_text(netlist.rtlil)
        (folder / VERILOG_FILE).write_text(netlist.verilog)
        (folder / _LOG).write_text(_run(script, folder, progress))
        global_nets.free_logic(folder / _NETLIST)
        local_ones.free_addresses(folder / _NETLIST)

    version = importlib.metadata.version("pyosys")
    steps = getsource(global_nets), getsource(local_ones)
    key = content_key(netlist.rtlil, netlist.verilog, version, *script, *steps)
    return Synthesis(cache.get("synth", key, build))


def _script(device: Device, *, has_verilog: bool) -> list[str]:
    command = f"{device.synth_command} -top {TOP}"
    return [
        f"read_rtlil {_SOURCE}",
        # A path would become part of cells' names, other ones at every run.
        *([f"read_verilog -sv {VERILOG_FILE}"] if has_verilog else []),
        f"{command} -run begin:map_ram",
        "tee -q -o coarse.json stat -json",
        # To be written at the end: writing sorts the design, after which abc9 has been seen to make
        # a wire twice and give up.
        "design -save coarse",
        f"{command} -run map_ram:",
        f"write_json {_NETLIST}",
        "design -load coarse",
        f"select t:{_MEMORY} t:$mul t:$macc_v2",
        "write_json -selected arithmetic.json",
    ]


def _run(script: Sequence[str], folder: Path, progress: Progress | None) -> str:
    """Run Yosys; its refusal becomes a sentence."""

    def on_line(line: str) -> None:
        match = _PASS.match(line)
        if match is not None and progress is not None:
            progress.detail(f"Yosys {match[1].lower()}")

    try:
        return run_yosys(script, folder=folder, on_line=on_line)
    except YosysError as error:
        latch = _LATCH.search(str(error))
        if latch is not None:
            signal = latch[1].replace("\\", "").removeprefix(f"{TOP}.")
            raise SynthesisError(
                f"A latch is inferred for {signal!r}; every value needs a register or an"
                " assignment in all cases."
            ) from None
        raise SynthesisError(f"Yosys gave up on the design: {str(error)[-500:]}") from None
