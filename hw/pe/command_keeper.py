# SPDX-License-Identifier: Apache-2.0
"""What a unit that moves data has to say to the command processor."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.units import State
from hw.iface.pe import Completion, TrapReport, UnitStatus
from hw.lib.elastic import StreamFifo

__all__ = ["CommandKeeper", "keeper_members", "report_layout"]

_COMMANDS_IN_FLIGHT = 4


def report_layout() -> data.StructLayout:
    """An error; `valid` in the cycle in which it is seen."""
    return data.StructLayout({"valid": 1, "cause": 8, "tag": 16, "info": 32})


def keeper_members() -> dict[str, wiring.Member]:
    """What a `CommandKeeper` is told and says of any unit, by name."""
    return {
        "halt": In(1),
        "started": In(1),
        "header": In(Completion),
        "may_start": Out(1),
        "ends": In(1),
        "completion": Out(stream.Signature(Completion, always_ready=True)),
        "step_done": In(1),
        "transfers": In(1),
        "cb": In(6),
        "tag": In(16),
        "stop": Out(1),
        "idle": Out(1),
        "trap": Out(TrapReport),
        "status": Out(UnitStatus),
    }


class CommandKeeper(wiring.Component):
    """Keeps the commands in flight, the trap and the status of a unit.

    Operation
        1. Every command that starts is noted; it is complete when its last transfer `ends`.
        2. The first fault is kept as the trap. From then on, and under `halt`, `stop` is high and
           nothing is complete any more.
        3. The first of `progress` that is set names the state; none of them: BUSY, as in a
           command's first cycles.

    Timing
        `completion` in the cycle of `ends`, `status` (but for its count) in that of its causes;
        trap and stop one cycle after theirs.

    Parameters
    ----------
    progress : names of what may happen in a cycle, each with the state that it makes.
    draining : state of a stopped unit while transfers are in flight.

    Members
    -------
    halt : In(1), from the command processor.
    started : In(1), a command starts.
    header : In(Completion), its signal fields.
    may_start : Out(1), a command may start.
    ends : In(1), the last transfer of the oldest command is done.
    completion : Out(stream.Signature(Completion, always_ready=True)), commands done.
    step_done : In(1), a step is done.
    fault : In(report_layout()), something failed. fault_opcode : In(8), in a command of this code.
    transfers : In(1), transfers or reports are in flight.
    progress : In(StructLayout of a bit for each name), what happens.
    cb : In(6), circular buffer that is waited for, or in use.
    opcode : In(8), tag : In(16), of the command in use.
    stop : Out(1), start nothing new.
    running : Out(1), a command is not complete.
    idle : Out(1), nothing runs and nothing is in flight.
    trap : Out(TrapReport), the first fault.
    status : Out(UnitStatus), for counters and triage.
    """

    def __init__(self, *, progress: Sequence[tuple[str, State]], draining: State) -> None:
        self.states = tuple(progress)
        self.draining = draining
        super().__init__(
            {
                **keeper_members(),
                "fault": In(report_layout()),
                "fault_opcode": In(8),
                "progress": In(data.StructLayout({name: 1 for name, _ in self.states})),
                "opcode": In(8),
                "running": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.headers = headers = StreamFifo(shape=Completion, depth=_COMMANDS_IN_FLIGHT)
        m.d.comb += [
            self.may_start.eq(headers.i.ready),
            headers.i.valid.eq(self.started),
            headers.i.payload.eq(self.header),
            headers.o.ready.eq(self.ends),
            self.running.eq(headers.o.valid),
            self.completion.valid.eq(self.ends & ~self.stop),
            self.completion.payload.eq(headers.o.payload),
            self.idle.eq(~self.transfers & (self.stop | ~headers.o.valid)),
        ]
        # A register of its own, as much hangs on it.
        m.d.sync += self.stop.eq(self.halt | self.trap.valid | self.fault.valid)
        with m.If(self.fault.valid & ~self.trap.valid):
            m.d.sync += [
                *(self.trap[name].eq(self.fault[name]) for name in report_layout().members),
                self.trap.opcode.eq(self.fault_opcode),
            ]
        self._elaborate_status(m)
        return m

    def _elaborate_status(self, m: Module) -> None:
        state, steps = Signal(State), Signal(32)
        with m.If(self.stop):
            m.d.comb += state.eq(Mux(self.idle, State.HALTED, self.draining))
        with m.Elif(self.idle):
            m.d.comb += state.eq(State.IDLE)
        for name, named in self.states:
            with m.Elif(self.progress[name]):
                m.d.comb += state.eq(named)
        with m.Else():
            m.d.comb += state.eq(State.BUSY)
        with m.If(self.step_done):
            m.d.sync += steps.eq(steps + 1)
        # Put together at once: a field that is always 0 makes no statement of its own in Verilog.
        status: dict[str, Value] = {
            "state": Value.cast(state),
            "cb": self.cb,
            "bank": Const(0, 4),
            "tag": self.tag,
            "opcode": Mux(self.idle, 0, self.opcode),
            "steps": steps,
        }
        fields = UnitStatus.as_shape().members
        m.d.comb += Value.cast(self.status).eq(
            Cat(Value.cast(status[name])[: fields[name].width] for name in fields)
        )
