# SPDX-License-Identifier: Apache-2.0
"""Recording what a chip's units do, into a file for Perfetto's viewer."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path

from sim.trace import TraceLog, TraceSource
from sim.trace.grid_log import GridTraceLog, Place, default_elements
from sim.trace.log import TeeLog
from sw.errors import UserError
from sw.files import atomic_path
from sw.runtime.chip import Chip
from sw.runtime.grid import Grid

__all__ = ["GridTrace", "recorded"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridTrace:
    """What to record of a grid."""

    elements: Collection[Place] | None = None
    """Elements to show; None: see `default_elements`."""
    first: int = 0
    """First cycle since power-on."""
    last: int = 1 << 62
    """The cycle before which recording ends."""


@contextlib.contextmanager
def recorded(
    chip: Chip | Grid,
    path: Path | None,
    log: TraceLog | None = None,
    grid_trace: GridTrace | None = None,
) -> Iterator[None]:
    """Record what the chip does in this block, and write it to `path`; None: record nothing.

    The file is written also when the block fails, since that is when one wants to look::

        with recorded(chip, trace):
            run = run_gemm(chip, job)

    A `log` of one's own is filled as well, also without a path. `grid_trace` says what the file
    shows of a grid.

    Raises
    ------
    UserError
        If the device cannot record.
    """
    if path is None and log is None:
        yield
        return
    if not isinstance(chip.port, TraceSource):
        raise UserError(f"The {chip.device} device cannot record a trace; --device rtl can.")
    trace = None if path is None else _trace_log(chip, grid_trace or GridTrace())
    logs = [wanted for wanted in (trace, log) if wanted is not None]
    chip.port.record(logs[0] if len(logs) == 1 else TeeLog(logs))
    try:
        yield
    finally:
        chip.port.record(None)
        if path is not None and trace is not None:
            _write(trace, path)


def _trace_log(chip: Chip | Grid, wanted: GridTrace) -> TraceLog:
    """An empty log for a file."""
    config = chip.config
    if not isinstance(chip, Grid):
        return TraceLog(config.name, time_unit="cycle" if chip.device == "rtl" else "step")
    elements = default_elements(config) if wanted.elements is None else wanted.elements
    return GridTraceLog(config, elements=elements, first=wanted.first, last=wanted.last)


def _write(log: TraceLog, path: Path) -> None:
    from sim.trace.writer import write_trace  # loads Perfetto's classes, which few runs need

    with atomic_path(path) as target:
        write_trace(log, target)
