# SPDX-License-Identifier: Apache-2.0
"""Tags of transfers in flight: given out in any order, finished in any order, retired in order."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import PipeStage, StreamFifo

__all__ = ["TagPool"]


class TagPool(wiring.Component):
    """Hands out tags to several queues and retires each queue's transfers in its own order.

    Operation
        1. With `available`, `tag` is free; `take` gives it to queue `queue` with its `entry`.
        2. `answered` says that the transfer of `answered_tag` came back; it is finished as soon as
           its bit in `held` is low too.
        3. Each queue offers its oldest entry on `retired`, from a register, when that one is
           finished; the tag is free as the entry goes there.

    Timing
        A tag per cycle. A tag is free again 2 cycles after it finished, when its entry is the
        oldest and the one before was taken at once. No combinational path to `retired`.

    Parameters
    ----------
    n_tags : tags, a power of two.
    n_queues : queues that share them; each may hold all.
    entry : shape that is kept with a tag.

    Members
    -------
    available : Out(1), a tag is free.
    tag : Out(range(n_tags)), that tag.
    take : In(1), use it; only while `available`.
    queue : In(range(max(n_queues, 2))), queue that takes it.
    entry : In(entry), kept until the transfer retires.
    answered : In(1), a transfer came back.
    answered_tag : In(range(n_tags)), which one.
    held : In(n_tags), tags that came back but are not finished.
    retired : Out(stream.Signature(entry)).array(n_queues), finished transfers of each queue.
    in_flight : Out(n_queues), queues that hold tags.

    Raises: ValueError when `n_tags` is not a power of two from 2 to 64, or there is no queue.
    """

    def __init__(self, *, n_tags: int, n_queues: int, entry: ShapeLike) -> None:
        if n_tags not in (2, 4, 8, 16, 32, 64):
            raise ValueError(f"TagPool n_tags must be a power of two from 2 to 64, not {n_tags!r}.")
        if n_queues < 1:
            raise ValueError(f"TagPool n_queues must be at least 1, not {n_queues!r}.")
        self.n_tags = n_tags
        self.n_queues = n_queues
        self.entry_shape = entry
        super().__init__(
            {
                "available": Out(1),
                "tag": Out(range(n_tags)),
                "take": In(1),
                "queue": In(range(max(n_queues, 2))),
                "entry": In(entry),
                "answered": In(1),
                "answered_tag": In(range(n_tags)),
                "held": In(n_tags),
                "retired": Out(stream.Signature(entry)).array(n_queues),
                "in_flight": Out(n_queues),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        taken = Signal(self.n_tags)
        back = Signal(self.n_tags)  # answered
        free_one = Signal(self.n_tags)  # one-hot
        sets, freed = Signal(self.n_tags), Signal(self.n_tags)
        ordered = data.StructLayout({"tag": range(self.n_tags), "entry": self.entry_shape})

        m.d.comb += [
            self.available.eq(~taken.all()),
            free_one.eq(~taken & (taken + 1)),
            self.tag.eq(_index(free_one)),
            sets.eq(Mux(self.take, free_one, 0)),
        ]
        m.d.sync += [
            taken.eq((taken & ~freed) | sets),
            back.eq((back & ~freed) | (self.answered << self.answered_tag)),
        ]

        freed_by = []
        for queue in range(self.n_queues):
            m.submodules[f"order{queue}"] = fifo = StreamFifo(shape=ordered, depth=self.n_tags)
            m.submodules[f"oldest{queue}"] = head = PipeStage(shape=ordered)
            m.submodules[f"retired{queue}"] = stage = PipeStage(shape=self.entry_shape)
            wiring.connect(m, fifo.o, head.i)
            wiring.connect(m, stage.o, wiring.flipped(self.retired[queue]))
            retires, oldest = stage.i, head.o.payload
            finished = (back & ~self.held).bit_select(oldest.tag, 1)
            gone = Signal(self.n_tags, name=f"gone{queue}")
            m.d.comb += [
                fifo.i.valid.eq(self.take & (self.queue == queue)),
                fifo.i.payload.tag.eq(self.tag),
                fifo.i.payload.entry.eq(self.entry),
                retires.valid.eq(head.o.valid & finished),
                retires.payload.eq(oldest.entry),
                head.o.ready.eq(retires.ready & finished),
                self.in_flight[queue].eq(fifo.o.valid | head.o.valid | stage.o.valid),
            ]
            with m.If(retires.valid & retires.ready):
                m.d.comb += gone.eq(1 << oldest.tag)
            freed_by.append(gone)
        m.d.comb += freed.eq(reduce(or_, freed_by))
        return m


def _index(one_hot: Value) -> Value:
    """Number of the bit that is set."""
    width = (len(one_hot) - 1).bit_length()
    return Cat(
        Cat(one_hot[i] for i in range(len(one_hot)) if i >> bit & 1).any() for bit in range(width)
    )
