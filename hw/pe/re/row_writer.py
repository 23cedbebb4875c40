# SPDX-License-Identifier: Apache-2.0
"""Writes rows into local memory, all words of a row at once."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsWritePort
from hw.lib.elastic import SkidBuffer
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
    """Spreads rows over write slots of local memory, one for each word of a row.

    Operation: (1) a row and its place are taken with `load` and `here`, while `ready`. (2) From the
    next cycle on each slot writes its word. A row with `short` is 8 bytes long; slots behind them
    write nothing. (3) When all words up to the end of a step are written the step is reported. (4)
    A row that would reach beyond local memory is a fault. It is not written, nor is one behind it.

    Timing: with `queued` words go through skid buffers: a row per cycle while all slots are granted
    at once, and a slot may lag behind the others. Else `row` holds the row until the writer is
    `ready` again, 2 cycles after `load` at the earliest. A step is offered 2 cycles after its last
    row was loaded. A slot's `ready` goes to registers only.

    Parameters
    ----------
    columns : values of a row.
    address_width, word_bytes : local memory.
    queued : whether slots keep their words.

    Members
    -------
    place : In(row_place_layout), of the row that would be loaded.
    load : In(1), a row goes; here : In(1), it goes to local memory.
    ready : Out(1), a row can go.
    row : In(32 * columns), with `queued` the row that would be loaded, else the one loaded last.
    short : In(1), of the rows on their way.
    ls_out : Out(LsWritePort).array(n_slots).
    step : Out(stream of cb and advance), steps that are in local memory; unless one is taken,
        `ready` must stay.
    fault : Out(1), there was a fault, from the next cycle on for ever.
    busy : Out(1), words or a step are on their way.
    """

    def __init__(self, *, columns: int, address_width: int, word_bytes: int, queued: bool) -> None:
        self.word_bytes = word_bytes
        self.n_slots = 4 * columns // word_bytes
        self.queued = queued
        port = LsWritePort(address_width=address_width, word_bytes=word_bytes)
        super().__init__(
            {
                "place": In(row_place_layout(address_width, self.n_slots)),
                "load": In(1),
                "here": In(1),
                "ready": Out(1),
                "row": In(32 * columns),
                "short": In(1),
                "ls_out": Out(port).array(self.n_slots),
                "step": Out(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "fault": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        waiting = Signal(self.n_slots)  # words of the row, or of the end of a step, to be written
        reports = Signal()  # a step ends with them
        outside, goes = Signal(), Signal()
        m.d.comb += [
            outside.eq(Mux(self.short, self.place.short_outside, self.place.outside)),
            goes.eq(self.here & ~outside & ~self.fault),
            self.step.valid.eq(reports & ~waiting.any()),
        ]
        with m.If(self.load & self.here & outside):
            m.d.sync += self.fault.eq(1)
        # Where rows are held no step is on its way when one goes, or it is taken now.
        with m.If(self.load & (self.place.step_end & goes if self.queued else 1)):
            m.d.sync += reports.eq(self.place.step_end & goes)
        with m.Elif(self.step.valid & self.step.ready):
            m.d.sync += reports.eq(0)
        taken = (
            self._elaborate_queued(m, waiting, reports, goes)
            if self.queued
            else self._elaborate_held(m, waiting, reports, goes)
        )
        # Follows the place until a step is on its way, or when that is taken.
        with m.If(~reports | taken):
            m.d.sync += [
                self.step.payload.cb.eq(self.place.cb),
                self.step.payload.advance.eq(self.place.advance),
            ]
        return m

    def _elaborate_held(self, m: Module, waiting: Signal, reports: Signal, goes: Signal) -> Value:
        """Slots write words of `row`; returns whether a step would be taken now.

        An address follows the place until a word waits.
        """
        # Whether the step will be taken: nobody else offers any, so it stays true.
        room = Signal()
        m.d.sync += room.eq(self.step.ready)
        m.d.comb += [
            self.ready.eq(~waiting.any() & (~reports | room)),
            self.busy.eq(waiting.any() | reports),
        ]
        for number, port in enumerate(self.ls_out):
            m.d.comb += [
                port.request.valid.eq(waiting[number]),
                port.request.payload.data.eq(self._word(number)),
                port.request.payload.strobe.eq(self._strobe(number)),
            ]
            with m.If(~waiting[number]):
                m.d.sync += port.request.payload.address.eq(self.place.addresses[number])
            with m.If(self.load):
                m.d.sync += waiting[number].eq(goes & self._is_used(number))
            with m.Elif(port.request.ready):
                m.d.sync += waiting[number].eq(0)
        return ~waiting.any() & room

    def _elaborate_queued(self, m: Module, waiting: Signal, reports: Signal, goes: Signal) -> Value:
        """Slots have queues of their own; a step's end waits until the one before is reported.

        Returns whether another step may come while one is on its way.
        """
        room, on_way = [], []
        for number, port in enumerate(self.ls_out):
            shape = data.StructLayout({"request": port.request.payload.shape(), "end": 1})
            m.submodules[f"slot{number}"] = skid = SkidBuffer(shape=shape)
            request, takes = skid.i.payload.request, Signal(name=f"takes{number}")
            m.d.comb += [
                takes.eq(self.load & goes & self._is_used(number)),
                skid.i.valid.eq(takes),
                skid.i.payload.end.eq(self.place.step_end),
                request.address.eq(self.place.addresses[number]),
                request.data.eq(self._word(number)),
                request.strobe.eq(self._strobe(number)),
                port.request.valid.eq(skid.o.valid),
                port.request.payload.eq(skid.o.payload.request),
                skid.o.ready.eq(port.request.ready),
            ]
            with m.If(takes & self.place.step_end):
                m.d.sync += waiting[number].eq(1)
            with m.Elif(skid.o.valid & skid.o.ready & skid.o.payload.end):
                m.d.sync += waiting[number].eq(0)
            room.append(skid.i.ready)
            on_way.append(skid.o.valid)
        m.d.comb += [
            self.ready.eq(Cat(room).all() & ~(self.place.step_end & reports)),
            self.busy.eq(Cat(on_way).any() | reports),
        ]
        return Const(0, 1)

    def _word(self, number: int) -> Value:
        """A slot's part of the row."""
        return self.row.word_select(number, 8 * self.word_bytes)

    def _is_used(self, number: int) -> Value:
        """Whether the row has a word for a slot."""
        return Mux(self.short, Const(number * self.word_bytes < _MINMAX_BYTES, 1), 1)

    def _strobe(self, number: int) -> Value:
        """Bytes that a slot writes."""
        n_short = min(max(_MINMAX_BYTES - number * self.word_bytes, 0), self.word_bytes)
        return Mux(self.short, Const((1 << n_short) - 1, self.word_bytes), -1)
