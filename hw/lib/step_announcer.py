# SPDX-License-Identifier: Apache-2.0
"""The reporter of steps that are known before their data has moved."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import CbDone, CbRole
from hw.lib.elastic import StreamFifo

__all__ = ["StepAnnouncer"]

_STEPS = 4


class StepAnnouncer(wiring.Component):
    """Tells the CB table that a step's data has moved, which was announced before.

    Operation
        Takes steps that will move, in order. For each `moved` it reports the oldest one on `done`.
        So what a report says need not walk along with the data. Steps that advance no pointer are
        not to be announced.

    Timing
        `done` is valid the cycle after `moved` at the earliest. At most 4 steps are announced and
        not reported. No combinational path.

    Parameters
    ----------
    role : whether the operand is consumed or produced.

    Members
    -------
    step : In(stream.Signature(StructLayout({"cb": 6, "advance": 16}))), a step will move.
    room : Out(1), 2 more steps have a place: for those who announce a step cycles after they asked.
    moved : In(1), the oldest step that has not moved did.
    done : Out(stream.Signature(CbDone)), connect to a `CbPort`.
    pending : Out(1), a report waits.
    """

    def __init__(self, *, role: CbRole) -> None:
        self.role = role
        super().__init__(
            {
                "step": In(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "room": Out(1),
                "moved": In(1),
                "done": Out(stream.Signature(CbDone)),
                "pending": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = StreamFifo(shape=self.step.payload.shape(), depth=_STEPS)
        wiring.connect(m, wiring.flipped(self.step), fifo.i)
        n_moved = Signal(range(_STEPS + 1))  # and not reported
        reported = Signal()
        report = self.done.payload
        m.d.comb += [
            self.room.eq(fifo.level < _STEPS - 1),
            self.pending.eq(n_moved != 0),
            self.done.valid.eq(self.pending),
            report.cb.eq(fifo.o.payload.cb),
            report.role.eq(self.role),
            report.advance.eq(fifo.o.payload.advance),
            reported.eq(self.done.valid & self.done.ready),
            fifo.o.ready.eq(reported),
        ]
        with m.If(self.moved != reported):
            m.d.sync += n_moved.eq(Mux(self.moved, n_moved + 1, n_moved - 1))
        return m
