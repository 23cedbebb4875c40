# SPDX-License-Identifier: Apache-2.0
"""Proofs that what goes in comes out: in order, once, unchanged."""

from amaranth.hdl import Signal, Value

from tb.formal.common import Proof

__all__ = ["Followed", "assume_source", "check_sink", "follow"]


class Followed:
    """One word, chosen at any time, on its way; and how many words are on the way at all."""

    def __init__(self, name: str, width: int, capacity: int) -> None:
        self.n_held = Signal(range(capacity + 2), name=f"{name}_n_held")
        self.n_ahead = Signal(range(capacity + 2), name=f"{name}_n_ahead")
        """Words that must come out before the chosen one."""
        self.under_way = Signal(name=f"{name}_under_way")
        self.seen = Signal(name=f"{name}_seen")
        self.word = Signal(width, name=f"{name}_word")


def follow(
    proof: Proof,
    name: str,
    *,
    put: Value,
    word_in: Value,
    got: Value,
    word_out: Value,
    capacity: int,
) -> Followed:
    """Check that the n-th word out (`got`) is the n-th word in (`put`), never more than `capacity`
    of them under way, and none out that was not in the cycle before."""
    word_in, word_out = Value.cast(word_in), Value.cast(word_out)
    f, m = Followed(name, len(word_in), capacity), proof.m
    chosen = proof.free(1, f"{name}_choose")
    m.d.sync += f.n_held.eq(f.n_held + put - got)
    with m.If(put & chosen & ~f.seen):
        m.d.sync += [
            f.seen.eq(1),
            f.under_way.eq(1),
            f.word.eq(word_in),
            f.n_ahead.eq(f.n_held - got),
        ]
    with m.If(f.under_way & got):
        m.d.sync += [f.n_ahead.eq(f.n_ahead - 1), f.under_way.eq(f.n_ahead != 0)]
    due = f.under_way & got & (f.n_ahead == 0)
    proof.check(~due | (word_out == f.word), f"{name}: the word is unchanged")
    proof.check(f.n_held <= capacity, f"{name}: no more than there is room for")
    proof.check(~got | (f.n_held != 0), f"{name}: only what went in comes out")
    return f


def assume_source(proof: Proof, name: str, port: object, *also: Value) -> None:
    """A source that obeys the stream rules; `also` holds with the payload."""
    stalled = proof.past(port.valid & ~port.ready, f"{name}_stalled")
    proof.assume(~stalled | port.valid)
    for index, value in enumerate((Value.cast(port.payload), *also)):
        proof.assume(~stalled | (value == proof.past(value, f"{name}_past{index}")))


def check_sink(proof: Proof, name: str, port: object) -> None:
    """What is offered stays and does not change until it is taken."""
    payload = Value.cast(port.payload)
    stalled = proof.past(port.valid & ~port.ready, f"{name}_stalled")
    proof.check(~stalled | port.valid, f"{name}: valid stays")
    proof.check(
        ~stalled | (payload == proof.past(payload, f"{name}_past")), f"{name}: payload stays"
    )
