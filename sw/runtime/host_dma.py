# SPDX-License-Identifier: Apache-2.0
"""The DMA engine of a grid, as software sees it: between the host's memory and the chip's."""

from hw.arch.dma import DMA_TEXT, DmaCause, DmaState, DmaWay
from sw.errors import UserError
from sw.runtime.page import RegisterPage

__all__ = ["HostDma"]

_LOW = 0xFFFF_FFFF
_MOST = (1 << 32) - 64
"""Bytes of one transfer."""


class HostDma:
    """The engine behind a chip's registers.

    Parameters
    ----------
    page : RegisterPage
        The chip's registers.
    """

    def __init__(self, page: RegisterPage) -> None:
        self._page = page

    def copy(self, way: DmaWay, host_address: int, address: int, n_bytes: int) -> int:
        """Copy bytes, and wait for the interrupt that says that they have arrived.

        Parameters
        ----------
        way : DmaWay
            To the chip or to the host.
        host_address, address : int
            Where the bytes lie in the host's memory, and in SRAM or DRAM; multiples of a line.
        n_bytes : int
            How many, 1 to 2^32 - 64.

        Returns
        -------
        int
            Cycles from the start to the interrupt.

        Raises
        ------
        UserError
            If an address or the size cannot be, a memory refuses, or a word was lost; what was
            copied before that remains.
        """
        if not 1 <= n_bytes <= _MOST:
            raise UserError(f"A transfer has 1 to {_MOST} bytes, not {n_bytes}.")
        page, port = self._page, self._page.port
        for name, value in (("HOST", host_address), ("CHIP", address)):
            page.set_register(f"DMA_{name}_LO", value & _LOW)
            page.set_register(f"DMA_{name}_HI", value >> 32)
        page.set_register("DMA_BYTES", n_bytes)
        page.set_register("DMA_IRQ", 1)
        waited = page.register("GRID_WAIT")
        page.set_register("GRID_WAIT", 0)
        page.set_register("DMA_START", way)
        began = port.cycles
        while page.register("DMA_STATE") & 0xFF == DmaState.BUSY:
            port.run(n_bytes + 10_000)
        cycles = port.cycles - began
        page.set_register("DMA_IRQ", 0)
        page.set_register("GRID_WAIT", waited)
        state = page.register("DMA_STATE")
        if state & 0xFF == DmaState.ERROR:
            raise UserError(
                f"The DMA transfer of {n_bytes} bytes between {host_address:#x} of the host and"
                f" {address:#x} failed: {DMA_TEXT[DmaCause(state >> 8)]}."
            )
        return cycles
