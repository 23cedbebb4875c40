# SPDX-License-Identifier: Apache-2.0
"""Minimum and maximum of each row."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.num.fp32_order import fp32_is_nan
from hw.num.rounding import CANONICAL_NAN

__all__ = ["RowMinMax", "ordered_bits", "pair_bits"]

_LEVELS_PER_STAGE = 2


class RowMinMax(wiring.Component):
    """Finds the least and the greatest of the first `n_valid` values of a row.

    Timing: `latency` clock edges from `row` to `o`; one row per cycle. There is no enable: the
    parent carries the valid bit and stops the clock.

    Numerics: INT32 by value. FP32 by value, with -0 before +0; if one of the values is a NaN, both
    results are the canonical NaN.

    Parameters
    ----------
    columns : values of a row, a power of two.

    Members
    -------
    row : In(32 * columns), values.
    is_float : In(1), FP32 instead of INT32.
    n_valid : In(range(columns + 1)), values that count, at least 1.
    o : Out(64), minimum in the low half, maximum in the high half.
    """

    def __init__(self, *, columns: int) -> None:
        self.columns = columns
        super().__init__(
            {
                "row": In(32 * columns),
                "is_float": In(1),
                "n_valid": In(range(columns + 1)),
                "o": Out(64),
            }
        )

    @property
    def latency(self) -> int:
        """Clock edges from a row to its result."""
        levels = (self.columns - 1).bit_length()
        return 1 + -(-levels // _LEVELS_PER_STAGE)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        row = Signal(32 * self.columns, reset_less=True)
        n_valid = Signal.like(self.n_valid, reset_less=True)
        is_float, nan = Signal(), Signal()
        m.d.sync += [row.eq(self.row), n_valid.eq(self.n_valid), is_float.eq(self.is_float)]
        nans = []
        pairs = []  # candidates for minimum and maximum
        for column in range(self.columns):
            value = row[32 * column : 32 * column + 32]
            counts = n_valid > column
            key = Signal(signed(32), name=f"key{column}")
            low = Signal(signed(32), name=f"low{column}")
            high = Signal(signed(32), name=f"high{column}")
            m.d.comb += [
                key.eq(ordered_bits(value, is_float)),
                # A value that does not count loses against any that does.
                low.eq(Mux(counts, key, (1 << 31) - 1)),
                high.eq(Mux(counts, key, -(1 << 31))),
            ]
            nans.append(counts & fp32_is_nan(value))
            pairs.append((low, high))
        m.d.comb += nan.eq(is_float & Cat(nans).any())

        level = 0
        while len(pairs) > 1:
            level += 1
            registered = level % _LEVELS_PER_STAGE == 0 or len(pairs) == 2
            pairs = self._elaborate_level(m, pairs, level, registered)
            if registered:
                flags = Signal(2, name=f"flags{level}")
                m.d.sync += flags.eq(Cat(is_float, nan))
                is_float, nan = flags[0], flags[1]
        m.d.comb += self.o.eq(pair_bits(pairs[0], is_float, nan))
        return m

    def _elaborate_level(
        self, m: Module, pairs: list[Any], level: int, registered: bool
    ) -> list[Any]:
        """Compare neighbours."""
        domain = m.d.sync if registered else m.d.comb
        winners = []
        for i in range(0, len(pairs), 2):
            low = Signal(signed(32), name=f"low_l{level}_{i}", reset_less=registered)
            high = Signal(signed(32), name=f"high_l{level}_{i}", reset_less=registered)
            (low_a, high_a), (low_b, high_b) = pairs[i], pairs[i + 1]
            domain += [
                low.eq(Mux(low_b < low_a, low_b, low_a)),
                high.eq(Mux(high_b > high_a, high_b, high_a)),
            ]
            winners.append((low, high))
        return winners


def ordered_bits(value: Any, is_float: Any) -> Any:
    """Bits whose order as signed numbers is the value's order; its own inverse."""
    flip = (is_float & value[31]).replicate(31)
    return Cat(value[:31] ^ flip, value[31])


def pair_bits(pair: Any, is_float: Any, is_nan: Any) -> Any:
    """What is stored of a minimum and a maximum that are ordered as numbers."""
    results = (ordered_bits(value.as_unsigned(), is_float) for value in pair)
    return Cat(Mux(is_nan, Const(CANONICAL_NAN, 32), result) for result in results)
