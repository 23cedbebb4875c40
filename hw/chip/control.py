# SPDX-License-Identifier: Apache-2.0
"""The control block: registers, jobs, errors, what the host sees of the element and of the SRAM."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import COUNTERS, RANGE_REGISTERS, JobState
from hw.chip.job_machine import JobMachine
from hw.chip.registers import RegisterFile
from hw.iface.control import ControlPort
from hw.iface.limits import FabricLimits
from hw.mem.sram_slice import EccFault
from hw.pe.cp.traps import ElementTrap
from hw.pe.wqe import ListStart

__all__ = ["ControlBlock", "IDENTITY"]

IDENTITY = int.from_bytes(b"MTIA", "big")
"""Value of the ID register."""


class ControlBlock(wiring.Component):
    """Everything behind the control region of the address map.

    Operation: `hw/arch/csr.py` says what each register does, `JobMachine` how jobs run. `irq` is
    high while JOB_STATE is DONE or ERROR, so it falls with the next JOB_START. Error registers
    hold the first error of the last failed job; a start clears them. A fault or a counter snapshot
    asked for is sent at once.

    Timing: see `RegisterFile` and `JobMachine`.

    Parameters
    ----------
    config_id : value of the CONFIG register.
    count_width : bits of what one cycle may add to an ECC count.

    Members
    -------
    port : In(ControlPort), from the host port.
    job : Out(stream), to the work-queue engine. job_done, job_status : In, from it.
    limits : Out(FabricLimits), what the fabric interface may do.
    remote_hold : Out(1), keeps others from the element's local memory. remote_idle : In(1).
    trap, quiet, settled : In, state of the element. halt_request, element_reset : Out, to it.
    progress, debug_data : In(32). debug_select : Out(32).
    counting : Out(1), performance counters count. snapshot : Out(1), freeze them.
    counter_index, counter_word : Out; counter_data : In(32).
    inject : Out(stream.Signature(EccFault)). clear : Out(1), clearing : In(1).
    corrected, uncorrected : In, ECC events of this cycle.
    irq : Out(1).
    """

    def __init__(self, *, config_id: int, count_width: int) -> None:
        self.config_id = config_id
        super().__init__(
            {
                "port": In(ControlPort()),
                "job": Out(stream.Signature(ListStart)),
                "job_done": In(1),
                "job_status": In(32),
                "limits": Out(FabricLimits),
                "remote_hold": Out(1),
                "remote_idle": In(1),
                "trap": In(ElementTrap),
                "quiet": In(1),
                "settled": In(1),
                "halt_request": Out(1),
                "element_reset": Out(1),
                "progress": In(32),
                "debug_select": Out(32),
                "debug_data": In(32),
                "counting": Out(1),
                "snapshot": Out(1),
                "counter_index": Out(range(len(COUNTERS))),
                "counter_word": Out(1),
                "counter_data": In(32),
                "inject": Out(stream.Signature(EccFault)),
                "clear": Out(1),
                "clearing": In(1),
                "corrected": In(count_width),
                "uncorrected": In(count_width),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.registers = registers = RegisterFile(live=("SRAM_CLEAR",))
        m.submodules.jobs = jobs = JobMachine()
        wiring.connect(m, wiring.flipped(self.port), registers.port)
        wiring.connect(m, jobs.job, wiring.flipped(self.job))
        self._elaborate_job(m, registers, jobs)
        self._elaborate_memory(m, registers)
        self._elaborate_limits(m, registers)
        m.d.comb += [
            registers.id_read.eq(IDENTITY),
            registers.config_read.eq(self.config_id),
            registers.progress_read.eq(self.progress),
            registers.debug_data_read.eq(self.debug_data),
            self.debug_select.eq(registers.debug_select),
            self.snapshot.eq(registers.snapshot_write & registers.written[0]),
            self.counter_index.eq(registers.counter_index),
            self.counter_word.eq(registers.counter_word),
            registers.counter_data.eq(self.counter_data),
        ]
        return m

    def _elaborate_job(self, m: Module, registers: RegisterFile, jobs: JobMachine) -> None:
        """Job registers, and the first error."""
        status, error = Signal(32), Signal(ElementTrap)
        m.d.comb += [
            jobs.start.eq(registers.job_start_write & registers.written[0]),
            jobs.abort.eq(registers.job_abort_write & registers.written[0]),
            jobs.address.eq(Cat(registers.job_list_lo, registers.job_list_hi)),
            jobs.quads.eq(registers.job_list_quads),
            jobs.job_done.eq(self.job_done),
            jobs.trapped.eq(self.trap.valid),
            jobs.quiet.eq(self.quiet),
            jobs.settled.eq(self.settled),
            jobs.remote_idle.eq(self.remote_idle),
            self.remote_hold.eq(jobs.remote_hold),
            self.halt_request.eq(jobs.halt_request),
            self.element_reset.eq(jobs.element_reset),
            self.counting.eq(jobs.running),
            registers.job_state_read.eq(jobs.state),
            registers.job_status_read.eq(status),
            registers.job_cycles_lo_read.eq(jobs.cycles[:32]),
            registers.job_cycles_hi_read.eq(jobs.cycles[32:]),
            registers.error_cause_read.eq(error.cause),
            registers.error_unit_read.eq(Cat(error.unit, error.opcode, error.tag)),
            registers.error_info_read.eq(error.info),
            self.irq.eq((jobs.state == JobState.DONE) | (jobs.state == JobState.ERROR)),
        ]
        with m.If(jobs.ended):
            m.d.sync += status.eq(self.job_status)
        with m.If(jobs.failed):
            m.d.sync += error.eq(self.trap)
        with m.Elif(jobs.element_reset & (jobs.state == JobState.RUNNING)):
            m.d.sync += [error.eq(0), status.eq(0)]

    def _elaborate_memory(self, m: Module, registers: RegisterFile) -> None:
        """Error counts and fault injection of the shared SRAM."""
        corrected, uncorrected = Signal(32), Signal(32)
        fault = self.inject.payload
        m.d.sync += [
            corrected.eq(corrected + self.corrected),
            uncorrected.eq(uncorrected + self.uncorrected),
        ]
        m.d.comb += [
            registers.ecc_corrected_read.eq(corrected),
            registers.ecc_uncorrected_read.eq(uncorrected),
            fault.address.eq(Cat(registers.ecc_inject_lo, registers.ecc_inject_hi)),
            self.clear.eq(registers.sram_clear_write & registers.written[0]),
            registers.sram_clear_read.eq(self.clearing),
        ]
        with m.If(registers.ecc_inject_write):
            m.d.sync += [
                self.inject.valid.eq(1),
                fault.bit0.eq(registers.written[0:7]),
                fault.bit1.eq(registers.written[8:15]),
                fault.n.eq(registers.written[16:18]),
            ]
        with m.Elif(self.inject.ready):
            m.d.sync += self.inject.valid.eq(0)

    def _elaborate_limits(self, m: Module, registers: RegisterFile) -> None:
        """Address ranges and rates."""
        for one, names in zip(self.limits.ranges, RANGE_REGISTERS, strict=True):
            first, last, access = (getattr(registers, r.name.lower()) for r in names)
            m.d.comb += [
                one.first.eq(first),
                one.last.eq(last),
                one.may_read.eq(access[0]),
                one.may_write.eq(access[1]),
            ]
        m.d.comb += [
            Cat(self.limits.read.rate, self.limits.read.burst).eq(registers.fi_read_shape),
            Cat(self.limits.write.rate, self.limits.write.burst).eq(registers.fi_write_shape),
        ]
