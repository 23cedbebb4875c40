# SPDX-License-Identifier: Apache-2.0
"""Conversion of elements of any format to FP32, pipelined."""

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.formats import Format
from hw.num.fp32_order import fp32_canonical
from hw.num.rounding import CANONICAL_NAN, FP32_INFINITY, Fp32Rounder
from hw.num.stage import stage

__all__ = ["ToFp32"]

_INTEGERS = (Format.INT8, Format.UINT8, Format.INT32)
# Biased FP32 exponent of bit 31 of a magnitude: that of an integer, and that of the significand of
# an FP16 number less its biased exponent (bit 0 stands for 2^(e - 25)).
_INTEGER_EXPONENT = 127 + 31
_FP16_EXPONENT = _INTEGER_EXPONENT - 25


class ToFp32(wiring.Component):
    """Converts one element to FP32.

    Operation: (1) magnitude and exponent, sorted by format; (2) normalise and round. BF16, FP32
    and special values pass by. One element enters and one leaves at every clock edge with `en`;
    the parent carries the valid bit.

    Timing: `latency` clock edges with `en` from `a`, `format` to `o`; one element per cycle.
    Registers stand after (2), then also after (1), for a latency of 1 and 2; with 0 the path is
    combinational.

    Numerics: INT32 is rounded to nearest even, all others are exact; every NaN gives 0x7FC00000.

    Parameters
    ----------
    latency : int
        Register stages, 0 to 2.
    formats : iterable of Format
        Formats that occur; the hardware of others is left out.
    domain : str
        Clock domain of the registers.

    Members
    -------
    en : In(1)
        All registers keep their values without it; 1 where it is not connected.
    a : In(32)
        Element in the low bits; bits above it have no meaning.
    format : In(3)
        Its `hw.arch.formats.Format`, one of `formats`.
    o : Out(32)
        FP32 bits.

    Raises
    ------
    ValueError
        If `latency` is not 0, 1 or 2, or there is no format.
    """

    def __init__(
        self, *, latency: int = 2, formats: Iterable[Format] = Format, domain: str = "sync"
    ) -> None:
        if latency not in range(3):
            raise ValueError(f"latency is {latency}; it must be 0, 1 or 2.")
        self.formats = frozenset(formats)
        if not self.formats:
            raise ValueError("formats is empty; it must name at least one format.")
        self.latency = latency
        self.domain = domain
        super().__init__(
            {"en": In(1, init=1), "a": In(32), "format": In(3), "o": Out(32)},
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sorted_ = self._elaborate_sort(m)
        s1 = self._stage(m, sorted_, self.latency >= 2, "s1")
        m.submodules.rounder = rounder = Fp32Rounder(magnitude_width=32)
        m.d.comb += [
            rounder.sign.eq(s1["sign"]),
            rounder.magnitude.eq(s1["magnitude"]),
            rounder.exponent.eq(s1["exponent"]),
        ]
        rounded = {"o": Mux(s1["passes"], s1["passing"], rounder.o)}
        m.d.comb += self.o.eq(self._stage(m, rounded, self.latency >= 1, "s2")["o"])
        return m

    def _elaborate_sort(self, m: Module) -> dict[str, Value]:
        """Stage 1: sign, magnitude and exponent of what is rounded, and what passes by."""
        sign, passes = Signal(), Signal()
        magnitude, passing = Signal(32), Signal(32)
        exponent = Signal(signed(10))
        m.d.comb += exponent.eq(_INTEGER_EXPONENT)
        with m.Switch(self.format):
            for fmt in sorted(self.formats & set(_INTEGERS)):
                with m.Case(fmt):
                    integer = self._integer(fmt)
                    m.d.comb += [
                        sign.eq(integer[-1]),
                        magnitude.eq(Mux(integer[-1], -integer, integer)),
                    ]
            if Format.FP16 in self.formats:
                with m.Case(Format.FP16):
                    m.d.comb += self._fp16(sign, magnitude, exponent, passes, passing)
            for fmt in sorted(self.formats & {Format.BF16, Format.FP32}):
                with m.Case(fmt):
                    bits = self.a if fmt is Format.FP32 else Cat(Const(0, 16), self.a[:16])
                    m.d.comb += [passes.eq(1), passing.eq(fp32_canonical(bits))]
        return {
            "sign": sign,
            "magnitude": magnitude,
            "exponent": exponent,
            "passes": passes,
            "passing": passing,
        }

    def _integer(self, fmt: Format) -> Value:
        """The element as a signed number."""
        bits = self.a[: 8 * fmt.n_bytes]
        return (Cat(bits, Const(0, 1)) if fmt is Format.UINT8 else bits).as_signed()

    def _fp16(
        self, sign: Signal, magnitude: Signal, exponent: Signal, passes: Signal, passing: Signal
    ) -> list:
        """Assignments for FP16: the significand is an integer of 11 bits."""
        fraction, biased = self.a[:10], self.a[10:15]
        infinity = Cat(Const(FP32_INFINITY, 31), self.a[15])
        # Subnormals share the exponent of the smallest normal numbers.
        return [
            sign.eq(self.a[15]),
            magnitude.eq(Cat(fraction, biased != 0)),
            exponent.eq(_FP16_EXPONENT + (biased | (biased == 0))),
            passes.eq(biased.all()),
            passing.eq(Mux(fraction.any(), CANONICAL_NAN, infinity)),
        ]

    def _stage(
        self, m: Module, values: dict[str, Value], registered: bool, name: str
    ) -> dict[str, Signal]:
        """Values of a stage, in registers if `registered`."""
        return stage(m, values, name=name, en=self.en, registered=registered, domain=self.domain)
