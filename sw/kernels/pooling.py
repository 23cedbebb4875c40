# SPDX-License-Identifier: Apache-2.0
"""Embedding pooling: rows of a table, gathered by index, added up bag by bag, weighted or not.

    out[bag] = sum over i of weights[bag, i] * table[indices[bag, i]]

Several bags make a group and are summed in turn, row i of every bag before row i + 1 of any, so
that a sum is back from the adder when its next row comes.
"""

import math

from hw.arch.commands import BMode, Factor, Opcode
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.rows import UNIT, Pass, RowArray, RowStreams, Stream
from sw.kernels.simd_limits import check_engine

__all__ = ["plan_pooling"]

_ROWS, _WEIGHTS, _OUT, _INDICES = 0, 1, 2, 3
_BEATS = 8
"""Beats between two rows of a bag, if the engine holds that many sums: more than its adder's
latency."""
_CHUNK = 16
"""Groups at most that share an index list, hence a GATHER, which begins when its list has landed;
two lists take at most an eighth of local memory."""


def plan_pooling(
    pe: PeConfig, table: RowArray, indices: RowArray, out: RowArray, weights: RowArray | None = None
) -> CommandList:
    """Rows of `indices` (INT32) and of `weights` (FP32) are bags.

    Raises
    ------
    ValueError
        If the sums of one bag, or its rows, do not fit.
    """
    check_engine(pe)
    bag, beats = indices.elements, math.ceil(table.elements / pe.se.fp_lanes)
    if beats > pe.se.sum_beats:
        raise ValueError(
            f"A row has {table.elements} elements; this member sums at most"
            f" {pe.se.sum_beats * pe.se.fp_lanes}."
        )
    word = pe.ls.word_bytes
    pitch = math.ceil(table.row_bytes / word) * word
    rows = Stream(cb=_ROWS, row_bytes=bag * pitch)
    most = min(max(1, _BEATS // beats), pe.se.sum_beats // beats)
    chunk = max(1, min(_CHUNK, pe.ls.size_bytes // 16 // (most * 4 * bag)))
    lists = Stream(cb=_INDICES, row_bytes=4 * bag, packed=True, depth=2 * chunk)
    factors = Stream(cb=_WEIGHTS, row_bytes=4 * bag, packed=True)
    result = Stream(cb=_OUT, row_bytes=out.row_bytes)
    used = [rows, lists, result, *([factors] if weights else [])]
    streams = RowStreams(pe, indices.rows, used, group_rows=most, chunk_groups=chunk)
    commands = CommandList()
    streams.set_up(commands)
    commands.add(
        Opcode.SE_PROGRAM, program=0, a_format=table.fmt, out_format=out.fmt,
        **({"b_mode": BMode.ROW, "factor": Factor.B} if weights else {}),
    )  # fmt: skip
    # A last group of its own command: with few sums a beat takes as long as the adder, in the whole
    # command.
    whole = streams.groups if streams.last == streams.group else streams.groups - 1
    for bags, groups in ((streams.group, whole), (streams.last, streams.groups - whole)):
        if groups:
            fields = _sum(streams, table, bag, pitch, rows, result, weights and factors)
            commands.add(Opcode.SIMD, **fields, count1=bags, count3=groups)
    streams.store(commands, result, out)

    def fetches(counts: dict[str, int]) -> list[Pass]:
        groups = counts.get("count2", 1)
        last = counts["tail_count"] if groups > 1 else counts["count1"]
        loads = [_load_lists(streams, lists, indices, (groups - 1) * streams.group + last)]
        if weights:
            loads.append(_load_weights(streams, factors, weights, groups, last))
        return [*loads, *_gathers(streams, table, (rows, bag, pitch), groups, last)]

    streams.chunk_by_chunk(commands, fetches)
    commands.add(Opcode.END)
    return commands


def _sum(
    streams: RowStreams, table: RowArray, bag: int, pitch: int, rows: Stream, result: Stream,
    factors: Stream | None,
) -> dict[str, int]:  # fmt: skip
    """SIMD but for counts: level 1 bags of a group, level 2 rows of a bag, level 3 groups."""
    operands = {**streams.operand(rows, "a_"), **streams.operand(result, "")}
    operands |= {"a_stride2": pitch // streams.word}
    if factors:
        operands |= {**streams.operand(factors, "b_"), "b_stride2": 1}
    for prefix in ("a_", "", *(["b_"] if factors else [])):
        operands |= {f"{prefix}step_level": 3, f"{prefix}adv_level": 3}
    return {
        "program": 0,
        "accumulate": 1,
        "count0": table.elements,
        "count2": bag,
        **operands,
    }


def _load_lists(streams: RowStreams, lists: Stream, indices: RowArray, bags: int) -> Pass:
    """Index lists of one chunk, without gaps, through the column port."""
    units = math.ceil(bags * indices.row_bytes / UNIT)
    fields = {
        "column": 1,
        "mem_addr": indices.address,
        "count0": bags * indices.row_bytes,
        "stride0": streams.word,
        "cb": lists.cb,
        "step_level": 1,
        "adv_level": 1,
        "need": units,
        "adv": units,
    }
    return Opcode.DMA_IN, fields, streams.chunk * streams.group * indices.row_bytes


def _load_weights(
    streams: RowStreams, factors: Stream, weights: RowArray, groups: int, last: int
) -> Pass:
    """Weights of one chunk, group by group, since the engine releases them so."""
    group_bytes = streams.group * weights.row_bytes
    fields = streams.dma(factors, weights) | {
        "column": 1,
        "count0": group_bytes if groups > 1 else last * weights.row_bytes,
        "count2": groups,
        "tail_level": 2,
        "tail_count": last * weights.row_bytes,
    }
    return Opcode.DMA_IN, fields, streams.chunk * group_bytes


def _gathers(
    streams: RowStreams, table: RowArray, rows: tuple[Stream, int, int], groups: int, last: int
) -> list[Pass]:
    """GATHER of one chunk; a last group of fewer bags takes one of its own."""
    stream, bag, pitch = rows
    whole = groups if last == streams.group else groups - 1
    bags = (groups - 1) * streams.group + last
    block = streams.block(stream)
    parts: list[Pass] = []
    for count, size, first in ((whole, streams.group, 0), (groups - whole, last, whole)):
        if not count:
            continue
        offset = first * streams.group * bag
        ends = first + count == groups
        units = math.ceil(4 * bags * bag / UNIT)
        fields = {
            "mem_addr": table.address,
            "row_pitch": table.step,
            "index_limit": table.rows,
            "index_cb": _INDICES,
            "index_offset": offset,
            # An extent counts from the offset, rounded up.
            "index_need": units - math.ceil(4 * offset / UNIT),
            "index_adv": units if ends else 0,
            "count0": table.row_bytes,
            "stride0": streams.word,
            "count1": bag,
            "stride1": pitch,
            "count2": size,
            "stride2": bag * pitch,
            "count3": count,
            "cb": stream.cb,
            "step_level": 3,
            "adv_level": 3,
            "need": block,
            "adv": block,
        }
        parts.append((Opcode.GATHER, fields, 0))
    return parts
