# SPDX-License-Identifier: Apache-2.0
"""What each engine of the fabric interface has to say to the command processor."""

from typing import Any

from amaranth.hdl import Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hw.arch.commands import Opcode
from hw.arch.units import State
from hw.pe.command_keeper import CommandKeeper, keeper_members

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
    halt, started, header, may_start, ends, completion, step_done, transfers, cb, tag, stop, idle,
    trap, status : as of the `CommandKeeper`.
    fault_valid : In(1), something failed.
    fault : In(fault_layout()), what.
    runs_left : In(1), the present command has more to send.
    progress : In(progress_layout()), what happens.
    indexed : In(1), the command in use has an index list.
    """

    def __init__(self, *, opcode: Opcode, indexed_opcode: Opcode) -> None:
        self.opcode = opcode
        self.indexed_opcode = indexed_opcode
        super().__init__(
            {
                **keeper_members(),
                "fault_valid": In(1),
                "fault": In(fault_layout()),
                "runs_left": In(1),
                "progress": In(progress_layout()),
                "indexed": In(1),
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
