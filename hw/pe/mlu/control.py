# SPDX-License-Identifier: Apache-2.0
"""What the memory layout unit has to say to the command processor."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.units import State
from hw.iface.pe import Completion, TrapReport, UnitStatus
from hw.lib.elastic import StreamFifo

__all__ = ["LayoutControl", "fault_layout", "progress_layout"]

_COMMANDS_IN_FLIGHT = 4


def fault_layout() -> data.StructLayout:
    """An error."""
    return data.StructLayout({"valid": 1, "cause": 8, "tag": 16, "info": 32})


def progress_layout() -> data.StructLayout:
    """What happens in a cycle; the first that is set names the state."""
    return data.StructLayout(
        {"moves": 1, "lacks_ls": 1, "lacks_room": 1, "lacks_data": 1, "lacks_dpe": 1}
    )


class LayoutControl(wiring.Component):
    """Keeps the commands in flight, the trap and the status.

    Operation
        1. Every command that starts is noted; it is complete when its last word `ends`.
        2. The first fault is kept as the trap. From then on, and under `halt`, `stop` is high and
           nothing is complete any more.

    Timing
        `completion` in the cycle of `ends`; trap and stop one cycle after their cause.

    Members
    -------
    halt : In(1), from the command processor.
    started : In(1), a command starts.
    header : In(Completion), its signal fields.
    may_start : Out(1), a command may start.
    ends : In(1), the last word of the oldest command left.
    completion : Out(stream.Signature(Completion, always_ready=True)), commands done.
    step_done : In(1), a step is done.
    fault : In(fault_layout()), something failed.
    transfers : In(1), reads, writes or reports are in flight.
    progress : In(progress_layout()), what happens.
    cb : In(6), circular buffer that is waited for, or in use.
    tag : In(16), of the command in use.
    stop : Out(1), start nothing new.
    running : Out(1), a command is not complete.
    idle : Out(1), nothing runs and nothing is in flight.
    trap : Out(TrapReport), the first fault.
    status : Out(UnitStatus), for counters and triage.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "halt": In(1),
                "started": In(1),
                "header": In(Completion),
                "may_start": Out(1),
                "ends": In(1),
                "completion": Out(stream.Signature(Completion, always_ready=True)),
                "step_done": In(1),
                "fault": In(fault_layout()),
                "transfers": In(1),
                "progress": In(progress_layout()),
                "cb": In(6),
                "tag": In(16),
                "stop": Out(1),
                "running": Out(1),
                "idle": Out(1),
                "trap": Out(TrapReport),
                "status": Out(UnitStatus),
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
            self.stop.eq(self.halt | self.trap.valid),
            self.idle.eq(~self.transfers & (self.stop | ~headers.o.valid)),
        ]
        with m.If(self.fault.valid & ~self.trap.valid):
            m.d.sync += [
                self.trap.valid.eq(1),
                self.trap.opcode.eq(Opcode.LAYOUT),
                *(self.trap[name].eq(self.fault[name]) for name in ("cause", "tag", "info")),
            ]
        self._elaborate_status(m)
        return m

    def _elaborate_status(self, m: Module) -> None:
        state, steps, progress = Signal(4), Signal(32), self.progress
        with m.If(self.stop):
            m.d.comb += state.eq(State.HALTED)
        with m.Elif(~self.running):
            m.d.comb += state.eq(State.IDLE)
        with m.Elif(progress.moves):
            m.d.comb += state.eq(State.BUSY)
        with m.Elif(progress.lacks_ls):
            m.d.comb += state.eq(State.WAIT_LS)
        with m.Elif(progress.lacks_dpe):
            m.d.comb += state.eq(State.WAIT_NEIGHBOUR)
        with m.Elif(progress.lacks_room):
            m.d.comb += state.eq(State.WAIT_CB_ROOM)
        with m.Elif(progress.lacks_data):
            m.d.comb += state.eq(State.WAIT_CB_DATA)
        with m.Else():
            m.d.comb += state.eq(State.BUSY)
        with m.If(self.step_done):
            m.d.sync += steps.eq(steps + 1)
        # Put together at once: a field that is always 0 makes no statement of its own in Verilog.
        status = {
            "state": state,
            "cb": self.cb,
            "bank": Const(0, 4),
            "tag": self.tag,
            "opcode": Mux(self.running, Const(Opcode.LAYOUT, 8), 0),
            "steps": steps,
        }
        m.d.comb += Value.cast(self.status).eq(
            Cat(status[name] for name in UnitStatus.as_shape().members)
        )
