# SPDX-License-Identifier: Apache-2.0
"""Messages of elements for the host."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.signal_flits import message_layout
from hw.lib.elastic import StreamFifo

__all__ = ["Mailbox"]


class Mailbox(wiring.Component):
    """Keeps messages until the host has read them.

    Operation: a message that comes while `DEPTH` wait is lost, since whoever sends must not wait
    for the host; `lost` says so until it is cleared.

    Timing: a message shows in `shown` 1 cycle after it came.

    Members
    -------
    i : In(stream.Signature(message_layout())), always ready.
    shown : Out(32), register MAILBOX. pop, clear : In(1), drop the oldest message; clear `lost`.
    waits : Out(1), there is a message.
    """

    DEPTH = 16

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(message_layout())),
                "shown": Out(32),
                "pop": In(1),
                "clear": In(1),
                "waits": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.messages = messages = StreamFifo(shape=message_layout(), depth=self.DEPTH)
        oldest, lost = messages.o.payload, Signal()
        with m.If(self.i.valid & ~messages.i.ready):
            m.d.sync += lost.eq(1)
        with m.Elif(self.clear):
            m.d.sync += lost.eq(0)
        place_and_counter = Cat(oldest.counter, Const(0, 3), oldest.column, Const(0, 4), oldest.row)
        m.d.comb += [
            messages.i.valid.eq(self.i.valid),
            messages.i.payload.eq(self.i.payload),
            self.i.ready.eq(1),
            messages.o.ready.eq(self.pop),
            self.waits.eq(messages.o.valid),
            self.shown.eq(
                Cat(
                    Mux(self.waits, place_and_counter, 0),
                    Const(0, 10),
                    lost,
                    self.waits,
                )
            ),
        ]
        return m
