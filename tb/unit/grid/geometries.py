# SPDX-License-Identifier: Apache-2.0
"""The grid that benches of its parts share: not square, two slices a side, a channel each side."""

import dataclasses

from hw.arch.address_map import CONTROL, DRAM, PE_WINDOW_BYTES, SRAM, window_base
from hw.config import PRESETS, ChipConfig
from hw.grid.geometry import GridGeometry

__all__ = ["CORNERS", "NOWHERE", "bench_config", "bench_geometry", "is_memory"]

_TINY = PRESETS["tiny"]
SRAM_BYTES, DRAM_BYTES = 1 << 12, 1 << 13

CORNERS = (
    SRAM.base,
    SRAM.base + SRAM_BYTES - 16,
    DRAM.base,
    DRAM.base + DRAM_BYTES - 16,
)
"""First and last line of each memory."""
NOWHERE = (
    SRAM.base + SRAM_BYTES,
    DRAM.base + DRAM_BYTES,
    DRAM.base - 16,
    window_base(0, 0) + _TINY.pe.ls.size_bytes,
    window_base(1, 1) + PE_WINDOW_BYTES - 16,
    window_base(0, 3),
    window_base(2, 0),
    CONTROL.base,
    1 << 38,
    (1 << 40) - 16,
)
"""Lines that no memory holds, local ones neither; among them those just behind one."""


def bench_config(*, ecc: bool = True, cache_ways: int = 0) -> ChipConfig:
    """2 rows, 3 columns, 8 slices, 4 channels; lines of 16 bytes."""
    return dataclasses.replace(
        _TINY,
        name="bench",
        rows=2,
        cols=3,
        sram=dataclasses.replace(
            _TINY.sram, slices=8, size_bytes=SRAM_BYTES, ecc=ecc, cache_ways=cache_ways
        ),
        dram=dataclasses.replace(
            _TINY.dram, channels=4, total_bytes_per_cycle=32, size_bytes=DRAM_BYTES
        ),
    ).validate()


def bench_geometry(*, ecc: bool = True, cache_ways: int = 0) -> GridGeometry:
    """What its parts must agree on."""
    return GridGeometry(bench_config(ecc=ecc, cache_ways=cache_ways))


def is_memory(address: int) -> bool:
    """Whether some memory holds a line."""
    return any(
        region.base <= address < region.base + size
        for region, size in ((SRAM, SRAM_BYTES), (DRAM, DRAM_BYTES))
    )
