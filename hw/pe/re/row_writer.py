# SPDX-License-Identifier: Apache-2.0
"""Writes rows into local memory, all words of a row at once."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsWritePort
from hw.lib.word_writer import wrapped_address

__all__ = ["RowWriter", "row_place_layout", "spread_place"]

_MINMAX_BYTES = 8


def row_place_layout(address_width: int, n_slots: int) -> data.StructLayout:
    """Where the words of a row go."""
    return data.StructLayout(
        {
            "addresses": data.ArrayLayout(address_width, n_slots),
            "outside": 1,  # a whole row would reach beyond local memory
            "short_outside": 1,  # a minimum and a maximum would
            "cb": 6,
            "step_end": 1,
            "advance": 16,
        }
    )


def spread_place(
    m: Module, target: data.View, place: data.View, *, n_slots: int, word_bytes: int
) -> None:
    """Drive where the words of a row go that begins at a `place_layout`."""
    outside: list[Value] = [place.outside]
    n_short = -(-_MINMAX_BYTES // word_bytes)
    for number in range(n_slots):
        address: Value = Cat(place.address, Const(0, 1))  # of the first word: wrapped already
        if number:
            address = wrapped_address(m, place, number, word_bytes=word_bytes)
        outside.append(address[-1])
        m.d.comb += target.addresses[number].eq(address)
    m.d.comb += [
        target.outside.eq(Cat(outside).any()),
        target.short_outside.eq(Cat(outside[: 1 + n_short]).any()),
        *(target[name].eq(place[name]) for name in ("cb", "step_end", "advance")),
    ]


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
    place : In(row_place_layout), of the row that would be loaded.
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
                "place": In(row_place_layout(address_width, self.n_slots)),
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
        used = []
        for number in range(self.n_slots):
            self._elaborate_slot(m, number, waiting[number])
            used.append(Mux(self.short, number * self.word_bytes < _MINMAX_BYTES, 1))
        m.d.comb += self.outside.eq(Mux(self.short, self.place.short_outside, self.place.outside))
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

    def _elaborate_slot(self, m: Module, number: int, waiting: Any) -> None:
        """One slot's request."""
        port = self.ls_out[number].request
        with m.If(self.load):
            m.d.sync += port.payload.address.eq(self.place.addresses[number])
        low = 8 * self.word_bytes * number
        n_short = min(max(_MINMAX_BYTES - number * self.word_bytes, 0), self.word_bytes)
        m.d.comb += [
            port.valid.eq(waiting),
            port.payload.data.eq(self.row[low : low + 8 * self.word_bytes]),
            port.payload.strobe.eq(Mux(self.short, Const((1 << n_short) - 1, self.word_bytes), -1)),
        ]
