# SPDX-License-Identifier: Apache-2.0
"""Writes rows into local memory, all words of a row at once."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsWritePort
from hw.lib.address_generator import CB_UNIT_BYTES
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.pe.re.sequencer import place_layout

__all__ = ["RowWriter", "wrapped_address"]

_MINMAX_BYTES = 8
_STEPS_UNDER_WAY = 4


def wrapped_address(m: Module, place: data.View, offset: int | Value, *, word_bytes: int) -> Signal:
    """Word address `offset` words behind a place, wrapped in its buffer; with a bit above it."""
    shift = (CB_UNIT_BYTES // word_bytes).bit_length() - 1
    width = len(place.address) + 1
    straight = Signal(width, name="straight")
    wrapped = Signal(width, name="wrapped")
    limit = (place.base + place.depth) << shift
    m.d.comb += [
        straight.eq(place.address + offset),
        wrapped.eq(Mux(straight >= limit, straight - (place.depth << shift), straight)),
    ]
    return wrapped


class RowWriter(wiring.Component):
    """Spreads each row over write slots, one for each of its words.

    Operation: a row is taken when every slot has room, and each slot writes its words in order, at
    its own pace. When all words up to the end of a step are in local memory the step is reported.
    A row with `short` is 8 bytes long.

    Timing: one row per cycle while the slots are granted at once; a slot may lag behind the others
    by a row without a loss. Latency 1 from a row to its first request.

    Parameters
    ----------
    columns : values of a row.
    address_width, word_bytes : local memory.

    Members
    -------
    i : In(stream of row, short, place), rows.
    ls_out : Out(LsWritePort).array(n_slots).
    step : Out(stream of cb and advance), steps that are in local memory.
    outside : Out(1), the row offered would reach beyond local memory; it is not taken.
    busy : Out(1), words or steps are under way.
    """

    def __init__(self, *, columns: int, address_width: int, word_bytes: int) -> None:
        self.columns = columns
        self.word_bytes = word_bytes
        self.n_slots = 4 * columns // word_bytes
        row = data.StructLayout(
            {"row": 32 * columns, "short": 1, "place": place_layout(address_width)}
        )
        port = LsWritePort(address_width=address_width, word_bytes=word_bytes)
        super().__init__(
            {
                "i": In(stream.Signature(row)),
                "ls_out": Out(port).array(self.n_slots),
                "step": Out(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "outside": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        place = self.i.payload.place
        m.submodules.steps = steps = StreamFifo(
            shape=self.step.payload.shape(), depth=_STEPS_UNDER_WAY
        )
        ready, busy, complete, outside = [], [], [], []
        takes, reports = Signal(), Signal()
        for number in range(self.n_slots):
            skid = self._elaborate_slot(m, number, takes, outside)
            used = self._is_used(number)
            # Steps whose last word of this slot was written, but not yet those of all slots.
            ends = Signal(range(_STEPS_UNDER_WAY + 2), name=f"ends{number}")
            ended = skid.o.valid & skid.o.ready & skid.o.payload.end
            m.d.sync += ends.eq(ends + (ended | (takes & place.step_end & ~used)) - reports)
            ready.append(skid.i.ready)
            busy.append(skid.o.valid)
            complete.append(ends != 0)
        m.d.comb += [
            self.outside.eq(self.i.valid & (place.outside | Cat(outside).any())),
            self.i.ready.eq(Cat(ready).all() & steps.i.ready & ~self.outside),
            takes.eq(self.i.valid & self.i.ready),
            steps.i.valid.eq(takes & place.step_end),
            steps.i.payload.cb.eq(place.cb),
            steps.i.payload.advance.eq(place.advance),
            self.step.payload.eq(steps.o.payload),
            self.step.valid.eq(steps.o.valid & Cat(complete).all()),
            steps.o.ready.eq(self.step.ready & Cat(complete).all()),
            reports.eq(self.step.valid & self.step.ready),
            self.busy.eq(Cat(busy).any() | steps.o.valid),
        ]
        return m

    def _is_used(self, number: int) -> Value:
        """Whether the row has bytes for slot `number`."""
        return ~self.i.payload.short | (number * self.word_bytes < _MINMAX_BYTES)

    def _elaborate_slot(
        self, m: Module, number: int, takes: Signal, outside: list[Value]
    ) -> SkidBuffer:
        """One slot: its word of each row goes through two registers to its port."""
        port = self.ls_out[number].request
        shape = data.StructLayout({"request": port.payload.shape(), "end": 1})
        m.submodules[f"slot{number}"] = skid = SkidBuffer(shape=shape)
        word_bits = 8 * self.word_bytes
        full = (1 << self.word_bytes) - 1
        short = full >> max(0, self.word_bytes - _MINMAX_BYTES)
        address = wrapped_address(m, self.i.payload.place, number, word_bytes=self.word_bytes)
        used = self._is_used(number)
        outside.append(used & address[-1])
        request = skid.i.payload.request
        m.d.comb += [
            request.data.eq(self.i.payload.row[number * word_bits : (number + 1) * word_bits]),
            request.strobe.eq(Mux(self.i.payload.short, short, full)),
            request.address.eq(address),
            skid.i.payload.end.eq(self.i.payload.place.step_end),
            skid.i.valid.eq(takes & used),
            port.valid.eq(skid.o.valid),
            port.payload.eq(skid.o.payload.request),
            skid.o.ready.eq(port.ready),
        ]
        return skid
