# SPDX-License-Identifier: Apache-2.0
"""Small programs for several elements and the host that show in which order memory changes.

A variable is one line. Programs are command lists; what an element reads it writes to a log, so the
host finds it afterwards. Where accesses are not ordered by the rules of docs/grid.md nothing is
promised, and delays are made that show it: elements that load the memory of one variable, and a
DRAM of random timing, with answers in any order or not.
"""

import dataclasses
import random
from collections.abc import Sequence

from hw.arch import address_map
from hw.arch.commands import Opcode
from sim.compiled.dram import DramTiming
from sw.runtime.grid import Grid, Place
from tb.system.grid_bench import LISTS, commands, copies

__all__ = ["Litmus", "Program", "delay", "fence", "fetch", "read", "write"]

Program = list[tuple[Opcode, dict[str, int]]]

LINE = 16
_VALUES, _VARIABLES, _LOG = 0x1000, 0x2000, 0x8000
_LOG_BYTES, _LOAD_BYTES = 0x1000, 0x800


def _run(cb: int, address: int) -> dict[str, int]:
    return {"cb": cb, "count0": LINE, "stride0": 8, "mem_addr": address, "step_level": 1,
            "need": 1, "adv": 1, "adv_level": 1}  # fmt: skip


def fence() -> Program:
    """All that was asked before has ended, writes acknowledged."""
    return [(Opcode.FENCE, {})]


def fetch(*values: int) -> Program:
    """Bring values to be written, in this order."""
    return [*((Opcode.DMA_IN, _run(1, _VALUES + LINE * value)) for value in values), *fence()]


def write(variable: int) -> Program:
    """Write the next value that was fetched."""
    return [(Opcode.DMA_OUT, _run(1, variable))]


def read(variable: int) -> Program:
    """Read a variable into local memory; `Litmus.list_of` logs what was read."""
    return [(Opcode.DMA_IN, _run(2, variable))]


def delay(rng: random.Random) -> Program:
    """Some copies that have nothing to do with anything."""
    return [*copies(_VALUES, _LOG - 0x200, rng.randint(1, 8), rng.randint(1, 6)), *fence()]


@dataclasses.dataclass
class Litmus:
    """A run: variables in one memory or the other, loads on some, programs on elements.

    Parameters
    ----------
    grid : Grid
        The chip.
    rng : random.Random
        Chooses places and delays.
    """

    grid: Grid
    rng: random.Random

    def __post_init__(self) -> None:
        rng, config = self.rng, self.grid.config
        rates = (0, 300, 600)
        timing = DramTiming(latency=rng.randint(1, 200), bytes_per_1024_cycles=rng.choice(rates))
        # Drawn from what is drawn already, so that programs do not depend on it.
        jitter = random.Random(timing.latency).choice((0, 20, 200))
        self.grid.port.set_dram_timing(dataclasses.replace(timing, jitter=jitter))
        for value in range(64):
            self.grid.port.write(_VALUES + LINE * value, bytes([value]) * LINE)
        sram, dram = (region.base + _VARIABLES for region in (address_map.SRAM, address_map.DRAM))
        # Mostly x is slow and y is quick, so that what waits for nothing overtakes.
        places = rng.choice(((dram, sram), (dram, sram), (sram, dram), (sram, sram), (dram, dram)))
        self.x, self.y = (base + LINE * rng.randrange(at, 64, 2) for at, base in enumerate(places))
        for variable in (self.x, self.y):
            self.grid.port.write(variable, bytes(LINE))
        places = [(row, column) for row in range(config.rows) for column in range(config.cols)]
        self.places: list[Place] = rng.sample(places, len(places))

    def list_of(self, number: int, program: Program) -> bytes:
        """A program as the list of element `number`, with its buffers and its log."""
        log = _LOG + _LOG_BYTES * number
        n_reads = sum(fields.get("cb") == 2 for _, fields in program)
        out = {**_run(2, log), "count1": max(n_reads, 1), "mem_stride1": LINE}
        buffers: Program = [
            (Opcode.CB, {"cb": 1, "base": 8, "depth": 32}),
            (Opcode.CB, {"cb": 2, "base": 64, "depth": 64}),
        ]
        logging: Program = [*fence(), (Opcode.DMA_OUT, out)] if n_reads else []
        return commands(*buffers, *program, *logging)

    def load(self) -> Program:
        """Writes that keep the memory of x busy."""
        lines = {**_run(1, self.x // _LOAD_BYTES * _LOAD_BYTES + _LOAD_BYTES), "adv": 0}
        lines |= {"count1": self.rng.randint(30, 120), "mem_stride1": LINE}
        return [*fetch(1), (Opcode.DMA_OUT, lines)]

    def start(self, programs: Sequence[Program]) -> None:
        """Programs on random elements, loads on the rest."""
        all_programs = [*programs, *(self.load() for _ in self.places[len(programs) :])]
        lists = {
            place: self.list_of(number, program)
            for number, (place, program) in enumerate(zip(self.places, all_programs, strict=True))
        }
        self.grid.start(LISTS, lists)

    def finish(self, n_reads: Sequence[int]) -> list[list[int]]:
        """Wait; the values that each program read, in its order."""
        self.grid.wait(0, self.places)
        return [
            list(self.grid.port.read(_LOG + _LOG_BYTES * number, LINE * n)[::LINE]) if n else []
            for number, n in enumerate(n_reads)
        ]
