# SPDX-License-Identifier: Apache-2.0
"""A state of the compiled simulator, saved in the middle of a job, and gone on with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hw.arch.address_map import window_base
from hw.arch.traffic import REMOTE_LANES
from hw.config import ChipConfig
from sim.build_cache import BuildCache
from sim.compiled import CompiledSimulator, StateError, build_simulator, lpddr5
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulators_folder
from sw.runtime.traffic import read_traffic
from tb.common.seeds import numpy_rng
from tb.system.grid_bench import copy_list, small_grid

CONFIG = small_grid(1, 2, slices=2, channels=2)
PLACES = [(0, 0), (0, 1)]
LISTS, DRAM = 0x10000, 0x10_0000_0000
HIGH = CONFIG.pe.ls.size_bytes // 2
"""What the copying engines leave alone in local memory."""


def simulator(*, threads: int = 1) -> CompiledSimulator:
    """A chip of two elements."""
    cache = BuildCache(simulators_folder())
    build = build_simulator(CONFIG, cache, grid=True, quick=True, savable=True)
    return CompiledSimulator(build.library, threads=threads)


def end_of_job(
    port: CompiledSimulator, config: ChipConfig, results: Sequence[int] = (DRAM + 0x5000,)
) -> list[Any]:
    """Let the job end; everything that a host can see of it, its results last."""
    grid = Grid(port, config)
    while not port.run(10_000):
        pass
    grid.set_register("GRID_SNAPSHOT", 1)
    counters = [grid.element(place).frozen_counters() for place in PLACES]
    traffic = read_traffic(grid, PLACES).to_dict()
    found = [port.read(address, 512) for address in results]
    return [port.cycles, grid.job_cycles(), counters, traffic, *found]


@pytest.mark.slow
def test_a_saved_state_goes_on_in_the_same_way(tmp_path: Path) -> None:
    """From SRAM to DRAM with traffic of both under way, after going back and in another simulator
    with threads; would break if a model, a DRAM queue or a page were left out."""
    data = numpy_rng("state").integers(0, 256, 512).astype("uint8").tobytes()
    port, path = simulator(), tmp_path / "state"
    port.set_dram_timing(lpddr5(800.0))
    port.write(0, data)
    grid = Grid(port, CONFIG)
    lists = dict.fromkeys(PLACES, copy_list(0, DRAM + 0x5000, 8, n_times=30))
    grid.start(LISTS, lists)
    port.run(400)
    port.save(path)
    saved_at = port.cycles
    first = end_of_job(port, CONFIG)
    assert first[0] > saved_at + 500 and first[-1] == data
    port.restore(path)
    assert port.cycles == saved_at
    assert end_of_job(port, CONFIG) == first
    other = simulator(threads=2)
    other.restore(path)
    assert end_of_job(other, CONFIG) == first
    for done in (port, other):
        done.close()


@pytest.mark.slow
def test_accesses_to_local_memories_go_on_in_the_same_way(tmp_path: Path) -> None:
    """Each element copies from its own local memory into the other one's; saved at several moments,
    with words, answers and slots under way. Would break if a stage of these lanes were left out."""
    data = [numpy_rng(f"windows {at}").integers(0, 256, 512).astype("uint8").tobytes()
            for at in range(2)]  # fmt: skip
    port, path = simulator(), tmp_path / "state"
    grid = Grid(port, CONFIG)
    lists, targets = {}, []
    for place, other, own in zip(PLACES, PLACES[::-1], data, strict=True):
        grid.write_local(place, 0, bytes(2 * HIGH))  # gives every byte a parity
        grid.write_local(place, HIGH, own)
        targets.append(window_base(*other) + HIGH + 0x400)
        lists[place] = copy_list(window_base(*place) + HIGH, targets[-1], 8, n_times=30)
    grid.set_register("GRID_SNAPSHOT", 2)
    grid.start(LISTS, lists)
    port.run(300)
    for step in (1, 7, 20):
        port.run(step)
        port.save(path)
        saved_at = port.cycles
        grid.set_register("GRID_SNAPSHOT", 1)
        so_far = read_traffic(grid, PLACES)
        port.restore(path)
        first = end_of_job(port, CONFIG, targets)
        assert first[0] > saved_at + 500 and first[-2:] == data
        for place in PLACES:
            at_end = first[3]["elements"]["{},{}".format(*place)]
            for lane in REMOTE_LANES:
                assert 0 < so_far.count(place, f"window.{lane}") < at_end[f"window.{lane}"]
        port.restore(path)
        assert port.cycles == saved_at
        assert end_of_job(port, CONFIG, targets) == first
        other_port = simulator(threads=2)
        other_port.restore(path)
        assert end_of_job(other_port, CONFIG, targets) == first
        other_port.close()
        port.restore(path)
    port.close()


@pytest.mark.slow
def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """In one sentence; would break if Verilator met it first, which ends the process."""
    port, path = simulator(), tmp_path / "state"
    with pytest.raises(StateError) as error:
        port.save(tmp_path / "folder" / "state")
    assert str(error.value) == f"No state can be written to {tmp_path}/folder/state."
    port.save(path)
    whole = path.read_bytes()
    refused = f"{path} is no state that this build of the simulator has saved."
    for data in (None, b"", b"something else", whole[:-1], whole[: len(whole) // 2]):
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(StateError) as error:
            port.restore(path)
        assert str(error.value) == refused
    path.write_bytes(whole)
    port.restore(path)
    port.close()
