# SPDX-License-Identifier: Apache-2.0
"""Places in local memory, and a writer of neighbouring words."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import LsWritePort
from hw.lib.address_generator import CB_UNIT_BYTES
from hw.lib.elastic import SkidBuffer, StreamFifo

__all__ = ["WordWriter", "place_layout", "wrapped_address"]

_STEPS_UNDER_WAY = 4


def place_layout(address_width: int) -> data.StructLayout:
    """Where an item lies in local memory: a word address, and the buffer in which it wraps."""
    return data.StructLayout(
        {
            "address": address_width,
            "outside": 1,
            "base": 13,
            "depth": 13,
            "cb": 6,
            "step_end": 1,
            "advance": 16,
        }
    )


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


class WordWriter(wiring.Component):
    """Spreads each item over write slots, one for each of its words.

    Operation: an item is taken when every slot has room, and each slot writes its words in order,
    at its own pace. Words without a strobe are not written. When all words up to the end of a step
    are in local memory the step is reported.

    Timing: one item per cycle while the slots are granted at once; a slot may lag behind the others
    by an item without a loss. Latency 1 from an item to its first request.

    Parameters
    ----------
    n_words : words of an item, and slots.
    address_width, word_bytes : local memory.

    Members
    -------
    i : In(stream of words, strobes, place), items.
    ls_out : Out(LsWritePort).array(n_words).
    step : Out(stream of cb and advance), steps that are in local memory.
    outside : Out(1), the item offered would reach beyond local memory; it is not taken.
    busy : Out(1), words or steps are under way.
    """

    def __init__(self, *, n_words: int, address_width: int, word_bytes: int) -> None:
        self.n_words = n_words
        self.word_bytes = word_bytes
        item = data.StructLayout(
            {
                "words": data.ArrayLayout(8 * word_bytes, n_words),
                "strobes": data.ArrayLayout(word_bytes, n_words),
                "place": place_layout(address_width),
            }
        )
        port = LsWritePort(address_width=address_width, word_bytes=word_bytes)
        super().__init__(
            {
                "i": In(stream.Signature(item)),
                "ls_out": Out(port).array(n_words),
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
        takes, reports, wrong = Signal(), Signal(), Signal()
        for number in range(self.n_words):
            skid = self._elaborate_slot(m, number, takes, outside)
            # Steps whose last word of this slot was written, but not yet those of all slots.
            ends = Signal(range(_STEPS_UNDER_WAY + 2), name=f"ends{number}")
            ended = skid.o.valid & skid.o.ready & skid.o.payload.end
            m.d.sync += ends.eq(ends + ended - reports)
            ready.append(skid.i.ready)
            busy.append(skid.o.valid)
            complete.append(ends != 0)
        m.d.comb += [
            wrong.eq(place.outside | Cat(outside).any()),
            self.outside.eq(self.i.valid & wrong),
            # No word about `i.valid`: who waits for room need not have an item yet.
            self.i.ready.eq(Cat(ready).all() & steps.i.ready & ~wrong),
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

    def _elaborate_slot(
        self, m: Module, number: int, takes: Signal, outside: list[Value]
    ) -> SkidBuffer:
        """One slot: its word of each item goes through two registers to its port.

        The end of a step goes the same way even if the item has no word here: it must not pass
        words of earlier items.
        """
        port = self.ls_out[number].request
        shape = data.StructLayout({"request": port.payload.shape(), "end": 1, "writes": 1})
        m.submodules[f"slot{number}"] = skid = SkidBuffer(shape=shape)
        place = self.i.payload.place
        address: Value = Cat(place.address, Const(0, 1))  # of the first word: wrapped already
        if number:
            address = wrapped_address(m, place, number, word_bytes=self.word_bytes)
        used = Signal(name=f"used{number}")
        outside.append(used & address[-1])
        request = skid.i.payload.request
        m.d.comb += [
            used.eq(self.i.payload.strobes[number].any()),
            request.data.eq(self.i.payload.words[number]),
            request.strobe.eq(self.i.payload.strobes[number]),
            request.address.eq(address),
            skid.i.payload.end.eq(self.i.payload.place.step_end),
            skid.i.payload.writes.eq(used),
            skid.i.valid.eq(takes & (used | self.i.payload.place.step_end)),
            port.valid.eq(skid.o.valid & skid.o.payload.writes),
            port.payload.eq(skid.o.payload.request),
            skid.o.ready.eq(port.ready | ~skid.o.payload.writes),
        ]
        return skid
