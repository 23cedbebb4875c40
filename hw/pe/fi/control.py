# SPDX-License-Identifier: Apache-2.0
"""What each engine of the fabric interface has to say to the command processor."""

from typing import Any

from amaranth.hdl import Module, Mux, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.units import State
from hw.iface.pe import Completion, TrapReport, UnitStatus
from hw.pe.command_keeper import CommandKeeper

__all__ = ["EngineControl", "fault_layout", "progress_layout"]


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

    Operation: see `CommandKeeper`; an engine has two commands, one with an index list.

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
        wait_cb = State.WAIT_CB_ROOM if self.opcode == Opcode.DMA_IN else State.WAIT_CB_DATA
        m.submodules.keeper = keeper = CommandKeeper(
            progress=(
                ("moves", State.BUSY),
                ("lacks_tag", State.WAIT_TAGS),
                ("lacks_ls", State.WAIT_LS),
                ("lacks_index", State.WAIT_CB_DATA),
                ("lacks_cb", wait_cb),
                ("lacks_memory", State.WAIT_MEMORY),
            ),
            draining=State.WAIT_MEMORY,
        )
        wiring.connect(m, wiring.flipped(self.completion), keeper.completion)
        for name in ("halt", "started", "header", "ends", "step_done", "transfers", "cb", "tag"):
            m.d.comb += getattr(keeper, name).eq(getattr(self, name))
        for name in ("may_start", "stop", "idle", "trap"):
            m.d.comb += getattr(self, name).eq(getattr(keeper, name))
        m.d.comb += [
            *(keeper.fault[name].eq(self.fault[name]) for name in ("cause", "tag", "info")),
            keeper.fault.valid.eq(self.fault_valid),
            keeper.fault_opcode.eq(self._opcode(self.fault.indexed)),
            keeper.opcode.eq(self._opcode(self.indexed)),
            keeper.progress.eq(self.progress),
            # A command that has nothing more to send waits for what it has sent.
            keeper.progress.lacks_memory.eq(self.progress.lacks_memory | ~self.runs_left),
        ]
        m.d.sync += self.status.eq(keeper.status)
        return m

    def _opcode(self, indexed: Value) -> Value:
        """One of the engine's two commands."""
        return Mux(indexed, self.indexed_opcode, self.opcode)
