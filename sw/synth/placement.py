# SPDX-License-Identifier: Apache-2.0
"""Place and route by nextpnr, once a seed, each run once."""

import concurrent.futures
import gzip
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from hw.fpga.devices import Device
from sim.build_cache import content_key
from sw.synth import refine
from sw.synth.nextpnr import PlacementError, Tool, find_nextpnr, phase, reason
from sw.synth.progress import Progress
from sw.synth.synthesis import CACHE, Synthesis

__all__ = ["Placement", "Runs", "place"]

_REPORT, _LOG, _NETLIST, _PINS = "report.json", "nextpnr.log", "netlist.json", "pins.lpf"
_PLACED, _KEPT = "placed.json", "placed.json.gz"
TEXT_CONFIG = "chip.config"
_UNIT_PLACER = ("--placer", "heap")
_CHIP_PLACER = ("--placer", "static", "--no-route", "--write", _PLACED)
"""A whole chip takes a quarter less wire with the static placer."""
_ROUTER = ("--router", "router1")
"""router2 does not end on a chip, nor on a reduction engine."""
_PLACED_ALREADY = ("--no-pack", "--no-place")
_SHORT = 1150.0
"""ns x MHz: a path that takes a seventh more than a period at the aim needs no better place, for
estimates before routing are a fifth too long."""
_LOOP = re.compile(r"(?:timing|combinational|combinatorial) loop", re.IGNORECASE)


@dataclass(frozen=True)
class Placement:
    """One run in the cache."""

    seed: int
    folder: Path

    @cached_property
    def report(self) -> dict[str, Any]:
        """nextpnr's own report."""
        return json.loads((self.folder / _REPORT).read_text())

    @property
    def log(self) -> str:
        """What nextpnr printed."""
        return (self.folder / _LOG).read_text()

    @property
    def fmax(self) -> dict[str, float]:
        """MHz of each clock."""
        return {name: entry["achieved"] for name, entry in self.report["fmax"].items()}

    @property
    def slowest_mhz(self) -> float | None:
        """MHz of the slowest clock; None where no path goes from register to register."""
        return min(self.fmax.values(), default=None)

    @property
    def loops(self) -> list[str]:
        """nextpnr's complaints about combinational loops."""
        return [line for line in self.log.splitlines() if _LOOP.search(line)]

    @property
    def text_config(self) -> Path | None:
        """The device's configuration as text, if the run had pins."""
        path = self.folder / TEXT_CONFIG
        return path if path.is_file() else None


@dataclass(frozen=True)
class Runs:
    """The runs of all seeds."""

    placements: tuple[Placement, ...]

    @property
    def mhz(self) -> list[float]:
        """Of each seed that has any, its slowest clock."""
        return [p.slowest_mhz for p in self.placements if p.slowest_mhz is not None]

    @property
    def median_mhz(self) -> float | None:
        """Median over the seeds."""
        return median(self.mhz) if self.mhz else None

    @property
    def best_mhz(self) -> float | None:
        """Best seed's."""
        return max(self.mhz, default=None)

    @property
    def typical(self) -> Placement:
        """The run nearest to the median, whose paths are worth a look."""
        middle = self.median_mhz or 0.0
        return min(self.placements, key=lambda p: abs((p.slowest_mhz or 0.0) - middle))


def place(
    synthesis: Synthesis,
    device: Device,
    *,
    seeds: Sequence[int],
    mhz: float,
    pins: str | None = None,
    jobs: int = 1,
    nextpnr: Tool | None = None,
    progress: Progress | None = None,
) -> Runs:
    """Place and route a netlist with each seed, `jobs` of them at a time.

    `mhz` is what nextpnr aims at. `pins` is an LPF file's text; without it the netlist's ports stay
    open, and no path through them counts. `nextpnr` is looked for if it is not given.

    Raises
    ------
    PlacementError
        When nextpnr cannot place or route the design.
    """
    programs = _Programs()
    tool = find_nextpnr() if nextpnr is None else nextpnr
    design = _Design(synthesis, device, mhz, pins, tool)

    def one(seed: int) -> Placement:
        return Placement(seed, _SeedRun(design, seed, programs, progress).folder())

    with concurrent.futures.ThreadPoolExecutor(max(1, min(jobs, len(seeds)))) as pool:
        runs = [pool.submit(one, seed) for seed in seeds]
        try:
            return Runs(tuple(run.result() for run in runs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            programs.kill()  # who leaves the pool waits for its threads, and they for these
            raise


class _Programs:
    """Programs that threads wait for, which all end when the first of them fails, or on Ctrl-C."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._programs: list[subprocess.Popen[str]] = []
        self._is_over = False

    def add(self, program: subprocess.Popen[str]) -> None:
        """A program has begun."""
        with self._lock:
            self._programs.append(program)
            if self._is_over:
                program.kill()

    def kill(self) -> None:
        """End all, those too that are yet to begin."""
        with self._lock:
            self._is_over = True
            for program in self._programs:
                program.kill()


@dataclass(frozen=True)
class _Design:
    """What all seeds have in common."""

    synthesis: Synthesis
    device: Device
    mhz: float
    pins: str | None
    nextpnr: Tool

    def arguments(self, seed: int) -> list[str]:
        """nextpnr's options of every step."""
        return [
            *self.device.flags,
            *("--freq", f"{self.mhz:g}", "--seed", str(seed), "--threads", "1"),
            "--timing-allow-fail",  # whether it is fast enough is the flow's to say
            *(() if self.pins is None else ("--lpf", _PINS)),
        ]

    def key(self, *parts: str | bytes) -> str:
        """Of a result that depends on these parts too."""
        return content_key(self.synthesis.key, self.pins or "", self.nextpnr.version, *parts)


@dataclass(frozen=True)
class _SeedRun:
    """One seed of a design: a unit in one step, a chip in two with its lookup tables moved between.

    What a chip's first step has placed is kept, so an interrupt of the second one costs no more
    than that.
    """

    design: _Design
    seed: int
    programs: _Programs
    progress: Progress | None

    def folder(self) -> Path:
        """Where its report, log and configuration are."""
        common = [*self.design.arguments(self.seed), "--report", _REPORT, *_ROUTER]
        if self.design.pins is None:
            arguments = [*common, "--json", _NETLIST, *_UNIT_PLACER, "--out-of-context"]
            key = self.design.key(*arguments)
            return CACHE.get("place", key, lambda folder: self._build_unit(folder, arguments))
        arguments = [*common, "--json", _PLACED, *_PLACED_ALREADY, "--textcfg", TEXT_CONFIG]
        key = self.design.key(*self._placer(), *arguments, *refine.version())
        return CACHE.get("place", key, lambda folder: self._build_chip(folder, arguments))

    def _placer(self) -> list[str]:
        """Arguments of a chip's first step."""
        return [*self.design.arguments(self.seed), "--json", _NETLIST, *_CHIP_PLACER]

    def _build_unit(self, folder: Path, arguments: list[str]) -> None:
        self._take_netlist(folder)
        (folder / _LOG).write_text(self._run(folder, arguments, _REPORT))
        (folder / _NETLIST).unlink()

    def _build_chip(self, folder: Path, arguments: list[str]) -> None:
        placed = CACHE.get("placed", self.design.key(*self._placer()), self._build_placed)
        self._tell("moving lookup tables of long paths")
        moved = _refine(placed / _KEPT, folder / _PLACED, aim_ns=_SHORT / self.design.mhz)
        (folder / _PINS).write_text(self.design.pins or "")
        routed = self._run(folder, arguments, _REPORT, TEXT_CONFIG)
        (folder / _LOG).write_text((placed / _LOG).read_text() + moved + routed)
        (folder / _PLACED).unlink()

    def _build_placed(self, folder: Path) -> None:
        self._take_netlist(folder)
        (folder / _PINS).write_text(self.design.pins or "")
        (folder / _LOG).write_text(self._run(folder, self._placer(), _PLACED))
        with (folder / _PLACED).open("rb") as plain, gzip.open(folder / _KEPT, "wb", 1) as kept:
            shutil.copyfileobj(plain, kept)
        for name in (_NETLIST, _PLACED):
            (folder / name).unlink()

    def _take_netlist(self, folder: Path) -> None:
        """The WebAssembly build sees nothing above the current directory."""
        netlist = self.design.synthesis.netlist
        try:
            os.link(netlist, folder / _NETLIST)
        except OSError:  # a file system without links
            shutil.copyfile(netlist, folder / _NETLIST)

    def _run(self, folder: Path, arguments: list[str], *results: str) -> str:
        """What nextpnr prints; its refusal, or a result that is missing, is an error."""
        nextpnr = self.design.nextpnr
        code, text = nextpnr.run(arguments, folder, self._on_line, self.programs.add)
        missing = [name for name in results if not (folder / name).is_file()]
        if code != 0 or missing:
            why = reason(text, code) if code != 0 else f"it wrote no {missing[0]}."
            raise PlacementError(
                f"nextpnr cannot place the design on {self.design.device.name} with seed"
                f" {self.seed}: {why}"
            )
        return text

    def _on_line(self, line: str) -> None:
        what = phase(line)
        if what is not None:
            self._tell(what)

    def _tell(self, what: str) -> None:
        if self.progress is not None:
            self.progress.detail(f"seed {self.seed}, {what}")


def _refine(source: Path, target: Path, *, aim_ns: float) -> str:
    """Move lookup tables of a placed chip; a line for the log."""
    with gzip.open(source, "rt") as kept:
        netlist = json.load(kept)
    done = refine.refine_placement(netlist, aim_ns=aim_ns)
    target.write_text(json.dumps(netlist))
    return (
        f"Info: moved {done.n_moved} lookup tables; longest path {done.before_ns:.2f} ->"
        f" {done.after_ns:.2f} ns, as estimated before routing\n"
    )
