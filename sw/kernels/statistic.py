# SPDX-License-Identifier: Apache-2.0
"""Two passes over each chunk of rows while it is in local memory: a row's statistic, then the row
with it. Softmax and LayerNorm are programs of this shape."""

from typing import Any

from hw.arch.commands import BMode, Opcode, Post, Pre, SimdOut
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.rows import Pass, RowArray, RowStreams, Stream
from sw.kernels.simd_limits import check_engine, check_row_buffer

__all__ = ["plan_with_statistic"]

_IN, _STATISTIC, _OUT = 0, 1, 2


def plan_with_statistic(
    pe: PeConfig, x: RowArray, y: RowArray, *, statistic: dict[str, Any], result: dict[str, Any]
) -> CommandList:
    """y[i] = d * post(reduce(d)), with d = function(x[i] - s[i]) and s[i] the row's statistic.

    Parameters
    ----------
    pe : PeConfig
        The element.
    x, y : RowArray
        Operand and result, with as many rows of as many elements.
    statistic, result : dict
        Fields of SE_PROGRAM: how s comes of a row (`reduce`, ...), and how y comes of d.

    Raises
    ------
    ValueError
        If a row is longer than the row buffer, or the member lacks lanes or functions.
    """
    check_engine(pe, functions=True)
    check_row_buffer(pe, x.elements)
    source = Stream(cb=_IN, row_bytes=x.row_bytes)
    values = Stream(cb=_STATISTIC, row_bytes=4, packed=True)
    target = Stream(cb=_OUT, row_bytes=y.row_bytes, halves=1)
    streams = RowStreams(pe, x.rows, (source, values, target), long_chunks=True)
    commands = CommandList()
    streams.set_up(commands)
    commands.add(Opcode.SE_PROGRAM, program=0, a_format=x.fmt, out=SimdOut.STATISTICS, **statistic)
    commands.add(
        Opcode.SE_PROGRAM, program=1, a_format=x.fmt, out_format=y.fmt, b_mode=BMode.ROW,
        pre=Pre.SUB, post=Post.STATISTIC, **result,
    )  # fmt: skip
    streams.fetch(commands, source, x)
    streams.store(commands, target, y)

    def passes(counts: dict[str, int]) -> list[Pass]:
        nest = {"count0": x.elements, **counts}
        stays = streams.operand(source, "a_", advance=False)
        first = {"program": 0, **nest, **stays, **streams.operand(values, "")}
        operands = streams.operand(source, "a_") | streams.operand(values, "b_")
        second = {"program": 1, **nest, **operands, **streams.operand(target, "")}
        return [(Opcode.SIMD, first, 0), (Opcode.SIMD, second, 0)]

    streams.chunk_by_chunk(commands, passes)
    commands.add(Opcode.END)
    return commands
