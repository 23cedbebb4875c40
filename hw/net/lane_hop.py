# SPDX-License-Identifier: Apache-2.0
"""One tile's stage of a lane that leads from a side into the grid."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import SkidBuffer

__all__ = ["LaneHop"]


class LaneHop(wiring.Component):
    """Keeps a flit until the tile, if it is meant, and the rest of the lane have taken it.

    Operation: a flit's `mask` has a bit for each position of the lane; one bit is a unicast,
    several are a multicast. A flit whose mask has the bit of `here` is offered to the tile at
    `tap`, with its mask as it came. If others are left, it is offered onward at `o`, with the
    tile's bit cleared. The two takers need not come in the same cycle. A flit for nobody
    disappears.

    Timing: latency 1, one flit per cycle. No combinational path from one port to another, so a lane
    of any length has none either.

    Parameters
    ----------
    shape : layout of a flit; has a field `mask`.

    Members
    -------
    here : In(n), one-hot, the tile's position; constant.
    i : In(stream.Signature(shape)), from the side or the tile before.
    o : Out(stream.Signature(shape)), to the tile behind. Behind the last tile `ready` is high, so
        that a flit for a position which is not there disappears as well.
    tap : Out(stream.Signature(shape)), to this tile.

    Raises: ValueError when `shape` has no mask.
    """

    latency = 1
    """Cycles from a transfer at `i` to the first cycle in which the flit is at `tap` and `o`."""

    def __init__(self, *, shape: data.StructLayout) -> None:
        if "mask" not in shape.members:
            raise ValueError("LaneHop needs flits with a field 'mask', which says who is meant.")
        self.shape = shape
        self.n_positions = shape["mask"].width
        flits = stream.Signature(shape)
        super().__init__(
            {"here": In(self.n_positions), "i": In(flits), "o": Out(flits), "tap": Out(flits)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.held = held = SkidBuffer(shape=self.shape)
        wiring.connect(m, wiring.flipped(self.i), held.i)
        flit, others = held.o.payload, Signal(self.n_positions)
        tapped, passed = Signal(), Signal()  # the waiting flit was taken here, was taken onward
        m.d.comb += [
            others.eq(flit.mask & ~self.here),
            self.tap.valid.eq(held.o.valid & (flit.mask & self.here).any() & ~tapped),
            self.o.valid.eq(held.o.valid & others.any() & ~passed),
            held.o.ready.eq((~self.tap.valid | self.tap.ready) & (~self.o.valid | self.o.ready)),
        ]
        for port in (self.tap, self.o):
            m.d.comb += Value.cast(port.payload).eq(flit)
        m.d.comb += self.o.payload.mask.eq(others)
        with m.If(held.o.ready):
            m.d.sync += [tapped.eq(0), passed.eq(0)]
        with m.Else():
            m.d.sync += [
                tapped.eq(tapped | (self.tap.valid & self.tap.ready)),
                passed.eq(passed | (self.o.valid & self.o.ready)),
            ]
        return m
