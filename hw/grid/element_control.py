# SPDX-License-Identifier: Apache-2.0
"""The control registers of an element in a grid: a queue of jobs, and reports of their ends."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import ELEMENT_REGISTERS, JOB_SETTINGS, N_GROUPS, N_JOBS, JobState
from hw.arch.traffic import ELEMENT_TRAFFIC
from hw.arch.units import Unit
from hw.chip.element_control import ElementControl
from hw.chip.job_machine import JobMachine
from hw.chip.registers import RegisterFile
from hw.grid.control_flits import ended_layout
from hw.grid.first_waiting import FirstWaiting
from hw.grid.job_settings import settings_init, settings_layout
from hw.grid.list_ahead import QueueEvents
from hw.grid.signal_flits import RUN_BITS
from hw.grid.signal_node import RunPhase
from hw.grid.traffic import TrafficCounters
from hw.iface.trace import UnitTrace
from hw.lib.elastic import StreamFifo

__all__ = ["JOBS_QUEUED", "GridElementControl"]

JOBS_QUEUED = 2
"""Jobs that an element has at a time: one that runs, one that waits."""
_SIGNALS_KEPT = 8
_JOB_AT = 8  # bit of JOB_START at which the job's number begins
_RUN_AT = 16  # and that of the run, which the chip adds


def _job_layout() -> data.StructLayout:
    """A job in the queue."""
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "quads": 32,
            "job": range(N_JOBS),
            "run": RUN_BITS,
            "settings": settings_layout(),
        }
    )


class GridElementControl(ElementControl):
    """Runs the jobs that a grid starts on this element, in order, and reports each one's end.

    Operation: as `ElementControl`; JOB_START puts a job into the queue, with the list address that
    the element's place in the grid gives. When a job fails, those that wait fail with it, with the
    same cause: their operands may be its results. An abort is for a job's number, or for all. It is
    kept until that job has left; a job that comes later knows nothing of it. The error registers
    keep what they hold until the next job starts. A start while `JOBS_QUEUED` jobs are there is
    ignored; the grid's control starts none then. Traffic counters begin with each job, as
    performance counters do.

    Limits and groups (`JOB_SETTINGS`) are a job's own: JOB_START puts what their registers hold
    into the queue with it. From the cycle after the element's reset between two jobs on they are
    those of the second, so neither writes nor other jobs change them while one runs.

    Timing: a job leaves on `job` 5 cycles after the write to JOB_START was taken, at a settled
    element that has no other. It is reported 1 cycle after its end, those that fail with it in the
    cycles that follow; the next one leaves on `job` 4 cycles after that end.

    Members
    -------
    row, column : In(4), the element's place; constant.
    ended : Out(stream.Signature(ended_layout())), jobs that ended.
    moved : Out(1), PROGRESS changed.
    units : In(UnitTrace).array(units), what each unit is doing.
    traffic : In(len(ELEMENT_TRAFFIC)), what passes at the element's taps, links and lanes.
    groups : Out(32).array(N_GROUPS), the job's MULTICAST registers.
    has_failed : Out(1), its last job failed, or is about to; until the next one starts.
    phase : Out(RunPhase), the job for which the element takes signals.
    queue_events : Out(QueueEvents), jobs that come to wait, begin and leave; for `ListAhead`.
    signal : Out(stream.Signature(5)), counters that the host signals.
    Others: see `ElementControl`.
    """

    def __init__(self) -> None:
        super().__init__(
            registers=RegisterFile(
                registers=ELEMENT_REGISTERS.values(), with_traffic=True, live=JOB_SETTINGS
            ),
            members={
                "row": In(4),
                "column": In(4),
                "ended": Out(stream.Signature(ended_layout())),
                "moved": Out(1),
                "units": In(UnitTrace).array(Unit.CP),
                "traffic": In(len(ELEMENT_TRAFFIC)),
                "groups": Out(32).array(N_GROUPS),
                "has_failed": Out(1),
                "phase": Out(RunPhase),
                "queue_events": Out(QueueEvents),
                "signal": Out(stream.Signature(5)),
            },
        )

    def elaborate(self, platform: Any) -> Module:
        self._settings = Signal(settings_layout(), init=settings_init())  # of the job that runs
        m = super().elaborate(platform)
        # PROGRESS counts, so its lowest bit changes whenever it does.
        seen = Signal()
        m.d.sync += seen.eq(self.progress[0])
        m.d.comb += self.moved.eq(self.progress[0] ^ seen)
        m.submodules.first = first = FirstWaiting()
        m.d.comb += [mine.eq(theirs) for mine, theirs in zip(first.units, self.units, strict=True)]
        m.d.comb += [
            self.registers.wait_unit_read.eq(first.command),
            self.registers.wait_state_read.eq(first.state),
        ]
        for number, group in enumerate(self.groups):
            m.d.comb += group.eq(self._setting(f"multicast{number}"))
        # The host's writes to one register are eight cycles apart, so the element keeps up; those
        # to one that is about to start wait here.
        m.submodules.signals = signals = StreamFifo(shape=5, depth=_SIGNALS_KEPT)
        wiring.connect(m, signals.o, wiring.flipped(self.signal))
        m.d.comb += [
            signals.i.valid.eq(self.registers.signal_write),
            signals.i.payload.eq(self.registers.written),
        ]
        state = self.registers.job_state_read
        m.d.comb += self.has_failed.eq((state == JobState.ABORTING) | (state == JobState.ERROR))
        return m

    def _setting(self, name: str) -> Any:
        return self._settings[name]

    def _elaborate_job(self, m: Module, jobs: JobMachine) -> None:
        """Job registers and the first error; traffic of the job."""
        super()._elaborate_job(m, jobs)
        registers = self.registers
        m.submodules.traffic = traffic = TrafficCounters(names=[c.name for c in ELEMENT_TRAFFIC])
        m.d.comb += [
            traffic.events.eq(self.traffic),
            traffic.port.freeze.eq(self.snapshot),
            traffic.port.clear.eq(jobs.element_reset & (jobs.state == JobState.RUNNING)),
            traffic.port.index.eq(registers.traffic_index),
            registers.traffic_data.eq(traffic.port.value),
        ]

    def _elaborate_start(self, m: Module, jobs: JobMachine) -> None:
        """Take jobs from the queue; a failed one takes those behind it along."""
        registers = self.registers
        m.submodules.waiting = waiting = StreamFifo(shape=_job_layout(), depth=JOBS_QUEUED)
        m.submodules.reports = reports = StreamFifo(shape=ended_layout(), depth=JOBS_QUEUED)
        wiring.connect(m, reports.o, wiring.flipped(self.ended))
        n_jobs, error_job = Signal(range(JOBS_QUEUED + 1)), Signal(range(N_JOBS))
        flushing = Signal()  # jobs that wait fail with the one before
        cause = Signal(8)
        added, left, leaves = Signal(), Signal(), Signal()
        now, report = waiting.o.payload, reports.i.payload
        m.d.comb += [
            added.eq(registers.job_start_write & registers.written[0] & (n_jobs != JOBS_QUEUED)),
            left.eq(self.ended.valid & self.ended.ready),
            waiting.i.valid.eq(added),
            waiting.i.payload.address.eq(self._list_address()),
            waiting.i.payload.quads.eq(registers.job_list_quads),
            waiting.i.payload.job.eq(registers.written[_JOB_AT:]),
            waiting.i.payload.run.eq(registers.written[_RUN_AT:]),
            jobs.start.eq(waiting.o.valid & ~flushing),
            jobs.abort.eq(self._elaborate_abort(m, added, leaves, now.job) & jobs.running),
            jobs.address.eq(now.address),
            jobs.quads.eq(now.quads),
            leaves.eq(jobs.ended | jobs.failed | (flushing & waiting.o.valid)),
            waiting.o.ready.eq(leaves),
            # Never refused: a job is counted until its report has left.
            reports.i.valid.eq(leaves),
            report.job.eq(now.job),
            report.failed.eq(jobs.failed | flushing),
            report.cause.eq(cause),
            registers.job_queue_read.eq(n_jobs),
            registers.error_job_read.eq(error_job),
        ]
        m.d.sync += [n_jobs.eq(n_jobs + added - left), flushing.eq(flushing & waiting.o.valid)]
        with m.If(~flushing):
            m.d.comb += cause.eq(self.trap.cause)
        with m.Else():
            m.d.comb += cause.eq(registers.error_cause_read)
        with m.If(jobs.failed):
            m.d.sync += [flushing.eq(1), error_job.eq(now.job)]
        m.d.comb += [
            self.phase.run.eq(now.run),
            self.phase.prepares.eq(waiting.o.valid & ~self.phase.works & ~flushing),
        ]
        with m.If(jobs.element_reset & (jobs.state == JobState.RUNNING)):
            m.d.sync += self.phase.works.eq(1)
        with m.Elif(leaves):
            m.d.sync += self.phase.works.eq(0)
        m.d.comb += [
            # Who comes while the first one leaves, or is taken along, starts at once or not at all.
            self.queue_events.waits.eq(added & waiting.o.valid & ~leaves & ~flushing),
            self.queue_events.list.address.eq(waiting.i.payload.address),
            self.queue_events.list.quads.eq(waiting.i.payload.quads),
            self.queue_events.begins.eq(jobs.job.valid & jobs.job.ready),
            self.queue_events.leaves.eq(leaves),
            self.queue_events.fails.eq(report.failed),
        ]
        self._elaborate_settings(m, jobs, waiting)

    def _elaborate_settings(self, m: Module, jobs: JobMachine, waiting: StreamFifo) -> None:
        """Settings go with a job through the queue, and hold from its element's reset on."""
        for name in settings_layout().members:
            m.d.comb += [
                waiting.i.payload.settings[name].eq(getattr(self.registers, name)),
                getattr(self.registers, f"{name}_read").eq(self._settings[name]),
            ]
        with m.If(jobs.element_reset & (jobs.state == JobState.RUNNING)):
            m.d.sync += self._settings.eq(waiting.o.payload.settings)

    def _elaborate_abort(self, m: Module, added: Value, leaves: Value, now: Value) -> Value:
        """Whether the job `now` is to be aborted: aborts are kept by the number of their job."""
        registers, aborted = self.registers, Signal(N_JOBS)
        number = registers.written[_JOB_AT:]  # of a job that is added, too
        for job in range(N_JOBS):
            # Who has left hears no more of an abort, who is added has not heard of one before.
            with m.If((leaves & (now == job)) | (added & (number[: len(now)] == job))):
                m.d.sync += aborted[job].eq(0)
            with m.Elif(
                registers.job_abort_write
                & (registers.written[0] | (registers.written[1] & (number == job)))
            ):
                m.d.sync += aborted[job].eq(1)
        return aborted.bit_select(now, 1)

    def _list_address(self) -> Any:
        registers = self.registers
        return (
            Cat(registers.job_list_lo, registers.job_list_hi[: ADDRESS_BITS - 32])
            + self.row * registers.job_row_stride
            + self.column * registers.job_col_stride
        )[:ADDRESS_BITS]
