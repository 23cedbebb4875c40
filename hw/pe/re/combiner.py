# SPDX-License-Identifier: Apache-2.0
"""Sums of own rows and rows that come from a neighbour."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.pe.re.float_lanes import FLOAT_LATENCY, FloatLanes

__all__ = ["RowCombiner"]


class RowCombiner(wiring.Component):
    """Adds two rows value by value: own + incoming.

    Timing: `latency` clock edges from the operands to `o`; one row per cycle. There is no enable:
    the parent carries the valid bit and stops the clock.

    Numerics: INT32 wraps; FP32 as `Fp32Adder`.

    Parameters
    ----------
    columns : values of a row.
    with_fp : whether there are floating-point adders; formats must be INT32 else.

    Members
    -------
    own, incoming : In(32 * columns), rows to add.
    is_float : In(1), FP32 instead of INT32; the same for all rows on their way.
    o : Out(32 * columns), row of sums.
    """

    latency = FLOAT_LATENCY
    """Clock edges from operands to sum."""

    def __init__(self, *, columns: int, with_fp: bool) -> None:
        self.columns = columns
        self.with_fp = with_fp
        super().__init__(
            {
                "own": In(32 * columns),
                "incoming": In(32 * columns),
                "is_float": In(1),
                "o": Out(32 * columns),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        own = Signal(32 * self.columns, reset_less=True)
        incoming = Signal(32 * self.columns, reset_less=True)
        m.d.sync += [own.eq(self.own), incoming.eq(self.incoming)]
        words = range(0, 32 * self.columns, 32)
        total = Cat((own[i : i + 32] + incoming[i : i + 32])[:32] for i in words)
        for stage in range(1, self.latency):
            delayed = Signal(32 * self.columns, name=f"total{stage}", reset_less=True)
            m.d.sync += delayed.eq(total)
            total = delayed
        m.d.comb += self.o.eq(total)
        if self.with_fp:
            m.submodules.lanes = lanes = FloatLanes(columns=self.columns)
            m.d.comb += [
                lanes.a.eq(self.own),
                lanes.b.eq(self.incoming),
                self.o.eq(Mux(self.is_float, lanes.o, total)),
            ]
        return m
