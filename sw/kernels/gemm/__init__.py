# SPDX-License-Identifier: Apache-2.0
"""GEMM for one processing element: a problem in, a command list out.

The element computes C in blocks of `m_tiles x n_tiles` accumulator tiles. Five commands run side
by side and meet in circular buffers and banks: two DMA_INs fetch A and B, one MML multiplies, one
DRAIN empties the banks, one DMA_OUT stores. With an epilogue a SIMD stands between DRAIN and
DMA_OUT. Each covers a whole *region* of equal blocks; ragged edges make at most four regions (more
where bias and factors of all columns would take too much local memory).

        columns: whole blocks     rest
    rows: whole   region 0      region 1
          rest    region 2      region 3

All of A is fetched once per column of blocks. B is either fetched again for every row of blocks,
or, where its panel of one block column fits into local memory, once (`resident`). With
`held_blocks` one of both operands stays for several columns of blocks, see `Sizes`.
"""

from sw.kernels.gemm.epilogue import Epilogue, fp32_bits
from sw.kernels.gemm.plan import plan_gemm
from sw.kernels.gemm.problem import GemmPlan, GemmProblem

__all__ = ["Epilogue", "GemmPlan", "GemmProblem", "fp32_bits", "plan_gemm"]
