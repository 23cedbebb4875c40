# SPDX-License-Identifier: Apache-2.0
"""Minimum and maximum of a row, a value at a time."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.rounding import CANONICAL_NAN
from hw.pe.re.min_max import ordered_bits

__all__ = ["SerialMinMax"]


class SerialMinMax(wiring.Component):
    """Finds what `RowMinMax` finds, with one comparator for each of the two results.

    Operation: looks at the values of `row` one after the other while `start` is high; `row` stays
    until it is `taken`. `done` says that `o` is there. Without `start` it forgets the row.

    Timing: `done` n_valid + 2 cycles after `start`; a row every n_valid + 3 cycles.

    Numerics: see `RowMinMax`.

    Parameters
    ----------
    columns : values of a row, a power of two.

    Members
    -------
    row : In(32 * columns), values.
    is_float : In(1), FP32 instead of INT32.
    n_valid : In(range(columns + 1)), values that count, at least 1.
    start : In(1), a row is there.
    taken : In(1), the result is taken.
    done : Out(1), the result is there.
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
                "n_valid": In(range(columns + 1)),
                "start": In(1),
                "taken": In(1),
                "done": Out(1),
                "o": Out(64),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        n_looked = Signal(range(self.columns + 1))
        looked, first, is_nan = Signal(), Signal(), Signal()
        value = Signal(32, reset_less=True)
        more = n_looked != self.n_valid
        chosen = self.row.word_select(n_looked[: (self.columns - 1).bit_length()], 32)
        with m.If(~self.start | self.taken):
            m.d.sync += [n_looked.eq(0), looked.eq(0), self.done.eq(0)]
        with m.Elif(~self.done):
            m.d.sync += [
                value.eq(chosen),
                first.eq(n_looked == 0),
                looked.eq(more),
                n_looked.eq(n_looked + more),
                self.done.eq(looked & ~more),
            ]
        low, high, found = Signal(signed(32)), Signal(signed(32)), Signal(signed(32))
        nan = self.is_float & value[23:31].all() & value[:23].any()
        m.d.comb += found.eq(ordered_bits(value, self.is_float))
        with m.If(looked):
            m.d.sync += is_nan.eq(nan | (is_nan & ~first))
            with m.If(first | (found < low)):
                m.d.sync += low.eq(found)
            with m.If(first | (found > high)):
                m.d.sync += high.eq(found)
        for number, bits in enumerate((low, high)):
            result = ordered_bits(bits.as_unsigned(), self.is_float)
            m.d.comb += self.o[32 * number : 32 * number + 32].eq(
                Mux(is_nan, Const(CANONICAL_NAN, 32), Cat(result))
            )
        return m
