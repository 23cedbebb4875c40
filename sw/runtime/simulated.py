# SPDX-License-Identifier: Apache-2.0
"""A chip in the compiled simulator, ready to run jobs."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from hw.config import ChipConfig
from sim.build_cache import BuildCache
from sim.compiled import CompiledSimulator, SimulatorBuild, build_simulator
from sim.compiled.build import chip_verilog
from sim.waves import has_instance
from sw.errors import UserError
from sw.runtime.chip import Chip
from sw.runtime.grid import Grid
from sw.runtime.left_out import check_left_out

__all__ = ["Waves", "simulators_folder", "simulated_chip", "simulated_grid"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Waves:
    """A waveform to record: cycles `first` to `last` below instance `scope` (all if empty)."""

    path: Path
    scope: str = ""
    first: int = 0
    last: int = 2**62


def simulators_folder() -> Path:
    """Where built simulators are kept: `build/simulators` of the checkout."""
    return Path(__file__).resolve().parents[2] / "build" / "simulators"


def _check_scope(config: ChipConfig, scope: str, *, grid: bool) -> None:
    """Verilator ends the whole process over an instance that does not exist."""
    text, _seconds = chip_verilog(config, BuildCache(simulators_folder()), grid=grid)
    if not has_instance(text, "mtia_chip", scope):
        raise UserError(
            f"WAVES_SCOPE is {scope!r}; the chip has no such instance"
            f" ({'tile0_0.pe.dpe' if grid else 'pe.dpe'} is one, for example)."
        )


def simulated_chip(
    config: ChipConfig,
    *,
    waves: Waves | None = None,
    test: bool = False,
    seed: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Chip, SimulatorBuild]:
    """Build the simulator of `config` if needed, and return a reset chip in it.

    Parameters
    ----------
    config : ChipConfig
        The member; one element of it is simulated.
    waves : Waves, optional
        Record a waveform.
    test : bool
        Use the build with assertions and with everything unset filled from `seed`.
    seed : int
        See `test`.
    progress : Callable[[str], None]
        Told what the build is doing.

    Raises
    ------
    BuildError
        When the simulator cannot be built.
    """
    simulator, build = _simulator(
        config, grid=False, waves=waves, test=test, seed=seed, progress=progress
    )
    chip = Chip(simulator, config)
    if test:  # the other build starts with zeros
        chip.clear_sram()
    return chip, build


def simulated_grid(
    config: ChipConfig,
    *,
    waves: Waves | None = None,
    test: bool = False,
    quick: bool = False,
    flat: bool = False,
    seed: int = 1,
    threads: int = 1,
    left_out_row: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Grid, SimulatorBuild]:
    """As `simulated_chip`, with all elements of the member.

    `quick` and `flat` are as in `build_simulator`, `threads` as in `CompiledSimulator`. A row of
    tiles is left out as `Grid.leave_out` does.
    """
    if left_out_row is not None:
        check_left_out(config, left_out_row)
    simulator, build = _simulator(
        config,
        grid=True,
        waves=waves,
        test=test,
        quick=quick,
        flat=flat,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    grid = Grid(simulator, config)
    if left_out_row is not None:
        grid.leave_out(left_out_row)
    if test:
        grid.clear_sram()
    return grid, build


def _simulator(
    config: ChipConfig,
    *,
    grid: bool,
    waves: Waves | None,
    test: bool,
    seed: int,
    progress: Callable[[str], None],
    quick: bool = False,
    flat: bool = False,
    threads: int = 1,
) -> tuple[CompiledSimulator, SimulatorBuild]:
    """Build the simulator of one element, or of the grid, and begin its waveform."""
    if waves is not None:
        _check_scope(config, waves.scope, grid=grid)
    build = build_simulator(
        config,
        BuildCache(simulators_folder()),
        grid=grid,
        trace=waves is not None,
        test=test,
        quick=quick,
        flat=flat,
        progress=progress,
    )
    simulator = CompiledSimulator(build.library, seed=seed, threads=threads)
    if waves is not None:
        simulator.trace(waves.path, scope=waves.scope, first=waves.first, last=waves.last)
    return simulator, build
