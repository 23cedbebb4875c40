# SPDX-License-Identifier: Apache-2.0
"""Where a multicast read waits until every member of its group has room for the answer."""

from functools import reduce
from operator import xor
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.arbiter import RoundRobin
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.lib.select import one_of
from hw.net.flits import HASH_BITS

__all__ = ["Collector", "line_hash"]


def line_hash(address: Value) -> Value:
    """What a member tells of the address that it expects: all its bits, folded.

    Two addresses that differ in one bit never share it.
    """
    folds = range(0, len(address), HASH_BITS)
    return reduce(xor, [address[low : low + HASH_BITS] for low in folds])


class Collector(wiring.Component):
    """At the end of a lane: lets a multicast read go when all members have reserved its landing.

    Operation
        1. Reads of each group wait in a queue of their own, in the order of the group's leader.
        2. A member's note says that it has reserved room for its group's next line, which line it
           means (`line_hash`, tag), and who leads the group, whose lowest member that is. Notes of
           a member wait in order; a member belongs to one group at a time, and to another one only
           after all its notes were answered.
        3. The oldest read of a group goes when a note of every member in its mask is there; the
           notes go with it. Groups whose read may go take turns. If a note means another line, the
           read disappears, and each of those members gets an answer of its own with `mismatch`,
           which names the member in its mask, with the tag of the note.
        4. Members in `failed` are not waited for, and a read with one of them in its mask
           disappears as if a note had meant another line; so does one whose leader has failed, when
           the leader's note is there, of whatever others. Notes of a failed member, and of one
           whose leader has failed, are answered with `mismatch` at once; but the leader's own wait
           for their reads, which are still to come.
        5. So each note is answered exactly once, with its own tag: an element whose reads are all
           answered has left nothing behind here, whatever became of the others.
        6. Neither reads nor notes can fill a queue, as members never have more than `depth` lines
           open; so nothing ever waits in front of a collector. More than that would wait.

    Timing
        Latency 2 from the last of read and notes; one read per cycle. Combinational path from the
        group at `i` to `i.ready` only.

    Parameters
    ----------
    shape : layout of a read, `LaneShapes.read`; there are as many groups as its field names.
    note : layout of a note, `LaneShapes.note`.
    depth : lines that a member may have open.

    Members
    -------
    i : In(stream.Signature(shape)), multicast reads.
    notes : In(stream.Signature(note)).array(n), one from each position.
    o : Out(stream.Signature(data.StructLayout({"read": shape, "mismatch": 1}))), reads to serve,
        and with `mismatch` tag and mask of notes to answer.
    failed : In(n), positions whose element has failed; steady until its job is over.

    Raises: ValueError when `depth` is less than 1.
    """

    latency = 2
    """Cycles from the transfer of a read's last note to the first cycle in which it is at `o`."""

    def __init__(self, *, shape: data.StructLayout, note: data.StructLayout, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"Collector depth must be at least 1 line, not {depth!r}.")
        self.shape, self.note_shape, self.depth = shape, note, depth
        self.n_positions = shape["mask"].width
        self.n_groups = 1 << shape["group"].width
        self.o_shape = data.StructLayout({"read": shape, "mismatch": 1})
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "notes": In(stream.Signature(note)).array(self.n_positions),
                "o": Out(stream.Signature(self.o_shape)),
                "failed": In(self.n_positions),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.turns = turns = RoundRobin(n_requests=self.n_groups + self.n_positions)
        m.submodules.stage = stage = SkidBuffer(shape=self.o_shape)
        wiring.connect(m, stage.o, wiring.flipped(self.o))
        notes = [
            StreamFifo(shape=self.note_shape, depth=self.depth) for _ in range(self.n_positions)
        ]
        lone = self._elaborate_notes(m, notes)
        offers = [self._elaborate_group(m, at, notes, lone) for at in range(self.n_groups)]
        refused = Cat(offer.payload.mismatch for offer in offers)
        offers += [self._elaborate_lone(m, at, queue, lone) for at, queue in enumerate(notes)]
        goes, chosen = Signal(), Signal(self.o_shape)
        m.d.comb += [
            turns.requests.eq(Cat(offer.valid for offer in offers)),
            # A choice that the stage does not take may change, since `failed` can undo it.
            goes.eq(turns.grant.any() & stage.i.ready),
            turns.served.eq(turns.grant & goes.replicate(len(offers))),
            Value.cast(chosen).eq(one_of([offer.payload for offer in offers], list(turns.grant))),
            # A read that is refused leaves through its members' notes.
            stage.i.valid.eq(turns.grant.any() & ~(turns.grant & refused).any()),
            stage.i.payload.eq(chosen),
        ]
        m.d.comb += [offer.ready.eq(turns.served[at]) for at, offer in enumerate(offers)]
        for at, queue in enumerate(notes):
            taken = goes & chosen.read.mask[at]
            with m.If(taken & stage.i.valid):
                m.d.comb += queue.o.ready.eq(1)
                m.d.sync += self._refused[at].eq(0)
            with m.Elif(taken):
                m.d.sync += self._refused[at].eq(1)
        return m

    def _elaborate_notes(self, m: Module, queues: list[StreamFifo]) -> Signal:
        """Each position's notes, and whether the oldest is to be answered for itself."""
        self._refused = Signal(self.n_positions)  # its read has disappeared
        lone = Signal(self.n_positions)
        for at, (queue, port) in enumerate(zip(queues, self.notes, strict=True)):
            m.submodules[f"notes{at}"] = queue
            wiring.connect(m, wiring.flipped(port), queue.i)
            leader = queue.o.payload.leader
            lost = self.failed[at] | self.failed.bit_select(leader, 1)
            m.d.comb += lone[at].eq(queue.o.valid & (self._refused[at] | (lost & (leader != at))))
        return lone

    def _elaborate_lone(self, m: Module, at: int, queue: StreamFifo, lone: Signal) -> Any:
        """Offers the answer of a position's oldest note, by itself."""
        offer = stream.Signature(self.o_shape).create(path=(f"lone{at}",))
        m.d.comb += [
            offer.valid.eq(lone[at]),
            offer.payload.read.tag.eq(queue.o.payload.tag),
            offer.payload.read.mask.eq(1 << at),
            offer.payload.mismatch.eq(1),
        ]
        return offer

    def _elaborate_group(self, m: Module, group: int, notes: list[StreamFifo], lone: Signal) -> Any:
        """The reads of a group; offers the oldest while all that it waits for is there."""
        m.submodules[f"reads{group}"] = reads = StreamFifo(shape=self.shape, depth=self.depth)
        mine = self.i.payload.group == group
        m.d.comb += [reads.i.valid.eq(self.i.valid & mine), reads.i.payload.eq(self.i.payload)]
        with m.If(mine):
            m.d.comb += self.i.ready.eq(reads.i.ready)
        read = reads.o.payload
        offer = stream.Signature(self.o_shape).create(path=(f"offer{group}",))
        members = Signal(self.n_positions, name=f"members{group}")
        leader = read.mask & (~read.mask + 1)[: self.n_positions]
        hashed = line_hash(read.address)
        missing = ~Cat(queue.o.valid for queue in notes) | lone
        wrong = Cat(
            (queue.o.payload.hash != hashed) | (queue.o.payload.tag != read.tag) for queue in notes
        )
        with m.If((leader & self.failed).any()):
            m.d.comb += members.eq(leader)
        with m.Else():
            m.d.comb += members.eq(read.mask & ~self.failed)
        m.d.comb += [
            offer.valid.eq(reads.o.valid & ~(members & missing).any()),
            offer.payload.read.eq(read),
            offer.payload.read.mask.eq(members),
            offer.payload.mismatch.eq((members & wrong).any() | (read.mask & self.failed).any()),
            reads.o.ready.eq(offer.ready),
        ]
        return offer
