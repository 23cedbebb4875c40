# SPDX-License-Identifier: Apache-2.0
"""Minimum and maximum of a row, a value at a time."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.fp32_order import fp32_is_nan
from hw.pe.re.min_max import ordered_bits, pair_bits

__all__ = ["SerialMinMax"]


class SerialMinMax(wiring.Component):
    """Finds what `RowMinMax` finds, with one comparator for each of the two results.

    Operation: from the cycle after `start` on it looks at the values of `row` one after the other,
    which stays until `done`. `o` stays until the next row's values come.

    Timing: `done` n_valid + 3 cycles after `start`.

    Numerics: see `RowMinMax`.

    Parameters
    ----------
    columns : values of a row, a power of two.

    Members
    -------
    row : In(32 * columns), values.
    is_float : In(1), FP32 instead of INT32.
    start : In(1), a row is there from the next cycle on.
    n_valid : In(range(columns + 1)), its values that count, at least 1.
    stop : In(1), forget it.
    busy : Out(1), from the cycle after `start` to `done`.
    done : Out(1), for one cycle: `o` is there.
    o : Out(64), minimum in the low half, maximum in the high half.

    Resources: about 5 LUTs and 3 flip-flops for each bit of a value; `RowMinMax` takes 6 times that
    for 8 columns.
    """

    def __init__(self, *, columns: int) -> None:
        self.columns = columns
        super().__init__(
            {
                "row": In(32 * columns),
                "is_float": In(1),
                "start": In(1),
                "n_valid": In(range(columns + 1)),
                "stop": In(1),
                "busy": Out(1),
                "done": Out(1),
                "o": Out(64),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        n_looked, count = Signal.like(self.n_valid), Signal.like(self.n_valid)
        more, is_nan = Signal(), Signal()
        # In two steps: a value, and what orders it.
        value, chosen, chosen_first = Signal(32, reset_less=True), Signal(), Signal()
        found, nan = Signal(signed(32), reset_less=True), Signal()
        looked, first = Signal(), Signal()
        m.d.comb += more.eq(self.busy & (n_looked != count))
        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), n_looked.eq(0), count.eq(self.n_valid)]
        with m.Elif(self.done | self.stop):
            m.d.sync += self.busy.eq(0)
        with m.Elif(more):
            m.d.sync += n_looked.eq(n_looked + 1)
        m.d.sync += [
            value.eq(self.row.word_select(n_looked[: (self.columns - 1).bit_length()], 32)),
            Cat(first, chosen_first).eq(Cat(chosen_first, n_looked == 0)),
            Cat(looked, chosen).eq(Cat(chosen, more)),
            self.done.eq(looked & ~chosen),
            found.eq(ordered_bits(value, self.is_float)),
            nan.eq(self.is_float & fp32_is_nan(value)),
        ]
        low, high = Signal(signed(32)), Signal(signed(32))
        m.d.comb += self.o.eq(pair_bits((low, high), self.is_float, is_nan))
        with m.If(looked):
            m.d.sync += is_nan.eq(nan | (is_nan & ~first))
            with m.If(first | (found < low)):
                m.d.sync += low.eq(found)
            with m.If(first | (found > high)):
                m.d.sync += high.eq(found)
        return m
