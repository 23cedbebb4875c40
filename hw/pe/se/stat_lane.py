# SPDX-License-Identifier: Apache-2.0
"""The lane that turns a row's reduced value into its statistic."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Function
from hw.num.fp32_add import Fp32Adder
from hw.num.fp32_mul import Fp32Multiplier
from hw.num.function_unit import FunctionUnit
from hw.pe.se.function_lanes import function_unit

__all__ = ["StatLane", "statistic_layout"]

_MULTIPLY, _ADD = 3, 3


def statistic_layout() -> data.StructLayout:
    """A row's statistic, and what it was before its function."""
    return data.StructLayout({"value": 32, "appended": 32})


class StatLane(wiring.Component):
    """statistic = function(value * factor + addend).

    Timing: one row per cycle; `latency` clock edges, and those of the function unit where the
    program has a function. Nothing stalls here.

    Parameters
    ----------
    with_functions : whether there is a function unit.

    Members
    -------
    factor, addend : In(32); code : In(4), `hw.arch.commands.Function`; they stay while rows are
        under way.
    valid, value : In, a row's reduced value.
    o_valid, o : Out, statistic_layout.
    busy : Out(1), rows are on their way, so the clock must run.

    Resources: an FP32 adder, a multiplier, a function unit.
    """

    latency = _MULTIPLY + _ADD

    def __init__(self, *, with_functions: bool) -> None:
        self.with_functions = with_functions
        super().__init__(
            {
                "factor": In(32),
                "addend": In(32),
                "code": In(4),
                "valid": In(1),
                "value": In(32),
                "o_valid": Out(1),
                "o": Out(statistic_layout()),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.multiplier = multiplier = Fp32Multiplier(latency=_MULTIPLY)
        m.submodules.adder = adder = Fp32Adder(latency=_ADD)
        valids: list[Value] = [self.valid]
        n_more = FunctionUnit.latency if self.with_functions else 0
        for number in range(self.latency + n_more):
            following = Signal(name=f"valid{number + 1}")
            m.d.sync += following.eq(valids[-1])
            valids.append(following)
        m.d.comb += [
            multiplier.a.eq(self.value),
            multiplier.b.eq(self.factor),
            adder.a.eq(multiplier.o),
            adder.b.eq(self.addend),
            self.o_valid.eq(valids[self.latency]),
            self.o.value.eq(adder.o),
            self.o.appended.eq(adder.o),
            self.busy.eq(Cat(valids[1:]).any()),
        ]
        if self.with_functions:
            m.submodules.unit = unit = function_unit()
            m.d.comb += [unit.x.eq(adder.o), unit.code.eq(self.code), unit.en.eq(1)]
            with m.If(self.code != Function.NONE):
                m.d.comb += [
                    self.o_valid.eq(valids[-1]),
                    self.o.value.eq(unit.value),
                    self.o.appended.eq(unit.argument),
                ]
        return m
