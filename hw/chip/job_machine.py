# SPDX-License-Identifier: Apache-2.0
"""The life of a job: start, completion, error, abort."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import JobState
from hw.pe.wqe import ListStart

__all__ = ["JobMachine"]

_CYCLE_BITS = 48


class JobMachine(wiring.Component):
    """Runs one job at a time on the element.

    Operation: `start` waits until the element is `settled` (lines that it read ahead may still be
    on their way), resets it for one cycle, so that every job finds it alike (local memory keeps its
    contents), then sends the job. It ends

    * DONE with `job_done`;
    * ERROR after a trap or `abort`: the element halts; when it is `quiet` (nothing of it is under
      way any more) it is reset for one cycle and can be used again.

    Before each reset others are kept from the element's local memory (`remote_hold`) until nobody's
    access is under way (`remote_idle`), since its answer would be lost. That begins when the
    element itself asks nobody any more, so two elements never wait for one another.

    `start` is ignored while a job runs or is being drained, `abort` while none runs. Both `abort`
    and `job_done` in one cycle: the job is done.

    Timing: the job leaves on `job` 3 cycles after `start` at an element that was settled in the
    cycle before. `cycles` counts from the cycle after `start` to the one with `job_done` or the end
    of draining. What the element says is seen a cycle late, and `remote_hold` is a register: both
    ways are long.

    Members
    -------
    start, abort : In(1), pulses. address, quads : In, of the command list.
    job : Out(stream.Signature(ListStart)).
    settled : In(1), nothing that the element asked for is under way.
    job_done : In(1), pulse. trapped : In(1), held by the element until reset. quiet : In(1).
    remote_hold : Out(1). remote_idle : In(1).
    halt_request : Out(1), held until quiet. element_reset : Out(1), a register, high at power-on.
    state : Out(JobState). cycles : Out(48). running : Out(1), `cycles` counts.
    ended, failed : Out(1), pulses: completion; the error registers are to be filled.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "abort": In(1),
                "address": In(ADDRESS_BITS),
                "quads": In(32),
                "job": Out(stream.Signature(ListStart)),
                "settled": In(1),
                "job_done": In(1),
                "trapped": In(1),
                "quiet": In(1),
                "remote_hold": Out(1),
                "remote_idle": In(1),
                "halt_request": Out(1),
                "element_reset": Out(1, init=1),
                "state": Out(3),
                "cycles": Out(_CYCLE_BITS),
                "running": Out(1),
                "ended": Out(1),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        abort_wanted = Signal()
        was_settled, was_trapped = Signal(), Signal()
        m.d.sync += [
            self.element_reset.eq(0),
            self.remote_hold.eq(0),
            was_settled.eq(self.settled),
            was_trapped.eq(self.trapped),
        ]
        m.d.comb += [
            self.job.payload.address.eq(self.address),
            self.job.payload.quads.eq(self.quads),
        ]
        with m.If(self.running):
            m.d.sync += [
                self.cycles.eq(self.cycles + 1),
                abort_wanted.eq(abort_wanted | self.abort),
            ]
        with m.FSM(name="phase"):
            with m.State("REST"):
                with m.If(self.start):
                    m.d.sync += [
                        self.state.eq(JobState.RUNNING),
                        self.cycles.eq(0),
                        self.running.eq(1),
                        self.remote_hold.eq(was_settled),
                    ]
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.sync += self.remote_hold.eq(was_settled)
                self._reset_when_alone(m, "RESET")
            with m.State("RESET"):
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.job.valid.eq(1)
                with m.If(self.job.ready):
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.job_done):
                    m.d.comb += self.ended.eq(1)
                    self._rest(m, JobState.DONE, abort_wanted)
                with m.Elif(was_trapped | abort_wanted):
                    m.d.sync += self.state.eq(JobState.ABORTING)
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += [
                    self.halt_request.eq(1),
                    self.failed.eq(self.remote_hold & self.remote_idle),
                ]
                m.d.sync += self.remote_hold.eq(self.quiet)
                self._reset_when_alone(m, "RECOVER")
            with m.State("RECOVER"):
                self._rest(m, JobState.ERROR, abort_wanted)
        return m

    def _reset_when_alone(self, m: Module, following: str) -> None:
        """Reset the element when others are kept from it and have what they asked for."""
        with m.If(self.remote_hold & self.remote_idle):
            m.d.sync += [self.element_reset.eq(1), self.remote_hold.eq(1)]
            m.next = following

    def _rest(self, m: Module, state: JobState, abort_wanted: Signal) -> None:
        """The job is over."""
        m.d.sync += [self.state.eq(state), self.running.eq(0), abort_wanted.eq(0)]
        m.next = "REST"
