# SPDX-License-Identifier: Apache-2.0
"""Shifts with a jam bit and leading zeros against Python integers, at the widths in use."""

from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.num.bits import leading_zeros, shift_right_jam
from tb.common.seeds import python_rng


class Shifts(wiring.Component):
    """Both helpers on one value."""

    def __init__(self, *, width: int) -> None:
        super().__init__(
            {"value": In(width), "amount": In(8), "jammed": Out(width), "zeros": Out(8)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += [
            self.jammed.eq(shift_right_jam(m, self.value, self.amount, name="jam")),
            self.zeros.eq(leading_zeros(m, self.value, name="value")),
        ]
        return m


@pytest.mark.parametrize("width", (24, 27, 32, 34, 44, 48))
def test_shifts_match_python_integers(width: int) -> None:
    """Amounts of zero, the width, and beyond; values with one bit, and with any."""
    dut = Shifts(width=width)
    rng = python_rng(f"shifts {width}")
    values = [1 << bit for bit in range(width)] + [rng.getrandbits(width) | 1 for _ in range(30)]

    async def bench(ctx: Any) -> None:
        for value in values:
            for amount in (0, 1, width - 1, width, width + 1, 255, rng.randrange(width)):
                ctx.set(dut.value, value)
                ctx.set(dut.amount, amount)
                await ctx.delay(1e-9)
                is_lost = value & ((1 << amount) - 1) != 0
                assert ctx.get(dut.jammed) == value >> amount | is_lost
                assert ctx.get(dut.zeros) == width - value.bit_length()

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
