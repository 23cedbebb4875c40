# SPDX-License-Identifier: Apache-2.0
"""Error-correcting and error-detecting codes of the memories.

SECDED (72,64) corrects one wrong bit of a stored word and detects two. Its columns all have an odd
number of ones (a Hsiao code): a single error gives a syndrome of odd weight, a double error one of
even weight, so no overall parity bit is needed. The columns of the data bits are, in order, all 56
eight-bit numbers with three ones in ascending order, then the 8 rotations of 0b00011111 to the
left. So each check bit covers 26 data bits, and all are equally deep.
"""

from functools import reduce
from itertools import combinations
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "CHECK_BITS",
    "CODE_BITS",
    "DATA_BITS",
    "POISON",
    "SecdedCorrector",
    "SecdedDecoder",
    "SecdedEncoder",
    "byte_parity",
    "secded_column",
    "secded_encode",
    "secded_syndrome",
]

DATA_BITS = 64
"""Data bits of a word."""
CHECK_BITS = 8
"""Check bits of a word."""
CODE_BITS = DATA_BITS + CHECK_BITS
"""Bits of a stored word: data in the low 64, check bits above."""
POISON = ((1 << CHECK_BITS) - 1) << DATA_BITS
"""Bits to invert in a stored word so that it reads as uncorrectable. One more wrong bit is still
seen in 56 of 72 places, which is the best that any such pattern can do with this many columns."""


def _columns() -> list[int]:
    """Column of the parity matrix for each data bit."""
    weight_three = sorted(sum(1 << bit for bit in bits) for bits in combinations(range(8), 3))
    rotations = [(0b11111 << shift | 0b11111 >> (8 - shift)) & 0xFF for shift in range(8)]
    return weight_three + rotations


_COLUMNS = _columns()
_ROWS = [
    sum((column >> row & 1) << bit for bit, column in enumerate(_COLUMNS))
    for row in range(CHECK_BITS)
]


def _check_bits(data: Value) -> Value:
    # One masked parity per check bit: Verilator turns each into a few instructions.
    return Cat((data & Const(row, DATA_BITS)).xor() for row in _ROWS)


def secded_encode(data: ValueLike) -> Value:
    """The stored form of a 64-bit word: data in the low bits, 8 check bits above.

    Raises: ValueError for a word of another width.
    """
    data = Value.cast(data)
    if len(data) != DATA_BITS:
        raise ValueError(f"SECDED data must have {DATA_BITS} bits, not {len(data)}.")
    return Cat(data, _check_bits(data))


def secded_syndrome(code: Value) -> Value:
    """Which check bits of a stored word do not fit; zero without an error."""
    return _check_bits(code[:DATA_BITS]) ^ code[DATA_BITS:]


def secded_column(m: Module, bit: Value) -> Value:
    """Syndrome of a word in which stored bit number `bit` alone is wrong; zero from 72 on."""
    column = Signal(CHECK_BITS)
    with m.Switch(bit):
        for index, value in enumerate((*_COLUMNS, *(1 << check for check in range(CHECK_BITS)))):
            with m.Case(index):
                m.d.comb += column.eq(value)
    return column


def byte_parity(data: ValueLike) -> Value:
    """One bit per byte: whether the byte has an odd number of ones.

    Bytes are folded eight at a time, which takes a simulator a tenth of the work of looking at each
    byte alone.

    Raises: ValueError when `data` is no whole number of bytes.
    """
    data = Value.cast(data)
    if len(data) % 8:
        raise ValueError(f"Byte parity needs whole bytes, not {len(data)} bits.")
    bits = []
    for start in range(0, len(data), 64):
        folded = data[start : start + 64]
        for distance in (4, 2, 1):
            folded = folded ^ folded[distance:]
        bits += [folded[byte] for byte in range(0, len(folded), 8)]
    return Cat(*bits)


class SecdedEncoder(wiring.Component):
    """Adds eight check bits to a 64-bit word.

    Operation: `code` is `secded_encode(data)`, with the check bits of `invert` inverted. All of
    them make a word that is found uncorrectable whenever it is read: `POISON`.

    Timing: combinational.

    Members
    -------
    data : In(64), word to store.
    invert : In(8), check bits to invert.
    code : Out(72), stored form.
    """

    def __init__(self) -> None:
        super().__init__({"data": In(DATA_BITS), "invert": In(CHECK_BITS), "code": Out(CODE_BITS)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.code.eq(Cat(self.data, _check_bits(self.data) ^ self.invert))
        return m


class SecdedCorrector(wiring.Component):
    """Corrects one wrong bit of a word whose syndrome is known.

    Operation: `stored` with the bit inverted that `syndrome` names, if it names one. What is
    reported is as for `SecdedDecoder`.

    Timing: combinational, three lookup tables deep.

    Members
    -------
    stored : In(64), data as it is stored. syndrome : In(8), `secded_syndrome` of the word.
    data : Out(64), corrected data.
    corrected : Out(1), one bit was wrong. uncorrectable : Out(1), the data is lost.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "stored": In(DATA_BITS),
                "syndrome": In(CHECK_BITS),
                "data": Out(DATA_BITS),
                "corrected": Out(1),
                "uncorrectable": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Both halves decoded once: a word's 64 comparisons of 8 bits would cost twice as much.
        low, high = Signal(16), Signal(16)
        m.d.comb += [low.eq(1 << self.syndrome[:4]), high.eq(1 << self.syndrome[4:])]
        rows: dict[int, list[Value]] = {}
        for column in (*_COLUMNS, *(1 << check for check in range(CHECK_BITS))):
            rows.setdefault(column >> 4, []).append(low[column & 15])
        single = reduce(or_, (high[row] & Cat(lows).any() for row, lows in rows.items()))
        m.d.comb += [
            self.data.eq(self.stored ^ Cat(low[c & 15] & high[c >> 4] for c in _COLUMNS)),
            self.corrected.eq(single),
            self.uncorrectable.eq(self.syndrome.any() & ~self.corrected),
        ]
        return m


class SecdedDecoder(wiring.Component):
    """Corrects one wrong bit of a stored word and detects two.

    Operation: without an error, `data` is the stored data. A single wrong bit, data or check, is
    corrected and reported by `corrected`. Two wrong bits, and a poisoned word, are reported by
    `uncorrectable`; `data` is then the stored data as it is. Three and more wrong bits are
    beyond the code: they may pass for a single one.

    Timing: combinational.

    Members
    -------
    code : In(72), stored form.
    data : Out(64), corrected data.
    corrected : Out(1), one bit was wrong.
    uncorrectable : Out(1), the data is lost.
    syndrome : Out(8), which check bits do not fit; zero without an error.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "code": In(CODE_BITS),
                "data": Out(DATA_BITS),
                "corrected": Out(1),
                "uncorrectable": Out(1),
                "syndrome": Out(CHECK_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.corrector = corrector = SecdedCorrector()
        m.d.comb += [
            self.syndrome.eq(secded_syndrome(self.code)),
            corrector.stored.eq(self.code[:DATA_BITS]),
            corrector.syndrome.eq(self.syndrome),
            self.data.eq(corrector.data),
            self.corrected.eq(corrector.corrected),
            self.uncorrectable.eq(corrector.uncorrectable),
        ]
        return m
