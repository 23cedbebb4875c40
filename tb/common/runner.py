# SPDX-License-Identifier: Apache-2.0
"""Runs the cocotb tests of one module on one Amaranth component, in Verilator.

Use, from a pytest function in the file that also holds the cocotb tests::

    def test_dot_product_engine():
        run_bench(DotProductEngine(rows=8), name="dpe_8", test_module=__name__)

Environment (all optional):

=============================  ===================================================================
``SEED``, COCOTB_RANDOM_SEED   seed of every random choice and of all unset memory; 1 by default
``COCOTB_TESTCASE``            names of cocotb tests to run, with commas
``COCOTB_TEST_FILTER``         regular expression over names of cocotb tests
``WAVES=1``                    write ``dump.fst``
``WAVES_ON_FAILURE=1``         replay a failed bench with it
``WAVES_FROM``, ``WAVES_TO``   first and last cycle in it
``WAVES_SCOPE``                instance in it, such as ``column.array``, dots between levels
``MUTANTS``, ``NETLIST``       another form of the design, see `tb.common.variants`
``BENCH_RECORD``               file that gets a line of JSON for each simulation that passed, enough
                               to repeat it without pytest (`scripts/mutate.py` does)
=============================  ===================================================================

A build depends on the Verilog, the flags and the tools; a change of the test alone builds nothing.
"""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb_tools.config
import find_libpython
import pytest
from amaranth.lib import wiring

from sim.build_cache import BuildCache
from sim.compiled.tiles import TileSplit, split_tiles
from sim.toolchain import ToolchainError, has_fst_headers
from sim.verilate import BuildError, VerilatorJob, verilate, verilate_part
from tb.common.seeds import bench_seed
from tb.common.variants import design_verilog, simulator_arguments, verilator_arguments

__all__ = ["CLOCK_PERIOD_NS", "BenchRun", "add_wave_hook", "run_bench"]

ROOT = Path(__file__).resolve().parents[2]
CLOCK_PERIOD_NS = 10

_CACHE_FOLDER = ROOT / "build" / "benches"
_RUN_FOLDER = ROOT / "build" / "runs"
_HERE = Path(__file__).resolve().parent
_COMPILED = ROOT / "sim" / "compiled"
_COCOTB_MAIN = Path(cocotb_tools.config.share_dir) / "lib" / "verilator"
_LIBRARIES = Path(cocotb_tools.config.libs_dir)

_VERILATOR_ARGS = (
    "--vpi",
    "--assert",
    "--timescale",
    "1ns/1ns",
    "--x-initial",
    "unique",
    "--x-assign",
    "unique",
    "--quiet-stats",
    # Yosys leaves out cases and extends widths by design; every other warning stops the build.
    "-Wno-CASEINCOMPLETE",
    "-Wno-WIDTHEXPAND",
    "-Wno-WIDTHTRUNC",
    "-CFLAGS",
    f"-I{_COCOTB_MAIN}",
    "-LDFLAGS",
    f"-Wl,-rpath,{_LIBRARIES} -L{_LIBRARIES} -lcocotbvpi_verilator",
)
_TILED_ARGS = (
    *("-fno-dfg", "-O3", "--output-split", "20000", "-Wno-WIDTH", "-Wno-UNSIGNED", "-Wno-CMPCONST"),
    "-CFLAGS",
    f"-I.. -I{_COMPILED} -I{_HERE}",
)
# A bench runs for seconds, so compile time counts as much as speed.
_MAKE_ARGS = ("OPT_FAST=-O1", "OPT_GLOBAL=-O1")
_OLD_NAMES = {"TESTCASE": "COCOTB_TESTCASE"}


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """Where one run left its files."""

    name: str
    folder: Path
    """Holds `results.xml`, `bench.log` and, when asked, `dump.fst`."""
    verilog: Path
    waves: Path | None
    component: wiring.Component


_wave_hooks: list[Callable[[BenchRun], None]] = []


def add_wave_hook(hook: Callable[[BenchRun], None]) -> None:
    """Call `hook` after each run that recorded waves, to write the viewer's files beside them."""
    _wave_hooks.append(hook)


def run_bench(
    component: wiring.Component,
    *,
    name: str,
    test_module: str,
    parameters: Mapping[str, Any] | None = None,
    sources: tuple[Path, ...] = (),
    seed: int | None = None,
    public: tuple[str, ...] = (),
    trace: bool = False,
    testcase: str | None = None,
    verilog: str | None = None,
    tile: str = "",
    timeout_s: float = 900,
) -> BenchRun:
    """Build `component` as module `name` and run the cocotb tests of `test_module` on it.

    The calling pytest test fails when one of them fails, and when there is none.

    Parameters
    ----------
    component
        What to test.
    name
        Name of the top module and of the build; one per set of constructor arguments reads best.
    test_module
        Import name of the module with the cocotb tests, usually ``__name__``.
    parameters
        JSON values for the tests, which read them with `bench_parameters`.
    sources
        More Verilog files.
    seed
        Instead of the one in the environment.
    public
        Internal signals that the tests read, as ``"module.signal"`` with the Verilog names; each
        costs speed. The top module's ports are always public.
    trace
        Record waves even if the environment does not ask for it.
    testcase
        Run only these cocotb tests (names with commas).
    verilog
        The component's Verilog, for a caller that emitted it already.
    tile
        Module of which the top has many instances: it becomes a model of its own, which is built
        once, see `sim.compiled.tiles`.
    timeout_s
        Seconds after which the simulation is killed.
    """
    seed = bench_seed() if seed is None else seed
    trace = trace or _is_on("WAVES")
    text = verilog or design_verilog(component, name=name)
    split = split_tiles(text, top=name, tile=tile, clock="clk") if tile else None
    files = {f"{name}.v": split.shell if split else text}
    files |= {path.name: path.read_text() for path in sources}
    files["ports.vlt"] = _control_file(files[f"{name}.v"], name, public)
    folder = _RUN_FOLDER / _run_name(name)
    environment = _environment(name, test_module, folder, seed, testcase)
    environment["BENCH_PARAMETERS"] = json.dumps(dict(parameters or {}))

    def run(with_waves: bool) -> tuple[BenchRun, list[str]]:
        program = _build(name, files, with_waves, split)
        complaints = _simulate(program, folder, environment, seed, with_waves, timeout_s)
        dump = folder / "dump.fst" if with_waves else None
        result = BenchRun(
            name=name,
            folder=folder,
            verilog=program.parent / f"{name}.v",
            waves=dump,
            component=component,
        )
        for hook in _wave_hooks if with_waves else ():
            hook(result)
        return result, complaints

    result, complaints = run(trace)
    if complaints and not trace and _is_on("WAVES_ON_FAILURE") and has_fst_headers():
        result, complaints = run(True)
    again = f"make sim TEST={_current_test() or name} SEED={seed}"
    if complaints:
        details = "\n".join(complaints)
        seen = f"waves: {_shown(result.waves)}" if result.waves else "waves: add WAVES=1"
        pytest.fail(
            f"{name}: {details}\nlog: {_shown(folder / 'bench.log')}\n{seen}\nagain: {again}",
            pytrace=False,
        )
    print(f"{name}: seed {seed}, {_shown(folder / 'results.xml')}; again: {again}")
    return result


def _build(
    name: str, files: Mapping[str, str], trace: bool, split: TileSplit | None = None
) -> Path:
    """The simulator, from the cache or built now."""
    cache = BuildCache(_CACHE_FOLDER)
    args = (
        *_VERILATOR_ARGS,
        *verilator_arguments(),
        *(("--trace-fst", "--trace-structs") if trace else ()),
    )
    main, depends, parts = _HERE / "bench_main.cpp", [_COCOTB_MAIN / "verilator.cpp"], ()
    try:
        if split is not None:
            args = (*args, *_TILED_ARGS)
            depends += [main, _COMPILED / "chip.h", _COMPILED / "workers.h"]
            main = _HERE / "tiled_main.cpp"
            files = {**files, "chip_ports.h": split.header(name)}
            parts = verilate_part(_tile_job(name, split, args), cache)
        job = VerilatorJob(
            name=name,
            top=name,
            files=files,
            args=args,
            cxx_sources=(main,),
            cxx_depends=tuple(depends),
            make_args=_MAKE_ARGS,
            parts=parts,
        )
        return verilate(job, cache)
    except (BuildError, ToolchainError) as error:
        pytest.fail(f"{name}: {error}", pytrace=False)


def _tile_job(name: str, split: TileSplit, args: tuple[str, ...]) -> VerilatorJob:
    """The model of the module that is built apart, which cocotb does not look into."""
    return VerilatorJob(
        name=f"{name}-tile",
        top=split.module,
        prefix="Vtile",
        files={f"{split.module}.v": split.tile},
        args=tuple(arg for arg in args if arg != "--vpi"),
        make_args=_MAKE_ARGS,
    )


def _simulate(
    program: Path,
    folder: Path,
    environment: Mapping[str, str],
    seed: int,
    trace: bool,
    timeout_s: float,
) -> list[str]:
    """Run the simulator; what went wrong, one entry for each failed test."""
    folder.mkdir(parents=True, exist_ok=True)
    results = Path(environment["COCOTB_RESULTS_FILE"])
    results.unlink(missing_ok=True)
    # Verilator takes 31 bits and reads 0 as "choose one".
    command = [str(program), "+verilator+rand+reset+2", f"+verilator+seed+{seed % (2**31 - 1) + 1}"]
    command += simulator_arguments()
    if trace:
        command += ["--trace", "--trace-file", str(folder / "dump.fst")]
    begin = time.monotonic()
    with (folder / "bench.log").open("w") as log:
        try:
            code = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
            ).returncode
        except subprocess.TimeoutExpired:
            return [f"the simulation was stopped after {timeout_s:.0f} s.", _tail(folder)]
    complaints = _complaints(results, code, folder)
    if (record := os.environ.get("BENCH_RECORD")) and not complaints:
        _record(Path(record), command, environment, time.monotonic() - begin)
    return complaints


def _record(file: Path, command: list[str], environment: Mapping[str, str], seconds: float) -> None:
    """Note how to repeat a simulation."""
    program = Path(command[0])
    entry = {
        "command": command,
        "environment": dict(environment),
        "verilog": str(program.with_suffix(".v")),
        "seconds": seconds,
    }
    with file.open("a") as lines:
        lines.write(json.dumps(entry) + "\n")


def _complaints(results: Path, code: int, folder: Path) -> list[str]:
    """Read cocotb's results."""
    if not results.is_file():
        if os.environ.get("WAVES_SCOPE") and "out_of_range" in _tail(folder):
            return ["WAVES_SCOPE names no instance of this design."]  # Verilator stops hard
        return [f"the simulator ended with code {code} and left no results.", _tail(folder)]
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    ran = [case for case in cases if case.find("skipped") is None]
    if not ran:
        if os.environ.get("COCOTB_TESTCASE") or os.environ.get("COCOTB_TEST_FILTER"):
            pytest.skip("no cocotb test here has the chosen name")
        return ["there is no cocotb test to run."]
    failed: list[str] = []
    for case in ran:
        for fault in (*case.findall("failure"), *case.findall("error")):
            message = fault.get("message") or fault.get("error_msg") or fault.text or ""
            failed.append(f"{case.get('name')}: {message.strip()}")
    if failed:
        return [f"{len(failed)} of {len(ran)} cocotb tests failed.", *failed, _tail(folder)]
    return [f"the simulator ended with code {code}.", _tail(folder)] if code else []


def _environment(
    name: str, test_module: str, folder: Path, seed: int, testcase: str | None
) -> dict[str, str]:
    """What cocotb inside the simulator needs to know."""
    env = dict(os.environ)
    for old, new in _OLD_NAMES.items():
        if old in env and new not in env:
            print(f"notice: {old} is an old name, use {new}", file=sys.stderr)
            env[new] = os.environ[new] = env[old]
    libpython = env.get("LIBPYTHON_LOC") or find_libpython.find_libpython()
    if libpython is None:
        raise RuntimeError("This Python has no shared library (libpython), which cocotb needs.")
    for variable in ("WAVES_FROM", "WAVES_TO"):
        if text := env.get(variable, "").strip():
            if not text.isdecimal():
                pytest.fail(f"{variable} must be a cycle number, not '{text}'.", pytrace=False)
            env[f"{variable}_NS"] = str(int(text) * CLOCK_PERIOD_NS)
    if scope := env.get("WAVES_SCOPE", "").strip().removeprefix("TOP."):
        inside = scope == name or scope.startswith(f"{name}.")
        env["WAVES_SCOPE"] = scope if inside else f"{name}.{scope}"
    asked = env.pop("COCOTB_TESTCASE", "")
    chosen = testcase or asked
    names = [re.escape(part.strip()) for part in chosen.split(",") if part.strip()]
    if names:
        env["COCOTB_TEST_FILTER"] = rf"(^|\.)({'|'.join(names)})$"
    env |= {
        "GPI_USERS": f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path if path)]),
        "PYGPI_PYTHON_BIN": sys.executable,
        "PATH": f"{env.get('PATH', '')}{os.pathsep}{_LIBRARIES}",
        "COCOTB_TOPLEVEL": name,
        "COCOTB_TEST_MODULES": test_module,
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_RANDOM_SEED": str(seed),
        "SEED": str(seed),
        "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
    }
    return env


def _control_file(verilog: str, top: str, public: tuple[str, ...]) -> str:
    """Make the ports of the top module public, and what the bench names, and nothing else."""
    header = re.search(rf"^module {re.escape(top)}\s*\(([^)]*)\)", verilog, flags=re.MULTILINE)
    ports = header[1].replace("\n", " ").split(",") if header else []
    names = [(top, port.split()[-1]) for port in ports if port.strip()]
    for item in public:
        module, _, signal = item.rpartition(".")
        names.append((module or top, signal))
    lines = [f'public_flat_rw -module "{module}" -var "{var}"' for module, var in names]
    return "`verilator_config\n" + "\n".join(lines) + "\n"


def _is_on(variable: str) -> bool:
    """Whether a switch in the environment is on."""
    return os.environ.get(variable, "0").strip().lower() in ("1", "true", "yes", "on")


def _current_test() -> str:
    """Node id of the running pytest test, or nothing."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]


def _run_name(name: str) -> str:
    """Folder name of this run: the pytest test, or the bench; BENCH_RUN keeps repeats apart."""
    apart = os.environ.get("BENCH_RUN", "")
    return re.sub(r"[^\w.-]+", "_", (_current_test() or name) + apart)[-150:]


def _shown(path: Path) -> str:
    """A path as seen from the project."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _tail(folder: Path, n_lines: int = 25) -> str:
    """The end of the log."""
    lines = (folder / "bench.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-n_lines:])
