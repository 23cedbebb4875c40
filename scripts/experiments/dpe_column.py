# SPDX-License-Identifier: Apache-2.0
"""Measure ways of writing the dot-product columns: what they cost to build, how fast they run.

    python scripts/experiments/dpe_column.py                  every form, about a minute each
    python scripts/experiments/dpe_column.py decided inlined  these forms only

Prints one line a form. All forms of one mode must print the same checksum. The decision drawn from
it, and a table, are in `docs/experiments/dpe_column.md`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from column_engine import Engine  # noqa: E402
from column_form import Form  # noqa: E402

from hw.generate import emit_verilog  # noqa: E402
from hw.lib.emit_once import Boundary  # noqa: E402
from sim.toolchain import Toolchain, find_toolchain  # noqa: E402

__all__ = ["FORMS", "main"]

FLAGS = "-O3 --x-assign fast --x-initial fast --noassert -Wno-fatal -Wno-WIDTH -Wno-CASEINCOMPLETE"
CXX_FLAGS = "-O3 -march=native"
DECIDED: dict[str, Any] = {"boundary": Boundary.NO_INLINE}
FORMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "decided": (DECIDED, "-fno-dfg", CXX_FLAGS),
    "with-dfg": (DECIDED, "", CXX_FLAGS),
    "load-enable-inlined": ({**DECIDED, "own_input": False}, "-fno-dfg", CXX_FLAGS),
    "inlined": ({}, "", CXX_FLAGS),
    "in-place": ({"once": False}, "", CXX_FLAGS),
    "hierarchical": ({"boundary": Boundary.HIER_BLOCK}, "--hierarchical", CXX_FLAGS),
    "no-fp": ({**DECIDED, "fp": "none"}, "-fno-dfg", CXX_FLAGS),
    "fp-free": ({**DECIDED, "fp": "free"}, "-fno-dfg", CXX_FLAGS),
    "fp-enable": ({**DECIDED, "fp": "enable"}, "-fno-dfg", CXX_FLAGS),
    "idle-gated": ({**DECIDED, "idle": "gated"}, "-fno-dfg", CXX_FLAGS),
    "resettable": ({**DECIDED, "resettable": True}, "-fno-dfg", CXX_FLAGS),
    "packed": ({**DECIDED, "packed": True}, "-fno-dfg", CXX_FLAGS),
    "chained": ({**DECIDED, "chained": True}, "-fno-dfg", CXX_FLAGS),
    "products-registered": ({**DECIDED, "cut": 1}, "-fno-dfg", CXX_FLAGS),
    "sums-of-4-registered": ({**DECIDED, "cut": 4}, "-fno-dfg", CXX_FLAGS),
    "16-bit-operands": ({**DECIDED, "word": 16}, "-fno-dfg", CXX_FLAGS),
    "32-bit-operands": ({**DECIDED, "word": 32}, "-fno-dfg", CXX_FLAGS),
    "one-memory": ({**DECIDED, "one_memory": True}, "-fno-dfg", CXX_FLAGS),
    "generic-cpu": (DECIDED, "-fno-dfg", "-O3"),
    "o2": (DECIDED, "-fno-dfg", "-O2 -march=native"),
    "one-column": ({**DECIDED, "n_columns": 1}, "-fno-dfg", CXX_FLAGS),
    "64-columns": ({**DECIDED, "n_columns": 64}, "-fno-dfg", CXX_FLAGS),
}
"""Name of a form: how it differs from the default, Verilator's and the compiler's flags."""


def cpu_seconds() -> float:
    """CPU time of this process and its finished children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(command: list[str], toolchain: Toolchain, folder: Path) -> str:
    """Standard output of a command, which must succeed."""
    env = toolchain.environment
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]} failed: {(result.stderr or result.stdout)[-2000:]}")
    return result.stdout


def measure(name: str, toolchain: Toolchain, n_cycles: int) -> str:
    """Build and run one form; the line of the table."""
    fields, flags, cxx_flags = FORMS[name]
    form = Form(**fields)
    times = [cpu_seconds()]
    text = emit_verilog(Engine(form), name="engine")
    times.append(cpu_seconds())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "engine.v").write_text(text)
        defines = f"{cxx_flags} -DN_COLUMNS={form.n_columns}"
        verilator = [toolchain.verilator, "--cc", "--exe", "--top-module", "engine"]
        verilator += [*FLAGS.split(), *flags.split(), "--Mdir", "obj", "-CFLAGS", defines]
        run([*verilator, "engine.v", str(HERE / "harness.cpp")], toolchain, folder)
        times.append(cpu_seconds())
        make = ["make", "-s", "-C", "obj", "-f", "Vengine.mk", *toolchain.make_variables]
        run(make, toolchain, folder)
        times.append(cpu_seconds())
        files = [p for p in (folder / "obj").rglob("*") if p.suffix in (".cpp", ".h")]
        size = sum(path.stat().st_size for path in files) / 1e6
        speeds = []
        for mode in ("int8", "fp16", "idle"):
            command = [str(folder / "obj" / "Vengine"), mode, str(n_cycles)]
            runs = [run(command, toolchain, folder).split() for _ in range(5)]
            best = max(float(speed) for _, speed in runs)
            speeds.append(f"{best / 1e3:6.0f} {runs[0][0][:6]}")
    seconds = " ".join(f"{b - a:6.1f}" for a, b in zip(times[:-1], times[1:], strict=True))
    return f"{name:22s} {seconds} {size:6.1f}  {'  '.join(speeds)}"


def main() -> None:
    """Measure the forms named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("forms", nargs="*", help=", ".join(FORMS))
    parser.add_argument("--cycles", type=int, default=100_000)
    arguments = parser.parse_args()
    for name in arguments.forms:
        if name not in FORMS:
            parser.error(f"there is no form {name!r}; there are {', '.join(FORMS)}")
    toolchain = find_toolchain()
    print(
        "CPU seconds: Verilog, Verilator, C++; C++ in MB; thousand cycles/s and checksum per mode"
    )
    for name in arguments.forms or FORMS:
        print(measure(name, toolchain, arguments.cycles), flush=True)


if __name__ == "__main__":
    main()
