# SPDX-License-Identifier: Apache-2.0
"""The one interface through which software reaches a device: compiled simulator, test bench, or a
board."""

from typing import Protocol

__all__ = ["HostPort"]


class HostPort(Protocol):
    """What a host can do to a chip. Addresses are those of `hw.arch.address_map`."""

    @property
    def cycles(self) -> int:
        """Clock cycles since power-on, as far as the device knows them."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Write bytes to memory."""
        ...

    def read(self, address: int, n_bytes: int) -> bytes:
        """Read bytes from memory."""
        ...

    def write_register(self, address: int, value: int) -> None:
        """Write a 32-bit register."""
        ...

    def read_register(self, address: int) -> int:
        """Read a 32-bit register."""
        ...

    def run(self, n_cycles: int) -> bool:
        """Let time pass until the interrupt rises, at most `n_cycles`; return whether it is
        high."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...
