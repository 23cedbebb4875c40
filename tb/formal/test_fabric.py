# SPDX-License-Identifier: Apache-2.0
"""Proofs about the fabric interface: rate limits hold, and no line is written twice at once."""

import pytest
from amaranth.hdl import Cat, Mux, Signal, signed

from hw.pe.fi.shaper import Shaper
from hw.pe.fi.tracker import LineTracker
from tb.formal.common import Z3_INDUCTION, Proof

LINE_BYTES = 16


def test_no_stretch_of_time_sends_more_than_burst_and_rate() -> None:
    """From any moment on: bytes sent <= burst (a line at least) + cycles * rate / 256."""
    proof = Proof("shaper_bound")
    dut = proof.add(Shaper(line_bytes=LINE_BYTES), driven=("limit",))
    rate, burst = proof.constant(16, "rate"), proof.constant(16, "burst")
    proof.m.d.comb += [dut.limit.rate.eq(rate), dut.limit.burst.eq(burst)]
    proof.assume(rate != 0)
    proof.assume(~dut.went | dut.may_go)
    full = Mux(burst < LINE_BYTES, LINE_BYTES, burst) << 8
    terms, known = dut.terms, Signal()  # since the second cycle they are those of the limit
    proof.m.d.sync += known.eq(1)
    proof.check(
        Mux(
            known,
            (terms.full == full)
            & (terms.full_and_line == full + (LINE_BYTES << 8))
            & (terms.full_and_rate == full + rate)
            & (terms.gain == rate)
            & (terms.gain_less_line == rate - (LINE_BYTES << 8)),
            (terms.as_value() == 0) & (dut.level == 0),
        ),
        "what follows of the limit",
    )
    begins = proof.free(1, "begins")
    excess = Signal(signed(26))  # sent - allowed by the rate, in bytes / 256, since the beginning
    gained = Signal(signed(27))
    proof.m.d.comb += gained.eq(excess + Mux(dut.went, LINE_BYTES << 8, 0) - rate)
    with proof.m.If(begins):
        proof.m.d.sync += excess.eq(0)
    with proof.m.Else():  # below this floor nobody looks, and the counter must not wrap
        proof.m.d.sync += excess.eq(Mux(gained < -(1 << 24), -(1 << 24), gained))
    proof.check(dut.level <= full, "the bucket does not run over")
    proof.check(excess + dut.level <= full, "what was sent is missing in the bucket")
    proof.check(excess <= full, "the bound")
    proof.reach(dut.went & (excess + dut.level == full), "nothing is lost", cycles=6)
    proof.prove(engine=Z3_INDUCTION, depth=3)


@pytest.mark.parametrize("n_tags", [2, 4])
def test_a_line_is_never_under_way_twice(n_tags: int) -> None:
    """Whoever waits while there is a conflict never meets himself; and waits for nobody else."""
    proof = Proof(f"line_tracker_{n_tags}")
    dut = proof.add(LineTracker(n_tags=n_tags, line_width=2))
    line = proof.constant(2, "line")
    at_hand, waits = Signal(2), Signal()  # the line that looked, until it enters
    under_way, holds = Signal(n_tags), Signal(n_tags)  # tags; those that stand for the line
    entered, left = Signal(n_tags), Signal(n_tags)
    proof.m.d.comb += [entered.eq(dut.enter << dut.tag), left.eq(dut.leave << dut.left_tag)]
    proof.assume((entered & under_way) == 0)
    proof.assume((left & ~under_way) == 0)
    proof.assume(dut.line == at_hand)
    proof.assume(~dut.enter | (waits & ~dut.conflict))
    proof.assume(~dut.looks | ~waits | dut.enter)
    with proof.m.If(dut.looks):
        proof.m.d.sync += at_hand.eq(dut.upcoming)
    proof.m.d.sync += waits.eq(dut.looks | (waits & ~dut.enter))
    proof.m.d.sync += [
        under_way.eq((under_way & ~left) | entered),
        holds.eq((holds & ~left) | Mux(dut.line == line, entered, 0)),
    ]
    proof.check((holds & (holds - 1)) == 0, "one tag at most")
    with proof.m.If(waits & (dut.line == line)):
        proof.check(dut.conflict == Cat(holds).any(), "conflict exactly while it is under way")
    proof.reach(under_way.all() & (holds != 0), "all tags out", cycles=n_tags + 3)
    proof.prove()
