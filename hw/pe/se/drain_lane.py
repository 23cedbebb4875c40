# SPDX-License-Identifier: Apache-2.0
"""One lane of the integer drain path: an accumulator value to 8 bits."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.num.stage import stage

__all__ = ["DrainLane", "DrainSettings"]

# A scale is significand * 2^(exponent - _SCALE_BIAS), its significand an integer of 24 bits.
_SCALE_BIAS = 127 + 23
# Bits that the first rounding drops from an integer that was shifted to the top of its 32 bits.
_DROPPED = 32 - 25
# Factors are cut here: their halves fit multipliers of 18 x 18 bits with a sign.
_CUT = 17
# The product's magnitude is at most 2^48. Right of it the point stands at bit _LEAST_POINT at
# least, else the result is beyond both types; from _LEAST_POINT + _FARTHEST on it is 0.
_PRODUCT_BITS = 49
_LEAST_POINT = 39
_FARTHEST = 10
# Lowest of 24 significant bits of a product of 2^47 or more; of a smaller one it is one below.
_ULP = 24


class DrainSettings(data.Struct):
    """What a program says about the integer drain path; still while a beat is on its way."""

    relu: unsigned(1)
    """Negative sums become 0."""
    low: signed(9)
    """Least result."""
    high: signed(9)
    """Largest result, not below the least."""


class DrainLane(wiring.Component):
    """One accumulator value to 8 bits: value + bias, relu, times scale, round, clamp.

    Operation: numbers are in two's complement throughout, where rounding to nearest even gives the
    same as on a magnitude. (1) Sum and relu. (2), (3) The sum shifted to the top of 32 bits, its
    sign that of the product. (4) Rounded to 24 significant bits, as FP32 has them. (5), (6) Times
    the significand of the scale, exactly. (7) Cut at the point. The rounding to FP32, which the
    product would get first, only matters where it makes a half of what is a little more or less:
    `_rounds_up`. (8) Rounded and clamped. Limits are integers: rounding keeps the order of numbers,
    so it may come before the clamp.

    Timing: `latency` clock edges with `en` from all inputs to `o`, `integer_latency` to `integer`.

    Numerics: as `DrainPath`.

    Members
    -------
    en : In(1)
        All registers keep their values without it.
    settings : In(DrainSettings)
        What to do.
    value, bias : In(32)
        INT32.
    scale : In(32)
        FP32 bits.
    integer : Out(32)
        INT32 after bias and relu.
    o : Out(8)
        INT8 or UINT8.
    """

    latency = 8
    """Clock edges to `o`."""
    integer_latency = 1
    """Clock edges to `integer`."""

    def __init__(self) -> None:
        super().__init__(
            {
                "en": In(1),
                "settings": In(DrainSettings),
                "value": In(32),
                "bias": In(32),
                "scale": In(32),
                "integer": Out(32),
                "o": Out(8),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stages = (
            self._sum,
            self._shift_far,
            self._shift_near,
            self._round,
            self._multiply,
            self._add,
            self._cut,
            self._limit,
        )
        values: dict[str, Value] = {}
        for number, step in enumerate(stages, start=1):
            found = step(m, **values)
            values = dict(stage(m, found, name=f"s{number}", en=self.en))
            if number == self.integer_latency:
                m.d.comb += self.integer.eq(values["x"])
        m.d.comb += self.o.eq(values["o"])
        return m

    def _sum(self, m: Module) -> dict[str, Value]:
        """Value and bias, relu."""
        total = Signal(32)
        m.d.comb += total.eq(self.value + self.bias)
        return {"x": Mux(self.settings.relu & total[31], 0, total), "scale": self.scale}

    def _shift_far(self, m: Module, x: Value, scale: Value) -> dict[str, Value]:
        """Drop copies of the sign, 16 and 8."""
        x, far = _without_signs(m, x, (16, 8))
        return {"x": x, "far": far, "scale": scale}

    def _shift_near(self, m: Module, x: Value, far: Value, scale: Value) -> dict[str, Value]:
        """Drop copies of the sign, 4, 2 and 1; all bits inverted where the scale is negative."""
        x, near = _without_signs(m, x, (4, 2, 1))
        exponent, fraction = scale[23:31], scale[:23]
        is_zero = x[31] == x[30]
        return {
            "x": x ^ scale[31].replicate(32),
            "negated": scale[31],
            "significand": Cat(fraction, Const(1, 1)),
            "exponent": exponent,
            "n_dropped": Cat(near, far),
            "is_zero": is_zero,
            "is_nan": (exponent == 0xFF) & (is_zero | (fraction != 0)),
        }

    def _round(
        self,
        m: Module,
        x: Value,
        negated: Value,
        exponent: Value,
        n_dropped: Value,
        is_zero: Value,
        **others: Value,
    ) -> dict[str, Value]:
        """To 24 significant bits: -(n + up) is ~n + (1 - up). And where the result's point is."""
        low = Signal(_DROPPED + 1)  # as before the inversion
        factor = Signal(signed(26))
        distance = Signal(signed(10))  # places down from the least point
        up = low[_DROPPED - 1] & (low[: _DROPPED - 1].any() | low[_DROPPED])
        m.d.comb += [
            low.eq(x[: _DROPPED + 1] ^ negated.replicate(_DROPPED + 1)),
            factor.eq(x[_DROPPED:].as_signed() + (up ^ negated)),
            distance.eq(_SCALE_BIAS - _DROPPED - _LEAST_POINT + n_dropped - exponent),
        ]
        return {
            "factor": factor,
            "distance": distance[:4],
            "is_zero": is_zero | (distance >= _FARTHEST),
            "is_beyond": ~is_zero & (distance < 0),
            **others,
        }

    def _multiply(
        self, m: Module, factor: Value, significand: Value, **others: Value
    ) -> dict[str, Value]:
        """Products of the halves."""
        factors = factor[:_CUT], factor[_CUT:].as_signed()
        scales = significand[:_CUT], significand[_CUT:]
        return {
            "low": factors[0] * scales[0],
            "middle_a": factors[1] * scales[0],
            "middle_b": factors[0] * scales[1],
            "high": factors[1] * scales[1],
            **others,
        }

    def _add(
        self,
        m: Module,
        low: Value,
        middle_a: Value,
        middle_b: Value,
        high: Value,
        **others: Value,
    ) -> dict[str, Value]:
        """The product, exactly; its lowest bits are not needed one by one."""
        middle = Signal(signed(28))
        upper = Signal(signed(_PRODUCT_BITS - _CUT))
        ends = Cat(low[_CUT:], high[: _PRODUCT_BITS - 2 * _CUT]).as_signed()
        m.d.comb += [middle.eq(middle_a + middle_b), upper.eq(ends + middle)]
        jam = low[:_CUT].any()
        return {"product": upper, "jam": jam, **others}

    def _cut(
        self,
        m: Module,
        product: Value,
        jam: Value,
        distance: Value,
        is_zero: Value,
        is_beyond: Value,
        is_nan: Value,
    ) -> dict[str, Value]:
        """What is above the point, and whether it is rounded up."""
        window, lost = product[_LEAST_POINT - 1 - _CUT :], []
        for step in range((_FARTHEST - 1).bit_length()):
            n = 1 << step
            moved, shifts = Signal(len(window), name=f"moved{n}"), distance[step]
            m.d.comb += moved.eq(Mux(shifts, Cat(window[n:], window[-1].replicate(n)), window))
            lost.append((shifts, window[:n]))
            window = moved
        up = self._rounds_up(m, product, jam, window, lost)
        return {
            "whole": Mux(is_zero, 0, window[1:]).as_signed(),
            "up": up & ~is_zero,
            "over": is_beyond & ~product[-1],
            "under": is_beyond & product[-1],
            "is_nan": is_nan,
        }

    def _rounds_up(
        self, m: Module, product: Value, jam: Value, window: Value, lost: list[tuple[Value, Value]]
    ) -> Signal:
        """Round to FP32, then to an integer, both to nearest even.

        The first rounding ends in a half exactly where the half is set and it rounds down to zeros,
        or where the half is not set and it carries out of ones.
        """
        ulp = _ULP - _CUT
        large, ones, some = Signal(), Signal(), Signal()
        first_up, up = Signal(), Signal()
        between = product[ulp : _LEAST_POINT - 1 - _CUT]  # bits of the significand below the window
        half, lowest = product[ulp - 1], product[ulp]
        sticky = Signal()
        m.d.comb += [
            large.eq(product[-1] != product[-2]),
            sticky.eq(product[: ulp - 2].any() | jam),
            first_up.eq(
                Mux(
                    large,
                    half & (lowest | product[ulp - 2] | sticky),
                    product[ulp - 2] & (half | sticky),
                )
            ),
            ones.eq(between.all() & (large | half) & Cat(~by | x.all() for by, x in lost).all()),
            some.eq(between.any() | (~large & half) | Cat(by & x.any() for by, x in lost).any()),
            up.eq(
                Mux(
                    window[0],
                    some | first_up | window[1],
                    ones & first_up & window[1],
                )
            ),
        ]
        return up

    def _limit(
        self, m: Module, whole: Value, up: Value, over: Value, under: Value, is_nan: Value
    ) -> dict[str, Value]:
        """The rounded number within the limits; NaN is 0."""
        settings = self.settings
        number = Signal(signed(11))
        m.d.comb += number.eq(whole + up)
        above = over | (~under & (number > settings.high))
        below = under | (~over & (number < settings.low))
        chosen = Mux(above, settings.high, Mux(below, settings.low, number))
        return {"o": Mux(is_nan, 0, chosen)[:8]}


def _without_signs(m: Module, x: Value, steps: tuple[int, ...]) -> tuple[Value, Value]:
    """`x` shifted left by those steps that only drop copies of the sign; which, the last lowest."""
    taken = []
    for n in steps:
        copies, moved = Signal(name=f"copies{n}"), Signal(32, name=f"without{n}")
        top = x[31 - n :]
        m.d.comb += [
            copies.eq((top == 0) | top.all()),
            moved.eq(Mux(copies, x << n, x)),
        ]
        taken.insert(0, copies)
        x = moved
    return x, Cat(taken)
