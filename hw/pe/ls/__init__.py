# SPDX-License-Identifier: Apache-2.0
"""Local memory: banks that all units of the element reach at once."""

from hw.pe.ls.local_memory import LocalMemory, LsSlots, SlotKind

__all__ = ["LocalMemory", "LsSlots", "SlotKind"]
