# SPDX-License-Identifier: Apache-2.0
"""Shared SRAM, DRAM and the window to local memory as bytes, with a note for each whether anybody
wrote it."""

import mmap

import numpy as np
from numpy.typing import NDArray

from hw.arch import address_map
from hw.arch.traps import Trap
from hw.config import ChipConfig
from sim.functional.faults import FunctionalTrap, Rule, RuleBroken
from sim.functional.state import Region

__all__ = ["Memory", "memory_trap", "unwritten_memory"]

Bytes = NDArray[np.uint8]


def _zeros(size: int) -> Bytes:
    """Zeros that cost memory only where they are touched."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), np.uint8)


class _Block:
    """One memory: its bytes, and a note for each whether it was written."""

    def __init__(self, base: int, data: Bytes, known: Bytes) -> None:
        self.base, self.size = base, data.size
        self.data, self.known = data, known

    def holds(self, address: int, n_bytes: int) -> bool:
        """Whether all of these bytes lie in it."""
        return self.base <= address and address + n_bytes <= self.base + self.size


class Memory:
    """Everything that lies at the addresses of `hw.arch.address_map` in one chip.

    Parameters
    ----------
    config : ChipConfig
        Its member.
    local, local_known : arrays of uint8
        Local memory, which the element's window shows.
    """

    def __init__(self, config: ChipConfig, local: Bytes, local_known: Bytes) -> None:
        self._sram_bytes = config.sram.size_bytes
        self._sram = self._fresh(address_map.SRAM.base, self._sram_bytes)
        self._dram = self._fresh(address_map.DRAM.base, config.dram.size_bytes)
        self._window = _Block(address_map.PE_WINDOWS.base, local, local_known)

    @staticmethod
    def _fresh(base: int, size: int) -> _Block:
        return _Block(base, _zeros(size), _zeros(size))

    def _blocks(self) -> tuple[_Block, ...]:
        return self._sram, self._dram, self._window

    def _find(self, address: int, n_bytes: int) -> tuple[_Block, slice]:
        for block in self._blocks():
            if block.holds(address, n_bytes):
                start = address - block.base
                return block, slice(start, start + n_bytes)
        raise memory_trap(Trap.MEMORY_ERROR, address)

    def read(self, address: int, n_bytes: int) -> Bytes:
        """A copy of `n_bytes` bytes."""
        block, where = self._find(address, n_bytes)
        return block.data[where].copy()

    def write(self, address: int, data: Bytes) -> None:
        """Store bytes."""
        block, where = self._find(address, data.size)
        block.data[where] = data
        block.known[where] = 1

    def first_unwritten(self, address: int, n_bytes: int) -> int | None:
        """Address of the first of these bytes that nobody wrote."""
        block, where = self._find(address, n_bytes)
        known = block.known[where]
        return None if known.all() else address + int(known.argmin())

    def clear_sram(self) -> None:
        """Fill shared SRAM with zeros; cleared is not written."""
        self._sram = self._fresh(address_map.SRAM.base, self._sram_bytes)

    def regions(self) -> tuple[Region, ...]:
        """All for the native units; they change with `clear_sram`."""
        return tuple(
            Region(block.data.ctypes.data, block.known.ctypes.data, block.base, block.size)
            for block in self._blocks()
        )


def memory_trap(cause: Trap, address: int) -> FunctionalTrap:
    """An access to bytes that are nowhere, or that the job may not touch."""
    return FunctionalTrap(cause, address & 0xFFFF_FFFF)


def unwritten_memory(address: int) -> RuleBroken:
    """A read of a byte of memory that nobody wrote."""
    return RuleBroken(
        Rule.UNWRITTEN_MEMORY,
        f"reads memory 0x{address:010x}, which neither host nor job has written",
    )
