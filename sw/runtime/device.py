# SPDX-License-Identifier: Apache-2.0
"""Devices that can run a job: one factory, one interface, two back ends."""

import enum
from collections.abc import Callable
from typing import Any

from hw.config import ChipConfig
from sim.compiled import SimulatorBuild
from sw.errors import UserError
from sw.runtime.chip import Chip
from sw.runtime.functional import FunctionalChip
from sw.runtime.grid import Grid
from sw.runtime.simulated import Waves, simulated_chip, simulated_grid

__all__ = ["DeviceName", "open_device", "open_grid"]


class DeviceName(enum.StrEnum):
    """What runs a job."""

    RTL = "rtl"
    """The RTL in the compiled simulator: exact in every bit and cycle."""
    FUNCTIONAL = "functional"
    """The golden models: exact in every bit, without time, and much faster."""


def open_device(
    name: DeviceName,
    config: ChipConfig,
    *,
    waves: Waves | None = None,
    test: bool = False,
    seed: int = 1,
    police: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Chip:
    """A chip of `config`, reset and ready to run jobs.

    Parameters
    ----------
    name : DeviceName
        Which back end.
    config : ChipConfig
        The member; one element of it works.
    waves : Waves, optional
        Waveform to record; RTL only.
    test, seed
        RTL only: the build with assertions, and what fills everything unset.
    police : bool
        Functional only: report reads of bytes that nothing wrote, and steps that leave their
        circular buffer's extent.
    progress : Callable[[str], None]
        Told what a build is doing.

    Raises
    ------
    UserError
        If the device cannot do what is asked of it.
    BuildError
        If the simulator cannot be built.
    """
    if name is DeviceName.FUNCTIONAL:
        if waves is not None:
            raise UserError("The functional device has no signals; waves need --device rtl.")
        return FunctionalChip(config, police=police)
    chip, build = simulated_chip(config, waves=waves, test=test, seed=seed, progress=progress)
    chip.build = _cost(build)
    return chip


def open_grid(
    config: ChipConfig,
    *,
    waves: Waves | None = None,
    test: bool = False,
    seed: int = 1,
    threads: int = 1,
    left_out_row: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Grid:
    """All elements of `config` in the compiled simulator, on `threads` threads, without a row of
    tiles if so wished; otherwise as `open_device`."""
    grid, build = simulated_grid(
        config,
        waves=waves,
        test=test,
        seed=seed,
        threads=threads,
        left_out_row=left_out_row,
        progress=progress,
    )
    grid.build = _cost(build)
    return grid


def _cost(build: SimulatorBuild) -> dict[str, Any]:
    """What a simulator cost to make, as figures report it."""
    return {
        "verilog_seconds": build.verilog_seconds,
        "build_seconds": build.build_seconds,
        "build_from_cache": build.from_cache,
    }
