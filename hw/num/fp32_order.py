# SPDX-License-Identifier: Apache-2.0
"""Comparisons of FP32 numbers, combinational: minimum, maximum, clamp, relu, tests.

Numerics, for all: -0 is below +0; a NaN on either side of a minimum or maximum gives 0x7FC00000.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.num.rounding import CANONICAL_NAN, FP32_INFINITY

__all__ = [
    "fp32_canonical",
    "fp32_clamp",
    "fp32_is_nan",
    "fp32_is_positive",
    "fp32_is_zero",
    "fp32_less",
    "fp32_min_max",
    "fp32_relu",
]


def fp32_is_nan(value: Value) -> Value:
    """Whether the 32 bits are a NaN."""
    return value[:31] > FP32_INFINITY


def fp32_is_zero(value: Value) -> Value:
    """Whether the 32 bits are +0 or -0."""
    return value[:31] == 0


def fp32_is_positive(value: Value) -> Value:
    """Whether the 32 bits are a number above zero; false for a NaN."""
    return ~value[31] & ~fp32_is_zero(value) & ~fp32_is_nan(value)


def fp32_canonical(value: Value) -> Value:
    """`value`, but 0x7FC00000 for every NaN."""
    return Mux(fp32_is_nan(value), CANONICAL_NAN, value)


def fp32_relu(value: Value) -> Value:
    """`value`, but +0 where the sign is set and it is no NaN."""
    return Mux(value[31] & ~fp32_is_nan(value), 0, value)


def fp32_less(m: Module, a: Value, b: Value, *, name: str) -> Signal:
    """Whether a < b in the order of the values, -0 below +0; NaNs have their place by bits."""
    less = Signal(name=f"{name}_less")
    m.d.comb += less.eq(_order_key(m, a, f"{name}_a_key") < _order_key(m, b, f"{name}_b_key"))
    return less


def fp32_min_max(m: Module, a: Value, b: Value, *, want_max: Value | int, name: str) -> Signal:
    """The larger of both values where `want_max`, else the smaller."""
    result = Signal(32, name=f"{name}_chosen")
    take_a = fp32_less(m, a, b, name=name) ^ want_max
    is_nan = fp32_is_nan(a) | fp32_is_nan(b)
    m.d.comb += result.eq(Mux(is_nan, CANONICAL_NAN, Mux(take_a, a, b)))
    return result


def fp32_clamp(m: Module, value: Value, low: Value, high: Value, *, name: str) -> Signal:
    """min(max(value, low), high): with `low` above `high` it is `high`."""
    raised = fp32_min_max(m, value, low, want_max=1, name=f"{name}_low")
    return fp32_min_max(m, raised, high, want_max=0, name=f"{name}_high")


def _order_key(m: Module, value: Value, name: str) -> Signal:
    """Unsigned numbers in the order of the values: negative ones count downwards."""
    key = Signal(32, name=name)
    m.d.comb += key.eq(Mux(value[31], ~value, Cat(value[:31], Const(1, 1))))
    return key
