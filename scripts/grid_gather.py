# SPDX-License-Identifier: Apache-2.0
"""A gather on all elements of a grid: random rows of one table in SRAM, as of embeddings."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hw.arch.address_map import DRAM, SRAM
from hw.arch.commands import Opcode
from hw.config import ChipConfig
from sim.compiled.simulator import CompiledSimulator
from sw.kernels.command_list import CommandList
from sw.runtime.grid import Grid, Place
from sw.runtime.placement import whole_lines

__all__ = ["Gather", "run_gather"]

_TABLE_BYTES = 1 << 18
_UNIT = 64
_PER_UNIT = _UNIT // 4
"""Indices of a unit."""
_SHARE = 7
"""Of eight parts of local memory so many are for rows."""


class Gather:
    """What every element of a member gathers, where it lies, and the commands.

    Each element has its own random list of rows of the one table, as many as seven eighths of local
    memory hold.

    Parameters
    ----------
    config : the member.
    row_bytes : a multiple of 64.
    """

    def __init__(self, config: ChipConfig, row_bytes: int) -> None:
        self.config, self.row_bytes = config, row_bytes
        self.places = [(row, col) for row in range(config.rows) for col in range(config.cols)]
        self.n_rows = config.pe.ls.size_bytes * _SHARE // 8 // row_bytes
        rng = np.random.default_rng(1)
        table_bytes = min(_TABLE_BYTES, config.sram.size_bytes // 4)
        self.table = rng.integers(0, 256, (table_bytes // row_bytes, row_bytes), dtype=np.uint8)
        self.indices = {
            place: rng.integers(0, len(self.table), self.n_rows, dtype=np.uint32)
            for place in self.places
        }
        self.index_units = -(-4 * self.n_rows // _UNIT)
        self.row_units = self.n_rows * row_bytes // _UNIT
        self._lists_at = SRAM.base + self.table.nbytes
        self.commands_at = self._lists_at + len(self.places) * self.index_units * _UNIT

    @property
    def n_bytes(self) -> int:
        """Bytes of rows that all elements gather."""
        return len(self.places) * self.n_rows * self.row_bytes

    def operands(self) -> dict[int, bytes]:
        """Table and index lists by address."""
        lists = {self._list_at(place): whole_lines(self.indices[place].tobytes())
                 for place in self.places}  # fmt: skip
        return {SRAM.base: self.table.tobytes()} | lists

    def _list_at(self, place: Place) -> int:
        return self._lists_at + self.places.index(place) * self.index_units * _UNIT

    def rows(self, place: Place) -> NDArray[np.uint8]:
        """What an element must have gathered."""
        return self.table[self.indices[place]]

    def stored_at(self, place: Place) -> tuple[int, int]:
        """Where `store` puts an element's rows: the address, and the bytes."""
        size = (self.row_units + 1) * _UNIT
        return DRAM.base + self.places.index(place) * size + _UNIT, self.row_units * _UNIT

    def gather(self, place: Place) -> bytes:
        """Fetch the indices, and gather, both in two halves: rows of the first one come while the
        other half of the list is fetched.

        Not in more pieces: between two gathers an element asks for nothing until its last row has
        landed.
        """
        word, made = self.config.pe.ls.word_bytes, CommandList()
        made.add(Opcode.CB, cb=0, base=0, depth=self.index_units)
        made.add(Opcode.CB, cb=1, base=self.index_units, depth=self.row_units)
        half = self.index_units // 2
        for begin, end in ((0, half), (half, self.index_units)):
            units = end - begin
            n_rows = min(units * _PER_UNIT, self.n_rows - begin * _PER_UNIT)
            landing = n_rows * self.row_bytes // _UNIT
            made.add(
                Opcode.DMA_IN, column=1, cb=0, mem_addr=self._list_at(place) + begin * _UNIT,
                count0=units * _UNIT, stride0=word, step_level=1, adv_level=1, need=units,
                adv=units,
            )  # fmt: skip
            made.add(
                Opcode.GATHER, mem_addr=SRAM.base, row_pitch=self.row_bytes,
                index_limit=len(self.table), index_cb=0, index_need=units, index_adv=units, cb=1,
                count0=self.row_bytes, count1=n_rows, stride0=word, stride1=self.row_bytes,
                step_level=5, adv_level=5, need=landing, adv=landing,
            )  # fmt: skip
        made.add(Opcode.END)
        return bytes(made)

    def store(self, place: Place) -> bytes:
        """Store what the job before has left in local memory.

        The rows, and a unit in front of them, are a buffer of which a read of that one unit claims
        all; so nothing is written over them.
        """
        units = self.row_units + 1
        runs = {"cb": 0, "count0": _UNIT, "stride0": self.config.pe.ls.word_bytes,
                "step_level": 5, "adv_level": 5, "need": units, "adv": units}  # fmt: skip
        made = CommandList()
        made.add(Opcode.CB, cb=0, base=self.index_units - 1, depth=units)
        made.add(Opcode.DMA_IN, mem_addr=SRAM.base, **runs)
        made.add(
            Opcode.DMA_OUT, mem_addr=self.stored_at(place)[0] - _UNIT, count1=units,
            stride1=_UNIT, mem_stride1=_UNIT, **runs,
        )  # fmt: skip
        made.add(Opcode.END)
        return bytes(made)


def run_gather(grid: Grid, *, row_bytes: int) -> tuple[dict[str, Any], bool]:
    """Gather on every element twice, and look at the rows of all.

    Parameters
    ----------
    grid : Grid
        In the compiled simulator: rows go to DRAM, which is read by the back door, since the host
        would take longer to read them than all elements to gather them.
    row_bytes : a multiple of 64.

    Returns
    -------
    Figures of the second job, and `first_cycles`, those of the first one, which finds the chip as
    the job before has left it; whether all rows of the second job are right.
    """
    config, work = grid.config, Gather(grid.config, row_bytes)
    for address, data in work.operands().items():
        grid.port.write(address, data)
    lists = {place: work.gather(place) for place in work.places}
    first, result = (grid.run_job(work.commands_at, lists) for _ in range(2))
    cycles = result.cycles or 1
    bandwidth = config.sram.slices * config.sram.bytes_per_cycle
    figures = {
        "cycles": result.cycles, "harness_cycles": result.harness_cycles,
        "first_cycles": first.cycles, "bytes_per_cycle": work.n_bytes / cycles,
        "roof_cycles": -(-work.n_bytes // bandwidth),
    }  # fmt: skip
    grid.run_job(work.commands_at, {place: work.store(place) for place in work.places})
    port = cast(CompiledSimulator, grid.port)
    return figures, all(
        port.read_dram(address - DRAM.base, size) == work.rows(place).tobytes()
        for place in work.places
        for address, size in (work.stored_at(place),)
    )
