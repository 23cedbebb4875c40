# SPDX-License-Identifier: Apache-2.0
"""One lane of the first half: from an element to the argument of the function."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Addend, Factor, Pre
from hw.num.fp32_add import Fp32Adder
from hw.num.fp32_mul import Fp32Multiplier
from hw.num.fp32_order import (
    fp32_canonical,
    fp32_is_positive,
    fp32_is_zero,
    fp32_min_max,
    fp32_relu,
)
from hw.num.to_fp32 import ToFp32

__all__ = ["MINUS_ZERO", "ONE", "FrontLane", "Stage", "front_config"]

ONE = 0x3F80_0000
"""Bits of 1.0, by which every number may be multiplied."""
MINUS_ZERO = 0x8000_0000
"""Bits of -0.0, which may be added to every number, -0.0 too."""

_CONVERT, _ADD, _MULTIPLY = 2, 3, 3


class Stage:
    """Clock edges from the operands to the places where something enters or leaves a lane."""

    CONVERTED = 1 + _CONVERT
    OPENED = CONVERTED + 1
    RELU = OPENED + _ADD
    PRODUCT = RELU + _MULTIPLY
    TOTAL = PRODUCT + _ADD
    RESULT = TOTAL + _ADD


def front_config() -> data.StructLayout:
    """What a program asks of every lane; stays as it is while beats are under way."""
    return data.StructLayout(
        {
            "imm_factor": 32,
            "imm_addend": 32,
            "a_format": 3,
            "b_format": 3,  # FP32 where b is no operand with a format
            "adds_integers": 1,  # a + b before the conversion
            "pre": 3,
            "relu": 1,
            "factor": 3,
            "squares": 1,  # `product` is the square, but the element goes on as it is
            "addend": 2,
            "post_is_c": 1,  # `post` is c, else b
        }
    )


class FrontLane(wiring.Component):
    """Steps 1 to 5 of the element pipeline for one element a cycle.

    Operation: a program that does not use a step gets its neutral operand: x + -0 and x * 1 are x.

    Timing: one element per cycle. `Stage` says how many clock edges lie between the operands and
    each output; `old` belongs to stage PRODUCT.

    Numerics: see docs/units/simd_engine.md.

    Members
    -------
    config : In(front_config()).
    a, b, c : In(32), elements in the low bits; c is FP32.
    old : In(32), running sum.
    adds_old : In(1), whether it is added.
    post : Out(32), b or c as FP32, stage CONVERTED.
    product : Out(32), stage PRODUCT.
    total : Out(32), stage TOTAL.
    o : Out(32), stage RESULT.

    Resources: three FP32 adders, a multiplier.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "config": In(front_config()),
                "a": In(32),
                "b": In(32),
                "c": In(32),
                "old": In(32),
                "adds_old": In(1),
                "post": Out(32),
                "product": Out(32),
                "total": Out(32),
                "o": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self.config
        a, b, c = self._elaborate_convert(m)
        x, y = self._elaborate_pre(m, a, b, c)
        factor, addend = self._elaborate_operands(m, b, c)
        for name in ("pre", "accumulate", "addend"):
            m.submodules[f"{name}_adder"] = Fp32Adder(latency=_ADD)
        m.submodules.multiplier = multiplier = Fp32Multiplier(latency=_MULTIPLY)
        pre, accumulate, last = (
            m.submodules[f"{name}_adder"] for name in ("pre", "accumulate", "addend")
        )
        opened = Signal(32)
        m.d.comb += [
            self.post.eq(Mux(config.post_is_c, c, b)),
            pre.a.eq(x),
            pre.b.eq(y),
            opened.eq(Mux(config.relu, fp32_relu(pre.o), pre.o)),
            multiplier.a.eq(opened),
            multiplier.b.eq(_delay(m, factor, Stage.RELU - Stage.OPENED, "factor")),
            self.product.eq(multiplier.o),
            accumulate.a.eq(multiplier.o),
            accumulate.b.eq(Mux(self.adds_old, self.old, MINUS_ZERO)),
            self.total.eq(accumulate.o),
            last.a.eq(accumulate.o),
            last.b.eq(_delay(m, addend, Stage.TOTAL - Stage.OPENED, "addend")),
            self.o.eq(last.o),
        ]
        with m.If((config.factor == Factor.SELF) | config.squares):
            m.d.comb += multiplier.b.eq(opened)
        unsquared = _delay(m, opened, _MULTIPLY, "unsquared")
        with m.If(config.squares):
            m.d.comb += accumulate.a.eq(unsquared)
        return m

    def _elaborate_convert(self, m: Module) -> tuple[Value, Value, Value]:
        """a, b and c as FP32."""
        config = self.config
        a, b, c = (Signal(32, name=name, reset_less=True) for name in ("a0", "b0", "c0"))
        m.d.sync += [a.eq(self.a), b.eq(self.b), c.eq(self.c)]
        m.submodules.a_to_fp32 = a_to_fp32 = ToFp32(latency=_CONVERT)
        m.submodules.b_to_fp32 = b_to_fp32 = ToFp32(latency=_CONVERT)
        m.d.comb += [
            a_to_fp32.a.eq(Mux(config.adds_integers, (a + b)[:32], a)),
            a_to_fp32.format.eq(config.a_format),
            b_to_fp32.a.eq(b),
            b_to_fp32.format.eq(config.b_format),
        ]
        return a_to_fp32.o, b_to_fp32.o, _delay(m, fp32_canonical(c), _CONVERT, "c")

    def _elaborate_pre(self, m: Module, a: Value, b: Value, c: Value) -> tuple[Signal, Signal]:
        """What the first adder adds."""
        config = self.config
        x, y = Signal(32, reset_less=True), Signal(32, reset_less=True)
        less = fp32_min_max(m, a, b, want_max=config.pre == Pre.MAX, name="pre")
        sign = Signal(32)
        m.d.comb += sign.eq(MINUS_ZERO)
        m.d.sync += [x.eq(a), y.eq(MINUS_ZERO)]
        with m.Switch(config.pre):
            with m.Case(Pre.ADD):
                with m.If(~config.adds_integers):
                    m.d.sync += y.eq(b)
            with m.Case(Pre.SUB):
                m.d.sync += y.eq(b ^ sign)
            with m.Case(Pre.RSUB):
                m.d.sync += [x.eq(a ^ sign), y.eq(b)]
            with m.Case(Pre.MIN, Pre.MAX):
                m.d.sync += x.eq(less)
            with m.Case(Pre.SELECT):
                m.d.sync += x.eq(Mux(fp32_is_zero(a), c, b))
            with m.Case(Pre.SELECT_POSITIVE):
                m.d.sync += x.eq(Mux(fp32_is_positive(a), b, c))
        return x, y

    def _elaborate_operands(self, m: Module, b: Value, c: Value) -> tuple[Signal, Signal]:
        """Factor and addend, where they do not come from the element itself."""
        config = self.config
        factor, addend = Signal(32, reset_less=True), Signal(32, reset_less=True)
        m.d.sync += [factor.eq(ONE), addend.eq(MINUS_ZERO)]
        with m.Switch(config.factor):
            for code, value in (
                (Factor.IMMEDIATE, config.imm_factor),
                (Factor.B, b),
                (Factor.C, c),
            ):
                with m.Case(code):
                    m.d.sync += factor.eq(value)
        with m.Switch(config.addend):
            for code, value in (
                (Addend.IMMEDIATE, config.imm_addend),
                (Addend.B, b),
                (Addend.C, c),
            ):
                with m.Case(code):
                    m.d.sync += addend.eq(value)
        return factor, addend


def _delay(m: Module, value: Value, n_edges: int, name: str) -> Value:
    """`value` some clock edges later."""
    for edge in range(n_edges):
        following = Signal(len(value), name=f"{name}_{edge + 1}", reset_less=True)
        m.d.sync += following.eq(value)
        value = following
    return value
