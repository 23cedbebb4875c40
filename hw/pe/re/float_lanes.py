# SPDX-License-Identifier: Apache-2.0
"""FP32 adders, one for each column, behind registers of their own."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.lib.emit_once import Boundary, EmitOnce
from hw.num.fp32_add import Fp32Adder

__all__ = ["FLOAT_LATENCY", "FloatLane", "FloatLanes"]

_ADDER_LATENCY = 3
FLOAT_LATENCY = 1 + _ADDER_LATENCY
"""Clock edges from the operands to the sum."""


class FloatLane(wiring.Component):
    """An FP32 adder with operand registers.

    The registers keep the adder still: in front of them, whatever changes in the clock domain of
    the parent would be computed in every cycle, whether this domain's clock runs or not.

    Timing: `FLOAT_LATENCY` clock edges from `a`, `b` to `o`; one addition per cycle.

    Numerics: see `Fp32Adder`.

    Members
    -------
    a, b : In(32), operands.
    o : Out(32), sum.
    """

    def __init__(self) -> None:
        super().__init__({"a": In(32), "b": In(32), "o": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.adder = adder = Fp32Adder(latency=_ADDER_LATENCY)
        m.d.sync += [adder.a.eq(self.a), adder.b.eq(self.b)]
        m.d.comb += self.o.eq(adder.o)
        return m


class FloatLanes(wiring.Component):
    """`FloatLane` for each value of a row.

    Timing, Numerics: as `FloatLane`.

    Parameters
    ----------
    columns : values of a row.

    Members
    -------
    a, b : In(32 * columns), rows to add.
    o : Out(32 * columns), row of sums.

    Resources: `columns` FP32 adders.
    """

    def __init__(self, *, columns: int) -> None:
        self.columns = columns
        super().__init__({"a": In(32 * columns), "b": In(32 * columns), "o": Out(32 * columns)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for column in range(self.columns):
            m.submodules[f"lane{column}"] = lane = EmitOnce(
                FloatLane, key="re_float_lane", boundary=Boundary.NO_INLINE
            )
            bits = slice(32 * column, 32 * column + 32)
            m.d.comb += [
                lane.a.eq(self.a[bits]),
                lane.b.eq(self.b[bits]),
                self.o[bits].eq(lane.o),
            ]
        return m
