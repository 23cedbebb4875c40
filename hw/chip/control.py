# SPDX-License-Identifier: Apache-2.0
"""The control block of a chip with one element: what the host sees of the element and the SRAM."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib.wiring import Out

from hw.arch.csr import REGISTERS, JobState
from hw.chip.element_control import ElementControl
from hw.chip.job_machine import JobMachine
from hw.chip.memory_control import elaborate_memory_control, memory_control_members
from hw.chip.registers import RegisterFile

__all__ = ["ControlBlock", "IDENTITY"]

IDENTITY = int.from_bytes(b"MTIA", "big")
"""Value of the ID register."""


class ControlBlock(ElementControl):
    """Everything behind the control region of the address map.

    Operation: as `ElementControl`. `irq` is high while JOB_STATE is DONE or ERROR, so it falls with
    the next JOB_START. A fault asked for is sent at once.

    Parameters
    ----------
    config_id : value of the CONFIG register.
    count_width : bits of what one cycle may add to an ECC count.

    Members
    -------
    irq : Out(1). Others: see `ElementControl` and `memory_control_members`.
    """

    def __init__(self, *, config_id: int, count_width: int) -> None:
        self.config_id = config_id
        super().__init__(
            registers=RegisterFile(registers=REGISTERS.values(), live=("SRAM_CLEAR",)),
            members={"irq": Out(1), **memory_control_members(count_width)},
        )

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        elaborate_memory_control(m, self, self.registers)
        m.d.comb += [
            self.registers.id_read.eq(IDENTITY),
            self.registers.config_read.eq(self.config_id),
        ]
        return m

    def _elaborate_start(self, m: Module, jobs: JobMachine) -> None:
        registers = self.registers
        m.d.comb += [
            jobs.start.eq(registers.job_start_write & registers.written[0]),
            jobs.abort.eq(registers.job_abort_write & registers.written[0]),
            jobs.address.eq(Cat(registers.job_list_lo, registers.job_list_hi)),
            jobs.quads.eq(registers.job_list_quads),
            self.irq.eq((jobs.state == JobState.DONE) | (jobs.state == JobState.ERROR)),
        ]
