# SPDX-License-Identifier: Apache-2.0
"""Units by name, as the command line gives them."""

import difflib

from hw.config import ChipConfig, ConfigError
from hw.fpga.units import GRID, UNITS, get_unit
from sw.synth.order import CHIP

__all__ = ["ALL", "unit_names"]

ALL = "all"
"""In place of the name of every unit but the element, which is nearly the chip."""

_NOT_OF_ALL = ("element",)


def unit_names(text: str, config: ChipConfig) -> list[str]:
    """The units of a list with commas, each once.

    Raises
    ------
    ConfigError
        When one of them is not there.
    """
    words = [word.strip() for word in text.split(",")]
    every = [name for name in UNITS if name not in _NOT_OF_ALL]
    names = [name for word in words for name in (every if word == ALL else [word])]
    names = list(dict.fromkeys(names))
    for name in names:
        _check(name, config)
    return names


def _for_one_element(config: ChipConfig) -> str:
    """Options that make one element of a grid."""
    wanted = {
        "rows": (config.rows, 1),
        "cols": (config.cols, 1),
        "sram.cache_ways": (config.sram.cache_ways, 0),
        "spare_rows": (config.spare_rows, 0),
    }
    return " ".join(f"--set {name}={new}" for name, (old, new) in wanted.items() if old != new)


def _check(name: str, config: ChipConfig) -> None:
    if name == CHIP and config.n_pes > 1:
        raise ConfigError(
            f"{config.name!r} has {config.rows} x {config.cols} elements, and the flow builds the"
            f" chip of one element alone; name a unit, as {GRID}.side_w of the grid, or give"
            f" {_for_one_element(config)}."
        )
    if name in (CHIP, *UNITS):
        return
    if name == GRID:
        raise ConfigError(f"A whole grid is not built; name a part of it, as {GRID}.side_w.")
    if name.partition(".")[0] in (GRID, *UNITS):
        get_unit(config, name)  # parts are known only to the unit
        return
    known = [ALL, CHIP, *UNITS]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ConfigError(f"There is no unit {name!r}; there are {', '.join(known)}.{hint}")
