# SPDX-License-Identifier: Apache-2.0
"""Multiply matrices with `mtia gemm`, check every bit, and show how busy the element was.

The results go to `build/results/gemm-MEMBER.json`. The exit code is 1 when a result is wrong, or
when a product that has a floor of utilisation stays below it.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from hw.arch.formats import Format
from hw.config import ConfigError, get_config
from scripts.cycle_record import check_cycles
from sim.golden.dot import gemm_golden

__all__ = ["Product", "Result", "main", "multiply"]

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "results"
_TABLE_WIDTH = 124
_LOADING_COMMANDS = 2
"""The DMA_INs of A and B, which `--preload` has finish before the first MML."""
_MOST_COMMANDS = 1.0
"""Commands per 1,000 busy cycles of the dot-product engine, where `floor` is given."""
_TYPES: dict[Format, Any] = {
    Format.INT8: np.int8,
    Format.UINT8: np.uint8,
    Format.FP16: np.float16,
    Format.BF16: ml_dtypes.bfloat16,
}


@dataclass(frozen=True)
class Product:
    """A[m,k] times B[k,n], where it lies, and how busy the element must be at least."""

    m: int
    n: int
    k: int
    a: Format
    b: Format
    place: str = "sram"
    floor: float = 0.0
    preload: bool = False
    """Operands in local memory first; then `floor` is for the dot-product engine alone."""
    out: Format | None = None
    """Format of the result; 8 bits: requantised by `scale`."""
    bias: bool = False
    relu: bool = False

    @property
    def name(self) -> str:
        """As the table shows it."""
        formats = self.a.name + (f"*{self.b.name}" if self.a != self.b else "")
        memory = "LS" if self.preload else self.place.upper()
        steps = f"{' + bias' if self.bias else ''}{', ReLU' if self.relu else ''}"
        end = "" if self.out is None else f"{steps} -> {self.out.name}"
        return f"{self.m}x{self.n}x{self.k} {formats} from {memory}{end}"

    @property
    def scale(self) -> float | None:
        """Factor that brings most sums of random operands into 8 bits."""
        return None if self.out is None else 2.0**-7 / self.k**0.5


@dataclass(frozen=True)
class Result:
    """What one product showed."""

    product: str
    is_exact: bool
    is_fast: bool
    busy: float
    """Utilisation of the job; with preload, of the engine from its first MML to its last result."""
    commands: float
    """Commands per 1,000 busy cycles; with preload, without those that loaded the operands."""
    perf: dict[str, Any]


def _products(config: str, everything: bool) -> list[Product]:
    """What to multiply on a member."""
    int8, uint8, fp16, bf16 = Format.INT8, Format.UINT8, Format.FP16, Format.BF16
    if get_config(config).pe.dpe.columns < 32:
        found = [
            Product(64, 64, 64, int8, int8),
            Product(37, 41, 53, uint8, int8),
            Product(64, 64, 64, int8, int8, out=uint8, bias=True, relu=True),
            Product(32, 32, 64, fp16, fp16),
            Product(17, 23, 31, bf16, bf16, "dram"),
        ]
        return found if get_config(config).pe.dpe.with_fp else found[:3]
    found = [
        Product(64, 64, 768, int8, int8, floor=0.98, preload=True),
        Product(64, 64, 384, fp16, fp16, floor=0.98, preload=True),
        Product(512, 512, 512, int8, int8, floor=0.93),
        Product(512, 512, 512, int8, int8, floor=0.93, out=int8),
        Product(512, 512, 512, int8, int8, floor=0.93, out=uint8, bias=True, relu=True),
        Product(512, 512, 512, fp16, fp16, floor=0.93),
    ]
    if everything:
        found += [
            Product(512, 512, 512, bf16, bf16, floor=0.93),
            Product(512, 512, 512, uint8, int8, floor=0.93),
            Product(512, 512, 512, int8, int8, floor=0.93, out=Format.FP16, bias=True),
            Product(512, 512, 512, int8, int8, "dram"),
            Product(1000, 333, 777, int8, int8),
            Product(129, 257, 65, fp16, fp16),
            Product(1, 512, 512, int8, int8),
            Product(1024, 1024, 1024, int8, int8, "dram"),
        ]
    return found


def multiply(product: Product, config: str, folder: Path) -> Result:
    """Run one product, compare with the golden model."""
    rng = np.random.default_rng(int(os.environ.get("SEED") or 1))
    a, b = (
        _random(rng, shape, fmt)
        for shape, fmt in (((product.m, product.k), product.a), ((product.k, product.n), product.b))
    )
    bias = rng.integers(-(1 << 15), 1 << 15, product.n).astype(np.int32) if product.bias else None
    _run(product, config, folder, a, b, bias)
    chunk = get_config(config).pe.dpe.chunk
    sums = gemm_golden(a, b, fmt_a=product.a, fmt_b=product.b, chunk=chunk)
    expected = _finish(product, sums, bias)
    perf = json.loads((folder / "perf.json").read_text())
    busy = perf["dpe_utilisation"] if product.preload else perf["utilisation"]
    issued = perf["commands"]["issued"] - (_LOADING_COMMANDS if product.preload else 0)
    commands = 1000 * issued / max(perf["counters"]["dpe.busy"], 1)
    return Result(
        product=product.name,
        is_exact=np.load(folder / "C.npy").tobytes() == expected.tobytes(),
        is_fast=busy >= product.floor and (not product.floor or commands < _MOST_COMMANDS),
        busy=busy,
        commands=commands,
        perf=perf,
    )


def _run(
    product: Product, config: str, folder: Path, a: NDArray[Any], b: NDArray[Any],
    bias: NDArray[Any] | None,
) -> None:  # fmt: skip
    """`mtia gemm` on files in `folder`."""
    np.save(folder / "A.npy", a)
    np.save(folder / "B.npy", b)
    command = [sys.executable, "-m", "sw.cli", "gemm", str(folder / "A.npy"), str(folder / "B.npy")]
    command += ["-o", str(folder / "C.npy"), "--json", str(folder / "perf.json")]
    command += ["--config", config, "--place", product.place]
    command += ["--preload"] if product.preload else []
    if bias is not None:
        np.save(folder / "bias.npy", bias)
        command += ["--bias", str(folder / "bias.npy")]
    command += ["--relu"] if product.relu else []
    if product.out is not None:
        command += ["--out", product.out.name.lower(), "--scale", repr(product.scale)]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    if run.returncode != 0:
        raise SystemExit(f"gemm failed with code {run.returncode}")


def _finish(product: Product, sums: NDArray[Any], bias: NDArray[Any] | None) -> NDArray[Any]:
    """The epilogue by its definition."""
    if product.out is None:
        return sums
    sums = sums if bias is None else sums + bias
    real = np.maximum(sums, 0) if product.relu else sums
    real = real.astype(np.float32) * np.float32(product.scale or 1)
    if product.out.is_float:
        return real.astype(_TYPES[product.out])
    info = np.iinfo(_TYPES[product.out])
    return np.clip(np.rint(real), info.min, info.max).astype(_TYPES[product.out])


def _random(rng: np.random.Generator, shape: tuple[int, int], fmt: Format) -> NDArray[Any]:
    """Random values of a format: all integers, floats over some binades."""
    if not fmt.is_float:
        info = np.iinfo(_TYPES[fmt])
        return rng.integers(info.min, info.max, shape, endpoint=True).astype(_TYPES[fmt])
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 6, shape)).astype(_TYPES[fmt])


def _show(config: str, results: list[Result]) -> None:
    """The table."""
    table = Table(title=f"matrix products on {config}", box=box.SIMPLE_HEAD)
    table.add_column("M x N x K", no_wrap=True)
    for head in ("bits", "cycles", "busy", "commands/1000", "kHz", "Verilog s", "build s"):
        table.add_column(head, justify="right", no_wrap=True)
    for result in results:
        perf = result.perf
        used = f"{100 * result.busy:.1f} %"
        table.add_row(
            result.product,
            "exact" if result.is_exact else "[red]WRONG[/]",
            f"{perf['cycles']:,}",
            used if result.is_fast else f"[red]{used}[/]",
            f"{result.commands:.2f}",
            f"{perf['simulated_khz']:.0f}",
            f"{perf['verilog_seconds']:.0f}",
            f"{perf['build_seconds']:.0f}",
        )
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table)
    console.print(
        "busy: of the cycles from job start to completion; from LS: of those from first MML to"
        " last\nresult, and commands without the two that loaded the operands before.",
        soft_wrap=True,
    )


def main() -> int:
    """Multiply, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="mtia100-pe")
    parser.add_argument("--all", action="store_true", help="more sizes, formats and memories")
    arguments = parser.parse_args()
    folder = FOLDER / f"gemm-{arguments.config}"
    try:
        products = _products(arguments.config, arguments.all)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    folder.mkdir(parents=True, exist_ok=True)
    results = [multiply(product, arguments.config, folder) for product in products]
    text = json.dumps([asdict(result) for result in results], indent=2)
    (FOLDER / f"gemm-{arguments.config}.json").write_text(text + "\n")
    _show(arguments.config, results)
    moved = check_cycles(
        {f"{arguments.config}: {result.product}": result.perf["cycles"] for result in results}
    )
    return int(moved > 0 or not all(result.is_exact and result.is_fast for result in results))


if __name__ == "__main__":
    sys.exit(main())
