# SPDX-License-Identifier: Apache-2.0
"""The FPGAs that the open flow knows."""

import difflib
from dataclasses import dataclass

from hw.config.checks import ConfigError

__all__ = ["CELL_LUTS", "DEFAULT_DEVICE", "DEVICES", "Device", "get_device"]

CELL_LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}
"""LUTs that a cell takes on the device: a carry cell two, a LUT RAM two for data and two for the
ports that write it."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One FPGA in its package, as the flow uses it."""

    name: str
    part: str
    """The vendor's name of the part."""
    luts: int
    """LUT4s; there is a flip-flop beside each."""
    block_rams: int
    """Block RAMs of 18 Kb (DP16KD)."""
    multipliers: int
    """18 x 18 multipliers; in the open flow one for a product, however narrow."""
    flag: str
    """nextpnr's option that names the device."""
    package: str = "CABGA381"
    speed: int = 6
    """Speed grade; 6 is the slowest."""
    synth_command: str = "synth_ecp5 -abc9 -nowidelut"
    """Yosys's command that maps a design to the family. Functions of five inputs and more from the
    slices' multiplexers would cost a tenth to a third more LUTs for no speed."""
    family: str = "ecp5"
    """As `Emission.target` names it."""

    @property
    def flags(self) -> tuple[str, ...]:
        """nextpnr's options for it."""
        return (self.flag, "--package", self.package, "--speed", str(self.speed))

    def capacity(self, figure: str) -> int | None:
        """How much of a figure of `sw.synth.area.Area` the device has; None where it has no say."""
        return {
            "lut": self.luts,
            "ff": self.luts,
            "block_ram": self.block_rams,
            "multiplier": self.multipliers,
        }.get(figure)


_DEVICES = (
    Device(
        name="ecp5-25f",
        part="LFE5U-25F-6BG381C",
        luts=24_288,
        block_rams=56,
        multipliers=28,
        flag="--25k",
    ),
    Device(
        name="ecp5-45f",
        part="LFE5U-45F-6BG381C",
        luts=43_848,
        block_rams=108,
        multipliers=72,
        flag="--45k",
    ),
    Device(
        name="ecp5-85f",
        part="LFE5U-85F-6BG381C",
        luts=83_640,
        block_rams=208,
        multipliers=156,
        flag="--85k",
    ),
)

DEVICES: dict[str, Device] = {device.name: device for device in _DEVICES}
"""Name to device."""

DEFAULT_DEVICE = "ecp5-85f"


def get_device(name: str) -> Device:
    """The device called `name`.

    Raises
    ------
    ConfigError
        When there is none; the sentence lists the names, nearest first.
    """
    if name in DEVICES:
        return DEVICES[name]
    near = difflib.get_close_matches(name, DEVICES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"There is no target {name!r}; there are {', '.join(DEVICES)}.{hint}")
