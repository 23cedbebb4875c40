# SPDX-License-Identifier: Apache-2.0
"""Proofs of lists that are read ahead: each read is answered with its own line, each slot is used
by one line at a time, whatever becomes of the jobs.

Two slots; one address of memory answers with an error, so who is told of it shows whose line it is.
"""

from amaranth.hdl import Cat, Signal, Value

from hw.grid.list_ahead import ListAhead
from tb.formal.common import Proof
from tb.formal.follow import assume_source, check_sink

LINE_BITS = 2  # of addresses that lists begin at
TAG_WIDTH = 1


class World:
    """The component between a memory that answers when it likes, an engine that asks for lines in
    order, and a queue in which jobs come, begin, end and fail at any time."""

    def __init__(self, name: str) -> None:
        self.proof = proof = Proof(f"list_ahead_{name}")
        self.dut = proof.add(
            ListAhead(link_bytes=16, tag_width=TAG_WIDTH),
            driven=("memory.response.payload", "lists.request.payload", "events"),
        )
        self.bad = proof.constant(LINE_BITS + 2, "bad")  # the line with the error
        self._queue()
        self._engine()
        self._memory()

    def is_bad(self, address: Value) -> Value:
        """Whether it is the line with the error."""
        return address[4:] == self.bad

    def _queue(self) -> None:
        """The first job with its list, one that waits with its own."""
        proof, m, dut = self.proof, self.proof.m, self.dut
        line = proof.free(LINE_BITS, "line")
        comes, self.begins, leaves, fails = (
            proof.free(1, name) for name in ("comes", "begins", "leaves", "fails")
        )
        n_jobs, self.begun = Signal(2), Signal()
        first, second = Signal(LINE_BITS), Signal(LINE_BITS)
        self.waits = Signal()
        m.d.comb += [
            self.waits.eq(comes & (n_jobs == 1) & ~leaves),
            dut.events.waits.eq(self.waits),
            dut.events.begins.eq(self.begins),
            dut.events.leaves.eq(leaves),
            dut.events.fails.eq(fails),
            dut.events.list.address.eq(line << 4),
            dut.events.list.quads.eq(proof.free(3, "quads")),
        ]
        m.d.sync += n_jobs.eq(n_jobs + comes - leaves)
        with m.If(leaves):
            m.d.sync += [first.eq(second), self.begun.eq(0)]
        with m.If(self.begins):
            m.d.sync += self.begun.eq(1)
        with m.If(comes):
            with m.If(n_jobs == leaves):
                m.d.sync += first.eq(line)
            with m.Else():
                m.d.sync += second.eq(line)
        proof.assume(~comes | (n_jobs != 2))
        proof.assume(~leaves | (n_jobs != 0))
        proof.assume(~leaves | self.begun | fails)  # taken along
        proof.assume(~self.begins | ((n_jobs != 0) & ~self.begun & ~leaves))
        self.first = first
        self.dropped = leaves & fails & (n_jobs == 2)

    def _engine(self) -> None:
        """Asks for the lines of the first list in order, those of an ended one to the end."""
        proof, m, port = self.proof, self.proof.m, self.dut.lists
        request, answer = port.request, port.response
        next_line, slot = Signal(LINE_BITS + 2), Signal(TAG_WIDTH)
        self.open, self.open_bad = Signal(2), Signal(2)
        stalled = proof.past(request.valid & ~request.ready, "engine_stalled")
        proof.assume(~stalled | request.valid)
        proof.assume(~request.valid | stalled | self.begun)
        proof.assume(~request.valid | ~self.open.bit_select(slot, 1))
        # It reads no more lines than there are addresses here.
        proof.assume(~request.valid | (next_line[-1] == 0))
        # One list at a time.
        proof.assume(~self.begins | ~(self.open.any() | request.valid))
        m.d.comb += [
            request.payload.address.eq(next_line << 4),
            request.payload.tag.eq(slot),
        ]
        with m.If(request.valid & request.ready):
            m.d.sync += [
                next_line.eq(next_line + 1),
                slot.eq(slot + 1),
                self.open.bit_select(slot, 1).eq(1),
                self.open_bad.bit_select(slot, 1).eq(self.is_bad(request.payload.address)),
            ]
        proof.assume(answer.ready)
        self.told = answer.valid
        with m.If(self.told):
            m.d.sync += self.open.bit_select(answer.payload.tag, 1).eq(0)
        with m.If(self.begins):
            m.d.sync += [next_line.eq(self.first), slot.eq(0)]

    def _memory(self) -> None:
        """Any request may be answered at any time."""
        proof, m, port = self.proof, self.proof.m, self.dut.memory
        request, answer = port.request, port.response
        n_tags = 1 << ListAhead.tag_bits(TAG_WIDTH)
        self.pending, bad = Signal(n_tags), Signal(n_tags)
        tag = proof.free(ListAhead.tag_bits(TAG_WIDTH), "answer_tag")
        assume_source(proof, "answer", answer, tag)
        proof.assume(~answer.valid | self.pending.bit_select(tag, 1))
        m.d.comb += [answer.payload.tag.eq(tag), answer.payload.error.eq(bad.bit_select(tag, 1))]
        with m.If(answer.valid & answer.ready):
            m.d.sync += self.pending.bit_select(tag, 1).eq(0)
        self.asks = request.valid & request.ready
        with m.If(self.asks):
            asked = request.payload
            m.d.sync += [
                self.pending.bit_select(asked.tag, 1).eq(1),
                bad.bit_select(asked.tag, 1).eq(self.is_bad(asked.address)),
            ]


def test_no_slot_is_used_again_before_its_answer() -> None:
    """Would break if a list were read over one that was dropped while its lines were on their
    way. Answers are never refused, so nobody behind them waits."""
    world = World("slots")
    proof, request, answer = world.proof, world.dut.memory.request, world.dut.memory.response
    busy = world.pending.bit_select(request.payload.tag, 1)
    proof.check(~request.valid | ~busy, "no tag is asked for twice")
    proof.check(answer.ready, "never refused")
    check_sink(proof, "request", request)
    late = proof.past(world.dropped & world.pending[2:].any(), "late")
    proof.reach(late, "dropped while its lines are on their way", cycles=10)
    proof.prove()


def test_each_read_is_answered_with_its_line() -> None:
    """Once, and from the list of the job that works; would break if a line of a job that was
    dropped, or of the one behind, were taken for it."""
    world = World("lines")
    proof, answer = world.proof, world.dut.lists.response
    tag, payload = answer.payload.tag, answer.payload
    proof.check(~answer.valid | world.open.bit_select(tag, 1), "only what was asked for")
    proof.check(
        ~answer.valid | (payload.error == world.open_bad.bit_select(tag, 1)), "its own line"
    )
    ahead = Signal()  # all that memory was asked for was ahead
    with proof.m.If(world.asks & ~world.dut.memory.request.payload.tag[-1]):
        proof.m.d.sync += ahead.eq(1)
    both = Cat(world.told, payload.error, ~ahead).all()
    proof.reach(both, "the error of a line that was read ahead", cycles=14)
    proof.prove()
