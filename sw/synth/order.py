# SPDX-License-Identifier: Apache-2.0
"""What the flow is asked for, and the design that follows from it."""

from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import Elaboratable

from hw.chip.scan_shell import ScanShell
from hw.config import ChipConfig
from hw.config.override import overridden
from hw.fpga.devices import DEFAULT_DEVICE, Device
from hw.fpga.goals import NO_GOAL, Goal, goal_of
from hw.fpga.pins import scan_shell_pins
from hw.fpga.units import TILE_UNITS, get_unit
from sw.synth.placement import MINUTES

__all__ = ["CHIP", "RESULTS", "Order"]

CHIP = "chip"
"""Name of the whole in place of a unit's."""

RESULTS = Path(__file__).resolve().parents[2] / "build" / "synth"

_BASE = "without"
_AIM = 1.25
_CHIP_TREE_DEPTH, _UNIT_TREE_DEPTH = 4, 3


@dataclass(frozen=True, kw_only=True)
class Order:
    """One unit, or the chip, of one member on one device."""

    member: ChipConfig
    """Before any change."""
    device: Device
    unit: str = CHIP
    changes: tuple[str, ...] = ()
    """Changed fields of the member, `path=value`."""
    seeds: int = 1
    first_seed: int = 1
    aim_mhz: float | None = None
    """Clock at which nextpnr aims; a quarter above the member's where None, so that a unit alone
    leaves room for what the whole chip costs."""
    jobs: int = 1
    minutes: int = MINUTES
    """Processor time of a seed, after which it is given up."""
    with_placement: bool = True
    with_picture: bool = True
    with_estimate: bool = False
    compared_in: Path | None = None
    """Folder of the order for whose comparison alone this one is; its own results stay apart."""

    @property
    def config(self) -> ChipConfig:
        """The member with its changes."""
        return overridden(self.member, self.changes)

    @property
    def mhz(self) -> float:
        """Clock at which nextpnr aims."""
        return _AIM * self.config.clock_mhz if self.aim_mhz is None else self.aim_mhz

    @property
    def is_chip(self) -> bool:
        """Whether it is the whole chip with pins."""
        return self.unit == CHIP

    @property
    def has_tile(self) -> bool:
        """Whether all multipliers of the dot-product engine are in it."""
        return self.is_chip or self.unit in TILE_UNITS

    @property
    def goal(self) -> Goal:
        """What the project asks of it; nothing of a changed member."""
        if self.changes:
            return NO_GOAL
        return goal_of(self.member.name, self.unit, self.device.name)

    @property
    def tree_depth(self) -> int:
        """Levels of the hierarchy of which the area is told."""
        return _CHIP_TREE_DEPTH if self.is_chip else _UNIT_TREE_DEPTH

    @property
    def pins(self) -> str | None:
        """The LPF file; None for a unit out of context."""
        return scan_shell_pins(mhz=self.mhz) if self.is_chip else None

    @property
    def folder(self) -> Path:
        """Where its results go: of the member, its changes and its device each their own."""
        if self.compared_in is not None:
            return self.compared_in / _BASE
        config = self.config
        words = [config.name]
        if self.changes:
            words.append(config.digest())
        if self.device.name != DEFAULT_DEVICE:
            words.append(self.device.name)
        return RESULTS / "-".join(words) / self.unit

    def component(self) -> Elaboratable:
        """The design; the chip stands behind a scan chain, for it has more ports than pins."""
        config = self.config
        return ScanShell(config) if self.is_chip else get_unit(config, self.unit)
