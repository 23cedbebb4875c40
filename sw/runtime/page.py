# SPDX-License-Identifier: Apache-2.0
"""A page of control registers: registers by name, counters, the debug port."""

from collections.abc import Collection, Mapping

from hw.arch import address_map
from hw.arch.csr import COUNTERS, Register, counter_offset
from hw.config import ChipConfig
from sw.errors import UserError
from sw.runtime.port import HostPort

__all__ = ["RegisterPage"]


class RegisterPage:
    """Registers at the same place of the control region.

    Parameters
    ----------
    port : HostPort
        The device.
    registers : Mapping[str, Register]
        The page's registers by name.
    base : int
        Byte offset of the page in the control region.
    """

    def __init__(self, port: HostPort, registers: Mapping[str, Register], base: int = 0) -> None:
        self.port = port
        self._registers_by_name = registers
        self._base = address_map.CONTROL.base + base

    def register(self, name: str) -> int:
        """Read a control register."""
        return self.port.read_register(self._base + self._registers_by_name[name].offset)

    def at(self, offset: int) -> int:
        """Read what is at an offset of the page."""
        return self.port.read_register(self._base + offset)

    def set_register(self, name: str, value: int) -> None:
        """Write a control register."""
        self.port.write_register(self._base + self._registers_by_name[name].offset, value)

    def check_config(self, config: ChipConfig) -> None:
        """Raise UserError unless the device was built from `config`."""
        found, wanted = self.register("CONFIG"), int(config.digest(), 16)
        if found != wanted:
            raise UserError(
                f"The device was built from configuration {found:08x}, not {config.name}"
                f" ({wanted:08x})."
            )

    def counters(self, names: Collection[str] | None = None) -> dict[str, int | None]:
        """Performance counters, all or those of these names, read as one snapshot."""
        self.set_register("SNAPSHOT", 1)
        return self.frozen_counters(names)

    def frozen_counters(self, names: Collection[str] | None = None) -> dict[str, int | None]:
        """The same as they were when they were frozen last, as by GRID_SNAPSHOT."""
        values: dict[str, int | None] = {}
        for name in [counter.name for counter in COUNTERS] if names is None else names:
            address = self._base + counter_offset(name)
            low, high = self.port.read_register(address), self.port.read_register(address + 4)
            values[name] = low | high << 32
        return values

    def debug_word(self, space: int, index: int, word: int) -> int:
        """One word of the debug port."""
        self.set_register("DEBUG_SELECT", space << 24 | index << 8 | word)
        return self.register("DEBUG_DATA")
