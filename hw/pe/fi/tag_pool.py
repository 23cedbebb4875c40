# SPDX-License-Identifier: Apache-2.0
"""Tags of transfers in flight: given out in any order, finished in any order, retired in order."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.elastic import PipeStage, StreamFifo
from hw.lib.select import number_of

__all__ = ["TagPool"]


class TagPool(wiring.Component):
    """Hands out tags to several queues and retires each queue's transfers in its own order.

    Operation
        1. With `available`, `tag` is free; `take` gives it to queue `queue` with its `entry`.
        2. `answered` says that the transfer of `answered_tag` came back; it is finished as soon as
           its bit in `held` is low too.
        3. Each queue offers its oldest entry on `retired`, from a register, when that one is
           finished; the tag is free as the entry goes there.
        4. Tags from `n_tags` on are not the pool's: whoever `brings` one knows that it is free, and
           is told when it `returned`.

    Timing
        A tag per cycle. A tag is free again 2 cycles after it finished, when its entry is the
        oldest and the one before was taken at once. No combinational path to `retired`.

    Parameters
    ----------
    n_tags : tags, a power of two.
    n_queues : queues that share them; each may hold all.
    entry : shape that is kept with a tag.
    n_foreign : tags that are not given out here.

    Members
    -------
    available : Out(1), a tag is free.
    tag : Out(range(n)) with n = n_tags + n_foreign, that tag.
    take : In(1), use it; only while `available`.
    brings : In(1), use `brought` instead, at any time; brought : In(range(n)). With `n_foreign`.
    queue : In(range(max(n_queues, 2))), queue that takes it.
    entry : In(entry), kept until the transfer retires.
    answered : In(1), a transfer came back.
    answered_tag : In(range(n)), which one.
    held : In(n), tags that came back but are not finished.
    retired : Out(stream.Signature(entry)).array(n_queues), finished transfers of each queue.
    in_flight : Out(n_queues), queues that hold tags.
    returned : Out(n_queues), the queue gives back a foreign tag. With `n_foreign`.

    Raises: ValueError when `n_tags` is not a power of two from 2 to 64, or there is no queue.
    """

    def __init__(self, *, n_tags: int, n_queues: int, entry: ShapeLike, n_foreign: int = 0) -> None:
        if n_tags not in (2, 4, 8, 16, 32, 64):
            raise ValueError(f"TagPool n_tags must be a power of two from 2 to 64, not {n_tags!r}.")
        if n_queues < 1:
            raise ValueError(f"TagPool n_queues must be at least 1, not {n_queues!r}.")
        self.n_tags = n_tags
        self.n_queues = n_queues
        self.entry_shape = entry
        self.n_foreign = n_foreign
        self.n_all = n_all = n_tags + n_foreign
        foreign = {"brings": In(1), "brought": In(range(n_all)), "returned": Out(n_queues)}
        super().__init__(
            {
                "available": Out(1),
                "tag": Out(range(n_all)),
                "take": In(1),
                "queue": In(range(max(n_queues, 2))),
                "entry": In(entry),
                "answered": In(1),
                "answered_tag": In(range(n_all)),
                "held": In(n_all),
                "retired": Out(stream.Signature(entry)).array(n_queues),
                "in_flight": Out(n_queues),
                **(foreign if n_foreign else {}),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        taken = Signal(self.n_tags)
        back = Signal(self.n_all)  # answered
        free_one = Signal(self.n_tags)  # one-hot
        tag, own = Signal.like(self.tag), Signal()
        m.d.comb += [
            self.available.eq(~taken.all()),
            free_one.eq(~taken & (taken + 1)),
            self.tag.eq(number_of(free_one)),
            tag.eq(self.tag),
            own.eq(self.take),
        ]
        if self.n_foreign:
            with m.If(self.brings):
                m.d.comb += [tag.eq(self.brought), own.eq(0)]
        freed_by = [self._elaborate_queue(m, at, tag, back) for at in range(self.n_queues)]
        freed = Signal(self.n_all)
        m.d.comb += freed.eq(reduce(or_, freed_by))
        m.d.sync += [
            taken.eq((taken & ~freed) | Mux(own, free_one, 0)),
            back.eq((back & ~freed) | (self.answered << self.answered_tag)),
        ]
        return m

    def _elaborate_queue(self, m: Module, queue: int, tag: Signal, back: Signal) -> Signal:
        """The transfers of one queue, in its order; the tag that it gives back, one-hot."""
        ordered = data.StructLayout({"tag": range(self.n_all), "entry": self.entry_shape})
        # The oldest one's tag is decoded on its way there: nothing then waits for a choice of bits.
        decoded = data.StructLayout({"one": self.n_all, "entry": self.entry_shape})
        m.submodules[f"order{queue}"] = fifo = StreamFifo(shape=ordered, depth=self.n_all)
        m.submodules[f"oldest{queue}"] = head = PipeStage(shape=decoded)
        m.submodules[f"retired{queue}"] = stage = PipeStage(shape=self.entry_shape)
        wiring.connect(m, stage.o, wiring.flipped(self.retired[queue]))
        retires, oldest = stage.i, head.o.payload
        finished = (back & ~self.held & oldest.one).any()
        gone = Signal(self.n_all, name=f"gone{queue}")
        m.d.comb += [
            fifo.i.valid.eq(self.take & (self.queue == queue)),
            fifo.i.payload.tag.eq(tag),
            fifo.i.payload.entry.eq(self.entry),
            head.i.valid.eq(fifo.o.valid),
            fifo.o.ready.eq(head.i.ready),
            head.i.payload.one.eq(1 << fifo.o.payload.tag),
            head.i.payload.entry.eq(fifo.o.payload.entry),
            retires.valid.eq(head.o.valid & finished),
            retires.payload.eq(oldest.entry),
            head.o.ready.eq(retires.ready & finished),
            self.in_flight[queue].eq(fifo.o.valid | head.o.valid | stage.o.valid),
        ]
        with m.If(retires.valid & retires.ready):
            m.d.comb += gone.eq(oldest.one)
        if self.n_foreign:
            m.d.comb += self.returned[queue].eq(gone[self.n_tags :].any())
        return gone
