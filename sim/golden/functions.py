# SPDX-License-Identifier: Apache-2.0
"""Table functions of the SIMD engine, bit for bit, on whole arrays.

`evaluate` is the whole function, as an element leaves the engine. `table_value` is what the
function unit itself gives: a value, and whether the multiplier behind it still has to multiply it
by the argument (TANH near zero, GELU and SILU).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Function
from sim.golden.fp import canonical

__all__ = ["TableValue", "evaluate", "table_value"]


class TableValue(NamedTuple):
    """What the function unit gives for each element."""

    value: NDArray[np.float32]
    times_argument: NDArray[np.bool_]
    """Whether the result is `value` times the argument, rounded once more; else it is `value`."""


def evaluate(function: Function, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """`function` of every element of `x`; NaN results are canonical.

    `x` may also be an array of uint32, the bits of FP32 numbers; the result then is one, too.
    """
    argument = np.ascontiguousarray(x).view(np.float32)
    value, times_argument = table_value(function, argument)
    with np.errstate(all="ignore"):
        result = np.where(times_argument, value * argument, value)
    return canonical(result.astype(np.float32)).view(x.dtype)


def table_value(function: Function, x: NDArray[np.float32]) -> TableValue:
    """Value and flag of the function unit for every element of `x`."""
    # Stands in until the tables are there: float64, rounded once.
    with np.errstate(all="ignore"):
        y = x.astype(np.float64)
        exact = {
            Function.NONE: lambda: y,
            Function.EXP: lambda: np.exp(y),
            Function.LOG: lambda: np.log(y),
            Function.RECIPROCAL: lambda: 1 / y,
            Function.RSQRT: lambda: 1 / np.sqrt(y),
            Function.SIGMOID: lambda: 1 / (1 + np.exp(-y)),
            Function.TANH: lambda: np.tanh(y),
            Function.GELU: lambda: np.vectorize(math.erfc, otypes=[float])(-y / math.sqrt(2)) / 2,
            Function.SILU: lambda: 1 / (1 + np.exp(-y)),
        }[function]()
        times = np.isin(function, (Function.GELU, Function.SILU)) & np.isfinite(x)
        ends = np.isinf(x) & np.isin(function, (Function.GELU, Function.SILU))
        exact = np.where(ends, np.where(y > 0, y, -0.0), exact)
        return TableValue(canonical(exact.astype(np.float32)), np.broadcast_to(times, x.shape))
