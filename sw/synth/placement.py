# SPDX-License-Identifier: Apache-2.0
"""Place and route by nextpnr, once a seed, each run once."""

import concurrent.futures
import json
import math
import os
import re
import resource
import shutil
import signal
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
from sw.synth.nextpnr import PlacementError, Tool, find_nextpnr, phase, reason
from sw.synth.progress import Progress
from sw.synth.synthesis import CACHE, Synthesis

__all__ = ["MINUTES", "Placement", "Runs", "TimeUp", "place"]

MINUTES = 240
"""Of processor time for each seed: several times what a chip takes."""

_REPORT, _LOG, _NETLIST, _PINS = "report.json", "nextpnr.log", "netlist.json", "pins.lpf"
TEXT_CONFIG = "chip.config"
_UNIT_PLACER, _CHIP_PLACER = ("--placer", "heap"), ("--placer", "static")
"""A whole chip takes a quarter less wire with the static placer."""
_ROUTER = ("--router", "router1")
"""router2 does not end on a chip, nor on a reduction engine."""
_ARCS_LEFT = re.compile(r"\|\s+(\d+)\|")
_LOOP = re.compile(r"(?:timing|combinational|combinatorial) loop", re.IGNORECASE)


class TimeUp(PlacementError):
    """A seed took more time than it was given."""


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
    unfinished: tuple[str, ...] = ()
    """Why the other seeds have no result."""

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
    minutes: float = MINUTES,
) -> Runs:
    """Place and route a netlist with each seed, `jobs` of them at a time.

    `mhz` is what nextpnr aims at. `pins` is an LPF file's text; without it the netlist's ports stay
    open, and no path through them counts. `nextpnr` is looked for if it is not given. A seed that
    takes more than so many `minutes` of processor time is given up, the others count.

    Raises
    ------
    PlacementError
        When nextpnr cannot place or route the design, or no seed ends in time.
    """
    programs = _Programs()
    tool = find_nextpnr() if nextpnr is None else nextpnr
    design = _Design(synthesis, device, mhz, pins, tool, minutes)

    def one(seed: int) -> Placement | TimeUp:
        try:
            return Placement(seed, _SeedRun(design, seed, programs, progress).folder())
        except TimeUp as late:
            return late

    with concurrent.futures.ThreadPoolExecutor(max(1, min(jobs, len(seeds)))) as pool:
        runs = [pool.submit(one, seed) for seed in seeds]
        try:
            return _together([run.result() for run in runs])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            programs.kill()  # who leaves the pool waits for its threads, and they for these
            raise


def _together(results: Sequence[Placement | TimeUp]) -> Runs:
    """The runs that ended, and why others did not; an error if none did."""
    late = [result for result in results if isinstance(result, TimeUp)]
    placements = tuple(result for result in results if isinstance(result, Placement))
    if late and not placements:
        raise late[0]
    return Runs(placements, tuple(map(str, late)))


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
    minutes: float

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
    """One seed of a design.

    Packing, placing and routing are one run. A placement that nextpnr reads again has lost what
    was packed: which lookup tables are LUT RAM or half of a carry cell, whose inputs the router
    must not exchange, and which halves a carry passes in no time.
    """

    design: _Design
    seed: int
    programs: _Programs
    progress: Progress | None

    def folder(self) -> Path:
        """Where its report, log and configuration are."""
        arguments = self._arguments()
        key = self.design.key(*arguments)
        return CACHE.get("place", key, lambda folder: self._build(folder, arguments))

    def _arguments(self) -> list[str]:
        common = [*self.design.arguments(self.seed), "--json", _NETLIST, "--report", _REPORT]
        if self.design.pins is None:
            return [*common, *_ROUTER, *_UNIT_PLACER, "--out-of-context"]
        return [*common, *_ROUTER, *_CHIP_PLACER, "--textcfg", TEXT_CONFIG]

    def _build(self, folder: Path, arguments: list[str]) -> None:
        self._take_netlist(folder)
        is_chip = self.design.pins is not None
        if is_chip:
            (folder / _PINS).write_text(self.design.pins or "")
        results = [_REPORT, TEXT_CONFIG] if is_chip else [_REPORT]
        (folder / _LOG).write_text(self._run(folder, arguments, results))
        (folder / _NETLIST).unlink()

    def _take_netlist(self, folder: Path) -> None:
        """The WebAssembly build sees nothing above the current directory."""
        netlist = self.design.synthesis.netlist
        try:
            os.link(netlist, folder / _NETLIST)
        except OSError:  # a file system without links
            shutil.copyfile(netlist, folder / _NETLIST)

    def _run(self, folder: Path, arguments: list[str], results: list[str]) -> str:
        """What nextpnr prints; its refusal, or a result that is missing, is an error."""
        code, text = self.design.nextpnr.run(arguments, folder, self._on_line, self._on_start)
        missing = [name for name in results if not (folder / name).is_file()]
        if code == -signal.SIGXCPU:
            raise TimeUp(
                f"nextpnr had not ended after {self.design.minutes:g} minutes of processor time"
                f" with seed {self.seed}{_left(text)}; --minutes allows it more."
            )
        if code != 0 or missing:
            why = reason(text, code) if code != 0 else f"it wrote no {missing[0]}."
            raise PlacementError(
                f"nextpnr cannot place the design on {self.design.device.name} with seed"
                f" {self.seed}: {why}"
            )
        return text

    def _on_start(self, program: subprocess.Popen[str]) -> None:
        limit = math.ceil(60 * self.design.minutes)
        resource.prlimit(program.pid, resource.RLIMIT_CPU, (limit, limit + 60))
        self.programs.add(program)

    def _on_line(self, line: str) -> None:
        what = phase(line)
        if what is not None and self.progress is not None:
            self.progress.detail(f"seed {self.seed}, {what}")


def _left(text: str) -> str:
    """How far the router was."""
    left = [found[0] for line in text.splitlines() if (found := _ARCS_LEFT.findall(line))]
    return f", when {int(left[-1]):,} arcs had no way" if left else ""
