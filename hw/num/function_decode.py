# SPDX-License-Identifier: Apache-2.0
"""First part of the function unit: which polynomial an FP32 argument needs, or which constant."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.enum import Enum
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Function
from hw.arch.functions import Region
from hw.arch.functions import datapath as path
from hw.num.bits import leading_zeros
from hw.num.stage import stage

__all__ = ["FunctionDecoder", "Outcome", "Special"]

_FRACTION_WIDTH = 23
_BIAS = 127
# Biased exponents from which on |x| is at least 1, 8, 16 and 128.
_ONE, _PHI_END, _BIG, _BEYOND = (_BIAS + log2 for log2 in (0, 3, 4, path.ARGUMENT_INTEGER))
_SIGMOIDS = (Function.SIGMOID, Function.SILU)
_PRODUCTS = (Function.GELU, Function.SILU)


class Special(Enum, shape=3):
    """What stands in place of the polynomial's value."""

    NONE = 0
    ZERO = 1
    ONE = 2
    INFINITY = 3
    NAN = 4
    ARGUMENT = 5


class Outcome(data.Struct):
    """What travels beside the polynomial, up to the end."""

    sign: 1
    """Sign of the polynomial's value, of zero, one and infinity."""
    special: Special
    times_argument: 1
    argument: 32


class FunctionDecoder(wiring.Component):
    """Takes an FP32 argument apart, in two pipeline stages.

    Operation: (1) normalise a subnormal number; bring |x| into fixed point. (2) Multiply |x| by
    log2(e), or the exponent by ln 2; choose region and position; find the special cases.

    Timing: two clock edges with `en` from `x`, `code` to the outputs.

    Numerics: see `hw.arch.functions.datapath`.

    Members
    -------
    en : In(1), registers take new values.
    x : In(32), argument.
    code : In(4), `hw.arch.commands.Function`.
    outcome : Out(Outcome), sign and special cases.
    by_power : Out(1), the region is EXP, position and exponent follow from `power`; those that
        are given here mean nothing.
    power : Out(64), |x| times the constant log2(e).
    negative : Out(1), x has a set sign bit.
    region : Out(5), `Region` plus octave.
    position : Out(29), position in the region.
    exponent : Out(signed(10)), the value is multiplied by 2 to its power.
    addend : Out(39), what LOG adds for the exponent, else 0.

    Resources: two multipliers by constants, 33 x 31 and 8 x 32 bits.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "en": In(1),
                "x": In(32),
                "code": In(4),
                "outcome": Out(Outcome),
                "by_power": Out(1),
                "power": Out(64),
                "negative": Out(1),
                "region": Out(5),
                "position": Out(path.POSITION_FRACTION),
                "exponent": Out(signed(10)),
                "addend": Out(path.VALUE_INTEGER + path.LN_2_FRACTION),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s1 = stage(m, self._take_apart(m), name="s1", en=self.en)
        is_sigmoid = _is_one_of(s1["function"], _SIGMOIDS)
        values = {
            **self._find_special(m, s1),
            "argument": s1["x"],
            "negative": s1["negative"],
            "power": s1["fixed"] * path.LOG2_E_CONSTANT,
            "by_power": (s1["function"] == Function.EXP) | (is_sigmoid & s1["big"]),
            **self._place(m, s1),
        }
        s2 = stage(m, values, name="s2", en=self.en)
        for name in Outcome.as_shape().members:
            m.d.comb += self.outcome[name].eq(s2[name])
        for name in self.signature.members:
            if name in s2:
                m.d.comb += getattr(self, name).eq(s2[name])
        return m

    def _take_apart(self, m: Module) -> dict[str, Value]:
        """Stage 1: exponent, fraction, fixed-point magnitude and classes of x."""
        fraction, biased = self.x[:_FRACTION_WIDTH], self.x[_FRACTION_WIDTH:31]
        subnormal, highest = biased == 0, biased == 0xFF
        zeros = leading_zeros(m, fraction, name="fraction")
        normal = Signal(_FRACTION_WIDTH)
        # |x| = significand * 2^(biased - 150); from 128 on the fixed-point number means nothing.
        width = path.ARGUMENT_INTEGER + path.ARGUMENT_FRACTION
        aligned, distance = Signal(width), Signal(range(width + 1))
        below = _BEYOND - 1 - biased
        m.d.comb += [
            normal.eq(Mux(subnormal, fraction << (zeros + 1), fraction)),
            aligned.eq(fraction << width - 24),
            aligned[-1].eq(~subnormal),
            distance.eq(Mux(biased < _BEYOND - 1 - width, width, below[: len(distance)])),
        ]
        octave = biased - (_ONE - 1)
        return {
            "x": self.x,
            "function": self.code,
            "negative": self.x[31],
            "zero": subnormal & (fraction == 0),
            "infinite": highest & (fraction == 0),
            "nan": highest & (fraction != 0),
            "small": biased < _ONE,
            "big": biased >= _BIG,
            "beyond": biased >= _BEYOND,
            "phi_end": biased >= _PHI_END,
            "octave": Mux(biased < _ONE, 0, octave[:3]),
            "fraction": normal,
            "exponent": (Mux(subnormal, -zeros, biased) - _BIAS)[:10].as_signed(),
            "fixed": aligned >> distance,
        }

    def _place(self, m: Module, s1: dict[str, Signal]) -> dict[str, Value]:
        """Stage 2: region, position, exponent and addend of all that is not `by_power`."""
        function, exponent, fraction = s1["function"], s1["exponent"], s1["fraction"]
        region, result_exponent = Signal(5), Signal(signed(10))
        position = Signal(path.POSITION_FRACTION)
        # floor(log2 x), and for x < 1 one less than its magnitude: both count ln 2.
        below_one = exponent < 0
        count = Signal(8)
        m.d.comb += count.eq(Mux(below_one, ~exponent, exponent))
        near = (count == 0) & (fraction[-1] == below_one)
        is_log = function == Function.LOG
        by_fraction = is_log | (function == Function.RECIPROCAL) | (function == Function.RSQRT)
        first = {
            Function.TANH: Region.TANH,
            Function.GELU: Mux(s1["negative"], Region.PHI_NEGATIVE, Region.PHI_POSITIVE),
        }
        with m.Switch(function):
            with m.Case(Function.LOG):
                m.d.comb += region.eq(
                    Mux(near, Region.LOG_NEAR, Mux(below_one, Region.LOG_BELOW, Region.LOG_ABOVE))
                )
            with m.Case(Function.RECIPROCAL):
                m.d.comb += [region.eq(Region.RECIPROCAL), result_exponent.eq(-exponent)]
            with m.Case(Function.RSQRT):
                m.d.comb += [
                    region.eq(Mux(exponent[0], Region.RSQRT_ODD, Region.RSQRT_EVEN)),
                    result_exponent.eq(-(exponent >> 1)),
                ]
            for case, number in first.items():
                with m.Case(case):
                    m.d.comb += region.eq(number + s1["octave"])
            with m.Default():
                positive, negative = Region.SIGMOID_POSITIVE, Region.SIGMOID_NEGATIVE
                m.d.comb += region.eq(Mux(s1["negative"], negative, positive) + s1["octave"])
        with m.If(by_fraction):
            m.d.comb += position.eq(fraction << path.POSITION_FRACTION - _FRACTION_WIDTH)
        with m.Else():
            shifts = [path.OCTAVES - 1 - max(octave, 1) for octave in range(path.OCTAVES)]
            with m.Switch(s1["octave"]):
                for octave, shift in enumerate(shifts):
                    with m.Case(octave):
                        m.d.comb += position.eq(s1["fixed"] << shift)
        return {
            "region": region,
            "position": position,
            "exponent": result_exponent,
            "addend": Mux(is_log, count, 0) * path.LN_2_CONSTANT,
        }

    def _find_special(self, m: Module, s1: dict[str, Signal]) -> dict[str, Value]:
        """Stage 2: sign of the result, what stands in its place, and whether x multiplies it."""
        sign, special, times_argument = Signal(), Signal(Special), Signal()
        negative, zero, infinite = s1["negative"], s1["zero"], s1["infinite"]
        below_one = s1["exponent"] < 0

        def put(condition: Value, value: Special) -> None:
            with m.If(condition):
                m.d.comb += special.eq(value)

        with m.Switch(s1["function"]):
            with m.Case(Function.NONE):
                m.d.comb += special.eq(Special.ARGUMENT)
            with m.Case(Function.EXP):
                put(s1["beyond"], Special.INFINITY)
                put(s1["beyond"] & negative, Special.ZERO)
            with m.Case(Function.LOG):
                m.d.comb += sign.eq(below_one | zero)
                put(zero | infinite, Special.INFINITY)
                put(negative & ~zero, Special.NAN)
            with m.Case(Function.RECIPROCAL, Function.RSQRT):
                m.d.comb += sign.eq(negative)
                put(zero, Special.INFINITY)
                put(infinite, Special.ZERO)
                put((s1["function"] == Function.RSQRT) & negative & ~zero, Special.NAN)
            with m.Case(Function.TANH):
                m.d.comb += [
                    times_argument.eq(s1["small"]),
                    sign.eq(negative & ~s1["small"]),
                ]
                put(s1["big"], Special.ONE)
            with m.Case(Function.GELU):
                m.d.comb += times_argument.eq(1)
                put(s1["phi_end"], Special.ONE)
                put(s1["phi_end"] & negative, Special.ZERO)
            with m.Case(*_SIGMOIDS):
                m.d.comb += times_argument.eq(s1["function"] == Function.SILU)
                put(s1["big"] & ~negative, Special.ONE)
                put(s1["beyond"] & negative, Special.ZERO)
        # 0 times minus infinity would be NaN: the limit, -0, is given as it is.
        is_tail = infinite & negative & _is_one_of(s1["function"], _PRODUCTS)
        with m.If(is_tail):
            m.d.comb += [times_argument.eq(0), sign.eq(1)]
        with m.If(s1["nan"]):
            m.d.comb += [special.eq(Special.NAN), times_argument.eq(0)]
        return {"sign": sign, "special": special, "times_argument": times_argument}


def _is_one_of(function: Value, functions: Sequence[Function]) -> Value:
    return Cat(function == number for number in functions).any()
