# SPDX-License-Identifier: Apache-2.0
"""What `scripts/resources.py` measures of the shared SRAM."""

from hw.mem.sram_slice import SramSlice

__all__ = ["RESOURCE_POINTS"]

_TAGS = {"read_tag_width": 7, "write_tag_width": 6}

_FPGA = {"size_bytes": 1 << 17, "link_bytes": 16, "read_tag_width": 6, "write_tag_width": 6}

RESOURCE_POINTS = {
    "SramSlice, fpga": lambda: SramSlice(**_FPGA),
    "SramSlice, fpga, no ECC": lambda: SramSlice(ecc=False, **_FPGA),
    "SramSlice, 16-byte lines, 64 KB": lambda: SramSlice(
        size_bytes=1 << 16, link_bytes=16, **_TAGS
    ),
    "SramSlice, 16-byte lines, 64 KB, no ECC": lambda: SramSlice(
        size_bytes=1 << 16, link_bytes=16, ecc=False, **_TAGS
    ),
    "SramSlice, 64-byte lines, 64 KB": lambda: SramSlice(
        size_bytes=1 << 16, link_bytes=64, **_TAGS
    ),
}
"""Label to factory."""
