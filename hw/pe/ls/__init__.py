# SPDX-License-Identifier: Apache-2.0
"""Local memory: banks that all units of the element reach at once."""

from hw.pe.ls.local_memory import LS_LATENCY, LocalMemory, LsSlots, SlotKind

__all__ = ["LS_LATENCY", "LocalMemory", "LsSlots", "SlotKind"]
