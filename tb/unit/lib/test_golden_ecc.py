# SPDX-License-Identifier: Apache-2.0
"""The golden model of the memory codes, against Python integers and all one- and two-bit errors."""

from itertools import combinations

import numpy as np

from sim.golden.ecc import COLUMNS, byte_parity, secded_check, secded_decode
from tb.common.seeds import numpy_rng

CODE_BITS = 72


def words(n_random: int) -> list[int]:
    """Corner values and random words."""
    rng = numpy_rng("ecc words")
    random = [int(word) for word in rng.integers(0, 1 << 64, n_random, dtype=np.uint64)]
    return [0, (1 << 64) - 1, 1, 1 << 63, 0x5555555555555555, 0xAAAAAAAAAAAAAAAA, *random]


def encode(word: int) -> int:
    """The stored form by its equations: check bit r is the parity of the data under row r."""
    code = word
    for row in range(8):
        members = [bit for bit in range(64) if COLUMNS[bit] & (1 << row)]
        code |= (sum(word >> bit & 1 for bit in members) % 2) << (64 + row)
    return code


def decode(codes: list[int]) -> list[tuple[int, bool, bool]]:
    """The golden decoder on stored words given as integers."""
    data = np.array([code & (1 << 64) - 1 for code in codes], dtype=np.uint64)
    check = np.array([code >> 64 for code in codes], dtype=np.uint8)
    return [
        (int(word), bool(fixed), bool(lost))
        for word, fixed, lost in zip(*secded_decode(data, check), strict=True)
    ]


def test_columns_make_a_hsiao_code() -> None:
    """72 different columns of odd weight, none a single bit but the check bits', rows balanced."""
    assert len(set(COLUMNS)) == 64
    assert sorted({bin(column).count("1") for column in COLUMNS}) == [3, 5]
    assert [sum(column >> row & 1 for column in COLUMNS) for row in range(8)] == [26] * 8
    assert COLUMNS[:3] == (0b111, 0b1011, 0b1101)
    assert COLUMNS[56:] == (0x1F, 0x3E, 0x7C, 0xF8, 0xF1, 0xE3, 0xC7, 0x8F)


def test_check_bits_follow_their_equations() -> None:
    """The XOR of columns is the same as eight parities of Python integers."""
    chosen = words(200)
    check = secded_check(np.array(chosen, dtype=np.uint64))
    assert [word | int(bits) << 64 for word, bits in zip(chosen, check, strict=True)] == [
        encode(word) for word in chosen
    ]


def test_all_single_errors_are_corrected() -> None:
    """Each of the 72 bits of each word, and no error at all."""
    for word in words(20):
        code = encode(word)
        assert decode([code]) == [(word, False, False)]
        wrong = [code ^ 1 << bit for bit in range(CODE_BITS)]
        assert decode(wrong) == [(word, True, False)] * CODE_BITS


def test_all_double_errors_are_detected() -> None:
    """Each of the 2556 pairs of bits of each word."""
    pairs = list(combinations(range(CODE_BITS), 2))
    for word in words(4):
        code = encode(word)
        found = decode([code ^ 1 << first ^ 1 << second for first, second in pairs])
        assert all(lost and not fixed for _word, fixed, lost in found)


def test_parity_of_every_byte() -> None:
    """All 256 bytes, against counting ones in text."""
    found = byte_parity(np.arange(256, dtype=np.uint8))
    assert found.tolist() == [bin(byte).count("1") % 2 for byte in range(256)]
