# SPDX-License-Identifier: Apache-2.0
"""Normalisation and the one rounding step from an exact integer to FP32."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.bits import leading_zeros, shift_right_jam

__all__ = ["CANONICAL_NAN", "FP32_INFINITY", "Fp32Rounder", "lift_underflow"]

CANONICAL_NAN = 0x7FC0_0000
"""The only NaN that any unit produces."""
FP32_INFINITY = 0x7F80_0000
"""Positive infinity; with the sign bit, the result of every overflow."""


def lift_underflow(m: Module, magnitude: Value, exponent: Value) -> tuple[Signal, Signal]:
    """Magnitude and signed exponent, shifted right (with a jam bit) where the exponent is below 1.

    What an `Fp32Rounder` with `deep_underflow` does first; a pipeline may do it a stage earlier.
    """
    deep = Signal()
    amount = Signal(len(exponent))
    lifted = Signal(len(exponent))
    shifted = Signal(len(magnitude))
    m.d.comb += [
        deep.eq(exponent < 1),
        amount.eq(1 - exponent),
        lifted.eq(Mux(deep, 1, exponent)),
    ]
    jammed = shift_right_jam(m, magnitude, amount, name="deep")
    m.d.comb += shifted.eq(Mux(deep, jammed, magnitude))
    return shifted, lifted


class Fp32Rounder(wiring.Component):
    """Rounds magnitude x 2^scale to FP32, once, to nearest with ties to even.

    Operation: the magnitude is shifted left until its top bit is set, but never past the exponent
    of the subnormal numbers; then its upper 24 bits are kept and rounded by the rest. The
    exponent says which biased exponent the result has if the top bit of `magnitude` is set:
    ``exponent = scale + magnitude_width - 1 + 127``.

    Timing: combinational.

    Numerics: gradual underflow; a value of 2^128 or more after rounding becomes infinity. A zero
    magnitude gives +0 or -0 as `sign` says. The lowest bit may be a jam bit (the OR of
    everything below), since it never is the rounding bit.

    Parameters
    ----------
    magnitude_width : int
        Bits of the magnitude, at least 27.
    exponent_width : int
        Bits of the signed exponent.
    deep_underflow : bool
        Whether `exponent` may be less than 1, which costs a right shift.
    normalised : bool
        Whether the top bit of a magnitude that is not zero is always set, which saves the left
        shift.

    Members
    -------
    sign : In(1)
        Sign of the result.
    magnitude : In(magnitude_width)
        Unsigned integer.
    exponent : In(signed(exponent_width))
        Biased exponent that belongs to the top bit.
    o : Out(32)
        FP32 bits.

    Raises
    ------
    ValueError
        If the magnitude is too narrow to keep a rounding and a jam bit, or wider than 64 bits.
    """

    def __init__(
        self,
        *,
        magnitude_width: int,
        exponent_width: int = 10,
        deep_underflow: bool = False,
        normalised: bool = False,
    ) -> None:
        if not 27 <= magnitude_width <= 64:
            raise ValueError(f"magnitude_width is {magnitude_width}; it must be from 27 to 64.")
        if exponent_width < 10:
            raise ValueError(f"exponent_width is {exponent_width}; it must be at least 10.")
        self.magnitude_width = magnitude_width
        self.exponent_width = exponent_width
        self.deep_underflow = deep_underflow
        self.normalised = normalised
        super().__init__(
            {
                "sign": In(1),
                "magnitude": In(magnitude_width),
                "exponent": In(signed(exponent_width)),
                "o": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.magnitude_width
        magnitude, exponent = self._above_underflow(m)

        normal, shift = (magnitude, 0) if self.normalised else self._normal(m, magnitude, exponent)
        kept = normal[width - 24 :]
        half = normal[width - 25]
        below = normal[: width - 25].any()
        # The hidden bit, where set, adds 1 to the exponent field; so does a rounding carry.
        field = Signal(self.exponent_width)
        packed = Signal(self.exponent_width + 24)
        m.d.comb += [
            field.eq(exponent - 1 - shift),
            packed.eq(Cat(kept, 0)[:25] + Cat(half & (below | kept[0])) + (field << 23)),
            self.o.eq(
                Cat(Mux(packed >= FP32_INFINITY, FP32_INFINITY, packed[:31])[:31], self.sign)
            ),
        ]
        with m.If(magnitude == 0):
            m.d.comb += self.o.eq(Cat(Cat(*[0] * 31), self.sign))
        return m

    def _above_underflow(self, m: Module) -> tuple[Value, Value]:
        """Magnitude and exponent, shifted right where the exponent is below 1."""
        if not self.deep_underflow:
            return self.magnitude, self.exponent
        return lift_underflow(m, self.magnitude, self.exponent)

    def _normal(self, m: Module, magnitude: Value, exponent: Value) -> tuple[Signal, Signal]:
        """The magnitude shifted left, and how far."""
        width = self.magnitude_width
        # The left shift stops where the biased exponent would fall below 1: a stopper bit at
        # that place bounds the leading-zero count.
        room = Signal(range(width))
        stopped = Signal(width)
        shift = leading_zeros(m, stopped, name="stopped")
        normal = Signal(width)
        m.d.comb += [
            room.eq(Mux(exponent > width, width - 1, exponent - 1)),
            stopped.eq(magnitude | ((1 << (width - 1)) >> room)),
            normal.eq(magnitude << shift),
        ]
        return normal, shift
