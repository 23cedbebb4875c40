# SPDX-License-Identifier: Apache-2.0
"""Where a multicast read waits until every member of its group has room for the answer."""

from functools import reduce
from operator import xor
from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.arbiter import RoundRobin
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.lib.select import one_of
from hw.net.flits import HASH_BITS

__all__ = ["Collector", "line_hash"]


def line_hash(address: Value, tag: Value) -> Value:
    """What a member tells of the line that it expects: all bits of address and tag, folded.

    Two lines whose addresses or tags differ in one bit never share it.
    """
    bits = Cat(address, tag)
    return reduce(xor, [bits[low : low + HASH_BITS] for low in range(0, len(bits), HASH_BITS)])


class Collector(wiring.Component):
    """At the end of a lane: lets a multicast read go when all members have reserved its landing.

    Operation
        1. Reads of each group wait in a queue of their own, in the order of the group's leader.
        2. A member's note says that it has reserved room for its group's next line, and which line
           it means (`line_hash`). Notes of a member wait in order; a member belongs to one group
           at a time, and to another one only after all its notes have gone.
        3. The oldest read of a group goes when a note of every member in its mask is there; the
           notes go with it. Groups whose read may go take turns. If a note means another line,
           `mismatch` is set and the read must not reach memory: its members are answered with an
           error.
        4. Neither reads nor notes can fill a queue, as members never have more than `depth` lines
           open; so nothing ever waits in front of a collector. More than that would wait.
        5. While a position is in `clear`, its notes are thrown away, reads do not wait for it, and
           leave without it in their mask, with `mismatch`, since the line does not reach the whole
           group; one that nobody else waits for leaves with an empty mask, which no lane delivers.

    Timing
        Latency 2 from the last of read and notes; one read per cycle. Combinational path from the
        group at `i` to `i.ready` only.

    Parameters
    ----------
    shape : layout of a read, `LaneShapes.read`; there are as many groups as its field names.
    depth : lines that a member may have open.

    Members
    -------
    i : In(stream.Signature(shape)), multicast reads.
    notes : In(stream.Signature(HASH_BITS)).array(n), one from each position.
    o : Out(stream.Signature(data.StructLayout({"read": shape, "mismatch": 1}))), reads to serve.
    clear : In(n), positions whose element is being reset.

    Raises: ValueError when `depth` is less than 1.
    """

    latency = 2
    """Cycles from the transfer of a read's last note to the first cycle in which it is at `o`."""

    def __init__(self, *, shape: data.StructLayout, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"Collector depth must be at least 1 line, not {depth!r}.")
        self.shape, self.depth = shape, depth
        self.n_positions = shape["mask"].width
        self.n_groups = 1 << shape["group"].width
        self.o_shape = data.StructLayout({"read": shape, "mismatch": 1})
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "notes": In(stream.Signature(HASH_BITS)).array(self.n_positions),
                "o": Out(stream.Signature(self.o_shape)),
                "clear": In(self.n_positions),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.turns = turns = RoundRobin(n_requests=self.n_groups)
        m.submodules.stage = stage = SkidBuffer(shape=self.o_shape)
        wiring.connect(m, stage.o, wiring.flipped(self.o))
        notes = [StreamFifo(shape=HASH_BITS, depth=self.depth) for _ in range(self.n_positions)]
        offers = [self._elaborate_group(m, group, notes) for group in range(self.n_groups)]
        m.d.comb += [
            turns.requests.eq(Cat(offer.valid for offer in offers)),
            # A choice that the stage does not take may change, since `clear` can undo it.
            turns.served.eq(Mux(stage.i.ready, turns.grant, 0)),
            stage.i.valid.eq(turns.grant.any()),
            Value.cast(stage.i.payload).eq(
                one_of([offer.payload for offer in offers], list(turns.grant))
            ),
        ]
        m.d.comb += [offer.ready.eq(turns.served[at]) for at, offer in enumerate(offers)]
        self._elaborate_notes(m, notes, Mux(stage.i.ready, stage.i.payload.read.mask, 0))
        return m

    def _elaborate_notes(self, m: Module, queues: list[StreamFifo], taken: Value) -> None:
        """Each position's notes; those of the read that goes are `taken`."""
        for at, (queue, port) in enumerate(zip(queues, self.notes, strict=True)):
            m.submodules[f"notes{at}"] = ResetInserter(self.clear[at])(queue)
            wiring.connect(m, wiring.flipped(port), queue.i)
            m.d.comb += queue.o.ready.eq(taken[at])

    def _elaborate_group(self, m: Module, group: int, notes: list[StreamFifo]) -> Any:
        """The reads of a group; offers the oldest while all that it waits for is there."""
        m.submodules[f"reads{group}"] = reads = StreamFifo(shape=self.shape, depth=self.depth)
        mine = self.i.payload.group == group
        m.d.comb += [reads.i.valid.eq(self.i.valid & mine), reads.i.payload.eq(self.i.payload)]
        with m.If(mine):
            m.d.comb += self.i.ready.eq(reads.i.ready)
        read = reads.o.payload
        offer = stream.Signature(self.o_shape).create(path=(f"offer{group}",))
        members = Signal(self.n_positions, name=f"members{group}")
        missing = Cat(~queue.o.valid for queue in notes)
        wrong = Cat(queue.o.payload != line_hash(read.address, read.tag) for queue in notes)
        m.d.comb += [
            members.eq(read.mask & ~self.clear),
            offer.valid.eq(reads.o.valid & ~(members & missing).any()),
            offer.payload.read.eq(read),
            offer.payload.read.mask.eq(members),
            offer.payload.mismatch.eq((members & wrong).any() | (read.mask & self.clear).any()),
            reads.o.ready.eq(offer.ready),
        ]
        return offer
