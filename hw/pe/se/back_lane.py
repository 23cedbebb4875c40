# SPDX-License-Identifier: Apache-2.0
"""One lane of the second half: multiplication, clamp, conversion."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.num.fp32_mul import Fp32Multiplier
from hw.num.fp32_order import fp32_clamp
from hw.num.from_fp32 import FromFp32

__all__ = ["BackLane", "back_config"]

_MULTIPLY, _CLAMP, _CONVERT = 3, 1, 2


def back_config() -> data.StructLayout:
    """What a program asks of every lane, beside what each beat brings."""
    return data.StructLayout({"low": 32, "high": 32, "stochastic": 1})


class BackLane(wiring.Component):
    """Steps 8 to 10 of the element pipeline for one element a cycle.

    Timing: one element per cycle; `latency` clock edges to `o`. Factors belong to the first edge,
    `clamps` to stage `CLAMP`, `format` and `random` to stage `CONVERT`.

    Numerics: see docs/units/simd_engine.md.

    Members
    -------
    config : In(back_config()).
    x, factor : In(32), FP32.
    clamps : In(1).
    format : In(3), of the result.
    random : In(32).
    o : Out(32), element in the low bits.

    Resources: an FP32 multiplier.
    """

    CLAMP = _MULTIPLY
    CONVERT = _MULTIPLY + _CLAMP
    latency = _MULTIPLY + _CLAMP + _CONVERT

    def __init__(self) -> None:
        super().__init__(
            {
                "config": In(back_config()),
                "x": In(32),
                "factor": In(32),
                "clamps": In(1),
                "format": In(3),
                "random": In(32),
                "o": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        config = self.config
        m.submodules.multiplier = multiplier = Fp32Multiplier(latency=_MULTIPLY)
        m.submodules.convert = convert = FromFp32(latency=_CONVERT)
        limited = fp32_clamp(m, multiplier.o, config.low, config.high, name="clamp")
        clamped = Signal(32, reset_less=True)
        m.d.sync += clamped.eq(Mux(self.clamps, limited, multiplier.o))
        m.d.comb += [
            multiplier.a.eq(self.x),
            multiplier.b.eq(self.factor),
            convert.a.eq(clamped),
            convert.format.eq(self.format),
            convert.stochastic.eq(config.stochastic),
            convert.random.eq(self.random),
            self.o.eq(convert.o),
        ]
        return m
