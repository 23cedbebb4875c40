# SPDX-License-Identifier: Apache-2.0
"""GEMM on one element in the compiled simulator: cycles, utilisation, simulation speed.

Every product is compared with the golden model, bit for bit. Cycles are the hardware's own counter.
The table is also written to `build/bench/gemm-CONFIG.json`. Exit code 1 if a result is wrong or,
with `--check`, if a figure misses its aim.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from rich.console import Console
from rich.table import Table

from hw.arch.formats import Format
from hw.config import ChipConfig, get_config
from sim.golden.dot import gemm_golden
from sw.files import write_atomic
from sw.runtime.gemm import run_gemm
from sw.runtime.simulated import simulated_chip

ROOT = Path(__file__).resolve().parents[1]
FORMATS = {"int8": Format.INT8, "uint8": Format.UINT8, "fp16": Format.FP16, "bf16": Format.BF16}
TYPES = {"int8": np.int8, "uint8": np.uint8, "fp16": np.float16, "bf16": ml_dtypes.bfloat16}


@dataclass(frozen=True)
class Row:
    """One product to run."""

    m: int
    n: int
    k: int
    dtype: str
    load_first: bool = False
    """Operands in local memory before the first MML; utilisation from its start to its end."""
    aim: float | None = None
    """Utilisation to reach on the full-size element."""


SHORT = (
    Row(64, 64, 768, "int8", True, 0.98),
    Row(512, 512, 512, "int8", False, 0.93),
    Row(512, 512, 512, "fp16", False, 0.93),
)
LONG = (
    *SHORT,
    Row(64, 64, 384, "fp16", True, 0.98),
    Row(512, 512, 512, "bf16", False, 0.93),
    Row(1024, 1024, 1024, "int8"),
    Row(127, 255, 511, "int8"),
    Row(100, 10, 784, "int8"),
    Row(16, 512, 2048, "int8"),
    Row(1, 1024, 1024, "int8"),
)
TINY = (Row(64, 64, 128, "int8"), Row(64, 64, 128, "bf16"), Row(31, 33, 17, "int8"))


def operands(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """Random operands of a row, the same at every run."""
    rng = np.random.default_rng([row.m, row.n, row.k])
    shapes = (row.m, row.k), (row.k, row.n)
    if FORMATS[row.dtype].is_float:
        return tuple(
            rng.standard_normal(s).astype(np.float32).astype(TYPES[row.dtype]) for s in shapes
        )
    low, high = (-128, 128) if row.dtype == "int8" else (0, 256)
    return tuple(rng.integers(low, high, s).astype(TYPES[row.dtype]) for s in shapes)


def measure(config: ChipConfig, row: Row, console: Console) -> dict[str, Any]:
    """Run one row; figures, and whether the result is right."""
    a, b = operands(row)
    with console.status(f"{row.m} x {row.n} x {row.k} {row.dtype} ...") as status:
        chip, build = simulated_chip(config, progress=status.update)
        start, before = time.monotonic(), chip.port.cycles
        run = run_gemm(chip, a, b, load_first=row.load_first)
        seconds, cycles = time.monotonic() - start, chip.port.cycles - before
        chip.port.close()
        fmt = FORMATS[row.dtype]
        golden = gemm_golden(a, b, fmt_a=fmt, fmt_b=fmt, chunk=config.pe.dpe.chunk)
    figures = run.perf
    utilisation = figures["dpe_utilisation"] if row.load_first else figures["utilisation"]
    commands = figures["commands"]["issued"] - (2 if row.load_first else 0)
    return {
        **figures,
        "aim": row.aim,
        "from": "LS" if row.load_first else figures["place"].upper(),
        "figure": utilisation,
        "commands_per_1000": 1000 * commands / max(figures["counters"]["dpe.busy"], 1),
        "khz": cycles / seconds / 1000,
        "verilog_seconds": build.verilog_seconds,
        "build_seconds": build.build_seconds,
        "exact": bool(np.array_equal(run.c.view(np.uint32), golden.view(np.uint32))),
    }


def show(config: ChipConfig, results: list[dict[str, Any]], console: Console) -> None:
    """Print the table."""
    table = Table(title=f"GEMM on one element of {config.name}, {time.strftime('%Y-%m-%d')}")
    for heading in ("M x N x K", "format", "from", "cycles", "utilisation", "aim",
                    "commands/1000", "exact", "kHz"):  # fmt: skip
        table.add_column(heading, justify="right")
    for r in results:
        table.add_row(
            f"{r['m']} x {r['n']} x {r['k']}", r["dtype_a"], r["from"], f"{r['cycles']:,}",
            f"{100 * r['figure']:.2f} %", "" if r["aim"] is None else f"{100 * r['aim']:.0f} %",
            f"{r['commands_per_1000']:.2f}", "yes" if r["exact"] else "NO", f"{r['khz']:.0f}",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"Verilog {results[0]['verilog_seconds']:.0f} s, Verilator build"
        f" {results[0]['build_seconds']:.0f} s (when they were made)"
    )


def main() -> int:
    """Run the rows of one configuration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="mtia100-pe", help="member of the family")
    parser.add_argument("--all", action="store_true", help="all rows, not only the showcase")
    parser.add_argument("--check", action="store_true", help="fail if a figure misses its aim")
    options = parser.parse_args()
    config, console = get_config(options.config), Console()
    full = config.pe.dpe.columns >= 32
    rows = (LONG if options.all else SHORT) if full else TINY
    results = [measure(config, row, console) for row in rows]
    show(config, results, console)
    target = ROOT / "build" / "bench" / f"gemm-{config.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, json.dumps(results, indent=2) + "\n")
    console.print(f"-> {target.relative_to(ROOT)}")
    missed = [r for r in results if r["aim"] is not None and r["figure"] < r["aim"]]
    for r in missed:
        console.print(f"{r['m']} x {r['n']} x {r['k']} {r['dtype_a']} misses its aim.")
    wrong = not all(r["exact"] for r in results)
    return 1 if wrong or (options.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
