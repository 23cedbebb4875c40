# SPDX-License-Identifier: Apache-2.0
"""A gather on all elements of a grid: random rows of one table in SRAM, as of embeddings."""

from typing import Any

import numpy as np

from hw.arch.address_map import SRAM
from hw.arch.commands import Opcode
from hw.config import ChipConfig
from sw.kernels.command_list import CommandList
from sw.runtime.grid import Grid, Place

__all__ = ["run_gather"]

_TABLE_BYTES = 1 << 18
_UNIT = 64
_SHARE = 7
"""Of eight parts of local memory so many are for rows."""


def run_gather(grid: Grid, *, row_bytes: int) -> tuple[dict[str, Any], bool]:
    """Gather as many rows as seven eighths of local memory hold, on every element.

    Parameters
    ----------
    row_bytes : a multiple of 64.

    Returns
    -------
    Figures of the job that gathers alone, and whether rows of a second one, which stores them, are
    right: those of the last element.
    """
    config = grid.config
    n_rows = config.pe.ls.size_bytes * _SHARE // 8 // row_bytes
    places = [(row, col) for row in range(config.rows) for col in range(config.cols)]
    rng = np.random.default_rng(1)
    table_bytes = min(_TABLE_BYTES, config.sram.size_bytes // 4)
    table = rng.integers(0, 256, (table_bytes // row_bytes, row_bytes), dtype=np.uint8)
    indices = {place: rng.integers(0, len(table), n_rows, dtype=np.uint32) for place in places}
    list_bytes = -(-4 * n_rows // _UNIT) * _UNIT
    lists_at = SRAM.base + table.nbytes
    out_at = lists_at + len(places) * list_bytes
    commands_at = out_at + n_rows * row_bytes
    grid.port.write(SRAM.base, table.tobytes())
    where = {place: lists_at + number * list_bytes for number, place in enumerate(places)}
    for place in places:
        grid.port.write(where[place], indices[place].tobytes().ljust(list_bytes, b"\0"))

    def lists(out: int | None) -> dict[Place, bytes]:
        chosen = places if out is None else places[-1:]
        return {
            place: bytes(_commands(config, table.shape, where[place], n_rows, out))
            for place in chosen
        }

    result = grid.run_job(commands_at, lists(None))
    cycles = result.cycles or 1
    n_bytes = len(places) * n_rows * row_bytes
    bandwidth = config.sram.slices * config.sram.bytes_per_cycle
    figures = {
        "cycles": result.cycles, "harness_cycles": result.harness_cycles,
        "bytes_per_cycle": n_bytes / cycles, "roof_cycles": -(-n_bytes // bandwidth),
    }  # fmt: skip
    grid.run_job(commands_at, lists(out_at))
    found = np.frombuffer(grid.port.read(out_at, n_rows * row_bytes), np.uint8)
    return figures, np.array_equal(found.reshape(n_rows, row_bytes), table[indices[places[-1]]])


def _commands(
    config: ChipConfig, table: tuple[int, ...], indices: int, n_rows: int, out: int | None
) -> CommandList:
    """Fetch the indices, gather, and store what came, if `out` says where."""
    word, (table_rows, row_bytes) = config.pe.ls.word_bytes, table
    units = -(-4 * n_rows // _UNIT)
    landing = n_rows * row_bytes // _UNIT
    rows = {
        "count0": row_bytes, "count1": n_rows, "stride0": word, "stride1": row_bytes,
        "cb": 1, "step_level": 5, "adv_level": 5, "need": landing, "adv": landing,
    }  # fmt: skip
    made = CommandList()
    made.add(Opcode.CB, cb=0, base=0, depth=units)
    made.add(Opcode.CB, cb=1, base=units, depth=landing)
    made.add(
        Opcode.DMA_IN, column=1, cb=0, mem_addr=indices, count0=units * _UNIT, stride0=word,
        step_level=1, adv_level=1, need=units, adv=units,
    )  # fmt: skip
    made.add(
        Opcode.GATHER, mem_addr=SRAM.base, row_pitch=row_bytes, index_limit=table_rows,
        index_cb=0, index_need=units, index_adv=units, **rows,
    )  # fmt: skip
    if out is not None:
        made.add(Opcode.DMA_OUT, mem_addr=out, mem_stride1=row_bytes, **rows)
    made.add(Opcode.END)
    return made
