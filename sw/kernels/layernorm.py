# SPDX-License-Identifier: Apache-2.0
"""LayerNorm without affine part: two passes over each chunk of rows while it is in local memory.

1. The row's mean: sum * (1/N).
2. d = x - mean, and d * RSQRT(sum of d^2 * (1/N) + epsilon): the row waits in the engine's row
   buffer until the sum of squares is known.
"""

from hw.arch.commands import BMode, Function, Opcode, Post, Pre, Reduce, SimdOut
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.gemm import fp32_bits
from sw.kernels.rows import Pass, RowArray, RowStreams, Stream
from sw.kernels.simd_limits import check_engine, check_row_buffer

__all__ = ["plan_layernorm"]

_IN, _MEAN, _OUT = 0, 1, 2


def plan_layernorm(pe: PeConfig, x: RowArray, y: RowArray, *, epsilon: float = 1e-5) -> CommandList:
    """y[i] = (x[i] - mean) / sqrt(variance + epsilon), row by row.

    Raises
    ------
    ValueError
        If a row is longer than the row buffer, or the member lacks lanes or functions.
    """
    check_engine(pe, functions=True)
    check_row_buffer(pe, x.elements)
    source = Stream(cb=_IN, row_bytes=x.row_bytes)
    means = Stream(cb=_MEAN, row_bytes=4, packed=True)
    result = Stream(cb=_OUT, row_bytes=y.row_bytes, halves=1)
    streams = RowStreams(pe, x.rows, (source, means, result))
    share = fp32_bits(1 / x.elements)
    commands = CommandList()
    streams.set_up(commands)
    commands.add(
        Opcode.SE_PROGRAM, program=0, a_format=x.fmt, reduce=Reduce.SUM, stat_factor=share,
        out=SimdOut.STATISTICS,
    )  # fmt: skip
    commands.add(
        Opcode.SE_PROGRAM, program=1, a_format=x.fmt, out_format=y.fmt, b_mode=BMode.ROW,
        pre=Pre.SUB, reduce=Reduce.SUM_SQUARES, stat_factor=share, stat_addend=fp32_bits(epsilon),
        stat_function=Function.RSQRT, post=Post.STATISTIC,
    )  # fmt: skip
    streams.fetch(commands, source, x)
    streams.store(commands, result, y)

    def passes(counts: dict[str, int]) -> list[Pass]:
        nest = {"count0": x.elements, **counts}
        stays = streams.operand(source, "a_", advance=False)
        first = {"program": 0, **nest, **stays, **streams.operand(means, "")}
        operands = streams.operand(source, "a_") | streams.operand(means, "b_")
        second = {"program": 1, **nest, **operands, **streams.operand(result, "")}
        return [(Opcode.SIMD, first, 0), (Opcode.SIMD, second, 0)]

    streams.chunk_by_chunk(commands, passes)
    commands.add(Opcode.END)
    return commands
