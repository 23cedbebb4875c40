# SPDX-License-Identifier: Apache-2.0
"""What keeps signals for elements that are not there away from the lanes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.csr import HOST_PLACE
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.iface.pe import Completion
from hw.pe.cp.traps import ElementTrap

__all__ = ["SignalGuard"]


class SignalGuard(wiring.Component):
    """Lets signals for elements of the grid and for the host pass; the first for another place is
    kept as a trap.

    Operation: a signal for a place outside of the grid disappears. `trap` names its command's tag,
    and the place as row | column << 8. The command may be any; the trap says SIGNAL.

    Timing: latency 0; `trap` follows its signal by 1 cycle.

    Parameters
    ----------
    rows, columns : the grid, 1 to 16 each.

    Members
    -------
    i : In(stream.Signature(Completion)), with the row and column of the element that is meant.
    o : Out(stream.Signature(Completion)).
    halt : In(1), the element halts: no trap comes any more, since another error was first.
    trap : Out(ElementTrap), held until reset.
    """

    def __init__(self, *, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        signals = stream.Signature(Completion)
        super().__init__(
            {"i": In(signals), "o": Out(signals), "halt": In(1), "trap": Out(ElementTrap)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        signal, exists = self.i.payload, Signal()
        m.d.comb += [
            exists.eq(
                (signal.signal_row < self.rows) & (signal.signal_col < self.columns)
                | (
                    Cat(signal.signal_row, signal.signal_col)
                    == Cat(Const(at, 4) for at in HOST_PLACE)
                )
            ),
            self.o.payload.eq(signal),
            self.o.valid.eq(self.i.valid & exists),
            self.i.ready.eq(self.o.ready | ~exists),
        ]
        with m.If(self.i.valid & ~exists & ~self.trap.valid & ~self.halt):
            m.d.sync += [
                self.trap.valid.eq(1),
                self.trap.cause.eq(Trap.NO_ELEMENT),
                self.trap.unit.eq(Unit.CP),
                self.trap.opcode.eq(Opcode.SIGNAL),
                self.trap.tag.eq(signal.tag),
                self.trap.info.eq(Cat(signal.signal_row, Const(0, 4), signal.signal_col)),
            ]
        return m
