# SPDX-License-Identifier: Apache-2.0
"""What a netlist takes of a device."""

import dataclasses
from collections.abc import Mapping

from hw.fpga.devices import CELL_LUTS

__all__ = ["AREA_TITLES", "Area"]

AREA_TITLES = {
    "lut": "LUT",
    "lut4": "LUT4",
    "carry": "CCU2C",
    "lut_ram": "LUT RAM 16x4",
    "ff": "FF",
    "multiplier": "DSP 18x18",
    "block_ram": "block RAM 18 Kb",
}
"""Figure to its heading, in the order of tables."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Area:
    """Cells of each kind."""

    lut4: int = 0
    """LUT4 cells, without those in carry cells and LUT RAM."""
    carry: int = 0
    """CCU2C: two bits of a carry chain."""
    lut_ram: int = 0
    """TRELLIS_DPR16X4: LUT RAM of 16 words of 4 bits."""
    ff: int = 0
    multiplier: int = 0
    """MULT18X18D."""
    block_ram: int = 0
    """DP16KD in any form."""

    @classmethod
    def of_cells(cls, cells: Mapping[str, int]) -> "Area":
        """The area of a netlist, from the number of its cells by type."""
        return cls(
            lut4=cells.get("LUT4", 0),
            carry=cells.get("CCU2C", 0),
            lut_ram=cells.get("TRELLIS_DPR16X4", 0),
            ff=cells.get("TRELLIS_FF", 0),
            multiplier=cells.get("MULT18X18D", 0),
            block_ram=cells.get("DP16KD", 0) + cells.get("PDPW16KD", 0),
        )

    @property
    def lut(self) -> int:
        """All LUTs that it takes."""
        return (
            CELL_LUTS["LUT4"] * self.lut4
            + CELL_LUTS["CCU2C"] * self.carry
            + CELL_LUTS["TRELLIS_DPR16X4"] * self.lut_ram
        )

    def __add__(self, other: "Area") -> "Area":
        return Area(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __sub__(self, other: "Area") -> "Area":
        return Area(**{name: value - getattr(other, name) for name, value in vars(self).items()})

    def to_dict(self) -> dict[str, int]:
        """Every figure by its name, the total first."""
        return {name: getattr(self, name) for name in AREA_TITLES}
