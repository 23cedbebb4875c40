# SPDX-License-Identifier: Apache-2.0
"""Short command lists for the benches of the functional simulator."""

from collections.abc import Callable

import numpy as np

from hw.arch.commands import Opcode
from hw.config import PRESETS
from sim.functional import FunctionalMachine
from sw.kernels.command_list import CommandList

__all__ = ["DATA", "List", "machine"]

DATA = 0x1000
"""Where `machine` puts 4 KiB of written bytes."""


def machine(**options: bool) -> FunctionalMachine:
    """A tiny machine with some data in memory."""
    made = FunctionalMachine(PRESETS["tiny"], **options)
    made.memory.write(DATA, np.arange(4096, dtype=np.uint32).astype(np.uint8))
    return made


class List(CommandList):
    """A command list with defaults that suit the tiny member: steps of one 64-byte unit."""

    def cb(self, number: int, base: int, depth: int, shared: int = 0) -> "List":
        """Set up a circular buffer."""
        self.add(Opcode.CB, cb=number, base=base, depth=depth, shared=shared)
        return self

    def load(self, cb: int, n_units: int = 1, **fields: int) -> "List":
        """DMA_IN of whole units, one a step."""
        return self._dma(Opcode.DMA_IN, cb, n_units, fields)

    def store(self, cb: int, n_units: int = 1, **fields: int) -> "List":
        """DMA_OUT of whole units, one a step."""
        return self._dma(Opcode.DMA_OUT, cb, n_units, fields)

    def _dma(self, opcode: Opcode, cb: int, n_units: int, fields: dict[str, int]) -> "List":
        steps = {"step_level": 1, "adv_level": 1, "need": 1, "adv": 1}
        place = {"mem_addr": DATA, "mem_stride1": 64, "count0": 64, "count1": n_units}
        self.add(opcode, **{"cb": cb, "stride0": 8, **place, **steps, **fields})
        return self

    def multiply(self, a: int, b: int, **fields: int) -> "List":
        """MML of one 8 x 8 tile with K = 8."""
        tile = {"count0": 8, "a_stride0": 1, "b_stride0": 1, "held_level": 1, "done": 1, "init": 1}
        steps = {
            f"{prefix}{name}": 1
            for prefix in ("a_", "b_")
            for name in ("step_level", "adv_level", "need", "adv")
        }
        self.add(Opcode.MML, **{"a_cb": a, "b_cb": b, **tile, **steps, **fields})
        return self

    def drain(self, cb: int, **fields: int) -> "List":
        """DRAIN of one bank of 8 rows: 256 bytes."""
        steps = {"step_level": 1, "adv_level": 1, "need": 4, "adv": 4}
        self.add(Opcode.DRAIN, **{"cb": cb, "count0": 8, "stride0": 4, **steps, **fields})
        return self

    def do(self, add: Callable[["List"], None]) -> "List":
        """Let a function add something."""
        add(self)
        return self

    def end(self) -> bytes:
        """The list with its END."""
        self.add(Opcode.END)
        return bytes(self)
