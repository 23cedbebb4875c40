# SPDX-License-Identifier: Apache-2.0
"""Decoding of operand bytes, once per operand register, never per multiplier.

A decoded operand feeds lanes of 12x9-bit signed multipliers. An integer element is one lane's
number. A floating-point element owns a pair of lanes: its 11-bit significand goes to both lanes of
the 12-bit side, or in two pieces (8 low bits, 3 high bits) to the lanes of the 9-bit side, so that
the product of two significands is ``even lane + (odd lane << 8)``.
"""

import enum

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.bits import leading_zeros

__all__ = ["DecodedOperand", "FloatFields", "EXPONENT_BIAS", "OperandDecoder", "Side"]

EXPONENT_BIAS = 400
"""Added to exponents of floating-point elements, so that they compare as unsigned numbers and a
zero's exponent can be 0: its sum with any other is below that of every non-zero product."""


class Side(enum.Enum):
    """Which side of the multipliers an operand feeds; the value is its width."""

    STREAMED = 12
    HELD = 9


class FloatFields(wiring.Signature):
    """What floating-point elements carry beside their significands.

    Members
    -------
    exponent : Out(10) x pairs
        floor(log2) of each element plus `EXPONENT_BIAS`, 0 for zeros; no meaning for infinities
        and NaNs.
    sign, zero, infinite, nan : Out(pairs)
        One bit per element.
    """

    def __init__(self, *, pairs: int) -> None:
        self.pairs = pairs
        bits = {name: Out(pairs) for name in ("sign", "zero", "infinite", "nan")}
        super().__init__({"exponent": Out(10).array(pairs), **bits})


class DecodedOperand(wiring.Signature):
    """A decoded row of `k_bytes` bytes.

    Members
    -------
    lanes : Out(signed(width)) x k_bytes
        Multiplier inputs.
    fp : Out(FloatFields)
        Floating-point elements, one for each pair of lanes; only if `with_fp`.
    """

    def __init__(self, *, side: Side, k_bytes: int, with_fp: bool) -> None:
        self.side = side
        self.k_bytes = k_bytes
        self.with_fp = with_fp
        members = {"lanes": Out(signed(side.value)).array(k_bytes)}
        if with_fp:
            members["fp"] = Out(FloatFields(pairs=k_bytes // 2))
        super().__init__(members)


class OperandDecoder(wiring.Component):
    """Decodes a row of bytes in any operand format.

    Operation: an element whose bytes are all zero decodes to zero in every format.

    Timing: combinational.

    Numerics: exact. Subnormal numbers are normalised: significands lie in [1, 2) with 10 bits
    below the point, except for zero.

    Parameters
    ----------
    side : Side
        Which side of the multipliers the result feeds.
    k_bytes : int
        Bytes of a row; even.
    with_fp : bool
        Whether FP16 and BF16 are decoded. Without, all formats are taken as integers.

    Members
    -------
    raw : In(8 * k_bytes)
        The row, first element in the lowest bits.
    format : In(2)
        `hw.arch.formats.Format` of the elements, the four operand formats only.
    o : Out(DecodedOperand)
        Decoded row.

    Raises
    ------
    ValueError
        If `k_bytes` is odd or not positive.
    """

    def __init__(self, *, side: Side, k_bytes: int, with_fp: bool) -> None:
        if k_bytes < 2 or k_bytes % 2:
            raise ValueError(f"k_bytes is {k_bytes}; it must be even and at least 2.")
        self.side = side
        self.k_bytes = k_bytes
        self.with_fp = with_fp
        super().__init__(
            {
                "raw": In(8 * k_bytes),
                "format": In(2),
                "o": Out(DecodedOperand(side=side, k_bytes=k_bytes, with_fp=with_fp)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        is_float = self.format[1] if self.with_fp else Const(0, 1)
        integers = []
        for lane in range(self.k_bytes):
            byte = self.raw.word_select(lane, 8)
            integers.append(Cat(byte, byte[7] & ~self.format[0]).as_signed())
        if not self.with_fp:
            m.d.comb += [o.eq(i) for o, i in zip(self.o.lanes, integers, strict=True)]
            return m
        for pair in range(self.k_bytes // 2):
            element = self.raw.word_select(pair, 16)
            significand = self._elaborate_element(m, element, pair)
            if self.side is Side.HELD:
                pieces = [significand[:8], significand[8:]]
            else:
                pieces = [significand, significand]
            for half, piece in enumerate(pieces):
                lane = 2 * pair + half
                m.d.comb += self.o.lanes[lane].eq(Mux(is_float, piece, integers[lane]))
        return m

    def _elaborate_element(self, m: Module, element: Value, pair: int) -> Signal:
        """Decode one floating-point element; returns its 11-bit significand."""
        is_bf16 = self.format[0]
        biased = Signal(8, name=f"biased{pair}")
        fraction = Signal(10, name=f"fraction{pair}")
        significand = Signal(11, name=f"significand{pair}")
        subnormal, special = biased == 0, biased == Mux(is_bf16, 0xFF, 0x1F)
        shift = leading_zeros(m, fraction, name=f"fraction{pair}")
        offset = Mux(is_bf16, EXPONENT_BIAS - 127, EXPONENT_BIAS - 15)
        exponent = biased + offset - Mux(subnormal, shift, 0)
        m.d.comb += [
            biased.eq(Mux(is_bf16, element[7:15], element[10:15])),
            fraction.eq(Mux(is_bf16, element[:7].shift_left(3), element[:10])),
            significand.eq(Mux(subnormal, fraction << (shift + 1), Cat(fraction, 1))),
            self.o.fp.zero[pair].eq(subnormal & (fraction == 0)),
            self.o.fp.exponent[pair].eq(Mux(self.o.fp.zero[pair], 0, exponent)),
            self.o.fp.sign[pair].eq(element[15]),
            self.o.fp.infinite[pair].eq(special & (fraction == 0)),
            self.o.fp.nan[pair].eq(special & (fraction != 0)),
        ]
        return significand
