# SPDX-License-Identifier: Apache-2.0
"""GATHER and SCATTER: where the rows of an index list lie, and what adding them gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hw.arch.commands import ScatterMode
from hw.arch.formats import Format
from sim.golden.address import CB_UNIT_BYTES, Buffer, Nest
from sim.golden.dma import Run, runs_at
from sim.golden.re import add_rows

__all__ = [
    "INDEX_BYTES",
    "IndexOutOfRange",
    "Indexed",
    "add_row",
    "index_place",
    "indexed_runs",
    "row_address",
]

INDEX_BYTES = 4


class IndexOutOfRange(ValueError):
    """An index is not below the table's number of rows; `index` is its value."""

    def __init__(self, index: int, limit: int) -> None:
        super().__init__(f"Index {index} is not below the table's {limit} rows.")
        self.index = index


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """A GATHER or SCATTER command; `nest` holds its rows' local-memory side."""

    nest: Nest
    mem_addr: int
    row_pitch: int
    index_limit: int
    index_cb: int = 0
    index_offset: int = 0
    index_need: int = 1
    index_adv: int = 1
    zero_fill: bool = False
    mode: ScatterMode = ScatterMode.STORE
    fmt: Format = Format.FP32


def index_place(job: Indexed, buffer: Buffer, number: int) -> int:
    """Byte address in local memory of an index of the list; `buffer` is the list's, as granted."""
    inside = buffer.pointer * CB_UNIT_BYTES + INDEX_BYTES * (job.index_offset + number)
    return buffer.base * CB_UNIT_BYTES + inside % (buffer.depth * CB_UNIT_BYTES)


def row_address(job: Indexed, index: int) -> int:
    """Byte address of a row of the table, modulo 2^40.

    Raises
    ------
    IndexOutOfRange
        If the index is not below `index_limit`.
    """
    if index >= job.index_limit:
        raise IndexOutOfRange(index, job.index_limit)
    return (job.mem_addr + index * job.row_pitch) % (1 << 40)


def indexed_runs(
    job: Indexed, indices: Sequence[int], buffer: Buffer, word_bytes: int
) -> Iterator[Run]:
    """Yield the rows of a command in the order of its list, moving `buffer.pointer`.

    Parameters
    ----------
    job
        The command.
    indices
        Values of its list, as many as it has rows.
    buffer
        The circular buffer that the rows lie in.
    word_bytes
        Bytes of a local-memory word.

    Raises
    ------
    IndexOutOfRange
        When the turn comes to an index that is not below `index_limit`.
    """
    return runs_at(
        job.nest,
        lambda number, _: row_address(job, indices[number]),
        buffer,
        word_bytes,
        zero_fill=job.zero_fill,
    )


def add_row(there: bytes, row: bytes, fmt: Format) -> bytes:
    """What a row of memory holds after `row` was added: FP32 (one rounding) or INT32 (wrapping).

    Rows are added one after another in the order of the list; so a row that occurs twice is added
    twice.
    """
    first, second = (np.frombuffer(part, np.uint32) for part in (there, row))
    return add_rows(first, second, fmt).tobytes()
