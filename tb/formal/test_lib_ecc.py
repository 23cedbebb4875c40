# SPDX-License-Identifier: Apache-2.0
"""Proofs of SECDED: every word, every single error and every double error."""

from amaranth.hdl import Const, Mux, Signal

from hw.lib.ecc import (
    CHECK_BITS,
    CODE_BITS,
    DATA_BITS,
    POISON,
    SecdedDecoder,
    SecdedEncoder,
    secded_encode,
)
from tb.formal.common import Proof


def add_codec(proof: Proof, error: Signal | Const) -> tuple[SecdedEncoder, SecdedDecoder]:
    """An encoder with any data, and a decoder that sees its word with the bits of `error` wrong."""
    encoder = proof.add(SecdedEncoder(), name="encoder", driven=("invert",))
    decoder = proof.add(SecdedDecoder(), name="decoder", driven=("code",))
    proof.m.d.comb += decoder.code.eq(encoder.code ^ error)
    return encoder, decoder


def place(proof: Proof, name: str) -> Signal:
    """Any bit of a stored word, as a number."""
    position = proof.free(range(CODE_BITS), name)
    proof.assume(position < CODE_BITS)
    return position


def one_hot(position: Signal) -> Signal:
    """The stored word in which only this bit is set."""
    return (Const(1, CODE_BITS) << position)[:CODE_BITS]


def test_whole_word_is_returned_without_report() -> None:
    """Every word comes back as it was, and nothing is reported."""
    proof = Proof("secded_no_error")
    encoder, decoder = add_codec(proof, Const(0, CODE_BITS))
    proof.check(decoder.data == encoder.data, "data is unchanged")
    proof.check(~decoder.corrected & ~decoder.uncorrectable, "nothing is reported")
    proof.check(encoder.code == secded_encode(encoder.data), "encoder and function agree")
    proof.prove()


def test_every_single_error_is_corrected() -> None:
    """Any one wrong bit of any word, data or check, is corrected and reported as such."""
    proof = Proof("secded_single_error")
    encoder, decoder = add_codec(proof, one_hot(place(proof, "position")))
    proof.check(decoder.data == encoder.data, "data is corrected")
    proof.check(decoder.corrected & ~decoder.uncorrectable, "reported as corrected")
    proof.prove()


def test_every_double_error_is_detected() -> None:
    """Any two wrong bits of any word are reported as uncorrectable, never as corrected."""
    proof = Proof("secded_double_error")
    first, second = place(proof, "first"), place(proof, "second")
    proof.assume(first != second)
    encoder, decoder = add_codec(proof, one_hot(first) ^ one_hot(second))
    proof.check(decoder.uncorrectable & ~decoder.corrected, "reported as uncorrectable")
    proof.prove()


def test_poisoned_word_is_uncorrectable() -> None:
    """A word stored as poisoned is lost for every reader, and keeps its data bits to look at."""
    proof = Proof("secded_poison")
    encoder, decoder = add_codec(proof, Const(0, CODE_BITS))
    poison = proof.free(1, "poison")
    proof.m.d.comb += encoder.invert.eq(poison.replicate(CHECK_BITS))
    proof.check(decoder.uncorrectable == poison, "uncorrectable when poisoned")
    proof.check(~decoder.corrected, "never taken for a single error")
    proof.check(decoder.data == encoder.data, "data bits are as given")
    inverted = secded_encode(encoder.data) ^ Mux(poison, POISON, 0)
    proof.check(encoder.code == inverted, "the poisoned bits are those of POISON")
    proof.prove()


def test_syndrome_depends_on_the_error_alone() -> None:
    """The syndrome is zero for whole words only, so a report never depends on the data."""
    proof = Proof("secded_syndrome")
    decoder = proof.add(SecdedDecoder(), name="decoder")
    whole = secded_encode(decoder.code[:DATA_BITS]) == decoder.code
    quiet = ~decoder.corrected & ~decoder.uncorrectable
    proof.check((decoder.syndrome == 0) == whole, "zero for whole words only")
    proof.check(quiet == whole, "every other word is reported")
    proof.check(~(decoder.corrected & decoder.uncorrectable), "one report at a time")
    single = sum(decoder.syndrome[bit] for bit in range(CHECK_BITS)) == 1
    proof.check(
        ~single | (decoder.corrected & (decoder.data == decoder.code[:DATA_BITS])),
        "a wrong check bit leaves the data",
    )
    proof.prove()
