# SPDX-License-Identifier: Apache-2.0
"""Where and how much a network's results part: RTL from functional model, both from float64."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sw.runtime.infer import LayerRun, as_real
from sw.runtime.network import Network
from sw.runtime.reference import float64_layers

__all__ = ["LayerDifference", "compare_layers"]


@dataclasses.dataclass(frozen=True)
class LayerDifference:
    """One layer's differences; errors are those of the RTL's result in real units."""

    layer: str
    shape: tuple[int, int]
    out: str
    mismatches: int
    """Elements in which RTL and functional model differ in any bit."""
    first_mismatch: tuple[int, int] | None
    max_error: float
    mean_error: float
    worst: tuple[int, int]
    """Row and column of the largest error."""
    sqnr_db: float | None
    """Power of the float64 result over that of the error; None without any error."""
    cycles: int | None
    utilisation: float | None


def compare_layers(
    network: Network,
    inputs: NDArray[Any],
    rtl: Sequence[LayerRun],
    functional: Sequence[LayerRun],
) -> list[LayerDifference]:
    """Differences of every layer, in order."""
    return [
        _difference(mine, theirs.output, real)
        for mine, theirs, real in zip(rtl, functional, float64_layers(network, inputs), strict=True)
    ]


def _difference(
    run: LayerRun, functional: NDArray[Any], real: NDArray[np.float64]
) -> LayerDifference:
    layer, output = run.layer, run.output
    wrong = _bits(output) != _bits(functional)
    error = np.abs(as_real(output, layer.out, layer.out_scale) - real)
    # A result that is no number is as far away as can be.
    error = np.where(np.isnan(error), np.inf, error)
    noise = float(np.sum(error**2))
    return LayerDifference(
        layer=layer.name,
        shape=(output.shape[0], output.shape[1]),
        out=layer.out.name.lower(),
        mismatches=int(wrong.sum()),
        first_mismatch=_place(wrong.argmax(), wrong.shape) if wrong.any() else None,
        max_error=float(error.max()),
        mean_error=float(error.mean()),
        worst=_place(error.argmax(), error.shape),
        sqnr_db=_decibels(float(np.sum(real**2)), noise),
        cycles=run.perf["cycles"],
        utilisation=run.perf["utilisation"],
    )


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    return array.view(f"u{array.dtype.itemsize}")


def _place(flat: np.intp, shape: tuple[int, ...]) -> tuple[int, int]:
    row, column = np.unravel_index(flat, shape)
    return int(row), int(column)


def _decibels(signal: float, noise: float) -> float | None:
    """10 log10 of signal over noise; None if there is no noise, or no signal."""
    if noise == 0 or signal == 0:
        return None
    return 10 * math.log10(signal / noise) if math.isfinite(noise) else -math.inf
