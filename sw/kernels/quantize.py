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
from sw.kernels.rows import UNIT, RowArray, RowStreams, Stream
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
        Opcode.SIMD, program=0, **streams.nest(x.elements), **streams.operand(source, "a_"),
        **streams.operand(result, ""),
    )  # fmt: skip
    behind = streams.pitch(result) - pe.ls.word_bytes

    def stores(rows: int) -> list[tuple[Opcode, dict[str, int]]]:
        elements = _part(streams, result, q, rows, 0)
        stays = {"adv_level": NEVER, "adv": 0}
        factors = _part(streams, result, scales, rows, behind)
        return [(Opcode.DMA_OUT, elements | stays), (Opcode.DMA_OUT, factors)]

    streams.chunk_by_chunk(commands, stores)
    commands.add(Opcode.END)
    return commands


def _part(
    streams: RowStreams, stream: Stream, array: RowArray, rows: int, offset: int
) -> dict[str, int]:
    """One chunk of one of the two arrays whose rows share a stream."""
    block = streams.block(stream)
    return {
        "mem_addr": array.address,
        "count0": array.row_bytes,
        "stride0": streams.word,
        "count1": rows,
        "mem_stride1": array.step,
        "stride1": streams.pitch(stream),
        "mem_stride2": streams.chunk * array.step,
        "cb": stream.cb,
        "offset": offset,
        "step_level": 2,
        "adv_level": 2,
        "need": block - math.ceil(offset / UNIT),  # counted from the offset, rounded up
        "adv": block,
    }
