# SPDX-License-Identifier: Apache-2.0
"""Conversion of FP32 to elements of other formats, rounded to nearest or at random, pipelined."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.formats import Format
from hw.num.bits import shift_right_jam
from hw.num.fp32_order import fp32_canonical, fp32_is_nan
from hw.num.stage import stage

__all__ = ["FROM_FP32_FORMATS", "FromFp32"]

FROM_FP32_FORMATS = (Format.INT8, Format.UINT8, Format.FP16, Format.BF16, Format.FP32)
"""Formats that FP32 is converted to."""

_FP16_FRACTION_BITS, _BF16_FRACTION_BITS = 10, 7
_FP16_LEAST_EXPONENT = 127 - 14
_FP16_INFINITY, _FP16_NAN, _BF16_NAN = 0x7C00, 0x7E00, 0x7FC0
# An integer of 256 or more is beyond the range of both types.
_BEYOND_EXPONENT = 127 + 8
_RANDOM_BITS = 32
# Bits of the whole part of the shifted significand: of integers, and longest for FP16.
_INTEGER_BITS, _WHOLE_BITS = 8, 1 + _FP16_FRACTION_BITS


class FromFp32(wiring.Component):
    """Converts FP32 to one element of another format, rounding once.

    Operation: (1) shift the significand until its unit is the spacing of the target format around
    the value; (2) round, pack, clamp. One value enters and one leaves at every clock edge
    with `en`; the parent carries the valid bit.

    Timing: `latency` clock edges with `en` from all inputs to `o`; one value per cycle. Registers
    stand after (2), then also after (1), for a latency of 1 and 2; with 0 the path is
    combinational.

    Numerics: FP16, BF16: gradual underflow, overflow to infinity, NaN gives 0x7E00 and 0x7FC0.
    INT8, UINT8: rounded to an integer, then clamped to the range; NaN gives 0. FP32: NaN gives
    0x7FC00000. Rounding is to nearest even, or with `stochastic` floor(|x| / u + random / 2^32) * u
    with the sign of x, u the spacing.

    Parameters
    ----------
    latency : int
        Register stages, 0 to 2.
    formats : iterable of Format
        Formats that occur, of `FROM_FP32_FORMATS`; the hardware of others is left out.
    with_stochastic : bool
        Without it, `stochastic` is taken as 0.
    domain : str
        Clock domain of the registers.

    Members
    -------
    en : In(1)
        All registers keep their values without it; 1 where it is not connected.
    a : In(32)
        FP32 bits.
    format : In(3)
        `hw.arch.formats.Format` of the result, one of `formats`.
    stochastic : In(1)
        Round by `random`.
    random : In(32)
        Random word.
    o : Out(32)
        Element in the low bits, zeros above.

    Raises
    ------
    ValueError
        If `latency` is not 0, 1 or 2, or `formats` is empty or has one that FP32 is not converted
        to.
    """

    def __init__(
        self,
        *,
        latency: int = 2,
        formats: Iterable[Format] = FROM_FP32_FORMATS,
        with_stochastic: bool = True,
        domain: str = "sync",
    ) -> None:
        if latency not in range(3):
            raise ValueError(f"latency is {latency}; it must be 0, 1 or 2.")
        self.formats = frozenset(formats)
        if not self.formats or self.formats - set(FROM_FP32_FORMATS):
            names = ", ".join(fmt.name for fmt in FROM_FP32_FORMATS)
            raise ValueError(f"formats must be one or more of {names}.")
        self.latency = latency
        self.with_stochastic = with_stochastic
        only_integers = self.formats <= {Format.INT8, Format.UINT8}
        self._whole_bits = _INTEGER_BITS if only_integers else _WHOLE_BITS
        # Bits below the point: a jam bit and those of a random word, or the half.
        self._point = 1 + (_RANDOM_BITS if with_stochastic else 1)
        self.domain = domain
        super().__init__(
            {
                "en": In(1, init=1),
                "a": In(32),
                "format": In(3),
                "stochastic": In(1),
                "random": In(32),
                "o": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s1 = self._stage(m, self._elaborate_shift(m), self.latency >= 2, "s1")
        whole = self._elaborate_round(m, s1)
        result = Signal(32)
        with m.Switch(s1["format"]):
            for fmt in sorted(self.formats):
                with m.Case(fmt):
                    m.d.comb += result.eq(self._packed(fmt, s1, whole))
        m.d.comb += self.o.eq(self._stage(m, {"o": result}, self.latency >= 1, "s2")["o"])
        return m

    def _elaborate_shift(self, m: Module) -> dict[str, Value]:
        """Stage 1: the significand in units of the target's spacing, and the spacing's exponent."""
        biased = Signal(8)
        drop = Signal(8)
        significand = Signal(24)
        # The exponent of the spacing above the least one.
        above = Signal(8)
        m.d.comb += [
            biased.eq(self.a[23:31] | (self.a[23:31] == 0)),
            significand.eq(Cat(self.a[:23], self.a[23:31] != 0)),
        ]
        with m.Switch(self.format):
            with m.Case(Format.FP16):
                tiny = biased < _FP16_LEAST_EXPONENT
                distance = Mux(tiny, _FP16_LEAST_EXPONENT - biased, biased - _FP16_LEAST_EXPONENT)
                m.d.comb += [
                    drop.eq(23 - _FP16_FRACTION_BITS + Mux(tiny, distance, 0)),
                    above.eq(Mux(tiny, 0, distance)),
                ]
            with m.Case(Format.BF16):
                m.d.comb += [drop.eq(23 - _BF16_FRACTION_BITS), above.eq(biased - 1)]
            with m.Default():
                # In units of 1; from 256 up the result is clamped anyway.
                m.d.comb += drop.eq(Mux(biased >= _BEYOND_EXPONENT, 24, 127 + 23 - biased))
        least_drop = 24 - self._whole_bits
        if self.with_stochastic:
            placed = Cat(Const(0, self._point - least_drop), significand)
        else:
            placed = Cat(significand[: least_drop - 1].any(), significand[least_drop - 1 :])
        shifted = shift_right_jam(m, placed, (drop - least_drop)[:8], name="spacing")
        return {
            "shifted": shifted,
            "above": above,
            "bits": self.a,
            "format": self.format,
            "stochastic": self.stochastic,
            "random": self.random,
        }

    def _elaborate_round(self, m: Module, s1: dict[str, Signal]) -> Signal:
        """Stage 2: the significand as a whole number of units."""
        shifted, point = s1["shifted"], self._point
        whole = Signal(self._whole_bits + 1)
        up = Signal()
        half, below, odd = shifted[point - 1], shifted[: point - 1].any(), shifted[point]
        m.d.comb += up.eq(half & (below | odd))
        if self.with_stochastic:
            # The jam bit says nothing here: what it stands for is below one step of the word.
            carry = Signal(_RANDOM_BITS + 1)
            m.d.comb += carry.eq(shifted[1:point] + s1["random"])
            with m.If(s1["stochastic"]):
                m.d.comb += up.eq(carry[-1])
        m.d.comb += whole.eq(shifted[point:] + up)
        return whole

    def _packed(self, fmt: Format, s1: dict[str, Signal], whole: Signal) -> Value:
        """The element, from the rounded significand."""
        bits, above = s1["bits"], s1["above"]
        sign, is_nan = bits[31], fp32_is_nan(bits)
        if fmt is Format.FP32:
            return fp32_canonical(bits)
        # The hidden bit, where it is set, adds 1 to the exponent field; so does a carry.
        if fmt is Format.BF16:
            packed = (whole + (above << _BF16_FRACTION_BITS))[:15]
            return Mux(is_nan, _BF16_NAN, Cat(packed, sign))
        if fmt is Format.FP16:
            packed = (whole + (above << _FP16_FRACTION_BITS))[:20]
            limited = Mux(packed > _FP16_INFINITY, _FP16_INFINITY, packed)
            return Mux(is_nan, _FP16_NAN, Cat(limited[:15], sign))
        limit = Const(255, 8) if fmt is Format.UINT8 else Cat(Const(0x7F, 7), 0) + sign
        beyond = (bits[23:31] >= _BEYOND_EXPONENT) | (whole > limit)
        number = Mux(beyond, limit, whole)[:8]
        if fmt is Format.UINT8:
            return Mux(is_nan | sign, 0, number)
        return Mux(is_nan, 0, Mux(sign, -number, number)[:8])

    def _stage(
        self, m: Module, values: dict[str, Value], registered: bool, name: str
    ) -> dict[str, Signal]:
        """Values of a stage, in registers if `registered`."""
        return stage(m, values, name=name, en=self.en, registered=registered, domain=self.domain)
