# SPDX-License-Identifier: Apache-2.0
"""LayerNorm without affine part: two passes over each chunk of rows while it is in local memory.

1. The row's mean: sum * (1/N).
2. d = x - mean, and d * RSQRT(sum of d^2 * (1/N) + epsilon): the row waits in the engine's row
   buffer until the sum of squares is known.
"""

from hw.arch.commands import Function, Reduce
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.gemm import fp32_bits
from sw.kernels.rows import RowArray
from sw.kernels.statistic import plan_with_statistic

__all__ = ["plan_layernorm"]


def plan_layernorm(pe: PeConfig, x: RowArray, y: RowArray, *, epsilon: float = 1e-5) -> CommandList:
    """y[i] = (x[i] - mean) / sqrt(variance + epsilon), row by row.

    Raises
    ------
    ValueError
        If a row is longer than the row buffer, or the member lacks lanes or functions.
    """
    share = fp32_bits(1 / x.elements)
    return plan_with_statistic(
        pe, x, y,
        statistic={"reduce": Reduce.SUM, "stat_factor": share},
        result={
            "reduce": Reduce.SUM_SQUARES,
            "stat_factor": share,
            "stat_addend": fp32_bits(epsilon),
            "stat_function": Function.RSQRT,
        },
    )  # fmt: skip
