# SPDX-License-Identifier: Apache-2.0
"""IEEE 754 binary32 addition, pipelined."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.bits import shift_right_jam
from hw.num.rounding import CANONICAL_NAN, FP32_INFINITY, Fp32Rounder
from hw.num.stage import stage

__all__ = ["Fp32Adder"]

# Guard, round and jam bit below the significand of the larger operand.
_EXTRA_BITS = 3


class Fp32Adder(wiring.Component):
    """Adds two FP32 numbers with one rounding to nearest even.

    Operation: (1) order by magnitude and align the smaller operand; (2) add or subtract;
    (3) normalise and round. One addition enters and one leaves at every clock edge with `en`;
    the parent carries the valid bit.

    Timing: `latency` clock edges with `en` from `a`, `b` to `o`; one addition per cycle. Registers
    stand after (3), then also after (1), then also after (2), for a latency of 1, 2 and 3; with 0
    the path is combinational.

    Numerics: subnormals in and out; overflow to infinity; any NaN in, or infinity minus infinity,
    gives 0x7FC00000. A sum of opposite numbers is +0; (-0) + (-0) is -0, as in IEEE 754.

    Parameters
    ----------
    latency : int
        Register stages, 0 to 3.
    domain : str
        Clock domain of the registers.

    Members
    -------
    en : In(1)
        All registers keep their values without it; 1 where it is not connected.
    a : In(32)
        First operand.
    b : In(32)
        Second operand; the sum does not depend on the order.
    o : Out(32)
        Sum.

    Raises
    ------
    ValueError
        If `latency` is not 0, 1, 2 or 3.
    """

    def __init__(self, *, latency: int = 3, domain: str = "sync") -> None:
        if latency not in range(4):
            raise ValueError(f"latency is {latency}; it must be 0, 1, 2 or 3.")
        self.latency = latency
        self.domain = domain
        super().__init__({"en": In(1, init=1), "a": In(32), "b": In(32), "o": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        aligned = self._elaborate_align(m)
        s1 = self._stage(m, aligned, self.latency >= 2, "s1")

        # Stage 2: the larger operand leads, so the difference is never negative.
        total = Signal(28)
        m.d.comb += total.eq(
            Mux(s1["subtract"], s1["large"] - s1["small"], s1["large"] + s1["small"])
        )
        summed = {
            "total": total,
            # x - x is +0; a zero sum of equal signs keeps the sign.
            "sign": s1["sign"] & ~(s1["subtract"] & (total == 0)),
            "exponent": s1["exponent"],
            "is_special": s1["is_special"],
            "special": s1["special"],
        }
        s2 = self._stage(m, summed, self.latency >= 3, "s2")

        # Stage 3.
        m.submodules.rounder = rounder = Fp32Rounder(magnitude_width=28)
        m.d.comb += [
            rounder.sign.eq(s2["sign"]),
            rounder.magnitude.eq(s2["total"]),
            # One more than the larger operand's: bit 27 of the total is the carry.
            rounder.exponent.eq(s2["exponent"] + 1),
        ]
        rounded = {"o": Mux(s2["is_special"], s2["special"], rounder.o)}
        s3 = self._stage(m, rounded, self.latency >= 1, "s3")
        m.d.comb += self.o.eq(s3["o"])
        return m

    def _elaborate_align(self, m: Module) -> dict[str, Value]:
        """Stage 1: order by magnitude, align the smaller operand, resolve special values."""
        swap = Signal()
        large, small = Signal(32), Signal(32)
        exponents = [Signal(8, name=f"{name}_exponent") for name in ("large", "small")]
        significands = [Signal(24, name=f"{name}_significand") for name in ("large", "small")]
        m.d.comb += [
            swap.eq(self.a[:31] < self.b[:31]),
            large.eq(Mux(swap, self.b, self.a)),
            small.eq(Mux(swap, self.a, self.b)),
        ]
        for operand, exponent, significand in zip(
            (large, small), exponents, significands, strict=True
        ):
            # Subnormals share the exponent of the smallest normal numbers.
            m.d.comb += [
                exponent.eq(operand[23:31] | (operand[23:31] == 0)),
                significand.eq(Cat(operand[:23], operand[23:31] != 0)),
            ]
        distance = Signal(8)
        extended = Signal(24 + _EXTRA_BITS)
        m.d.comb += [
            distance.eq(exponents[0] - exponents[1]),
            extended.eq(significands[1] << _EXTRA_BITS),
        ]
        aligned = shift_right_jam(m, extended, distance, name="align")
        subtract = large[31] ^ small[31]
        is_nan = (large[:31] > FP32_INFINITY) | ((small[:31] == FP32_INFINITY) & subtract)
        return {
            "large": Cat(Const(0, _EXTRA_BITS), significands[0]),
            "small": aligned,
            "exponent": exponents[0],
            "subtract": subtract,
            "sign": large[31],
            "is_special": large[23:31] == 0xFF,
            "special": Mux(is_nan, CANONICAL_NAN, large),
        }

    def _stage(
        self, m: Module, values: dict[str, Value], registered: bool, name: str
    ) -> dict[str, Signal]:
        """Values of a stage, in registers if `registered`."""
        return stage(m, values, name=name, en=self.en, registered=registered, domain=self.domain)
