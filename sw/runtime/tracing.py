# SPDX-License-Identifier: Apache-2.0
"""Recording what a chip's units do, into a file for Perfetto's viewer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sim.trace import TraceLog, TraceSource
from sw.errors import UserError
from sw.files import atomic_path
from sw.runtime.chip import Chip
from sw.runtime.grid import Grid

__all__ = ["recorded"]


@contextlib.contextmanager
def recorded(chip: Chip | Grid, path: Path | None, log: TraceLog | None = None) -> Iterator[None]:
    """Record what the chip does in this block, and write it to `path`; None: record nothing.

    The file is written also when the block fails, since that is when one wants to look::

        with recorded(chip, trace):
            run = run_gemm(chip, job)

    With a `log` of one's own this is filled, also without a path.

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
    if log is None:
        log = TraceLog(chip.config.name, time_unit="cycle" if chip.device == "rtl" else "step")
    chip.port.record(log)
    try:
        yield
    finally:
        chip.port.record(None)
        if path is not None:
            _write(log, path)


def _write(log: TraceLog, path: Path) -> None:
    from sim.trace.writer import write_trace  # loads Perfetto's classes, which few runs need

    with atomic_path(path) as target:
        write_trace(log, target)
