# SPDX-License-Identifier: Apache-2.0
"""What an element can do, as far as checks of commands need it."""

from dataclasses import dataclass

from hw.arch.units import Unit
from hw.config.element import PeConfig

__all__ = ["ALL_UNITS", "BASE_UNITS", "CheckLimits"]

BASE_UNITS = (Unit.FI_IN_ROW, Unit.FI_IN_COL, Unit.FI_OUT, Unit.DPE, Unit.RE)
"""Units without which there is no element."""

ALL_UNITS = tuple(unit for unit in Unit if unit is not Unit.CP)
"""Units of a whole element."""


@dataclass(frozen=True, kw_only=True)
class CheckLimits:
    """What an element can do, as far as checks of commands need it.

    Parameters
    ----------
    units : units that are present.
    cbs, counters, contexts, banks : sizes of tables.
    tile_rows, columns, k_bytes : sizes of the tile; a word of local memory has k_bytes too.
    ls_units : size of local memory in 64-byte units.
    programs : program slots of the SIMD engine.
    with_fp : whether the tile multiplies FP16 and BF16.
    with_scatter_add : whether SCATTER may add.
    multicast_lanes : `ChipConfig.multicast_lanes`.

    Raises: ValueError for a table that the command set cannot name.
    """

    units: tuple[Unit, ...]
    cbs: int
    counters: int
    contexts: int
    banks: int
    tile_rows: int
    columns: int
    k_bytes: int
    ls_units: int
    programs: int = 4
    with_fp: bool = True
    with_scatter_add: bool = True
    multicast_lanes: int = 0

    def __post_init__(self) -> None:
        for name, top in (
            ("cbs", 64),
            ("counters", 32),
            ("contexts", 16),
            ("banks", 16),
            ("ls_units", 8192),
            ("programs", 16),
        ):
            value = getattr(self, name)
            if not 2 <= value <= top:
                raise ValueError(f"CheckLimits {name} must be from 2 to {top}, not {value!r}.")
        if Unit.CP in self.units:
            raise ValueError("CheckLimits units must not name CP, which has no queue.")

    @classmethod
    def of(
        cls, pe: PeConfig, units: tuple[Unit, ...] = BASE_UNITS, *, multicast_lanes: int = 0
    ) -> "CheckLimits":
        """The limits of an element of this configuration with these units."""
        return cls(
            units=units,
            cbs=pe.cp.cbs,
            counters=pe.cp.counters,
            contexts=pe.cp.contexts,
            banks=pe.re.banks,
            tile_rows=pe.dpe.tile_rows,
            columns=pe.dpe.columns,
            k_bytes=pe.dpe.k_bytes,
            ls_units=pe.ls.size_bytes // 64,
            programs=pe.se.programs,
            with_fp=pe.dpe.with_fp,
            with_scatter_add=pe.fi.with_scatter_add,
            multicast_lanes=multicast_lanes,
        )
