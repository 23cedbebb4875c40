# SPDX-License-Identifier: Apache-2.0
"""Sizes at which `scripts/resources.py` reports the command processor and its parts."""

from hw.config.presets import get_config
from hw.pe.cp.cb_table import CircularBufferTable
from hw.pe.cp.checker import CommandChecker
from hw.pe.cp.counter_file import CounterFile
from hw.pe.cp.limits import ALL_UNITS, CheckLimits
from hw.pe.cp.processor import CB_PORT_UNITS, SOURCES, CommandProcessor
from hw.pe.wqe import WorkQueueEngine

__all__ = ["RESOURCE_POINTS"]


def _processor(name: str, sources: tuple[str, ...] = SOURCES) -> CommandProcessor:
    pe = get_config(name).pe
    return CommandProcessor(
        limits=CheckLimits.of(pe, ALL_UNITS), queue_depth=pe.cp.queue_depth, sources=sources
    )


def _cb_table(name: str) -> CircularBufferTable:
    limits = CheckLimits.of(get_config(name).pe, ALL_UNITS)
    return CircularBufferTable(
        n_cbs=limits.cbs,
        n_units=limits.ls_units,
        owners=tuple(int(unit) for unit in CB_PORT_UNITS.values()),
    )


def _checker(name: str) -> CommandChecker:
    return CommandChecker(limits=CheckLimits.of(get_config(name).pe, ALL_UNITS))


RESOURCE_POINTS = {
    "CommandProcessor, fpga": lambda: _processor("fpga", ("wqe",)),
    "CommandProcessor, tiny": lambda: _processor("tiny"),
    "CommandProcessor, mtia100-pe": lambda: _processor("mtia100-pe"),
    "CircularBufferTable, fpga": lambda: _cb_table("fpga"),
    "CircularBufferTable, tiny": lambda: _cb_table("tiny"),
    "CircularBufferTable, mtia100-pe": lambda: _cb_table("mtia100-pe"),
    "CommandChecker, fpga": lambda: _checker("fpga"),
    "CommandChecker, mtia100-pe": lambda: _checker("mtia100-pe"),
    "CounterFile": CounterFile,
    "WorkQueueEngine, fpga": lambda: WorkQueueEngine(link_bytes=16),
    "WorkQueueEngine, 64-byte lines": lambda: WorkQueueEngine(link_bytes=64),
}
"""Label to factory."""
