# SPDX-License-Identifier: Apache-2.0
"""Commands that bring A, B, bias and factors into local memory, for one region of C."""

import math

from hw.arch.commands import Opcode
from sw.kernels.gemm.sizes import UNIT, Sizes
from sw.kernels.gemm.spans import Span

__all__ = ["CB_A", "CB_B", "CB_VECTORS", "fetch_a", "fetch_b", "fetch_vectors"]

CB_A, CB_B, CB_VECTORS = 0, 1, 3

Fields = dict[str, int]


def _shared(group: int | None) -> Fields:
    """With whom a fetch is shared."""
    return {} if group is None else {"multicast": 1, "group": group}


def fetch_a(sizes: Sizes, rows: Span, columns: Span, part: range) -> tuple[Opcode, Fields]:
    """A, one chunk of K steps at a time, for every block of the region."""
    p, step = sizes.problem, sizes.a_step_bytes(rows.size)
    chunks = math.ceil(len(part) / sizes.chunk)
    last_steps = len(part) - (chunks - 1) * sizes.chunk
    run = sizes.chunk * sizes.word
    end = min(part.stop * sizes.word, p.k * p.element_bytes)
    last_run = end - part.start * sizes.word - (chunks - 1) * run
    return Opcode.DMA_IN, {
        "mem_addr": p.a_address + rows.start * p.a_pitch + part.start * sizes.word,
        "count0": run,
        "stride0": step,
        "zero_fill": 1,
        "count1": rows.size,
        "mem_stride1": p.a_pitch,
        "stride1": sizes.word,
        "count2": chunks,
        "mem_stride2": run,
        "count3": rows.count,
        "mem_stride3": rows.size * p.a_pitch,
        "count4": 1 if sizes.held_blocks else columns.count,
        "cb": CB_A,
        "step_level": 2,
        "adv_level": 2,
        "need": sizes.chunk * step // UNIT,
        "adv": sizes.chunk * step // UNIT,
        "tail_level": 2,
        "tail_count": last_run,
        "tail_adv": last_steps * step // UNIT,
        **_shared(p.a_group),
    }


def fetch_b(sizes: Sizes, rows: Span, columns: Span, part: range) -> tuple[Opcode, Fields]:
    """B, one K step at a time: runs are rows of B within the block, pieces are column groups."""
    p, step = sizes.problem, sizes.b_step_bytes(columns.tiles)
    first_row = part.start * sizes.step_elements
    last_rows = min(p.k - (part.stop - 1) * sizes.step_elements, sizes.step_elements)
    return Opcode.DMA_IN, {
        "column": 1,
        "mem_addr": p.b_address + columns.start * p.element_bytes + first_row * p.b_pitch,
        "count0": columns.size * p.element_bytes,
        "stride0": sizes.step_elements * sizes.word,
        "zero_fill": 1,
        "count1": sizes.step_elements,
        "mem_stride1": p.b_pitch,
        "stride1": sizes.word,
        "count2": len(part),
        "mem_stride2": sizes.step_elements * p.b_pitch,
        "count3": 1 if sizes.resident or sizes.held_blocks else rows.count,
        "count4": columns.count,
        "mem_stride4": columns.size * p.element_bytes,
        "cb": CB_B,
        "step_level": 2,
        "adv_level": 2,
        "need": step // UNIT,
        "adv": step // UNIT,
        "tail_level": 2,
        "tail_inner": 1,
        "tail_count": last_rows,
        **_shared(p.b_group),
    }


def fetch_vectors(sizes: Sizes, columns: Span) -> tuple[Opcode, Fields]:
    """Bias, or bias and factors tile by tile in turn, of every block of columns."""
    p = sizes.problem
    tile_bytes = 4 * sizes.tile
    block = sizes.vector_block_bytes(columns.tiles) // UNIT
    return Opcode.DMA_IN, {
        "column": 1,
        "mem_addr": p.bias_address + 4 * columns.start,
        "count0": tile_bytes,
        "stride0": sizes.word,
        "count1": p.epilogue.n_vectors,
        "mem_stride1": p.scales_address - p.bias_address if p.epilogue.column_scales else 0,
        "stride1": tile_bytes,
        "count2": columns.tiles,
        "mem_stride2": tile_bytes,
        "stride2": p.epilogue.n_vectors * tile_bytes,
        "count3": columns.count,
        "mem_stride3": 4 * columns.size,
        "cb": CB_VECTORS,
        "step_level": 3,
        "adv_level": 3,
        "need": block,
        "adv": block,
    }
