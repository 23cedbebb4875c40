# SPDX-License-Identifier: Apache-2.0
"""How much faster the functional simulator is than the compiled RTL simulator.

Both run the same command lists in one process, one after the other, and must leave the same bytes.
What counts is the time in `run_job` alone; seconds of the processor rather than of the clock, so
that other work on the machine matters less (both devices use one thread). Without police is the
functional simulator that checks no rules. The results go to `build/results/functional-speed.json`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from hw.arch.commands import Function
from hw.arch.formats import Format
from hw.config import ChipConfig, get_config
from sw.files import write_atomic
from sw.runtime import ops
from sw.runtime.chip import Chip, JobResult
from sw.runtime.device import DeviceName, open_device
from sw.runtime.finish import Finish
from sw.runtime.gemm import prepare_gemm, run_gemm

__all__ = ["CASES", "Figures", "main", "measure"]

_RESULTS = Path(__file__).resolve().parents[1] / "build" / "results"
_WANTED = 50
_REPEATS = 3
Run = Callable[[Chip], NDArray[Any]]


@dataclass(frozen=True)
class Figures:
    """One case."""

    case: str
    same: bool
    cycles: int
    rtl_seconds: float
    functional_seconds: float
    unpoliced_seconds: float

    @property
    def ratio(self) -> float:
        """How many times faster."""
        return self.rtl_seconds / self.functional_seconds


class _Clock:
    """Adds up the time that a chip spends in jobs."""

    def __init__(self, chip: Chip) -> None:
        self.seconds, self.cycles = 0.0, 0
        self._run_job = chip.run_job
        chip.run_job = self._timed  # type: ignore[method-assign]

    def _timed(self, *arguments: Any, **options: Any) -> JobResult:
        start = time.process_time()
        result = self._run_job(*arguments, **options)
        self.seconds += time.process_time() - start
        self.cycles += result.cycles or 0
        return result


def _timed(chip: Chip, run: Run, repeats: int) -> tuple[NDArray[Any], float, int]:
    """Result, shortest time, and cycles."""
    times, clock, result = [], _Clock(chip), np.zeros(0)
    for _ in range(repeats):
        clock.seconds = clock.cycles = 0
        result = run(chip)
        times.append(clock.seconds)
    return result, min(times), clock.cycles


def measure(case: str, run: Run, rtl: Chip, config: ChipConfig) -> Figures:
    """Run a case on both devices."""
    policed = open_device(DeviceName.FUNCTIONAL, config)
    unpoliced = open_device(DeviceName.FUNCTIONAL, config, police=False)
    found, quick, _ = _timed(policed, run, _REPEATS)
    _, quickest, _ = _timed(unpoliced, run, _REPEATS)
    wanted, slow, cycles = _timed(rtl, run, 1)
    return Figures(case, found.tobytes() == wanted.tobytes(), cycles, slow, quick, quickest)


def _product(size: int, dtype: Any, finish: Finish | None = None) -> Run:
    rng = np.random.default_rng(1)
    if np.dtype(dtype).kind in "iu":
        a, b = rng.integers(-128, 128, (2, size, size)).astype(dtype)
    else:
        a, b = rng.standard_normal((2, size, size)).astype(np.float32).astype(dtype)

    def run(chip: Chip) -> NDArray[Any]:
        return run_gemm(chip, prepare_gemm(chip.config, a, b, finish=finish)).c

    return run


def _rows(operation: Callable[[Chip, NDArray[Any]], ops.OpRun], rows: int, n: int) -> Run:
    x = np.random.default_rng(2).standard_normal((rows, n)).astype(np.float32)
    return lambda chip: operation(chip, x).y


def _cases(size: int) -> Iterator[tuple[str, Run]]:
    bias = np.arange(size, dtype=np.int32) * 97 - 20_000
    requantised = Finish(out=Format.INT8, bias=bias, relu=True, scale=1e-3)
    activated = Finish(out=Format.FP16, activation=Function.GELU)
    yield f"{size}^3 INT8", _product(size, np.int8)
    yield f"{size}^3 FP16", _product(size, np.float16)
    yield f"{size}^3 BF16", _product(size, ml_dtypes.bfloat16)
    yield f"{size}^3 INT8 + bias, ReLU, scale", _product(size, np.int8, requantised)
    yield f"{size}^3 FP16 + GELU", _product(size, np.float16, activated)
    yield f"softmax {size} x {size}", _rows(ops.softmax, size, size)
    yield f"LayerNorm {size} x {size}", _rows(ops.layernorm, size, size)


CASES = _cases
"""Names and runs for a size."""


def _show(config: str, figures: list[Figures]) -> None:
    table = Table(title=f"RTL and functional simulator on {config}", box=box.SIMPLE_HEAD)
    table.add_column("job", no_wrap=True)
    for head in ("bits", "cycles", "RTL s", "functional s", "without police", "ratio"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in figures:
        table.add_row(
            one.case,
            "same" if one.same else "[red]DIFFERENT[/]",
            f"{one.cycles:,}",
            f"{one.rtl_seconds:.2f}",
            f"{one.functional_seconds:.4f}",
            f"{one.unpoliced_seconds:.4f}",
            f"{one.ratio:.0f}" if one.ratio >= _WANTED else f"[yellow]{one.ratio:.0f}[/]",
        )
    console = Console()
    console.width = max(console.width, 104)
    console.print(table)


def main() -> int:
    """Measure, show; the exit code is 1 when a result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="mtia100-pe")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--only", default="", help="part of a case's name")
    arguments = parser.parse_args()
    config = get_config(arguments.config)
    rtl = open_device(DeviceName.RTL, config, progress=lambda text: print(text, file=sys.stderr))
    figures = [
        measure(case, run, rtl, config)
        for case, run in _cases(arguments.size)
        if arguments.only in case
    ]
    _RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps([{**asdict(one), "ratio": one.ratio} for one in figures], indent=2)
    write_atomic(_RESULTS / "functional-speed.json", text + "\n")
    _show(config.name, figures)
    return int(not all(one.same for one in figures))


if __name__ == "__main__":
    sys.exit(main())
