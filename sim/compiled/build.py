# SPDX-License-Identifier: Apache-2.0
"""Builds the compiled simulator of one configuration: Amaranth to Verilog to a shared library,
both cached by content."""

import importlib.metadata
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hw.arch.traffic import side_shapes
from hw.config import ChipConfig
from sim.build_cache import BuildCache, content_key
from sim.compiled.dram import channel_rate
from sim.compiled.tiles import TileSplit, split_tiles
from sim.toolchain import processor_key
from sim.verilate import VerilatorJob, verilate, verilate_part

__all__ = ["SimulatorBuild", "build_simulator", "chip_verilog"]

_ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
_TOP, _TILE = "mtia_chip", "tile"

# The data-flow optimiser makes the code of the engine's columns larger and half as fast.
_NO_DFG = "-fno-dfg"
_FAST = (_NO_DFG, "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert")
_TEST = (_NO_DFG, "-O3", "--x-assign", "unique", "--x-initial", "unique", "--assert")
_MAKE = ("OPT_FAST=-O3 -march=native", "OPT_SLOW=-O1", "OPT_GLOBAL=-O2")
# Beside the tiles the rest of a grid takes little time to run, but long to compile.
_SHELL_MAKE = ("OPT_FAST=-O1 -march=native", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2")
_QUICK_MAKE = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1")
_LINT_OFF = ("-Wno-WIDTH", "-Wno-CASEINCOMPLETE", "-Wno-UNSIGNED", "-Wno-CMPCONST")


@dataclass(frozen=True)
class SimulatorBuild:
    """A built simulator and what it cost."""

    library: Path
    verilog_seconds: float
    build_seconds: float
    from_cache: bool


def chip_verilog(
    config: ChipConfig,
    cache: BuildCache,
    *,
    grid: bool = False,
    on_build: Callable[[], None] = lambda: None,
) -> tuple[str, float]:
    """Verilog of the one-element chip of `config`, or of the whole grid, and the seconds that it
    took when it was made; `on_build` is called before that.

    Cached by a hash of every source below `hw/`, the configuration and the generator's version.
    """
    sources = sorted((_ROOT / "hw").rglob("*.py"))
    key = content_key(
        config.digest(),
        "grid" if grid else "element",
        *(part for path in sources for part in (str(path.relative_to(_ROOT)), path.read_bytes())),
        *(importlib.metadata.version(package) for package in ("amaranth", "pyosys")),
    )

    def emit(folder: Path) -> None:
        on_build()
        # Only a miss needs the RTL; a cached simulator starts without loading it.
        from hw.chip.top import OneElementChip
        from hw.generate import SIMULATION_PASSES, WRITING_PASSES, emit_verilog
        from hw.grid.chip import GridChip
        from hw.lib.emit_once import Boundary

        start = time.monotonic()
        chip = (
            GridChip(config, tile_boundary=Boundary.NO_INLINE) if grid else OneElementChip(config)
        )
        passes = SIMULATION_PASSES if grid else WRITING_PASSES
        text = emit_verilog(chip, name=_TOP, passes=passes)
        (folder / f"{_TOP}.v").write_text(text)
        (folder / "seconds.json").write_text(json.dumps(time.monotonic() - start))

    folder = cache.get(f"verilog-{config.name}{'-grid' if grid else ''}", key, emit)
    return (folder / f"{_TOP}.v").read_text(), json.loads((folder / "seconds.json").read_text())


def _chip_ports(config: ChipConfig, *, grid: bool) -> str:
    """C++ header that lists the ports of which a chip has several."""
    traces, channels, others, sides, rows = ["trace"], ["dram"], [], [], range(0)
    if grid:
        sides = side_shapes(rows=config.rows, columns=config.cols, n_slices=config.sram.slices)
        rows = range(config.rows)
        places = [(row, column) for row in rows for column in range(config.cols)]
        traces = [f"trace{row}_{column}" for row, column in places]
        channels = [f"dram{number}" for number in range(config.dram.channels)]
        others = ["host_memory"]
    return "\n".join(
        [
            "#pragma once",
            f"#define N_ELEMENTS {len(traces)}",
            "#define ELEMENTS(X) " + " ".join(f"X({t}, {i})" for i, t in enumerate(traces)),
            "#define SIDES(X) " + " ".join(f"X(sides_{s.name.lower()}, {s.number})" for s in sides),
            f"#define N_ROWS {len(rows)}",
            "#define ROWS(X) " + " ".join(f"X(links{row}, {row})" for row in rows),
            f"#define N_CHANNELS {len(channels)}",
            f"#define N_MEMORIES {len(channels) + len(others)}",
            "#define MEMORIES(X) " + " ".join(f"X({name})" for name in channels + others),
            "enum { " + ", ".join(f"Memory_{name}" for name in channels + others) + " };",
            "",
        ]
    )


def build_simulator(
    config: ChipConfig,
    cache: BuildCache,
    *,
    grid: bool = False,
    flat: bool = False,
    trace: bool = False,
    test: bool = False,
    quick: bool = False,
    savable: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> SimulatorBuild:
    """Build (or find) the simulator of `config`.

    Parameters
    ----------
    grid : bool
        The whole grid, not one element.
    flat : bool
        The grid as one model, to compare: otherwise the tile is a model of its own, which is built
        once and runs for every place.
    trace : bool
        Able to write FST waveforms; slower.
    test : bool
        Assertions on, and everything uninitialised filled from the seed.
    quick : bool
        Compiled in a third of the time, runs at a third of the speed: for what runs once, briefly.
    savable : bool
        Able to write its state to a file and to go on from there.
    progress : Callable[[str], None]
        Told what is going on, one sentence a stage; nothing of what the cache has.

    Raises
    ------
    BuildError
        When Verilator or the C++ compiler refuses.
    """

    def say(what: str) -> Callable[[], None]:
        return lambda: progress(f"{what} of {config.name} ...")

    text, verilog_seconds = chip_verilog(config, cache, grid=grid, on_build=say("Verilog"))
    kinds = {"grid": grid, "flat": flat, "trace": trace, "test": test, "quick": quick}
    name = _name(config, kinds | {"savable": savable})
    args = _verilator_args(trace=trace, test=test, savable=savable)
    make_args = _QUICK_MAKE if quick else _MAKE
    ports, parts = _chip_ports(config, grid=grid), ()
    start = time.monotonic()
    if grid and not flat:
        split = split_tiles(text, top=_TOP, tile=_TILE, clock="clk")
        tile = _tile_job(name, split, args, make_args)
        parts = verilate_part(tile, cache, on_build=say("Verilator build of a tile"))
        text, ports = split.shell, ports + split.header(_TOP)
        make_args = _QUICK_MAKE if quick else _SHELL_MAKE
    files = {f"{_TOP}.v": text, "chip_ports.h": ports}
    args = (*args, "-CFLAGS", f"{_cxx_flags()} {_sizes(config)}", "-LDFLAGS", "-shared")
    job = _chip_job(name, files, args, make_args, parts)
    library = verilate(job, cache, on_build=say("Verilator build"))
    return _with_cost(library, verilog_seconds, time.monotonic() - start)


def _with_cost(library: Path, verilog_seconds: float, elapsed: float) -> SimulatorBuild:
    """What the build cost when it was made: of one from the cache that stands beside it."""
    stamp = library.with_name("seconds.json")
    from_cache = stamp.exists()
    if not from_cache:
        stamp.write_text(json.dumps(elapsed))
    return SimulatorBuild(library, verilog_seconds, json.loads(stamp.read_text()), from_cache)


def _verilator_args(*, trace: bool, test: bool, savable: bool) -> tuple[str, ...]:
    """Arguments that all models of a build share."""
    return (
        *(_TEST if test else _FAST),
        *(("--trace-fst", "--trace-structs") if trace else ()),
        *(("--savable", "-CFLAGS", "-DSAVABLE") if savable else ()),
        *_LINT_OFF,
        "--output-split",
        "20000",
    )


def _cxx_flags() -> str:
    # With -march=native the result runs on this kind of processor only.
    return f"-fPIC -I.. -DPROCESSOR_{processor_key()}"


def _name(config: ChipConfig, kinds: Mapping[str, bool]) -> str:
    """The member, and every kind of build that this is."""
    return "-".join([config.name, *(kind for kind, is_on in kinds.items() if is_on)])


def _chip_job(
    name: str,
    files: Mapping[str, str],
    args: tuple[str, ...],
    make_args: tuple[str, ...],
    parts: tuple[Path, ...],
) -> VerilatorJob:
    """The library: the chip, or what of a grid is beside its tiles, with the harness."""
    return VerilatorJob(
        name=f"{name}.so",
        top=_TOP,
        files=files,
        args=args,
        cxx_sources=(_HERE / "harness.cpp",),
        cxx_depends=tuple(sorted(_HERE.glob("*.h"))),
        make_args=make_args,
        parts=parts,
    )


def _tile_job(
    name: str, split: TileSplit, args: tuple[str, ...], make_args: tuple[str, ...]
) -> VerilatorJob:
    """The model of a grid's tile."""
    return VerilatorJob(
        name=f"{name}-tile",
        top=_TILE,
        prefix="Vtile",
        files={f"{_TILE}.v": split.tile},
        args=(*args, "-CFLAGS", _cxx_flags()),
        make_args=make_args,
    )


def _sizes(config: ChipConfig) -> str:
    """What the harness must know of a member."""
    sizes = {
        "HOST_BYTES": config.pe.link_bytes,
        "DRAM_BYTES": config.dram.bytes_per_cycle,
        "DRAM_RATE": channel_rate(config),
    }
    return " ".join(f"-D{name}={value}" for name, value in sizes.items())
