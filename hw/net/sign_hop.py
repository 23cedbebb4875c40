# SPDX-License-Identifier: Apache-2.0
"""One tile's stage of the wires on which elements tell a side what they have room for."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.net.flits import LaneShapes

__all__ = ["SignHop"]


class SignHop(wiring.Component):
    """Passes the signs of the tiles behind on, and puts the tile's own in their place.

    Operation: what a position says goes on as it comes; nothing ever waits.

    Timing: latency 1.

    Parameters
    ----------
    shapes : layouts of the lane's flits.

    Members
    -------
    here : In(n), one-hot, the tile's position; constant.
    i, o : In, Out(shapes.signs), from the tile behind, to the tile or side before.
    note : In(shapes.note), noted : In(1), failed : In(1), what the tile says.
    """

    latency = 1
    """Cycles from `i` to `o`."""

    def __init__(self, *, shapes: LaneShapes) -> None:
        self.shapes = shapes
        super().__init__(
            {
                "here": In(shapes.signs.length),
                "i": In(shapes.signs),
                "o": Out(shapes.signs),
                "note": In(shapes.note),
                "noted": In(1),
                "failed": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for at in range(len(self.here)):
            sign = Signal(self.shapes.signs.elem_shape, name=f"sign{at}")
            m.d.comb += sign.eq(self.i[at])
            with m.If(self.here[at]):
                m.d.comb += [
                    sign.note.eq(self.note),
                    sign.noted.eq(self.noted),
                    sign.failed.eq(self.failed),
                ]
            m.d.sync += self.o[at].eq(sign)
        return m
