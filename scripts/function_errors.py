# SPDX-License-Identifier: Apache-2.0
"""Errors of the SIMD engine's functions against float64.

    python scripts/function_errors.py                            print the table
    python scripts/function_errors.py --plot build/errors.png    and draw the errors
    python scripts/function_errors.py --samples 10000000         more FP32 arguments

FP16: all 65,536 arguments, the result rounded to FP16. FP32: those arguments and a seeded sweep,
arguments whose result is a normal FP32 number.
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hw.arch.commands import Function
from hw.arch.functions import COEFFICIENTS, DEPTH, REGIONS
from hw.arch.functions.datapath import EXPONENT_WIDTH
from sim.golden.functions import evaluate

__all__ = ["EXACT", "Errors", "all_fp16", "fp16_ulps", "fp32_ulps", "main", "measure", "sweep"]

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    decay = np.exp(-np.abs(x))
    return np.where(x < 0, decay, 1) / (1 + decay)


def _times(x: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """x * share, and -0 where x is minus infinity."""
    return np.where(x == -np.inf, -0.0, x * share)


EXACT: dict[Function, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    Function.EXP: np.exp,
    Function.LOG: np.log,
    Function.RECIPROCAL: lambda x: 1 / x,
    Function.RSQRT: lambda x: 1 / np.sqrt(x),
    Function.SIGMOID: _sigmoid,
    Function.TANH: np.tanh,
    Function.GELU: lambda x: _times(x, _erfc(-x / math.sqrt(2)) / 2),
    Function.SILU: lambda x: _times(x, _sigmoid(x)),
}
"""Each function in float64."""

_LIMITS = {
    Function.EXP: (-104.0, 89.0),
    Function.SIGMOID: (-104.0, 20.0),
    Function.TANH: (-12.0, 12.0),
    Function.GELU: (-8.0, 9.0),
    Function.SILU: (-87.0, 20.0),
}
"""Where a function does something; the others are swept over all exponents. Below its limit GELU is
flushed to -0, and SILU is the product of a subnormal number."""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What was measured of one function."""

    fp16: float
    """Largest error of the result in FP16, in units of its last place."""
    fp16_misrounded: int
    """FP16 arguments whose result is not the FP16 number nearest to the exact one."""
    fp32: float
    """Largest error of the FP32 result, in units of its last place."""
    fp32_at: float
    """The argument where that is."""


def all_fp16() -> NDArray[np.float32]:
    """Every FP16 number."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def sweep(function: Function, n: int, seed: int = 1) -> NDArray[np.float32]:
    """FP32 arguments where the function is interesting: evenly, by exponent, and close to 1."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 1 << 32, n, dtype=np.uint32).view(np.float32)
    low, high = _LIMITS.get(function, (0.25, 4.0))
    even = rng.uniform(low, high, n).astype(np.float32)
    near_one = 1 + rng.uniform(-1, 1, n) * np.exp2(rng.uniform(-24, 0, n))
    result = np.concatenate([bits, even, near_one.astype(np.float32)])
    if function in (Function.GELU, Function.SILU):
        return result[result > low]
    return result[np.isfinite(result)]


def _in_ulps(
    found: NDArray[np.float64], exact: NDArray[np.float64], fraction: int, lowest: int, highest: int
) -> NDArray[np.float64]:
    """|found - exact| in units of the last place of a format; numbers beyond its range agree."""
    exponent = np.frexp(np.where(np.isfinite(exact), exact, 0))[1].astype(np.int64) - 1
    unit = np.exp2(np.clip(exponent, lowest, highest) - fraction)
    with np.errstate(invalid="ignore"):
        error = np.abs(found - exact) / unit
    overflow = np.exp2(highest) * (2 - np.exp2(-fraction - 1.0))
    same = (found == exact) | (np.isnan(found) & np.isnan(exact))
    same |= np.isinf(found) & (np.abs(exact) >= overflow) & (np.sign(found) == np.sign(exact))
    return np.where(same, 0.0, error)


def fp16_ulps(found: NDArray[np.float32], exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors of `found`, rounded to FP16, in units of the last place."""
    with np.errstate(over="ignore"):
        rounded = found.astype(np.float16).astype(np.float64)
    return _in_ulps(rounded, exact, 10, -14, 15)


def fp32_ulps(found: NDArray[np.float32], exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors of `found` in units of the last place, NaN where the result is no normal number."""
    normal = (np.abs(exact) >= 2.0**-126) & (np.abs(exact) < 2.0**128)
    return np.where(normal, _in_ulps(found.astype(np.float64), exact, 23, -126, 127), np.nan)


def measure(function: Function, samples: int) -> Errors:
    """Errors of one function."""
    with np.errstate(all="ignore"):
        x = all_fp16()
        found, exact = evaluate(function, x), EXACT[function](x.astype(np.float64))
        fp16 = fp16_ulps(found, exact)
        nearest = exact.astype(np.float16)
        differs = (found.astype(np.float16) != nearest) & ~np.isnan(nearest)
        wide = sweep(function, samples // 3)
        wide = np.concatenate([x[x >= wide.min()], wide])
        fp32 = fp32_ulps(evaluate(function, wide), EXACT[function](wide.astype(np.float64)))
    worst = int(np.nanargmax(fp32))
    return Errors(
        fp16=float(fp16.max()),
        fp16_misrounded=int(differs.sum()),
        fp32=float(fp32[worst]),
        fp32_at=float(wide[worst]),
    )


def _plot(path: Path) -> None:
    """Errors in FP32 units over the argument, one panel for each function."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 2, figsize=(11, 12), constrained_layout=True)
    for axis, function in zip(axes.flat, EXACT, strict=True):
        low, high = _LIMITS.get(function, (0.25, 4.0))
        x = np.linspace(low, high, 100_001)[1:].astype(np.float32)
        with np.errstate(all="ignore"):
            error = fp32_ulps(evaluate(function, x), EXACT[function](x.astype(np.float64)))
        axis.plot(x, error, ",", color="tab:blue")
        axis.set_title(function.name)
        axis.set_ylabel("error, ULP of FP32")
        axis.grid(True, alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=72)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Errors of the SIMD engine's functions.")
    parser.add_argument("--samples", type=int, default=3_000_000, help="FP32 arguments")
    parser.add_argument("--plot", type=Path, help="also draw the errors to this PNG")
    options = parser.parse_args()
    shown = Table("function", title="Errors against float64, in units of the last place")
    for title in ("FP16 max", "FP16 not nearest", "FP32 max", "at"):
        shown.add_column(title, justify="right")
    for function in EXACT:
        errors = measure(function, options.samples)
        shown.add_row(
            function.name,
            f"{errors.fp16:.4f}",
            str(errors.fp16_misrounded),
            f"{errors.fp32:.2f}",
            f"{errors.fp32_at:.7g}",
        )
    Console().print(shown)
    width = sum(form.width for form in COEFFICIENTS) + EXPONENT_WIDTH
    used = sum(spec.n_segments for spec in REGIONS.values())
    print(f"Table: {used} of {DEPTH} rows of {width} bits, {DEPTH * width:,} bits.")
    if options.plot:
        _plot(options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
