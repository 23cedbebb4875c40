# SPDX-License-Identifier: Apache-2.0
"""What `scripts/resources.py` measures of local memory."""

from hw.config.presets import get_config
from hw.pe.ls.arbiter import BankArbiter
from hw.pe.ls.local_memory import LocalMemory, LsSlots, SlotKind

__all__ = ["RESOURCE_POINTS"]

_SLOTS = (
    LsSlots(name="dpe", kind=SlotKind.READ, group="dpe", count=2),
    LsSlots(name="fi_in", kind=SlotKind.WRITE, group="fi", count=4),
    LsSlots(name="re_out", kind=SlotKind.WRITE, group="re", count=4),
    LsSlots(name="others", kind=SlotKind.READ, group="fi", count=3),
)

RESOURCE_POINTS = {
    "BankArbiter, 13 slots, 8 banks": lambda: BankArbiter(n_slots=13, n_banks=8),
    "BankArbiter, 13 slots, 16 banks": lambda: BankArbiter(n_slots=13, n_banks=16),
    "LocalMemory, tiny": lambda: LocalMemory(config=get_config("tiny").pe.ls, slots=_SLOTS),
}
"""Label to factory."""
