# SPDX-License-Identifier: Apache-2.0
"""Function units of all lanes: step 6 of the element pipeline."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import Boundary, EmitOnce
from hw.num.function_unit import FunctionUnit
from hw.pe.se.front import beat_info
from hw.pe.se.sizes import Sizes

__all__ = ["FunctionLanes", "function_unit"]


def function_unit() -> EmitOnce:
    """A function unit; all of the engine are the same module."""
    return EmitOnce(FunctionUnit, key="se_function_unit", boundary=Boundary.NO_INLINE)


class FunctionLanes(wiring.Component):
    """Applies the program's function to beats; nothing stalls here.

    Timing: a beat per cycle, `latency` clock edges.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    code : In(4), `hw.arch.commands.Function`.
    valid, info, values : In, a beat.
    o_valid, o_info, o : Out, its values.
    o_times, o_arguments : Out, values that still have to be multiplied, and by what.
    busy : Out(1), beats are on their way, so the clock must run.

    Resources: a `FunctionUnit` for each lane.
    """

    latency = FunctionUnit.latency

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        values = data.ArrayLayout(32, sizes.lanes)
        super().__init__(
            {
                "code": In(4),
                "valid": In(1),
                "info": In(beat_info(sizes)),
                "values": In(values),
                "o_valid": Out(1),
                "o_info": Out(beat_info(sizes)),
                "o": Out(values),
                "o_times": Out(sizes.lanes),
                "o_arguments": Out(values),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        valids: list[Any] = [self.valid]
        info: Any = self.info
        for number in range(1, self.latency + 1):
            valid = Signal(name=f"valid{number}")
            following = Signal(beat_info(self.sizes), name=f"info{number}", reset_less=True)
            m.d.sync += [valid.eq(valids[-1]), following.eq(info)]
            valids.append(valid)
            info = following
        for number in range(self.sizes.lanes):
            m.submodules[f"unit{number}"] = unit = function_unit()
            m.d.comb += [
                unit.x.eq(self.values[number]),
                unit.code.eq(self.code),
                unit.en.eq(1),
                self.o[number].eq(unit.value),
                self.o_times[number].eq(unit.times_argument),
                self.o_arguments[number].eq(unit.argument),
            ]
        m.d.comb += [
            self.o_valid.eq(valids[-1]),
            self.o_info.eq(info),
            self.busy.eq(Cat(valids[1:]).any()),
        ]
        return m
