# SPDX-License-Identifier: Apache-2.0
"""The 40-bit physical address map, as the host's AXI4 port, the elements and the DRAM ports see
it."""

import dataclasses

__all__ = [
    "ADDRESS_BITS",
    "CONTROL",
    "DRAM",
    "PE_WINDOWS",
    "PE_WINDOW_BYTES",
    "PE_WINDOW_COLUMNS",
    "REGIONS",
    "SRAM",
    "Region",
    "window_base",
]

ADDRESS_BITS = 40


@dataclasses.dataclass(frozen=True)
class Region:
    """A region: `base` and the `span` that decodes to it; how much of it exists depends on the
    member."""

    name: str
    base: int
    span: int
    doc: str


SRAM = Region("sram", 0x00_0000_0000, 1 << 36, "shared SRAM")
DRAM = Region("dram", 0x10_0000_0000, 1 << 36, "external memory")
PE_WINDOWS = Region(
    "pe", 0x20_0000_0000, 1 << 36, "local memories of the elements, a window of 16 MB for each"
)
CONTROL = Region("control", 0x30_0000_0000, 1 << 36, "control registers, 32 bits each, host only")

PE_WINDOW_BYTES = 1 << 24
"""Window of one element in `PE_WINDOWS`: local memory at its start, nothing behind it."""

PE_WINDOW_COLUMNS = 16
"""Windows of a row: a chip has at most so many rows and columns."""

REGIONS = (SRAM, DRAM, PE_WINDOWS, CONTROL)
"""Every region; bits 37:36 of an address select one, bits 39:38 must be zero."""


def window_base(row: int, column: int) -> int:
    """Address of the first byte of an element's local memory."""
    return PE_WINDOWS.base + (row * PE_WINDOW_COLUMNS + column) * PE_WINDOW_BYTES
