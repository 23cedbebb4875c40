# SPDX-License-Identifier: Apache-2.0
"""Row softmax: two passes over each chunk of rows while it is in local memory.

1. The row's largest value m.
2. e = EXP(x - m), their sum s, and e * RECIPROCAL(s): the row waits in the engine's row buffer
   until s is known.
"""

from hw.arch.commands import BMode, Function, Opcode, Post, Pre, Reduce, SimdOut
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.rows import Pass, RowArray, RowStreams, Stream
from sw.kernels.simd_limits import check_engine, check_row_buffer

__all__ = ["plan_softmax"]

_IN, _MAX, _OUT = 0, 1, 2


def plan_softmax(pe: PeConfig, x: RowArray, y: RowArray) -> CommandList:
    """y[i] = exp(x[i] - max x[i]) / sum of that, row by row.

    Raises
    ------
    ValueError
        If a row is longer than the row buffer, or the member lacks lanes or functions.
    """
    check_engine(pe, functions=True)
    check_row_buffer(pe, x.elements)
    source = Stream(cb=_IN, row_bytes=x.row_bytes)
    maxima = Stream(cb=_MAX, row_bytes=4, packed=True)
    result = Stream(cb=_OUT, row_bytes=y.row_bytes, halves=1)
    streams = RowStreams(pe, x.rows, (source, maxima, result))
    commands = CommandList()
    streams.set_up(commands)
    commands.add(
        Opcode.SE_PROGRAM, program=0, a_format=x.fmt, reduce=Reduce.MAX, out=SimdOut.STATISTICS
    )
    commands.add(
        Opcode.SE_PROGRAM, program=1, a_format=x.fmt, out_format=y.fmt, b_mode=BMode.ROW,
        pre=Pre.SUB, function=Function.EXP, reduce=Reduce.SUM, stat_function=Function.RECIPROCAL,
        post=Post.STATISTIC,
    )  # fmt: skip
    streams.fetch(commands, source, x)
    streams.store(commands, result, y)

    def passes(counts: dict[str, int]) -> list[Pass]:
        nest = {"count0": x.elements, **counts}
        stays = streams.operand(source, "a_", advance=False)
        first = {"program": 0, **nest, **stays, **streams.operand(maxima, "")}
        operands = streams.operand(source, "a_") | streams.operand(maxima, "b_")
        second = {"program": 1, **nest, **operands, **streams.operand(result, "")}
        return [(Opcode.SIMD, first, 0), (Opcode.SIMD, second, 0)]

    streams.chunk_by_chunk(commands, passes)
    commands.add(Opcode.END)
    return commands
