# SPDX-License-Identifier: Apache-2.0
"""The ring of slots of those who access other elements' local memory."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.remote_flits import RemoteShapes

__all__ = ["RemoteSlots"]


class RemoteSlots(wiring.Component):
    """Gives out slots in turn, takes them back in the same order, and keeps a tag in each.

    Operation: what else stands in a slot is up to who uses it. `take` in a cycle with `is_full`,
    and `leave` in one without `is_used`, are not allowed.

    Timing: a slot is given out and one taken back per cycle; the oldest one's tag is there 1 cycle
    after `take` at the earliest.

    Parameters
    ----------
    shapes : flits to other elements, with the number of slots.
    tag_width : bits of a tag.

    Members
    -------
    take : In(1), the next slot is used from now on. tag : In(tag_width), what is kept in it.
    is_full : Out(1), no slot is free. next : Out(shapes.slot_bits), the next one's number.
    leave : In(1), the oldest slot is free from now on.
    is_used : Out(1), there is an oldest one. oldest : Out(shapes.slot_bits), its number.
    oldest_tag : Out(tag_width).
    """

    def __init__(self, *, shapes: RemoteShapes, tag_width: int) -> None:
        self.shapes, self.tag_width = shapes, tag_width
        super().__init__(
            {
                "take": In(1),
                "tag": In(tag_width),
                "is_full": Out(1),
                "next": Out(shapes.slot_bits),
                "leave": In(1),
                "is_used": Out(1),
                "oldest": Out(shapes.slot_bits),
                "oldest_tag": Out(tag_width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shapes = self.shapes
        # A bit more than numbers have tells a full ring from an empty one.
        issued, left = (Signal(shapes.slot_bits + 1, name=name) for name in ("issued", "left"))
        m.submodules.tags = tags = memory.Memory(shape=self.tag_width, depth=shapes.slots, init=[])
        note, noted = tags.write_port(), tags.read_port(domain="comb")
        m.d.sync += [issued.eq(issued + self.take), left.eq(left + self.leave)]
        m.d.comb += [
            self.next.eq(issued[: shapes.slot_bits]),
            self.oldest.eq(left[: shapes.slot_bits]),
            self.is_full.eq((issued ^ left) == shapes.slots),
            self.is_used.eq(issued != left),
            note.en.eq(self.take),
            note.addr.eq(self.next),
            note.data.eq(self.tag),
            noted.addr.eq(self.oldest),
            self.oldest_tag.eq(noted.data),
        ]
        return m
