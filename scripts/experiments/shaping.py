# SPDX-License-Identifier: Apache-2.0
"""What rate limits of the fabric interface do for others: the page `docs/experiments/shaping.md`.

An element streams from DRAM without end while the host, beside it, reads or writes single lines of
the same DRAM. Measured: cycles of each host access, and what the element still gets. The host's
accesses and their pauses are the same in every row.
"""

import argparse
import statistics
from collections.abc import Iterator

import numpy as np

from hw.arch.address_map import DRAM, SRAM
from hw.arch.commands import NEVER, Opcode
from hw.config import get_config
from sw.kernels.command_list import CommandList
from sw.runtime.chip import Chip
from sw.runtime.simulated import simulated_chip

__all__ = ["main"]

_LIST = SRAM.base + 0x100
_RUN_BYTES, _BUFFER_BYTES = 512, 4096
_N_ACCESSES, _PAUSE = 400, 60
_SHARES = (1.0, 0.95, 0.9, 0.75, 0.5)
"""Limits, as shares of what the element gets without one."""


def _stream(chip: Chip, *, writes: bool) -> bytes:
    """A job that reads from DRAM, or writes to it, for longer than any measurement."""
    word, rows = chip.config.pe.ls.word_bytes, _BUFFER_BYTES // _RUN_BYTES
    commands = CommandList()
    commands.add(Opcode.CB, cb=1, base=0, depth=_BUFFER_BYTES // 64)
    # The pointer never moves, so nobody else is needed; a step without extent waits for nothing.
    commands.add(
        Opcode.DMA_OUT if writes else Opcode.DMA_IN,
        cb=1,
        mem_addr=DRAM.base,
        count0=_RUN_BYTES,
        count1=rows,
        count2=0xFFFF,
        mem_stride1=_RUN_BYTES,
        stride0=word,
        stride1=_RUN_BYTES,
        step_level=2,
        adv_level=NEVER,
        need=0 if writes else _BUFFER_BYTES // 64,
    )
    commands.add(Opcode.END)
    return bytes(commands)


def _latencies(chip: Chip, *, writes: bool) -> list[int]:
    """Cycles of each of the host's accesses to single lines."""
    rng = np.random.default_rng(1)
    line = chip.config.pe.link_bytes
    found = []
    for _ in range(_N_ACCESSES):
        chip.port.run(int(rng.integers(1, _PAUSE)))
        address = DRAM.base + 0x10_0000 + line * int(rng.integers(0, 4096))
        before = chip.port.cycles
        if writes:
            chip.port.write(address, bytes(line))
        else:
            chip.port.read(address, line)
        found.append(chip.port.cycles - before)
    return found


def _measure(chip: Chip, *, writes: bool, limit: int | None) -> tuple[list[int], float]:
    """Latencies, and bytes per cycle that the element moved meanwhile."""
    commands = _stream(chip, writes=writes)
    if writes:
        chip.write_local(0, bytes(_BUFFER_BYTES))
    rate = (limit or 0, 2 * chip.config.pe.link_bytes)
    chip.set_rates(read=rate, write=rate)
    chip.port.write(_LIST, commands)
    chip.start(_LIST, len(commands) // 16)
    chip.port.run(2000)
    name = "fi.write_bytes" if writes else "fi.read_bytes"
    before, began = chip.counters()[name], chip.port.cycles
    latencies = _latencies(chip, writes=writes)
    moved = (chip.counters()[name] - before) / (chip.port.cycles - began)
    chip.abort()
    chip.port.run(20_000)
    return latencies, moved


def _rows(chip: Chip, *, writes: bool) -> Iterator[tuple[str, list[int], float]]:
    """Label, latencies, bytes per cycle."""
    yield "idle", _latencies(chip, writes=writes), 0.0
    latencies, free = _measure(chip, writes=writes, limit=None)
    yield "no limit", latencies, free
    for share in _SHARES:
        limit = int(share * 256 * free)
        label = f"limit {limit / 256:.2f} ({share:.0%})"
        yield (label, *_measure(chip, writes=writes, limit=limit))


def _show(chip: Chip) -> None:
    """Print a table for reads and one for writes."""
    for writes in (False, True):
        what = "writes" if writes else "reads"
        print(f"\n{chip.config.name}: the element {what}, the host {what}\n")
        print("| element | its bytes/cycle | host mean | 95 % below | largest |")
        print("|---|---|---|---|---|")
        for label, latencies, moved in _rows(chip, writes=writes):
            ordered = sorted(latencies)
            tail = ordered[len(ordered) * 95 // 100]
            mean = statistics.mean(ordered)
            print(f"| {label} | {moved:.2f} | {mean:.1f} | {tail} | {ordered[-1]} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny", help="member of the family")
    options = parser.parse_args()
    config = get_config(options.config)
    chip, _ = simulated_chip(config, progress=lambda text: print(text, flush=True))
    _show(chip)
    chip.port.close()


if __name__ == "__main__":
    main()
