# SPDX-License-Identifier: Apache-2.0
"""Commands that multiply, finish and store one region of C."""

from hw.arch.commands import NEVER, Destination, Opcode, SimdSource, Source
from sw.kernels.gemm.epilogue import PROGRAM
from sw.kernels.gemm.load import CB_A, CB_B, CB_VECTORS
from sw.kernels.gemm.sizes import UNIT, Sizes
from sw.kernels.gemm.spans import Span

__all__ = ["CB_OUT", "drain", "finish", "multiply", "multiply_held", "store"]

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
    """One MML over a row of blocks: A stays to its end, B until the last row has passed."""
    opcode, fields = multiply(sizes, rows, columns, part, columns.count)
    a_step, b_step = sizes.a_step_bytes(rows.size), sizes.b_step_bytes(columns.tiles)
    panel = len(part) * b_step
    fields |= {
        "a_stride3": a_step // sizes.word,
        "a_adv_level": 5,
        "a_adv": len(part) * a_step // UNIT,
        "b_stride3": b_step // sizes.word,
    }
    # In the last row each panel is given up as soon as it was used.
    b_last = {"b_adv_level": 4, "b_adv": panel // UNIT}
    return opcode, fields | (
        b_last if is_last else {"b_adv_level": NEVER, "b_stride4": panel // sizes.word}
    )


def drain(sizes: Sizes, rows: Span, columns: Span) -> tuple[Opcode, Fields]:
    """Banks to row-major result blocks in local memory, or row by row to the SIMD engine."""
    fields: Fields = {
        "count0": min(rows.size, sizes.tile),
        "count1": rows.tiles,
        "count2": columns.tiles,
        **_blocks(sizes, rows, columns),
        "bank_stride1": 1,
        "bank_stride2": rows.tiles % sizes.pe.re.banks,
        "m_level": 1,
        "m_tail": rows.last,
        "format": sizes.problem.accumulator,
    }
    if sizes.problem.from_north:
        fields["source"] = Source.NORTH
    if sizes.problem.to_south:
        return Opcode.DRAIN, fields | {"destination": Destination.SOUTH}
    if sizes.problem.uses_engine:
        return Opcode.DRAIN, fields | {"destination": Destination.SE}
    pitch = sizes.out_pitch_bytes(columns) // sizes.word
    return Opcode.DRAIN, fields | {
        "stride0": pitch,
        "stride1": sizes.tile * pitch,
        **_out(sizes, rows, columns),
    }


def _blocks(sizes: Sizes, rows: Span, columns: Span) -> Fields:
    """Blocks of a region in their order: columns of blocks, or rows where B is held."""
    inner, outer = (columns, rows) if sizes.held_blocks else (rows, columns)
    return {"count3": inner.count, "count4": outer.count}


def _out(sizes: Sizes, rows: Span, columns: Span) -> Fields:
    """The result block as an operand of DRAIN or SIMD, but for the strides of rows."""
    block = sizes.out_block_bytes(rows, columns) // UNIT
    return {
        "cb": CB_OUT,
        "stride2": sizes.tile * sizes.problem.out_bytes // sizes.word,
        "step_level": 3,
        "adv_level": 3,
        "need": block,
        "adv": block,
    }


def finish(sizes: Sizes, rows: Span, columns: Span) -> tuple[Opcode, Fields]:
    """The epilogue: a row of a tile at a time, in the order in which `drain` sends them."""
    fields: Fields = {
        "program": PROGRAM,
        "source": SimdSource.RE,
        "count0": sizes.tile,
        "count1": rows.size,
        "count2": columns.tiles,
        **_blocks(sizes, rows, columns),
        "stride1": sizes.out_pitch_bytes(columns) // sizes.word,
        **_out(sizes, rows, columns),
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
    """Result blocks to memory."""
    p = sizes.problem
    block = sizes.out_block_bytes(rows, columns) // UNIT
    steps = [(rows.count, rows.size * p.c_pitch), (columns.count, columns.size * p.out_bytes)]
    inner, outer = reversed(steps) if sizes.held_blocks else steps
    return Opcode.DMA_OUT, {
        "mem_addr": p.c_address + rows.start * p.c_pitch + columns.start * p.out_bytes,
        "count0": columns.size * p.out_bytes,
        "stride0": sizes.word,
        "count1": rows.size,
        "mem_stride1": p.c_pitch,
        "stride1": sizes.out_pitch_bytes(columns),
        "count2": inner[0],
        "mem_stride2": inner[1],
        "count3": outer[0],
        "mem_stride3": outer[1],
        "cb": CB_OUT,
        "step_level": 2,
        "adv_level": 2,
        "need": block,
        "adv": block,
    }
