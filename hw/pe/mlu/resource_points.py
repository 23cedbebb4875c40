# SPDX-License-Identifier: Apache-2.0
"""Points for `scripts/resources.py`: the memory layout unit and its largest part."""

from hw.pe.mlu.geometry import MluGeometry
from hw.pe.mlu.layout_unit import MemoryLayoutUnit
from hw.pe.mlu.transposer import Transposer

__all__ = ["RESOURCE_POINTS"]


def _transposer(word_bytes: int, address_width: int) -> Transposer:
    geometry = MluGeometry(word_bytes=word_bytes, address_width=address_width)
    return Transposer(geometry=geometry)


RESOURCE_POINTS = {
    "MemoryLayoutUnit, fpga": lambda: MemoryLayoutUnit(word_bytes=8, address_width=12),
    "Transposer, 8-byte word": lambda: _transposer(8, 12),
    "Transposer, 32-byte word": lambda: _transposer(32, 12),
}
"""Name to a function that makes the component."""
