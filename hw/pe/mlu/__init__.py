# SPDX-License-Identifier: Apache-2.0
"""Memory layout unit."""

from hw.pe.mlu.layout_unit import MemoryLayoutUnit

__all__ = ["MemoryLayoutUnit"]
