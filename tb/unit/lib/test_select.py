# SPDX-License-Identifier: Apache-2.0
"""Selection by flags."""

from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator

from hw.lib.select import lowest_one, number_of, one_of


def test_the_flagged_option_or_nothing_is_selected() -> None:
    """Each option has its own flag, whatever the width; no flag gives 0, one option needs none."""
    m = Module()
    flags, selected, alone = Signal(3), Signal(7), Signal(7)
    options = [Const(0x5A, 7), Const(0x13, 7), Const(0x7F, 7)]
    m.d.comb += [selected.eq(one_of(options, flags)), alone.eq(one_of(options[:1], flags[:1]))]
    found = {}

    async def look(ctx: object) -> None:
        for value in (0, 1, 2, 4):
            ctx.set(flags, value)  # type: ignore[attr-defined]
            found[value] = (ctx.get(selected), ctx.get(alone))  # type: ignore[attr-defined]

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()
    assert found == {0: (0, 0x5A), 1: (0x5A, 0x5A), 2: (0x13, 0x5A), 4: (0x7F, 0x5A)}


def test_the_number_of_a_bit() -> None:
    """Of each bit, for widths that are no powers of two as well."""
    m = Module()
    flags, numbers = Signal(5), [Signal(3, name=f"number{width}") for width in (2, 3, 5)]
    m.d.comb += [
        number.eq(number_of(flags[:width]))
        for number, width in zip(numbers, (2, 3, 5), strict=True)
    ]
    found = []

    async def look(ctx: object) -> None:
        for at in range(5):
            ctx.set(flags, 1 << at)  # type: ignore[attr-defined]
            found.append([ctx.get(number) for number in numbers])  # type: ignore[attr-defined]

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()
    assert found == [[0, 0, 0], [1, 1, 1], [0, 2, 2], [0, 0, 3], [0, 0, 4]]


def test_the_lowest_bit_alone() -> None:
    """Of every value of 7 bits, and with any lowest bit of 70 with all or none above it."""
    m = Module()
    few, many = Signal(7), Signal(70)
    of_few, of_many = Signal.like(few), Signal.like(many)
    m.d.comb += [of_few.eq(lowest_one(m, few)), of_many.eq(lowest_one(m, many))]

    async def look(ctx: object) -> None:
        for value in range(1 << len(few)):
            ctx.set(few, value)  # type: ignore[attr-defined]
            assert ctx.get(of_few) == value & -value  # type: ignore[attr-defined]
        for at in range(len(many) + 1):
            for value in ((1 << at) % (1 << len(many)), (1 << len(many)) - (1 << at)):
                ctx.set(many, value)  # type: ignore[attr-defined]
                assert ctx.get(of_many) == value & -value  # type: ignore[attr-defined]

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()
