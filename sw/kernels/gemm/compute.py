# SPDX-License-Identifier: Apache-2.0
"""Commands that multiply, finish and store one region of C."""

import math

from hw.arch.commands import NEVER, Destination, Opcode, SimdSource, Source
from sw.kernels.gemm.epilogue import PROGRAM
from sw.kernels.gemm.load import CB_A, CB_B, CB_VECTORS
from sw.kernels.gemm.sizes import UNIT, Sizes
from sw.kernels.gemm.spans import Span

__all__ = [
    "CB_OUT",
    "by_bank",
    "can_go_by_bank",
    "drain",
    "finish",
    "in_strips",
    "multiply",
    "multiply_held",
    "store",
]

CB_OUT = 2

Fields = dict[str, int]


def multiply(
    sizes: Sizes, rows: Span, columns: Span, part: range, blocks: int
) -> tuple[Opcode, Fields]:
    """One MML over `blocks` blocks; with a resident B these share one panel of B."""
    is_last = part.stop == sizes.k_steps
    p = sizes.problem
    a_step, b_step = sizes.a_step_bytes(rows.size), sizes.b_step_bytes(columns.tiles)
    b_last = {"b_adv_level": 3, "b_adv": b_step // UNIT}
    if sizes.resident:
        b_last = {
            "b_adv_level": 5,
            "b_adv": sizes.k_steps * b_step // UNIT,
            "b_stride3": b_step // sizes.word,
        }
    return Opcode.MML, {
        "count0": min(rows.size, sizes.tile),
        "count1": rows.tiles,
        "count2": columns.tiles,
        "count3": len(part),
        "count4": blocks,
        "a_cb": CB_A,
        "a_stride0": 1,
        "a_stride1": sizes.tile,
        "a_step_level": 3,
        "a_adv_level": 3,
        "a_need": a_step // UNIT,
        "a_adv": a_step // UNIT,
        "b_cb": CB_B,
        "b_stride0": 1,
        "b_stride2": sizes.tile,
        "b_step_level": 3,
        "b_need": b_step // UNIT,
        **b_last,
        "bank_stride1": 1,
        "bank_stride2": rows.tiles % sizes.pe.re.banks,
        "held_level": 2,
        "k_level": 3,
        "m_level": 1,
        "n_level": 2,
        "k_tail": sizes.k_tail_bytes if is_last else 0,
        "m_tail": rows.last,
        "n_tail": columns.last,
        "a_format": p.a_format,
        "b_format": p.b_format,
        "init": part.start == 0,
        "done": is_last,
    }


def multiply_held(
    sizes: Sizes, rows: Span, columns: Span, part: range, *, is_last: bool
) -> tuple[Opcode, Fields]:
    """One MML over a row of blocks: A stays to its end, B until the last row has passed; of one
    row alone no B stays."""
    opcode, fields = multiply(sizes, rows, columns, part, columns.count)
    a_step, b_step = sizes.a_step_bytes(rows.size), sizes.b_step_bytes(columns.tiles)
    panel = len(part) * b_step
    fields |= {
        "a_stride3": a_step // sizes.word,
        "a_adv_level": 5,
        "a_adv": len(part) * a_step // UNIT,
    }
    if sizes.holds_a:
        return opcode, fields
    fields["b_stride3"] = b_step // sizes.word
    # In the last row each panel is given up as soon as it was used.
    b_last = {"b_adv_level": 4, "b_adv": panel // UNIT}
    return opcode, fields | (
        b_last if is_last else {"b_adv_level": NEVER, "b_stride4": panel // sizes.word}
    )


def by_bank(
    sizes: Sizes, rows: Span, columns: Span, part: range, command: tuple[Opcode, Fields]
) -> list[tuple[Opcode, Fields]]:
    """An MML as two, of which the second multiplies the last block bank by bank, in the order in
    which these are drained, so that all but one leave while others are still multiplied.

    The whole block's operands stay in local memory meanwhile. For blocks of `can_go_by_bank` only.
    """
    opcode, fields = command
    a_step, b_step = sizes.a_step_bytes(rows.size), sizes.b_step_bytes(columns.tiles)
    last: Fields = {
        "count1": len(part),
        "count2": columns.tiles,
        "count3": rows.tiles,
        "count4": 1,
        "a_stride1": a_step // sizes.word,
        "a_stride3": sizes.tile,
        "a_step_level": 1,
        "a_adv_level": 5,
        "a_need": math.ceil(min(rows.size, sizes.tile) * sizes.word / UNIT),
        "a_adv": len(part) * a_step // UNIT,
        "b_stride1": b_step // sizes.word,
        "b_stride2": sizes.tile,
        "b_stride3": 0,
        "b_stride4": 0,
        "b_step_level": 1,
        "b_adv_level": 5,
        "b_need": sizes.tile * sizes.word // UNIT,
        "b_adv": len(part) * b_step // UNIT,
        "bank_stride1": 0,
        "bank_stride2": rows.tiles % sizes.pe.re.banks,
        "bank_stride3": 1,
        "held_level": 1,
        "k_level": 1,
        "m_level": 3,
        "n_level": 2,
    }
    earlier = fields["count4"] - 1
    if not earlier:
        return [(opcode, fields | last)]
    # What an operand gives up at the end of the command, it now does at the end of the second.
    kept = {name: NEVER for name in ("a_adv_level", "b_adv_level") if fields[name] == 5}
    return [(opcode, fields | {"count4": earlier} | kept), (opcode, fields | last)]


def can_go_by_bank(sizes: Sizes, rows: Span, columns: Span) -> bool:
    """Whether `by_bank` is of use for a block, and possible: each step has a whole tile's extent,
    so there must be one."""
    whole = rows.tiles == 1 or not rows.last
    return in_strips(sizes) and whole and sizes.holds_block(rows, columns)


def in_strips(sizes: Sizes) -> bool:
    """Whether a block leaves in strips, a row of its tiles each, and not as a whole: sums do;
    rows that the SIMD engine has made narrow would leave half of each line empty."""
    return not sizes.problem.epilogue.uses_engine(sizes.problem.accumulator)


def _strip_units(sizes: Sizes, rows: Span, columns: Span) -> int:
    """64-byte units of a strip in local memory; the last one is as long as all."""
    n_rows = min(rows.size, sizes.tile)
    return math.ceil(n_rows * sizes.out_pitch_bytes(columns) / UNIT)


def drain(sizes: Sizes, rows: Span, columns: Span) -> tuple[Opcode, Fields]:
    """Banks to row-major result blocks in local memory, or row by row to the SIMD engine."""
    banks = {"m": 1, "n": rows.tiles % sizes.pe.re.banks}
    inner, outer = ("n", "m") if in_strips(sizes) else ("m", "n")
    tiles = {"m": rows.tiles, "n": columns.tiles}
    fields: Fields = {
        "count0": min(rows.size, sizes.tile),
        "count1": tiles[inner],
        "count2": tiles[outer],
        **_blocks(sizes, rows, columns),
        "bank_stride1": banks[inner],
        "bank_stride2": banks[outer],
        "m_level": 1 if inner == "m" else 2,
        "m_tail": rows.last,
        "format": sizes.problem.accumulator,
    }
    if sizes.problem.from_north:
        fields["source"] = Source.NORTH
    if sizes.problem.to_south:
        return Opcode.DRAIN, fields | {"destination": Destination.SOUTH}
    if sizes.problem.uses_engine:
        return Opcode.DRAIN, fields | {"destination": Destination.SE}
    strip = _strip_units(sizes, rows, columns)
    return Opcode.DRAIN, fields | _result(sizes, columns, row_level=0, units=strip)


def _result(sizes: Sizes, columns: Span, *, row_level: int, units: int) -> Fields:
    """The walk through the result's buffer: rows of a tile at one level, tiles beside each other at
    the next, and with each step above them `units` more are done."""
    return {
        "cb": CB_OUT,
        f"stride{row_level}": sizes.out_pitch_bytes(columns) // sizes.word,
        f"stride{row_level + 1}": sizes.tile * sizes.problem.out_bytes // sizes.word,
        "step_level": row_level + 2,
        "adv_level": row_level + 2,
        "need": units,
        "adv": units,
    }


def _blocks(sizes: Sizes, rows: Span, columns: Span) -> Fields:
    """Blocks of a region in their order: columns of blocks, or rows where B is held."""
    inner, outer = (columns, rows) if sizes.held_blocks else (rows, columns)
    return {"count3": inner.count, "count4": outer.count}


def finish(sizes: Sizes, rows: Span, columns: Span) -> tuple[Opcode, Fields]:
    """The epilogue: a row of a tile at a time, in the order in which `drain` sends them."""
    out = sizes.out_block_bytes(rows, columns) // UNIT
    fields: Fields = {
        "program": PROGRAM,
        "source": SimdSource.RE,
        "count0": sizes.tile,
        "count1": rows.size,
        "count2": columns.tiles,
        **_blocks(sizes, rows, columns),
        **_result(sizes, columns, row_level=1, units=out),
    }
    n_vectors = sizes.problem.epilogue.n_vectors
    if not n_vectors:
        return Opcode.SIMD, fields
    block = sizes.vector_block_bytes(columns.tiles) // UNIT
    return Opcode.SIMD, fields | {
        "b_cb": CB_VECTORS,
        "b_stride2": n_vectors * 4 * sizes.tile // sizes.word,
        "b_step_level": 4,
        "b_adv_level": 4,
        "b_need": block,
        "b_adv": block,
    }


def store(sizes: Sizes, rows: Span, columns: Span) -> tuple[Opcode, Fields]:
    """Result blocks to memory, or their strips."""
    p = sizes.problem
    steps = [(rows.count, rows.size * p.c_pitch), (columns.count, columns.size * p.out_bytes)]
    inner, outer = reversed(steps) if sizes.held_blocks else steps
    fields: Fields = {
        "mem_addr": p.c_address + rows.start * p.c_pitch + columns.start * p.out_bytes,
        "count0": columns.size * p.out_bytes,
        "stride0": sizes.word,
        "count1": rows.size,
        "mem_stride1": p.c_pitch,
        "stride1": sizes.out_pitch_bytes(columns),
        "count3": inner[0],
        "mem_stride3": inner[1],
        "count4": outer[0],
        "mem_stride4": outer[1],
        "cb": CB_OUT,
        "step_level": 2,
        "adv_level": 2,
    }
    if not in_strips(sizes):
        block = sizes.out_block_bytes(rows, columns) // UNIT
        return Opcode.DMA_OUT, fields | {"need": block, "adv": block}
    strip = _strip_units(sizes, rows, columns)
    fields |= {
        "count1": min(rows.size, sizes.tile),
        "count2": rows.tiles,
        "mem_stride2": sizes.tile * p.c_pitch,
        "need": strip,
        "adv": strip,
    }
    if rows.last and rows.tiles > 1:
        fields |= {"tail_level": 2, "tail_inner": 1, "tail_count": rows.last}
    return Opcode.DMA_OUT, fields
