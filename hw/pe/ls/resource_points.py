# SPDX-License-Identifier: Apache-2.0
"""What `scripts/resources.py` measures of local memory."""

from hw.config.presets import get_config
from hw.pe.ls.arbiter import BankArbiter
from hw.pe.ls.local_memory import LocalMemory, LsSlots, SlotKind
from hw.pe.slots import element_slots

__all__ = ["RESOURCE_POINTS"]

_SLOTS = (
    LsSlots(name="dpe", kind=SlotKind.READ, group="dpe", count=2),
    LsSlots(name="fi_in", kind=SlotKind.WRITE, group="fi", count=4),
    LsSlots(name="re_out", kind=SlotKind.WRITE, group="re", count=4),
    LsSlots(name="others", kind=SlotKind.READ, group="fi", count=3),
)


def _of_element(member: str) -> LocalMemory:
    """The local memory of a member's element."""
    config = get_config(member).pe
    return LocalMemory(config=config.ls, slots=element_slots(config, with_cores=False))


RESOURCE_POINTS = {
    "BankArbiter, 13 slots, 8 banks": lambda: BankArbiter(n_slots=13, n_banks=8),
    "BankArbiter, 13 slots, 16 banks": lambda: BankArbiter(n_slots=13, n_banks=16),
    "LocalMemory, tiny": lambda: LocalMemory(config=get_config("tiny").pe.ls, slots=_SLOTS),
    "LocalMemory, fpga": lambda: _of_element("fpga"),
}
"""Label to factory."""
