# SPDX-License-Identifier: Apache-2.0
"""A waveform of one element of a grid, over a few cycles of a job."""

from pathlib import Path

import pytest
import pywellen

from sim.toolchain import has_fst_headers
from sw.cli.recording import chosen_waves
from sw.runtime.simulated import simulated_grid
from tb.system.grid_bench import copy_list, small_grid


@pytest.mark.slow
@pytest.mark.skipif(not has_fst_headers(), reason="Verilator's FST writer needs two headers")
def test_a_waveform_is_of_the_chosen_element_and_cycles(tmp_path: Path) -> None:
    """Would break if another tile, the rest of the chip, or other cycles came into the file."""
    path, first, last = tmp_path / "w.fst", 300, 340
    waves = chosen_waves(path, first, last, (0, 1))
    grid, _ = simulated_grid(small_grid(1, 2, slices=2, channels=2), waves=waves, quick=True)
    grid.run_job(0x10000, dict.fromkeys([(0, 0), (0, 1)], copy_list(0, 0x5000, 8, n_times=30)))
    assert grid.port.cycles > last
    grid.port.close()
    found = pywellen.Waveform(str(path))
    variables = list(found.all_vars())
    names = [variable.full_name for variable in variables]
    assert all(name.startswith("tile0_1.tile.") for name in names)
    assert any(".pe.dpe." in name for name in names)
    times: list[int] = []
    clock = [variable for variable in variables if variable.full_name == "tile0_1.tile.clk"]
    found.stream_time_steps(lambda time, *_: times.append(time), clock)
    assert times == list(range(2 * first, 2 * last + 2)), "two steps a cycle"
