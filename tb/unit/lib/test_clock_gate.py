# SPDX-License-Identifier: Apache-2.0
"""The clock gate: constructor errors and what it emits; `test_emit_once` compares its behaviour."""

from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.generate import emit_verilog
from hw.lib.clock_gate import CLOCK_GATE_MODULE, Gated


class Counter(wiring.Component):
    """Counts its clock."""

    o: Out(4)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.o.eq(self.o + 1)
        return m


class Nested(wiring.Component):
    """A gate inside a gate."""

    outer: In(1)
    inner: In(1)
    o: Out(4)

    def elaborate(self, platform: Any) -> Module:
        m, middle = Module(), Module()
        counter = Counter()
        middle.submodules.counter = Gated(counter, enable=self.inner)
        m.submodules.middle = Gated(middle, enable=self.outer)
        m.d.comb += self.o.eq(counter.o)
        return m


def test_enable_of_several_bits_is_refused() -> None:
    """A clock has one enable."""
    with pytest.raises(ValueError) as caught:
        Gated(Counter(), enable=Signal(2))
    assert str(caught.value) == "Enable of a gated clock must have one bit, not 2."


def test_nested_gates_have_clocks_of_their_own() -> None:
    """Two domains of one name would be one clock."""
    text = emit_verilog(Nested(), name="nested")
    assert text.count(f"module {CLOCK_GATE_MODULE}(") == 1
    assert text.count(f"  {CLOCK_GATE_MODULE} ") == 2
    assert "gated0_clk" in text and "gated1_clk" in text


def test_without_clock_gating_there_is_one_clock() -> None:
    """FPGA tools would route a gated clock badly."""
    text = emit_verilog(Nested(), name="nested", clock_gating=False)
    assert CLOCK_GATE_MODULE not in text and "gated" not in text


def test_a_gate_keeps_its_state_in_the_simulator() -> None:
    """Amaranth's simulator gets an enable in place of the gated clock."""
    from amaranth.sim import Simulator

    dut = Nested()
    seen = []

    async def bench(ctx: Any) -> None:
        for outer, inner in ((1, 1), (1, 0), (0, 1), (1, 1), (0, 0)):
            ctx.set(dut.outer, outer)
            ctx.set(dut.inner, inner)
            await ctx.tick()
            seen.append(ctx.get(dut.o))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [1, 1, 1, 2, 2]
