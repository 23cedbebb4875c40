# SPDX-License-Identifier: Apache-2.0
"""Who reaches local memory, and in what order."""

from hw.config.element import PeConfig
from hw.pe.ls import LsSlots, SlotKind

__all__ = ["N_CORES", "element_slots"]

N_CORES = 2
"""RISC-V cores of an element, each with a command port and a port into local memory."""


def element_slots(config: PeConfig, *, with_cores: bool) -> tuple[LsSlots, ...]:
    """Slots of an element's local memory, in order of priority."""
    read, write = SlotKind.READ, SlotKind.WRITE
    n_row_words = 4 * config.dpe.columns // config.ls.word_bytes
    slots = (
        LsSlots(name="dpe_a", kind=read, group="dpe"),
        LsSlots(name="dpe_b", kind=read, group="dpe"),
        LsSlots(name="fi_in", kind=write, group="fi", count=4),
        LsSlots(name="re_out", kind=write, group="re", count=n_row_words),
        LsSlots(name="se_out", kind=write, group="se", count=2),
        LsSlots(name="fi_out", kind=read, group="fi", count=2),
        LsSlots(name="re_in", kind=read, group="re"),
        LsSlots(name="se_a", kind=read, group="se", count=2),
        LsSlots(name="se_b", kind=read, group="se", count=2),
        LsSlots(name="mlu_in", kind=read, group="mlu"),
        LsSlots(name="mlu_out", kind=write, group="mlu"),
        LsSlots(name="fi_index", kind=read, group="fi"),
        LsSlots(name="remote_read", kind=read, group="remote", count=2),
        LsSlots(name="remote_write", kind=write, group="remote", count=2),
    )
    if with_cores:
        slots += (
            LsSlots(name="core_read", kind=read, group="core", count=N_CORES),
            LsSlots(name="core_write", kind=write, group="core", count=N_CORES),
        )
    return slots
