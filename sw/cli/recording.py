# SPDX-License-Identifier: Apache-2.0
"""What the options of a verb ask to be recorded."""

from pathlib import Path

from hw.config import ChipConfig
from sim.trace.grid_log import Place
from sw.cli.files import waves_wanted
from sw.cli.places import parse_places
from sw.errors import UserError
from sw.runtime.simulated import Waves
from sw.runtime.tracing import GridTrace

__all__ = ["chosen_trace", "chosen_waves"]


def chosen_waves(
    path: Path | None, first: int | None, last: int | None, tile: Place | None
) -> Waves | None:
    """What to record of every signal, of one tile if so wished (`tile_of`); without a path, what
    the environment asks for.

    Raises
    ------
    UserError
        If the others have no path to go with, or the last cycle is before the first.
    """
    if path is None:
        for name, value in (("from", first), ("to", last), ("element", tile)):
            if value is not None:
                raise UserError(f"--wave-{name} needs --waves, the file to write.")
        return waves_wanted()
    begin, end = first or 0, 2**62 if last is None else last
    if end < begin:
        raise UserError(f"--wave-to is {end}; it must be at least --wave-from ({begin}).")
    scope = "" if tile is None else f"tile{tile[0]}_{tile[1]}"
    return Waves(path=path, scope=scope, first=begin, last=end)


def chosen_trace(
    member: ChipConfig,
    path: Path | None,
    first: int | None,
    last: int | None,
    elements: str | None,
) -> GridTrace:
    """What a grid's trace is to show.

    Raises
    ------
    UserError
        If the others have no path to go with, or they name no cycle or no element.
    """
    for name, given in (("from", first), ("to", last), ("elements", elements)):
        if given is not None and path is None:
            raise UserError(f"--trace-{name} needs --trace, the file to write.")
    begin, end = first or 0, GridTrace.last if last is None else last
    if end <= begin:
        raise UserError(f"--trace-to is {end}; it must be above --trace-from ({begin}).")
    chosen = None if elements is None else parse_places("--trace-elements", elements, member)
    return GridTrace(elements=chosen, first=begin, last=end)
