# SPDX-License-Identifier: Apache-2.0
"""Writes rows into local memory, all words of a row at once."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsWritePort
from hw.lib.word_writer import place_layout, wrapped_address

__all__ = ["RowWriter"]

_MINMAX_BYTES = 8


class RowWriter(wiring.Component):
    """Spreads the row that waits in the drain's register over write slots, one for each word.

    Operation: (1) a place is taken with `load`, in the cycle in which its row goes into the
    register. (2) From the next cycle on each slot writes its word; those that are granted wait for
    the others. A row with `short` is 8 bytes long; slots behind them write nothing. (3) With the
    last word, and when the end of a step was taken, the row has `left`. (4) A place that reaches
    beyond local memory is reported and must not be loaded.

    Timing: a row per cycle while all slots are granted at once. `left` depends on `ready` of the
    slots in the same cycle.

    Parameters
    ----------
    columns : values of a row.
    address_width, word_bytes : local memory.

    Members
    -------
    place : In(place_layout), of the row that would be loaded.
    load : In(1), take it; only when no row waits, or with `left`.
    row : In(32 * columns), the row in the register.
    short : In(1), of the rows on their way.
    ls_out : Out(LsWritePort).array(n_slots).
    step : Out(stream of cb and advance), steps that are in local memory.
    outside : Out(1), a word of `place` lies beyond local memory.
    left : Out(1), the row is in local memory.
    busy : Out(1), a row waits.
    """

    def __init__(self, *, columns: int, address_width: int, word_bytes: int) -> None:
        self.word_bytes = word_bytes
        self.n_slots = 4 * columns // word_bytes
        port = LsWritePort(address_width=address_width, word_bytes=word_bytes)
        super().__init__(
            {
                "place": In(place_layout(address_width)),
                "load": In(1),
                "row": In(32 * columns),
                "short": In(1),
                "ls_out": Out(port).array(self.n_slots),
                "step": Out(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "outside": Out(1),
                "left": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        waiting = Signal(self.n_slots)  # slots whose word is not written yet
        step_end, complete = Signal(), Signal()
        m.d.comb += [
            complete.eq((waiting & ~Cat(port.request.ready for port in self.ls_out)) == 0),
            self.step.valid.eq(self.busy & complete & step_end),
            self.left.eq(self.busy & complete & (~step_end | self.step.ready)),
        ]
        used, outside = [], [self.place.outside]
        for number in range(self.n_slots):
            beyond = self._elaborate_slot(m, number, waiting[number])
            used.append(Mux(self.short, number * self.word_bytes < _MINMAX_BYTES, 1))
            outside.append(beyond & used[-1])
        m.d.comb += self.outside.eq(Cat(outside).any())
        for number, port in enumerate(self.ls_out):
            with m.If(port.request.ready):
                m.d.sync += waiting[number].eq(0)
        with m.If(self.load):
            m.d.sync += [
                waiting.eq(Cat(used)),
                self.busy.eq(1),
                step_end.eq(self.place.step_end),
                self.step.payload.cb.eq(self.place.cb),
                self.step.payload.advance.eq(self.place.advance),
            ]
        with m.Elif(self.left):
            m.d.sync += self.busy.eq(0)
        return m

    def _elaborate_slot(self, m: Module, number: int, waiting: Any) -> Any:
        """One slot's request; returns whether its address would lie beyond local memory."""
        port = self.ls_out[number].request
        address = wrapped_address(m, self.place, number, word_bytes=self.word_bytes)
        with m.If(self.load):
            m.d.sync += port.payload.address.eq(address)
        low = 8 * self.word_bytes * number
        n_short = min(max(_MINMAX_BYTES - number * self.word_bytes, 0), self.word_bytes)
        m.d.comb += [
            port.valid.eq(waiting),
            port.payload.data.eq(self.row[low : low + 8 * self.word_bytes]),
            port.payload.strobe.eq(Mux(self.short, Const((1 << n_short) - 1, self.word_bytes), -1)),
        ]
        return address[-1]
