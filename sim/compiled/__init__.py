# SPDX-License-Identifier: Apache-2.0
"""Compiled simulator: the chip's RTL in Verilator behind a thin C interface, driven from Python."""

from sim.compiled.build import SimulatorBuild, build_simulator
from sim.compiled.dram import DramTiming, lpddr5
from sim.compiled.simulator import AccessError, CompiledSimulator, StateError

__all__ = [
    "AccessError",
    "CompiledSimulator",
    "DramTiming",
    "SimulatorBuild",
    "StateError",
    "build_simulator",
    "lpddr5",
]
