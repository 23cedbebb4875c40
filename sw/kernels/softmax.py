# SPDX-License-Identifier: Apache-2.0
"""Row softmax: two passes over each chunk of rows while it is in local memory.

1. The row's largest value m.
2. e = EXP(x - m), their sum s, and e * RECIPROCAL(s): the row waits in the engine's row buffer
   until s is known.
"""

from hw.arch.commands import Function, Reduce
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.rows import RowArray
from sw.kernels.statistic import plan_with_statistic

__all__ = ["plan_softmax"]


def plan_softmax(pe: PeConfig, x: RowArray, y: RowArray) -> CommandList:
    """y[i] = exp(x[i] - max x[i]) / sum of that, row by row.

    Raises
    ------
    ValueError
        If a row is longer than the row buffer, or the member lacks lanes or functions.
    """
    return plan_with_statistic(
        pe, x, y,
        statistic={"reduce": Reduce.MAX},
        result={
            "function": Function.EXP,
            "reduce": Reduce.SUM,
            "stat_function": Function.RECIPROCAL,
        },
    )  # fmt: skip
