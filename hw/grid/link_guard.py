# SPDX-License-Identifier: Apache-2.0
"""What stands between an element and its reduction links."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Opcode
from hw.arch.traps import Trap
from hw.arch.units import Unit
from hw.pe.cp.traps import ElementTrap

__all__ = ["LINKS", "LinkGuard"]

LINKS = {"in_north": "out_south", "in_west": "out_east"}
"""Reduction links: an element's way in, and the way out of its neighbour that leads there."""
_NAMES = (*LINKS, *LINKS.values())


class LinkGuard(wiring.Component):
    """Traps a command that uses a link which leads nowhere, and lets an element halt that offers.

    Operation: rows pass unchanged. A link that `missing` names would keep its command waiting for
    ever; so it offers rows, and takes them, at once, and the first of them is kept as a trap, whose
    info is the link's number (`hw.arch.traps.LINK_TEXT`). While `halt` is high, rows that the
    element offers disappear: otherwise it would come to rest only when its neighbour takes them,
    which may be halted too. No trap comes then, since another error was first. The element is reset
    afterwards, and `trap` with it.

    Timing: latency 0; `trap` follows its row by 1 cycle. Combinational paths from each stream to
    its other end.

    Parameters
    ----------
    columns : 32-bit values of a row.

    Members
    -------
    missing : In(4), links that lead nowhere: in_north, in_west, out_south, out_east; constant.
    halt : In(1), the element halts, or is about to.
    <link>_i, <link>_o : In, Out(stream of ArrayLayout(32, columns)); `i` is the upstream end.
    trap : Out(ElementTrap), held until reset.

    Raises: ValueError when a row has no column.
    """

    def __init__(self, *, columns: int) -> None:
        if columns < 1:
            raise ValueError(f"LinkGuard columns must be at least 1, not {columns!r}.")
        row = stream.Signature(data.ArrayLayout(32, columns))
        ports = {f"{name}_i": In(row) for name in _NAMES}
        ports |= {f"{name}_o": Out(row) for name in _NAMES}
        super().__init__(
            {"missing": In(len(_NAMES)), "halt": In(1), "trap": Out(ElementTrap)} | ports
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        passed = Signal(len(_NAMES))  # a row at a link that leads nowhere
        for number, name in enumerate(_NAMES):
            i, o = getattr(self, f"{name}_i"), getattr(self, f"{name}_o")
            missing = self.missing[number]
            m.d.comb += o.payload.eq(i.payload)
            if name in LINKS:
                m.d.comb += [
                    o.valid.eq(i.valid | missing),
                    i.ready.eq(o.ready),
                    passed[number].eq(o.ready & missing),
                ]
            else:
                m.d.comb += [
                    o.valid.eq(i.valid & ~missing & ~self.halt),
                    i.ready.eq(o.ready | missing | self.halt),
                    passed[number].eq(i.valid & missing),
                ]
        first = Signal(range(len(_NAMES)))  # of several in one cycle the lowest
        for number in reversed(range(len(_NAMES))):
            with m.If(passed[number]):
                m.d.comb += first.eq(number)
        with m.If(passed.any() & ~self.trap.valid & ~self.halt):
            m.d.sync += [
                self.trap.valid.eq(1),
                self.trap.cause.eq(Trap.NO_NEIGHBOUR),
                self.trap.unit.eq(Unit.RE),
                self.trap.opcode.eq(Opcode.DRAIN),
                self.trap.info.eq(first),
            ]
        return m
