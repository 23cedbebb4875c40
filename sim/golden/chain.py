# SPDX-License-Identifier: Apache-2.0
"""A product that a chain of elements sums up, each over some of K."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.arch.formats import Format
from sim.golden.dot import gemm_golden
from sim.golden.re import add_rows

__all__ = ["chain_golden"]


def chain_golden(
    a: NDArray[Any],
    b: NDArray[Any],
    k_runs: Sequence[tuple[int, int]],
    *,
    fmt_a: Format,
    fmt_b: Format,
    chunk: int,
) -> NDArray[Any]:
    """a[M,K] @ b[K,N] as the sum of the products of runs of K (first, number), from first to last.

    INT32 as `gemm_golden`, whatever the runs; of floats each addition is rounded to FP32.
    """
    found = [
        gemm_golden(
            np.ascontiguousarray(a[:, first : first + size]),
            np.ascontiguousarray(b[first : first + size]),
            fmt_a=fmt_a,
            fmt_b=fmt_b,
            chunk=chunk,
        )
        for first, size in k_runs
    ]
    accumulator = fmt_a.accumulator
    sums = functools.reduce(lambda above, own: add_rows(own, above, accumulator), found)
    return sums.view(found[0].dtype)
