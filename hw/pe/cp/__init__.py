# SPDX-License-Identifier: Apache-2.0
"""The command processor: it takes commands, checks and queues them, and owns the buffers."""

from hw.pe.cp.cb_table import CircularBufferTable
from hw.pe.cp.limits import ALL_UNITS, BASE_UNITS, CheckLimits
from hw.pe.cp.processor import SOURCES, CommandProcessor

__all__ = [
    "ALL_UNITS",
    "BASE_UNITS",
    "SOURCES",
    "CheckLimits",
    "CircularBufferTable",
    "CommandProcessor",
]
