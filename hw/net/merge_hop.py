# SPDX-License-Identifier: Apache-2.0
"""One tile's stage of a lane that leads from the grid to a side."""

from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import SkidBuffer

__all__ = ["MergeHop"]


class MergeHop(wiring.Component):
    """Adds a tile's flits to those of the tiles behind it, so that each tile gets an equal share.

    Operation: while both wait, `weight` flits from behind pass for each one of the tile; while one
    waits alone, it passes. The weight is the number of tiles behind. Then, while all tiles of a
    lane of n always have flits, any n flits in a row at its end hold exactly one of each tile: of
    those n the tile at the end gets one, and the other n - 1 come in a row from the lane behind it.

    Timing: latency 1, one flit per cycle. A flit of the tile waits for at most `weight` others, one
    from behind for at most one (with weight 0 for as many as the tile has). Combinational paths
    from `valid` of `i` and `local` to `ready` of both; none between the two ends of the lane.

    Parameters
    ----------
    shape : shape of a flit.
    most : greatest weight.

    Members
    -------
    weight : In(range(most + 1)), tiles behind; constant; 0 at the far end.
    i : In(stream.Signature(shape)), from the tile behind.
    local : In(stream.Signature(shape)), from this tile.
    o : Out(stream.Signature(shape)), towards the side.

    Raises: ValueError when `most` is less than 1.
    """

    latency = 1
    """Cycles from a transfer at `i` or `local` to the first cycle in which the flit is at `o`."""

    def __init__(self, *, shape: ShapeLike, most: int) -> None:
        if most < 1:
            raise ValueError(f"MergeHop most must be at least 1 tile, not {most!r}.")
        self.shape, self.most = shape, most
        flits = stream.Signature(shape)
        super().__init__(
            {"weight": In(range(most + 1)), "i": In(flits), "local": In(flits), "o": Out(flits)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.held = held = SkidBuffer(shape=self.shape)
        wiring.connect(m, held.o, wiring.flipped(self.o))
        n_passed = Signal.like(self.weight)  # flits from behind since the tile's last one
        local_goes = Signal()
        # While the register is full the choice may still change; nobody has been told of it.
        m.d.comb += [
            local_goes.eq(self.local.valid & (~self.i.valid | (n_passed == self.weight))),
            held.i.valid.eq(self.i.valid | self.local.valid),
            held.i.payload.eq(Mux(local_goes, self.local.payload, self.i.payload)),
            self.local.ready.eq(local_goes & held.i.ready),
            self.i.ready.eq(~local_goes & held.i.ready),
        ]
        with m.If(held.i.ready):
            with m.If(local_goes | ~self.local.valid):
                m.d.sync += n_passed.eq(0)
            with m.Else():
                m.d.sync += n_passed.eq(n_passed + 1)
        return m
