# SPDX-License-Identifier: Apache-2.0
"""Rounds of random work on `tiny`, of every kind: a short soak, see `scripts/soak.py`."""

from collections.abc import Iterator

import pytest

from hw.config import PRESETS
from scripts.soak import main
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed
from tb.system.soak import ROUNDS, play_round, soak

CONFIG = PRESETS["tiny"]


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """One chip for all: each round must leave it usable."""
    device, _ = simulated_grid(CONFIG, test=True, seed=bench_seed())
    yield device
    device.port.close()


@pytest.mark.parametrize("kind", ROUNDS)
def test_rounds_of_a_kind(grid: Grid, kind: str) -> None:
    """Would break if jobs of sub-grids met, or a fault of one element reached another."""
    for number in range(4):
        assert play_round(grid, bench_seed(), number, kind) == kind


def test_the_script_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would break if it asked a chip that is closed already for its cycles."""
    monkeypatch.setattr("sys.argv", ["soak.py", "--cycles", "1", "--seed", str(bench_seed())])
    monkeypatch.setenv("SEED", str(bench_seed()))
    assert main() == 0
    assert "no hang" in capsys.readouterr().out


@pytest.mark.slow
def test_a_longer_soak(grid: Grid) -> None:
    """Would break in a rarer combination."""
    assert soak(grid, bench_seed(), 1_000_000) > 50
