# SPDX-License-Identifier: Apache-2.0
"""Reads the first lines of the command list of a job that waits, while another one runs."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.commands import QUAD_BYTES
from hw.iface.memory import MemoryReadPort
from hw.pe.wqe import ListStart, WorkQueueEngine

__all__ = ["ListAhead", "QueueEvents"]


class QueueEvents(data.Struct):
    """What happens in an element's queue of jobs in this cycle."""

    list: ListStart  # of the job that comes to wait
    waits: unsigned(1)  # a job has come behind another one; never with `leaves`
    begins: unsigned(1)  # the work-queue engine takes the list of the first job
    leaves: unsigned(1)  # the first job leaves
    fails: unsigned(1)  # and is one that failed, so those behind it leave too


class ListAhead(wiring.Component):
    """Answers the first reads of a work-queue engine from what it read while the job waited.

    Operation
        1. A list that comes to wait is read from its first line on, as many lines as the engine
           has tags, once the job before works and has been given what was read for it. Line k has
           slot k, the engine's tag for it. Reads of the engine go before these, and pass through
           in the cycle in which they come; so does what they are answered.
        2. When the job begins, nothing more is read for it. The engine's read of a line that was
           asked for is taken here, and answered when the line is there, with its error or poison.
           Reads of all others pass through.
        3. What was read and not wanted is dropped when its job leaves, and when the one before it
           fails. A slot whose answer is on its way is used again after that has come. What the
           engine has asked for is answered whatever happens, so it comes to rest as it does at
           memory.
        4. It is not reset with the element: between two jobs it keeps what it has.

        Nobody may write a list from the cycle in which its job comes to wait. `lists.response` is
        never refused, since the engine has reserved a place: were one refused, memory's next answer
        would have to wait for a line of a slot.

    Timing: a read of a line that is here is answered 1 cycle after it was taken, one per cycle; of
    a line on its way in the cycle in which that comes. A line is asked for 2 cycles after its job
    came to wait at the earliest, then one per cycle. Every answer is taken at once. Combinational
    paths from either side's requests to the other's, and from answers to the engine's.

    Parameters
    ----------
    link_bytes : bytes of a line.
    tag_width : bits of the engine's tags; it reads `1 << tag_width` lines ahead.

    Members
    -------
    lists : In(MemoryReadPort(link_bytes, tag_width)), the work-queue engine.
    memory : Out(MemoryReadPort(link_bytes, tag_width + 1)); the top bit: read ahead.
    events : In(QueueEvents), what happens to jobs.
    """

    def __init__(self, *, link_bytes: int, tag_width: int = WorkQueueEngine.tag_bits()) -> None:
        self.link_bytes = link_bytes
        self.tag_width = tag_width
        self.n_lines = 1 << tag_width
        self._line_log2 = link_bytes.bit_length() - 1
        super().__init__(
            {
                "lists": In(MemoryReadPort(link_bytes=link_bytes, tag_width=tag_width)),
                "memory": Out(
                    MemoryReadPort(link_bytes=link_bytes, tag_width=self.tag_bits(tag_width))
                ),
                "events": In(QueueEvents),
            }
        )

    @staticmethod
    def tag_bits(tag_width: int) -> int:
        """Bits of a tag of `memory` when the engine's have `tag_width`."""
        return tag_width + 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        n = self.n_lines
        self._on_way, self._arrived = Signal(n), Signal(n)  # answers that are to come; that came
        self._kept = Signal(n)  # lines, here or on their way, that a job may read
        self._wanted = Signal(n)  # and that the engine has asked for
        self._asks, self._takes, self._serves = Signal(), Signal(), Signal()
        self._next, self._served = Signal(self.tag_width), Signal(self.tag_width)
        works = Signal()  # the first job has begun
        self._given = Signal()  # what is kept is of the first job
        events = self.events
        with m.If(works & ~self._kept.any()):
            m.d.sync += self._given.eq(0)
        with m.If(events.begins):
            m.d.sync += [works.eq(1), self._given.eq(1)]
        with m.Elif(events.leaves):
            m.d.sync += works.eq(0)
        self._elaborate_lines(m, works & ~self._given)
        self._elaborate_requests(m)
        self._elaborate_answers(m)
        self._elaborate_slots(m)
        return m

    def _elaborate_lines(self, m: Module, may_ask: Value) -> None:
        """Which lines are still to be asked for; one at a time is, in a register, so that it stays
        whatever becomes of its job."""
        events = self.events
        line = Signal(ADDRESS_BITS - self._line_log2)
        n_left = Signal(range(self.n_lines + 1))
        self._asked = Signal()  # a request is there
        self._request = Signal(self.memory.request.payload.shape())
        free = ~(self._on_way | self._arrived).bit_select(self._next, 1)
        m.d.comb += self._asks.eq(
            may_ask & (n_left != 0) & free & (~self._asked | self._memory_takes)
        )
        with m.If(self._memory_takes):
            m.d.sync += self._asked.eq(0)
        with m.If(self._asks):
            m.d.sync += [
                self._asked.eq(1),
                self._request.address.eq(line << self._line_log2),
                self._request.tag.eq(Cat(self._next, 1)),
                line.eq(line + 1),
                self._next.eq(self._next + 1),
                n_left.eq(n_left - 1),
            ]
        with m.If(events.leaves):
            m.d.sync += n_left.eq(0)  # the engine is about to ask itself, or nobody is
        with m.If(events.waits):
            m.d.sync += [
                line.eq(events.list.address[self._line_log2 :]),
                self._next.eq(0),
                n_left.eq(self._lines_of(events.list)),
            ]

    @property
    def _memory_takes(self) -> Value:
        """Memory takes a request that was made ahead."""
        request = self.memory.request
        return request.valid & request.ready & request.payload.tag[-1]

    def _lines_of(self, asked: data.View) -> Value:
        """How many of a list's lines are read ahead, as the engine counts them."""
        quads_log2 = self._line_log2 - (QUAD_BYTES.bit_length() - 1)
        most = quads_log2 + self.tag_width  # quads of all slots, as a power of two
        place = asked.address[self._line_log2 - quads_log2 : self._line_log2]
        few = place + asked.quads[:most] + ((1 << quads_log2) - 1)
        return Mux(asked.quads[most:].any() | few[most:].any(), self.n_lines, few[quads_log2:])

    def _elaborate_requests(self, m: Module) -> None:
        """The engine's requests to memory, if they are not answered here; ours when it has none."""
        engine, memory_ = self.lists.request, self.memory.request
        hit, mine, waited = Signal(), Signal(), Signal()
        m.d.comb += [
            hit.eq(self._given & self._kept.bit_select(engine.payload.tag, 1)),
            self._takes.eq(engine.valid & hit),
            # One that was offered stays.
            mine.eq(self._asked & (waited | ~engine.valid | hit)),
            memory_.valid.eq(mine | (engine.valid & ~hit)),
            memory_.payload.address.eq(Mux(mine, self._request.address, engine.payload.address)),
            memory_.payload.tag.eq(Mux(mine, self._request.tag, engine.payload.tag)),
            engine.ready.eq(hit | (memory_.ready & ~mine)),
        ]
        m.d.sync += waited.eq(mine & ~memory_.ready)

    def _elaborate_answers(self, m: Module) -> None:
        """Memory's answers to the engine, or into their slots; those of slots in order."""
        told, engine = self.memory.response, self.lists.response
        line_bits = 8 * self.link_bytes
        m.submodules.lines = lines = memory.Memory(shape=line_bits + 2, depth=self.n_lines, init=[])
        write, read = lines.write_port(), lines.read_port(domain="comb")
        ahead, slot = told.payload.tag[-1], told.payload.tag[: self.tag_width]
        through, passes, here = Signal(), Signal(), Signal()
        m.d.comb += [
            told.ready.eq(1),
            write.en.eq(told.valid & ahead),
            write.addr.eq(slot),
            write.data.eq(Cat(told.payload.data, told.payload.error, told.payload.poison)),
            read.addr.eq(self._served),
            through.eq(told.valid & ~ahead),
            here.eq((self._wanted & self._arrived).bit_select(self._served, 1)),
            # A line that the engine waits for does not stop here.
            passes.eq(
                told.valid & ahead & (slot == self._served) & self._wanted.bit_select(slot, 1)
            ),
            engine.valid.eq(through | here | passes),
            # One that is here waits while an answer goes through.
            self._serves.eq((here | passes) & ~through),
            engine.payload.tag.eq(Mux(through, slot, self._served)),
        ]
        fields = [getattr(engine.payload, name) for name in ("data", "error", "poison")]
        with m.If(through | passes):
            m.d.comb += [
                field.eq(getattr(told.payload, name))
                for name, field in zip(("data", "error", "poison"), fields, strict=True)
            ]
        with m.Else():
            m.d.comb += Cat(fields).eq(read.data)
        with m.If(self._serves):
            m.d.sync += self._served.eq(self._served + 1)
        with m.If(self.events.begins):
            m.d.sync += self._served.eq(0)

    def _elaborate_slots(self, m: Module) -> None:
        """What becomes of each slot."""
        told, engine, events = self.memory.response, self.lists.request, self.events
        drops = events.leaves & (self._given | events.fails)
        comes = told.valid & told.payload.tag[-1]
        for slot in range(self.n_lines):
            asked = self._asks & (self._next == slot)
            came = comes & (told.payload.tag[: self.tag_width] == slot)
            wanted = self._takes & (engine.payload.tag == slot)
            served = self._serves & (self._served == slot)
            dropped = drops & ~self._wanted[slot] & ~wanted
            with m.If(came):
                m.d.sync += [self._on_way[slot].eq(0), self._arrived[slot].eq(self._kept[slot])]
            with m.If(wanted):
                m.d.sync += self._wanted[slot].eq(1)
            with m.If(asked):
                m.d.sync += [self._on_way[slot].eq(1), self._kept[slot].eq(1)]
            with m.If(served | dropped):
                m.d.sync += [self._arrived[slot].eq(0), self._kept[slot].eq(0)]
            with m.If(served):
                m.d.sync += self._wanted[slot].eq(0)
