# SPDX-License-Identifier: Apache-2.0
"""The control registers of one element: its jobs, limits, errors, counters and debug port."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import COUNTERS, RANGE_REGISTERS, JobState
from hw.chip.job_machine import JobMachine
from hw.chip.registers import RegisterFile
from hw.iface.control import ControlPort
from hw.iface.limits import FabricLimits
from hw.pe.cp.traps import ElementTrap
from hw.pe.wqe import ListStart

__all__ = ["ElementControl"]


class ElementControl(wiring.Component):
    """What every control block of an element does; those of a chip and of a grid add to it.

    Operation: `hw/arch/csr.py` says what each register does, `JobMachine` how jobs run. Error
    registers hold the first error of the last failed job; the start of the next one clears them. A
    counter snapshot asked for is sent at once.

    Timing: see `RegisterFile` and `JobMachine`.

    Parameters
    ----------
    registers : the registers.
    members : ports beside those below.

    Members
    -------
    port : In(ControlPort), accesses.
    job : Out(stream), to the work-queue engine. job_done, job_status : In, from it.
    limits : Out(FabricLimits), what the fabric interface may do.
    remote_hold : Out(1), keeps others from the element's local memory. remote_idle : In(1).
    trap, quiet, settled : In, state of the element. halt_request, element_reset : Out, to it.
    progress, debug_data : In(32). debug_select : Out(32).
    counting : Out(1), performance counters count. snapshot : Out(1), freeze them.
    counter_index, counter_word : Out; counter_data : In(32).
    """

    def __init__(self, *, registers: RegisterFile, members: dict[str, Any]) -> None:
        self.registers = registers
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
                **members,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.registers = registers = self.registers
        m.submodules.jobs = jobs = JobMachine()
        wiring.connect(m, wiring.flipped(self.port), registers.port)
        wiring.connect(m, jobs.job, wiring.flipped(self.job))
        self._elaborate_start(m, jobs)
        self._elaborate_job(m, jobs)
        self._elaborate_limits(m)
        m.d.comb += [
            registers.progress_read.eq(self.progress),
            registers.debug_data_read.eq(self.debug_data),
            self.debug_select.eq(registers.debug_select),
            self.snapshot.eq(registers.snapshot_write & registers.written[0]),
            self.counter_index.eq(registers.counter_index),
            self.counter_word.eq(registers.counter_word),
            registers.counter_data.eq(self.counter_data),
        ]
        return m

    def _elaborate_start(self, m: Module, jobs: JobMachine) -> None:
        """Which list starts, and when; and when it is aborted."""
        raise NotImplementedError

    def _elaborate_job(self, m: Module, jobs: JobMachine) -> None:
        """Job registers, and the first error."""
        registers, status, error = self.registers, Signal(32), Signal(ElementTrap)
        m.d.comb += [
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
        ]
        with m.If(jobs.ended):
            m.d.sync += status.eq(self.job_status)
        with m.If(jobs.failed):
            m.d.sync += error.eq(self.trap)
        with m.Elif(jobs.element_reset & (jobs.state == JobState.RUNNING)):
            m.d.sync += [error.eq(0), status.eq(0)]

    def _setting(self, name: str) -> Any:
        """Value of a limit's register that holds for the job that runs."""
        return getattr(self.registers, name)

    def _elaborate_limits(self, m: Module) -> None:
        """Address ranges and rates."""
        for one, names in zip(self.limits.ranges, RANGE_REGISTERS, strict=True):
            first, last, access = (self._setting(r.name.lower()) for r in names)
            m.d.comb += [
                one.first.eq(first),
                one.last.eq(last),
                one.may_read.eq(access[0]),
                one.may_write.eq(access[1]),
            ]
        m.d.comb += [
            Cat(self.limits.read.rate, self.limits.read.burst).eq(self._setting("fi_read_shape")),
            Cat(self.limits.write.rate, self.limits.write.burst).eq(
                self._setting("fi_write_shape")
            ),
        ]
