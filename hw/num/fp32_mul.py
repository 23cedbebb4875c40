# SPDX-License-Identifier: Apache-2.0
"""IEEE 754 binary32 multiplication, pipelined."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.bits import leading_zeros
from hw.num.fp32_order import fp32_is_nan
from hw.num.rounding import CANONICAL_NAN, FP32_INFINITY, Fp32Rounder
from hw.num.stage import stage

__all__ = ["Fp32Multiplier"]

_SIGNIFICAND_BITS = 24
_PRODUCT_BITS = 2 * _SIGNIFICAND_BITS
# As many as rounding needs: a significand, a rounding bit, and two below, the last one a jam bit.
_MAGNITUDE_BITS = _SIGNIFICAND_BITS + 3
# The top bit of the product of two numbers with biased exponents ea, eb has the biased exponent
# ea + eb - 126: significands are integers in units of 2^(e - 150).
_EXPONENT_OFFSET = 2 * 150 - 127 - (_PRODUCT_BITS - 1)


class Fp32Multiplier(wiring.Component):
    """Multiplies two FP32 numbers with one rounding to nearest even.

    Operation: (1) normalise a subnormal factor; (2) exact product of the significands; (3) right
    shift of products below the normal range, and round. One product enters and one leaves at every
    clock edge with `en`; the parent carries the valid bit.

    Timing: `latency` clock edges with `en` from `a`, `b` to `o`; one product per cycle. Registers
    stand after (3), then also after (2), then also after (1), for a latency of 1, 2 and 3; with 0
    the path is combinational.

    Numerics: subnormals in and out, gradual underflow; overflow to infinity; any NaN in, or
    infinity times zero, gives 0x7FC00000. The sign of a zero is that of the product. Without
    `subnormals`, subnormal factors and products of less than 2^-126 are zeros of their sign.

    Parameters
    ----------
    latency : int
        Register stages, 0 to 3.
    subnormals : bool
        Whether subnormal numbers are kept, which costs two shifters; False where only integers
        are made of the product.
    domain : str
        Clock domain of the registers.

    Members
    -------
    en : In(1)
        All registers keep their values without it; 1 where it is not connected.
    a, b : In(32)
        Factors; the product does not depend on the order.
    o : Out(32)
        Product.

    Raises
    ------
    ValueError
        If `latency` is not 0, 1, 2 or 3.
    """

    def __init__(self, *, latency: int = 3, subnormals: bool = True, domain: str = "sync") -> None:
        if latency not in range(4):
            raise ValueError(f"latency is {latency}; it must be 0, 1, 2 or 3.")
        self.latency = latency
        self.subnormals = subnormals
        self.domain = domain
        super().__init__({"en": In(1, init=1), "a": In(32), "b": In(32), "o": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s1 = self._stage(m, self._elaborate_factors(m), self.latency >= 3, "s1")
        s2 = self._stage(m, self._elaborate_product(m, s1), self.latency >= 2, "s2")

        # Stage 3.
        m.submodules.rounder = rounder = Fp32Rounder(
            magnitude_width=_MAGNITUDE_BITS, deep_underflow=self.subnormals, normalised=True
        )
        m.d.comb += [
            rounder.sign.eq(s2["sign"]),
            rounder.magnitude.eq(s2["magnitude"]),
            rounder.exponent.eq(s2["exponent"]),
        ]
        special = Mux(s2["is_nan"], CANONICAL_NAN, Cat(Const(FP32_INFINITY, 31), s2["sign"]))
        rounded = {"o": Mux(s2["is_nan"] | s2["is_infinite"], special, rounder.o)}
        s3 = self._stage(m, rounded, self.latency >= 1, "s3")
        m.d.comb += self.o.eq(s3["o"])
        return m

    def _elaborate_factors(self, m: Module) -> dict[str, Value]:
        """Stage 1: significands, of which one is normalised, and special values.

        The product of two subnormal numbers is zero wherever its leading bit stands.
        """
        significands, exponents = [], []
        for name, operand in (("a", self.a), ("b", self.b)):
            significand = Signal(_SIGNIFICAND_BITS, name=f"{name}_significand")
            exponent = Signal(8, name=f"{name}_exponent")
            # Subnormals share the exponent of the smallest normal numbers.
            m.d.comb += [
                significand.eq(Cat(operand[:23], operand[23:31] != 0)),
                exponent.eq(operand[23:31] | (operand[23:31] == 0)),
            ]
            significands.append(significand)
            exponents.append(exponent)
        # The factor that may be subnormal: a if it is, else b.
        a_first = significands[0][-1]
        first = Mux(a_first, significands[0], significands[1])
        second = Signal(_SIGNIFICAND_BITS)
        m.d.comb += second.eq(Mux(a_first, significands[1], significands[0]))
        normal, shift = second, Const(0)
        if self.subnormals:
            shift = leading_zeros(m, second, name="second")
            normal = (second << shift)[:_SIGNIFICAND_BITS]
        exponent = Signal(signed(10))
        m.d.comb += exponent.eq(exponents[0] + exponents[1] - _EXPONENT_OFFSET - shift)
        return {"first": first, "second": normal, "exponent": exponent, **self._special()}

    def _special(self) -> dict[str, Value]:
        """Sign, and whether the product is infinite or no number."""
        operands = (self.a[:31], self.b[:31])
        is_infinite = [bits == FP32_INFINITY for bits in operands]
        is_zero = [bits == 0 for bits in operands]
        return {
            "sign": self.a[31] ^ self.b[31],
            "is_infinite": is_infinite[0] | is_infinite[1],
            "is_nan": fp32_is_nan(self.a)
            | fp32_is_nan(self.b)
            | (is_infinite[0] & is_zero[1])
            | (is_zero[0] & is_infinite[1]),
        }

    def _elaborate_product(self, m: Module, s1: dict[str, Signal]) -> dict[str, Value]:
        """Stage 2: the product in [1, 4), then with its top bit set and only the bits needed."""
        product = Signal(_PRODUCT_BITS)
        exponent = Signal(signed(10))
        m.d.comb += [
            product.eq(s1["first"] * s1["second"]),
            exponent.eq(s1["exponent"] - ~product[-1]),
        ]
        low = _PRODUCT_BITS - _MAGNITUDE_BITS
        at_two = Cat(product[: low + 1].any(), product[low + 1 :])
        at_one = Cat(product[:low].any(), product[low:-1])
        magnitude = Mux(product[-1], at_two, at_one)
        if not self.subnormals:
            # Of a subnormal factor the hidden bit is missing.
            is_normal = s1["first"][-1] & s1["second"][-1] & (exponent >= 1)
            magnitude = Mux(is_normal, magnitude, 0)
        return {
            "magnitude": magnitude,
            "exponent": exponent,
            **{name: s1[name] for name in ("sign", "is_infinite", "is_nan")},
        }

    def _stage(
        self, m: Module, values: dict[str, Value], registered: bool, name: str
    ) -> dict[str, Signal]:
        """Values of a stage, in registers if `registered`."""
        return stage(m, values, name=name, en=self.en, registered=registered, domain=self.domain)
