# SPDX-License-Identifier: Apache-2.0
"""Codes of the host's DMA engine."""

import enum

__all__ = ["DMA_REFUSED", "DMA_TEXT", "DmaCause", "DmaState", "DmaWay"]


class DmaWay(enum.IntEnum):
    """What DMA_START starts."""

    TO_CHIP = 1
    TO_HOST = 2


class DmaState(enum.IntEnum):
    """DMA_STATE, bits 7:0."""

    IDLE = 0
    BUSY = 1
    DONE = 2
    ERROR = 3


class DmaCause(enum.IntEnum):
    """DMA_STATE, bits 15:8: why a transfer ended in ERROR, or is about to while BUSY."""

    NONE = 0
    MISALIGNED = 1
    HOST_MEMORY = 2
    CHIP_MEMORY = 3
    POISON = 4
    ABORTED = 5


DMA_REFUSED = 1 << 16
"""DMA_STATE: the last DMA_START started nothing."""

DMA_TEXT: dict[DmaCause, str] = {
    DmaCause.NONE: "no error",
    DmaCause.MISALIGNED: "an address is no multiple of a line of memory, or there are no bytes",
    DmaCause.HOST_MEMORY: "the host's memory refused an access",
    DmaCause.CHIP_MEMORY: "an address lies outside the chip's memories, or its memory refused",
    DmaCause.POISON: "a memory word with an uncorrectable error was read",
    DmaCause.ABORTED: "the host aborted it",
}
"""One clause for each cause, for people."""
