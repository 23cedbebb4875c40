# SPDX-License-Identifier: Apache-2.0
"""Proofs of the elastic stages: order, stream rules and full throughput, for any traffic."""

from collections.abc import Callable

import pytest
from amaranth.hdl import Mux, Signal
from amaranth.lib import wiring

from hw.lib.elastic import PingPongBuffer, PipeStage, SkidBuffer, StreamFifo
from tb.formal.common import Proof

STAGES: dict[str, tuple[Callable[[], wiring.Component], int]] = {
    "pipe_stage": (lambda: PipeStage(shape=2), 1),
    "skid_buffer": (lambda: SkidBuffer(shape=2), 2),
    "ping_pong_buffer": (lambda: PingPongBuffer(shape=2), 2),
    "fifo_1": (lambda: StreamFifo(shape=2, depth=1), 1),
    "fifo_3": (lambda: StreamFifo(shape=2, depth=3), 3),
    "fifo_4": (lambda: StreamFifo(shape=2, depth=4), 4),
    "fifo_block_2": (lambda: StreamFifo(shape=2, depth=2, block=True), 2),
    "fifo_block_3": (lambda: StreamFifo(shape=2, depth=3, block=True), 3),
}
"""Each stage and the words that it holds at most."""

FULL_SPEED = ("pipe_stage", "skid_buffer", "ping_pong_buffer", "fifo_3", "fifo_4", "fifo_block_3")
"""Those that promise a word per cycle."""


def transfers(dut: wiring.Component) -> tuple[Signal, Signal]:
    """Whether a word goes in, and whether one comes out, in this cycle."""
    return dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready


@pytest.mark.parametrize("stage", STAGES)
def test_words_come_out_in_order_once_each(stage: str) -> None:
    """The n-th word out is the n-th word in: one word, chosen at any time, is followed through."""
    factory, capacity = STAGES[stage]
    proof = Proof(f"{stage}_order")
    dut, m = proof.add(factory()), proof.m
    word_in, word_out = transfers(dut)
    chosen = proof.free(1, "choose")
    followed = Signal()  # the chosen word went in and has not come out
    seen = Signal()  # a word has been chosen
    word = Signal(2)
    n_held = Signal(range(capacity + 2))
    n_ahead = Signal(range(capacity + 2))  # words that must come out before the chosen one
    m.d.sync += n_held.eq(n_held + word_in - word_out)
    with m.If(word_in & chosen & ~seen):
        m.d.sync += [
            seen.eq(1),
            followed.eq(1),
            word.eq(dut.i.payload),
            n_ahead.eq(n_held - word_out),
        ]
    with m.If(followed & word_out):
        m.d.sync += [n_ahead.eq(n_ahead - 1), followed.eq(n_ahead != 0)]
        with m.If(n_ahead == 0):
            proof.check(dut.o.payload == word, "the word is unchanged")
    proof.check(n_held <= capacity, "holds no more than it can")
    proof.check((n_held != 0) | ~dut.o.valid, "offers only what went in")
    proof.reach(followed & word_out & (n_ahead == 0) & (n_held == capacity), "full", cycles=12)
    proof.prove()


@pytest.mark.parametrize("stage", STAGES)
def test_output_holds_until_taken(stage: str) -> None:
    """Once valid, a word stays valid and unchanged until it is taken."""
    proof = Proof(f"{stage}_stream_rules")
    dut = proof.add(STAGES[stage][0]())
    stalled = proof.past(dut.o.valid & ~dut.o.ready, "stalled")
    payload = proof.past(dut.o.payload, "payload_past")
    proof.check(~stalled | dut.o.valid, "valid stays")
    proof.check(~stalled | (dut.o.payload == payload), "payload stays")
    proof.reach(
        stalled & dut.i.valid & dut.i.ready | stalled & (dut.o.payload == 3), "stall", cycles=8
    )
    proof.prove()


@pytest.mark.parametrize("stage", STAGES)
def test_words_move_on_within_the_latency(stage: str) -> None:
    """A stage that holds words offers one after its latency; an empty one takes a word."""
    factory, capacity = STAGES[stage]
    proof = Proof(f"{stage}_progress")
    dut, m = proof.add(factory()), proof.m
    word_in, word_out = transfers(dut)
    n_held = Signal(range(capacity + 1))
    n_silent = Signal(range(dut.latency + 2))
    m.d.sync += n_held.eq(n_held + word_in - word_out)
    m.d.sync += n_silent.eq(Mux((n_held != 0) & ~dut.o.valid, n_silent + 1, 0))
    proof.check(n_silent < dut.latency, "offers a held word in time")
    proof.check((n_held != 0) | dut.i.ready, "takes a word when empty")
    if hasattr(dut, "level"):
        proof.check(dut.level == n_held, "level counts the words held")
        proof.check(dut.i.ready == (n_held != capacity), "is ready unless full")
    proof.reach(n_held == capacity, "full", cycles=10)
    proof.prove()


@pytest.mark.parametrize("stage", FULL_SPEED)
def test_full_throughput_while_both_sides_go(stage: str) -> None:
    """While source and sink never pause, a word goes in and one comes out in every cycle."""
    factory, _capacity = STAGES[stage]
    proof = Proof(f"{stage}_throughput")
    dut, m = proof.add(factory()), proof.m
    word_in, word_out = transfers(dut)
    n_going = Signal(range(2 * dut.latency + 3))  # cycles for which both sides have been going
    going = dut.i.valid & dut.o.ready
    m.d.sync += n_going.eq(Mux(going, Mux(n_going == 2 * dut.latency + 2, n_going, n_going + 1), 0))
    with m.If(going & (n_going > 2 * dut.latency)):
        proof.check(word_in, "a word goes in")
        proof.check(word_out, "a word comes out")
    proof.reach(n_going == 2 * dut.latency + 2, "going", cycles=12)
    proof.prove()


@pytest.mark.parametrize("stage", STAGES)
def test_reset_empties_the_stage(stage: str) -> None:
    """After a reset at any time the stage offers nothing and takes a word."""
    proof = Proof(f"{stage}_reset", reset=True)
    dut = proof.add(STAGES[stage][0]())
    was_reset = Signal(reset_less=True)
    proof.m.d.sync += was_reset.eq(proof.reset)
    proof.check(~was_reset | ~dut.o.valid, "offers nothing")
    proof.check(~was_reset | dut.i.ready, "takes a word")
    held = Signal(reset_less=True)
    proof.m.d.sync += held.eq(dut.o.valid)
    proof.reach(was_reset & held, "a word was dropped", cycles=6)
    proof.prove()
