# SPDX-License-Identifier: Apache-2.0
"""How products are planned for a grid, without a device."""

import numpy as np
import pytest

from hw.config import PRESETS
from sw.runtime.grid_gemm import GridGemm, prepare_grid_gemm

MTIA100 = PRESETS["mtia100"]


def planned(shape: tuple[int, int, int], where: str, k_parts: int | None = None) -> GridGemm:
    """A product of zeros on `mtia100`."""
    m, n, k = shape
    a, b = np.zeros((m, k), np.int8), np.zeros((k, n), np.int8)
    return prepare_grid_gemm(MTIA100, a, b, where=where, k_parts=k_parts)


@pytest.mark.parametrize("k_parts", [None, 4])
def test_auto_plans_for_the_memory_that_it_finds(k_parts: int | None) -> None:
    """Would break if the cut, or the cycles expected of it, were those of SRAM where only DRAM has
    room, or the lists of the new cut had the room of the old one."""
    shape = (64, 16384, 8192)
    auto, dram = (planned(shape, where, k_parts) for where in ("auto", "dram"))
    assert auto.spot == dram.spot and auto.spot.memory == "dram"
    assert auto.cut == dram.cut
    assert auto.lists == dram.lists
    assert auto.cut.cycles > 16384 * 8192 // MTIA100.dram.total_bytes_per_cycle


def test_auto_stays_in_sram_where_all_fits() -> None:
    """Would break if DRAM were planned for without need."""
    auto, sram = (planned((512, 512, 512), where) for where in ("auto", "sram"))
    assert (auto.spot, auto.cut) == (sram.spot, sram.cut)
    assert auto.spot.memory == "sram"
