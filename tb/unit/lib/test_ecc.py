# SPDX-License-Identifier: Apache-2.0
"""The SECDED encoder and decoder and the byte parity, bit for bit as the golden model."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.lib.ecc import (
    CODE_BITS,
    POISON,
    SecdedDecoder,
    SecdedEncoder,
    byte_parity,
    secded_encode,
)
from sim.golden import ecc as golden
from tb.common.seeds import python_rng


def corner_words(n_random: int) -> list[int]:
    """Corner values and random words."""
    rng = python_rng("ecc")
    return [0, (1 << 64) - 1, 1, 1 << 63, *(rng.getrandbits(64) for _ in range(n_random))]


def golden_code(word: int) -> int:
    """Stored form of a word by the golden model."""
    return word | int(golden.secded_check(np.array([word], dtype=np.uint64))[0]) << 64


def run(dut: Any, given: Signal, values: list[int], outputs: list[Signal]) -> list[list[int]]:
    """Values of `outputs` for each value of the signal `given`."""
    found = []

    async def bench(ctx: Any) -> None:
        for value in values:
            ctx.set(given, value)
            await ctx.delay(1e-9)
            found.append([ctx.get(signal) for signal in outputs])

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_encoder_stores_as_the_golden_model() -> None:
    """Check bits of corner and random words, and the inverted ones of poisoned words."""
    chosen = corner_words(100)
    for poison in (0, 1):
        m, dut = Module(), SecdedEncoder()
        m.submodules.dut = dut
        m.d.comb += dut.invert.eq(-poison)
        found = run(m, dut.data, chosen, [dut.code])
        assert found == [[golden_code(word) ^ poison * POISON] for word in chosen]


def test_decoder_answers_as_the_golden_model() -> None:
    """No error, all single, all double, and random heavier errors of one word."""
    dut = SecdedDecoder()
    rng = python_rng("ecc errors")
    singles = [1 << bit for bit in range(CODE_BITS)]
    doubles = [first ^ second for first, second in combinations(singles, 2)]
    errors = [0, POISON, *singles, *doubles, *(rng.getrandbits(CODE_BITS) for _ in range(300))]
    code = golden_code(rng.getrandbits(64))
    codes = [code ^ error for error in errors]
    found = run(dut, dut.code, codes, [dut.data, dut.corrected, dut.uncorrectable])
    data = np.array([code & (1 << 64) - 1 for code in codes], dtype=np.uint64)
    check = np.array([code >> 64 for code in codes], dtype=np.uint8)
    expected = zip(*golden.secded_decode(data, check), strict=True)
    assert found == [[int(part) for part in row] for row in expected]


@pytest.mark.parametrize("n_bytes", [1, 2, 8, 9, 32])
def test_byte_parity_of_any_number_of_bytes(n_bytes: int) -> None:
    """Each parity bit depends on its own byte only, below, at and beyond 8 bytes."""
    m = Module()
    value, result = Signal(8 * n_bytes), Signal(n_bytes)
    m.d.comb += result.eq(byte_parity(value))
    rng = python_rng("parity")
    ones = [1 << bit for bit in range(8 * n_bytes)]
    chosen = [0, (1 << 8 * n_bytes) - 1, *ones, *(rng.getrandbits(8 * n_bytes) for _ in range(50))]
    found = run(m, value, chosen, [result])
    for number, (bits,) in zip(chosen, found, strict=True):
        raw = np.frombuffer(number.to_bytes(n_bytes, "little"), dtype=np.uint8)
        assert [bits >> byte & 1 for byte in range(n_bytes)] == golden.byte_parity(raw).tolist()


def test_widths_that_do_not_fit_are_refused() -> None:
    """A word of another width, and bits that are no whole bytes."""
    with pytest.raises(ValueError, match=r"^SECDED data must have 64 bits, not 32\.$"):
        secded_encode(Signal(32))
    with pytest.raises(ValueError, match=r"^Byte parity needs whole bytes, not 12 bits\.$"):
        byte_parity(Signal(12))
