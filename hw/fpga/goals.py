# SPDX-License-Identifier: Apache-2.0
"""What the project asks of its FPGA member beside the clock that the member itself states."""

from dataclasses import dataclass

from hw.fpga.devices import DEFAULT_DEVICE

__all__ = ["NO_GOAL", "Goal", "goal_of"]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Limits of one unit, or of the chip; None where there is none."""

    mhz: float | None = None
    """Median over the seeds, at least."""
    per_mac: float | None = None
    """LUT4s and flip-flops for each multiply-accumulate of a cycle, at most."""
    lut_per_cent: float | None = None
    """Share of the device's LUTs; the design takes less."""


NO_GOAL = Goal()

_GOALS = {
    ("fpga", "chip"): Goal(lut_per_cent=60.0),
    ("fpga", "dpe+re"): Goal(mhz=100.0, per_mac=120.0),
}
"""By member and unit, on the default device."""


def goal_of(member: str, unit: str, target: str) -> Goal:
    """What is asked of a unit of an unchanged member on a device."""
    return _GOALS.get((member, unit), NO_GOAL) if target == DEFAULT_DEVICE else NO_GOAL
