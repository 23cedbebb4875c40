# SPDX-License-Identifier: Apache-2.0
"""Timing of the DRAM model in the compiled simulator."""

import ctypes
import dataclasses
import math

from hw.config import ChipConfig

__all__ = ["DramTiming", "channel_rate", "lpddr5"]

_RATE_CYCLES = 1024


def channel_rate(config: ChipConfig) -> int:
    """Bytes that a channel of a member carries in 1024 cycles, so that all keep the total."""
    return config.dram.total_bytes_per_cycle * _RATE_CYCLES // config.dram.channels


@dataclasses.dataclass(frozen=True, kw_only=True)
class DramTiming:
    """What each channel does, in cycles of the chip; without banks, latency and rate are all."""

    latency: int = 60
    """From an address to the first beat, without what banks add."""
    bytes_per_1024_cycles: int = 0
    """Shared by reads and writes; 0: see `channel_rate`."""
    banks: int = 0
    """Banks, up to 64; 0: none."""
    row_bytes: int = 2048
    """Bytes of a bank's row; rows lie in the banks in turn."""
    activate: int = 0
    """To open a row."""
    precharge: int = 0
    """To close one before."""
    refresh_every: int = 0
    """Between refreshes of one bank and the next; 0: never."""
    refresh_takes: int = 0
    """For which a bank is refreshed."""
    turnaround: int = 0
    """Between a read and a write on the data bus."""
    jitter: int = 0
    """Most cycles by which an answer is later than the rest says, at random. With it answers come
    in any order, what is written is seen from its acknowledgement on, and every channel pauses."""

    def to_c(self) -> ctypes.Array[ctypes.c_uint32]:
        """As `SimDramTiming` of sim/compiled/harness.h."""
        values = dataclasses.astuple(self)
        return (ctypes.c_uint32 * len(values))(*values)


def lpddr5(clock_mhz: float) -> DramTiming:
    """A 16-bit LPDDR5 channel of 16 banks with rows of 2 KiB, refreshed bank by bank.

    tRCD 18 ns, tRPpb 18 ns, tRFCpb 140 ns, every bank once in tREFI = 3.9 us, 12 ns from read to
    write; 45 ns for controller, pads and the DRAM's own latency. The rate is the member's.
    """

    def cycles(nanoseconds: float) -> int:
        return math.ceil(nanoseconds * clock_mhz / 1000)

    banks = 16
    return DramTiming(
        latency=cycles(45),
        banks=banks,
        activate=cycles(18),
        precharge=cycles(18),
        refresh_every=cycles(3900 / banks),
        refresh_takes=cycles(140),
        turnaround=cycles(12),
    )
