# SPDX-License-Identifier: Apache-2.0
"""What a grid is made of: which members can be one, and where their memories are."""

import dataclasses
from typing import Any

import pytest

from hw.config import PRESETS
from hw.config.checks import ConfigError
from hw.grid.chip import GridChip
from hw.grid.geometry import GridGeometry
from hw.grid.jobs import GridJobs
from hw.net.sides import Side
from tb.unit.grid.geometries import bench_config

BENCH = bench_config()


def test_each_slice_and_lane_is_at_one_side() -> None:
    """Would break if a slice had two places, or the host no lane."""
    for config in (BENCH, *(PRESETS[name] for name in ("tiny", "tiny-spare", "odd", "mtia100"))):
        geometry = GridGeometry(config)
        nodes = [node for side in geometry.sides for node in geometry.nodes(side)]
        assert sorted(nodes) == list(range(config.sram.slices))
        lanes = {side: geometry.n_lanes(side) for side in geometry.sides}
        for side, n_lanes in lanes.items():
            n_tiles = config.built_rows if side in (Side.W, Side.E) else config.cols
            assert n_lanes == n_tiles + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 1, "cols": 1}, "rows and cols are 1; a grid has at least two elements."),
        (
            {"dram": {"channels": 16, "total_bytes_per_cycle": 128}},
            "dram.channels is 16; it must be at most sram.slices (8), since each channel is behind"
            " a slice.",
        ),
        (
            {"sram": {"size_bytes": 128}},
            "sram.size_bytes is 128; it must be at least 256, two lines in each of 8 parts.",
        ),
        (
            {"dram": {"size_bytes": 64}},
            "dram.size_bytes is 64; it must be at least 128, two lines in each of 4 parts.",
        ),
        (
            {"rows": 16, "sram": {"slices": 64}},
            "rows, cols and sram.slices give side W 301 traffic counters; it has room for 256, so"
            " one of them must be less.",
        ),
    ],
)
def test_a_member_that_is_no_grid_is_refused(changes: dict[str, Any], message: str) -> None:
    """By the whole chip too, with the same sentence."""
    fields = {
        name: dataclasses.replace(getattr(BENCH, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in changes.items()
    }
    config = dataclasses.replace(BENCH, **fields)
    for make in (GridGeometry, GridChip):
        with pytest.raises(ConfigError) as error:
            make(config)
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 17}, "GridJobs rows must be 1 to 16, not 17."),
        ({"columns": 0}, "GridJobs columns must be 1 to 16, not 0."),
        ({"n_positions": 1}, "GridJobs n_positions must be at least 2, one per column, not 1."),
    ],
)
def test_bad_parameters_of_jobs_are_refused(arguments: dict[str, int], message: str) -> None:
    """Pages of elements name 16 rows and columns."""
    with pytest.raises(ValueError) as error:
        GridJobs(**{"rows": 2, "columns": 2, "n_positions": 2} | arguments)
    assert str(error.value) == message
