# SPDX-License-Identifier: Apache-2.0
"""What each engine of the fabric interface has to say to the command processor."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.units import State
from hw.iface.pe import Completion, TrapReport, UnitStatus
from hw.lib.elastic import StreamFifo

__all__ = ["EngineControl", "fault_layout", "progress_layout"]

_COMMANDS_IN_FLIGHT = 4


def fault_layout() -> data.StructLayout:
    """An error, as an engine sees it."""
    return data.StructLayout({"cause": 8, "indexed": 1, "tag": 16, "info": 32})


def progress_layout() -> data.StructLayout:
    """What happens in a cycle; the first that is set names the state."""
    return data.StructLayout(
        {
            "moves": 1,
            "lacks_tag": 1,
            "lacks_ls": 1,
            "lacks_index": 1,
            "lacks_cb": 1,
            "lacks_memory": 1,
        }
    )


class EngineControl(wiring.Component):
    """Keeps the commands in flight, the trap and the status of one engine.

    Operation
        1. Every command that starts is noted; it is complete when its last transfer `ends`.
        2. The first fault is kept as the trap. From then on, and under `halt`, `stop` is high and
           nothing is complete any more.

    Timing
        `completion` in the cycle of `ends`; trap, stop and status one cycle after their cause.

    Parameters
    ----------
    opcode : the engine's command.
    indexed_opcode : its command with an index list.

    Members
    -------
    halt : In(1), from the command processor.
    started : In(1), a command starts.
    header : In(Completion), its signal fields.
    may_start : Out(1), a command may start.
    ends : In(1), the last transfer of the oldest command is done.
    completion : Out(stream.Signature(Completion, always_ready=True)), commands done.
    step_done : In(1), a step is done.
    fault_valid : In(1), something failed.
    fault : In(fault_layout()), what.
    transfers : In(1), transfers are in flight.
    runs_left : In(1), the present command has more to send.
    progress : In(progress_layout()), what happens.
    indexed : In(1), the command in use has an index list.
    cb : In(6), circular buffer in use.
    tag : In(16), of the command in use.
    stop : Out(1), start nothing new.
    idle : Out(1), nothing runs and nothing is in flight.
    trap : Out(TrapReport), the first fault.
    status : Out(UnitStatus), for counters and triage.
    """

    def __init__(self, *, opcode: Opcode, indexed_opcode: Opcode) -> None:
        self.opcode = opcode
        self.indexed_opcode = indexed_opcode
        super().__init__(
            {
                "halt": In(1),
                "started": In(1),
                "header": In(Completion),
                "may_start": Out(1),
                "ends": In(1),
                "completion": Out(stream.Signature(Completion, always_ready=True)),
                "step_done": In(1),
                "fault_valid": In(1),
                "fault": In(fault_layout()),
                "transfers": In(1),
                "runs_left": In(1),
                "progress": In(progress_layout()),
                "indexed": In(1),
                "cb": In(6),
                "tag": In(16),
                "stop": Out(1),
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
            self.completion.valid.eq(self.ends & ~self.stop),
            self.completion.payload.eq(headers.o.payload),
            self.stop.eq(self.halt | self.trap.valid),
            self.idle.eq(~self.transfers & (self.stop | ~headers.o.valid)),
        ]
        with m.If(self.fault_valid & ~self.trap.valid):
            m.d.sync += [
                self.trap.valid.eq(1),
                self.trap.cause.eq(self.fault.cause),
                self.trap.opcode.eq(self._opcode(self.fault.indexed)),
                self.trap.tag.eq(self.fault.tag),
                self.trap.info.eq(self.fault.info),
            ]
        self._elaborate_status(m)
        return m

    def _elaborate_status(self, m: Module) -> None:
        wait_cb = State.WAIT_CB_ROOM if self.opcode == Opcode.DMA_IN else State.WAIT_CB_DATA
        state = Signal(4)
        with m.If(self.stop):
            m.d.comb += state.eq(Mux(self.idle, State.HALTED, State.WAIT_MEMORY))
        with m.Elif(self.idle):
            m.d.comb += state.eq(State.IDLE)
        with m.Elif(self.progress.moves):
            m.d.comb += state.eq(State.BUSY)
        with m.Elif(self.progress.lacks_tag):
            m.d.comb += state.eq(State.WAIT_TAGS)
        with m.Elif(self.progress.lacks_ls):
            m.d.comb += state.eq(State.WAIT_LS)
        with m.Elif(self.progress.lacks_index):
            m.d.comb += state.eq(State.WAIT_CB_DATA)
        with m.Elif(self.progress.lacks_cb):
            m.d.comb += state.eq(wait_cb)
        with m.Elif(self.progress.lacks_memory | ~self.runs_left):
            m.d.comb += state.eq(State.WAIT_MEMORY)
        with m.Else():  # a command's first cycles
            m.d.comb += state.eq(State.BUSY)
        m.d.sync += [
            self.status.state.eq(state),
            self.status.cb.eq(self.cb),
            self.status.tag.eq(self.tag),
            self.status.opcode.eq(Mux(self.idle, 0, self._opcode(self.indexed))),
        ]
        with m.If(self.step_done):
            m.d.sync += self.status.steps.eq(self.status.steps + 1)

    def _opcode(self, indexed: Value) -> Value:
        """One of the engine's two commands."""
        return Mux(indexed, self.indexed_opcode, self.opcode)
