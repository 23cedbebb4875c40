# SPDX-License-Identifier: Apache-2.0
"""Dynamic INT8: each row's largest magnitude, its scale, and the requantised row in one pass.

    scale = largest |x| * fp32(1 / 127);  q = convert(x * RECIPROCAL(scale))

The scale is written behind the row in local memory and stored into an array of its own. A row of
zeros has scale 0 and gives zeros.
"""

import math

from hw.arch.commands import NEVER, Function, Opcode, Post, Reduce, SimdOut
from hw.arch.formats import Format
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.gemm import fp32_bits
from sw.kernels.rows import UNIT, Pass, RowArray, RowStreams, Stream
from sw.kernels.simd_limits import check_engine, check_row_buffer

__all__ = ["plan_quantize"]

_IN, _OUT = 0, 1
_LIMIT = 127


def plan_quantize(pe: PeConfig, x: RowArray, q: RowArray, scales: RowArray) -> CommandList:
    """q[i] = x[i] / scales[i] as INT8 with one FP32 scale for each row.

    Raises
    ------
    ValueError
        If a row is longer than the row buffer, or the member lacks lanes or functions.
    """
    check_engine(pe, functions=True)
    check_row_buffer(pe, x.elements)
    source = Stream(cb=_IN, row_bytes=x.row_bytes)
    result = Stream(cb=_OUT, row_bytes=q.row_bytes, extra_words=1)
    streams = RowStreams(pe, x.rows, (source, result))
    commands = CommandList()
    streams.set_up(commands)
    commands.add(
        Opcode.SE_PROGRAM, program=0, a_format=x.fmt, out_format=Format.INT8,
        reduce=Reduce.ABSMAX, stat_factor=fp32_bits(1 / _LIMIT),
        stat_function=Function.RECIPROCAL, post=Post.STATISTIC, out=SimdOut.BOTH,
    )  # fmt: skip
    streams.fetch(commands, source, x)
    commands.add(
        Opcode.SIMD, program=0, count0=x.elements, **streams.nest(streams.groups, streams.last),
        **streams.operand(source, "a_"), **streams.operand(result, ""),
    )  # fmt: skip
    behind = streams.pitch(result) - pe.ls.word_bytes

    def stores(counts: dict[str, int]) -> list[Pass]:
        parts: list[Pass] = []
        for array, offset in ((q, 0), (scales, behind)):
            fields = streams.dma(result, array) | counts | {"tail_inner": 1, "offset": offset}
            # An extent counts from the offset, rounded up.
            fields["need"] -= math.ceil(offset / UNIT)
            parts.append((Opcode.DMA_OUT, fields, streams.chunk * streams.group * array.step))
        parts[0][1].update(adv_level=NEVER, adv=0, stride2=streams.block(result) * UNIT)
        return parts

    streams.chunk_by_chunk(commands, stores)
    commands.add(Opcode.END)
    return commands
