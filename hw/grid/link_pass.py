# SPDX-License-Identifier: Apache-2.0
"""The way of a reduction link past a tile that is left out."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LinkPass"]


class LinkPass(wiring.Component):
    """Shows a row that waits at `i` at `o`, and has it taken when it is taken there.

    Operation: the register holds a copy, so a row is with its sender until its receiver takes it,
    as on a link without this. A queue would keep rows of a job that was aborted for the next one,
    and let a command end whose row nobody takes. When the row at `i` disappears, as it does when
    its sender halts, its copy does.

    Timing: latency 1; a row in every second cycle. Combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    columns : 32-bit values of a row.

    Members
    -------
    i, o : In, Out(stream of ArrayLayout(32, columns)).

    Raises: ValueError when a row has no column.
    """

    latency = 1
    """Cycles from the first cycle of a row at `i` to its first at `o`."""

    def __init__(self, *, columns: int) -> None:
        if columns < 1:
            raise ValueError(f"LinkPass columns must be at least 1, not {columns!r}.")
        row = stream.Signature(data.ArrayLayout(32, columns))
        super().__init__({"i": In(row), "o": Out(row)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(self.o.valid & self.o.ready)
        m.d.sync += self.o.valid.eq(self.i.valid & ~self.i.ready)
        with m.If(self.i.valid & ~self.o.valid):
            m.d.sync += self.o.payload.eq(self.i.payload)
        return m
