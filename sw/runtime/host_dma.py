# SPDX-License-Identifier: Apache-2.0
"""The DMA engine of a grid, as software sees it: between the host's memory and the chip's."""

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.dma import DMA_REFUSED, DMA_TEXT, DmaCause, DmaState, DmaWay
from sw.errors import UserError
from sw.runtime.page import RegisterPage

__all__ = ["HostDma"]

_LOW = 0xFFFF_FFFF
_END = 1 << ADDRESS_BITS
_PATIENCE = 100
"""Cycles for each byte, beside `_LATENCY`, after which a memory is taken not to answer."""
_LATENCY = 100_000
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
            Cycles from the start until the host has seen the end, which takes it some 20.

        Raises
        ------
        UserError
            If an address or the size cannot be, another transfer runs, a memory refuses or does
            not answer, or a word was lost; what was copied before that remains. One that does not
            end is aborted: what comes later changes no memory.
        """
        if not 1 <= n_bytes <= _MOST:
            raise UserError(f"A transfer has 1 to {_MOST} bytes, not {n_bytes}.")
        for what, first in (("the host's", host_address), ("the chip's", address)):
            if not 0 <= first <= _END - n_bytes:
                raise UserError(
                    f"{n_bytes} bytes at {first:#x} of {what} memory do not lie below {_END:#x}."
                )
        page = self._page
        _check_free(page.register("DMA_STATE"))
        for name, value in (("HOST", host_address), ("CHIP", address)):
            page.set_register(f"DMA_{name}_LO", value & _LOW)
            page.set_register(f"DMA_{name}_HI", value >> 32)
        page.set_register("DMA_BYTES", n_bytes)
        waited = page.register("GRID_WAIT")
        page.set_register("GRID_WAIT", 0)
        page.set_register("DMA_IRQ", 1)
        try:
            state, cycles = self._transfer(way, n_bytes)
        finally:
            page.set_register("DMA_IRQ", 0)
            page.set_register("GRID_WAIT", waited)
        if state & 0xFF == DmaState.ERROR:
            raise UserError(
                f"The DMA transfer of {n_bytes} bytes between {host_address:#x} of the host and"
                f" {address:#x} failed: {DMA_TEXT[_cause(state)]}."
            )
        return cycles

    def _transfer(self, way: DmaWay, n_bytes: int) -> tuple[int, int]:
        """Start, and wait for the end: DMA_STATE then, and cycles."""
        page, port = self._page, self._page.port
        began = port.cycles
        page.set_register("DMA_START", way)
        while (state := page.register("DMA_STATE")) & 0xFF == DmaState.BUSY:
            if state & DMA_REFUSED:
                _check_free(state)
            if port.cycles - began > _LATENCY + _PATIENCE * n_bytes:
                raise UserError(f"The DMA transfer of {n_bytes} bytes does not end{self._abort()}.")
            port.run(n_bytes + 1000)
        return state, port.cycles - began

    def _abort(self) -> str:
        """End a transfer whose memory does not answer; a clause that says whether it has ended."""
        page, port = self._page, self._page.port
        began = port.cycles
        page.set_register("DMA_ABORT", 1)
        while page.register("DMA_STATE") & 0xFF == DmaState.BUSY:
            if port.cycles - began > _LATENCY:
                return "; it is aborted, and the engine waits for what was asked for"
            port.run(1000)
        return "; it was aborted"


def _cause(state: int) -> DmaCause:
    """Why a transfer failed, of DMA_STATE."""
    return DmaCause(state >> 8 & 0xFF)


def _check_free(state: int) -> None:
    """Raise UserError if the engine is busy, by DMA_STATE."""
    if state & 0xFF == DmaState.BUSY:
        is_aborted = _cause(state) is DmaCause.ABORTED
        raise UserError(
            "The DMA engine waits for answers to a transfer that was aborted."
            if is_aborted
            else "The DMA engine works for another transfer."
        )
