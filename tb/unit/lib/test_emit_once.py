# SPDX-License-Identifier: Apache-2.0
"""Emitting once: one module for many instances, the same behaviour as elaborating each in place."""

from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.generate import emit_verilog
from hw.lib.clock_gate import Gated
from hw.lib.emit_once import Boundary, EmitOnce
from tb.common.runner import run_bench
from tb.common.seeds import python_rng


class Inner(wiring.Component):
    """A multiplier with a struct stream and an array, to be shared inside `Leaf`."""

    def __init__(self, *, step: int = 1) -> None:
        self.step = step
        pair = data.StructLayout({"a": signed(8), "b": 8})
        super().__init__({"i": In(stream.Signature(pair)), "o": Out(signed(17)).array(2)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += self.o[0].eq(self.i.p.a * self.i.p.b)
        m.d.sync += self.o[1].eq(self.o[1] + self.step)
        return m


class Leaf(wiring.Component):
    """Accumulates what its own `Inner` multiplies."""

    value: In(8)
    enable: In(1)
    total: Out(32)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = inner = EmitOnce(Inner, key="inner", step=3)
        m.d.comb += [
            inner.i.valid.eq(self.enable),
            inner.i.p.a.eq(self.value),
            inner.i.p.b.eq(self.value + 1),
        ]
        m.d.sync += self.total.eq(self.total + inner.o[0] + inner.o[1])
        return m


class Row(wiring.Component):
    """Four leaves with inputs of their own, two of them behind a clock gate."""

    value: In(8)
    enable: In(4)
    total: Out(32).array(4)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for i in range(4):
            leaf = EmitOnce(
                Leaf, key="leaf", boundary=Boundary.NO_INLINE, own_inputs=("value", "enable")
            )
            m.submodules[f"leaf{i}"] = (
                Gated(leaf, enable=self.enable[i] | (self.value[0])) if i % 2 else leaf
            )
            m.d.comb += [
                leaf.value.eq(self.value + i),
                leaf.enable.eq(self.enable[i]),
                self.total[i].eq(leaf.total),
            ]
        return m


FORMS = {"once": {}, "flat": {"flat": True}, "enables": {"clock_gating": False}}


class FormsOfRow(wiring.Component):
    """The row in its three forms side by side, on the same inputs."""

    def __init__(self) -> None:
        super().__init__(
            {"value": In(8), "enable": In(4)} | {name: Out(32).array(4) for name in FORMS}
        )

    def elaborate(self, platform: Any) -> Module:
        from amaranth.hdl import ClockSignal, Instance, ResetSignal

        from hw.lib.emit_once import current_emission

        m = Module()
        emission = current_emission()
        assert emission is not None
        for name, form in FORMS.items():
            text = emit_verilog(Row(), name=f"row_{name}", **form)
            # Modules of the two forms that share have equal names but not always equal texts.
            for key in ("leaf", "inner", "clock_gate"):
                text = text.replace(f"module {key}(", f"module {key}_{name}(")
                text = text.replace(f"  {key} ", f"  {key}_{name} ")
            emission.add_verilog(f"row_{name}", text)
            m.submodules[name] = Instance(
                f"row_{name}",
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_value=self.value,
                i_enable=self.enable,
                **{f"o_total__{i}": getattr(self, name)[i] for i in range(4)},
            )
        return m


@cocotb.test()
async def forms_agree_in_every_cycle(dut: Any) -> None:
    """Shared, flat and enabled forms give equal outputs, through resets in the middle."""
    from cocotb.clock import Clock
    from cocotb.triggers import FallingEdge, RisingEdge, Timer

    rng = python_rng("forms")
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    dut.rst.value = 1
    changes = 0
    last = None
    for cycle in range(3000):
        await FallingEdge(dut.clk)
        if cycle > 2:
            totals = {
                name: [int(getattr(dut, f"{name}__{i}").value) for i in range(4)] for name in FORMS
            }
            assert totals["once"] == totals["flat"] == totals["enables"], (cycle, totals)
            changes += totals["flat"] != last
            last = totals["flat"]
        # Like registers: a gate captures its enable at the falling edge.
        await RisingEdge(dut.clk)
        await Timer(2, unit="ns")
        dut.rst.value = int(cycle < 2 or rng.random() < 0.01)
        dut.value.value = rng.choice((0, 127, 128, 255, rng.randrange(256)))
        dut.enable.value = rng.choice((0, 15, rng.randrange(16)))
    assert changes > 1500


def test_shared_flat_and_enabled_forms_are_cycle_identical() -> None:
    """An instance of a shared module, a gated clock and an enable would differ in some cycle."""
    run_bench(FormsOfRow(), name="emit_once_forms", test_module=__name__)


def test_a_shared_component_appears_once() -> None:
    """Copies would make the Verilog grow with the number of instances."""
    text = emit_verilog(Row(), name="row")
    assert text.count("\nmodule leaf(") + text.startswith("module leaf(") == 1
    assert text.count("module inner(") == 1
    assert text.count("  leaf ") == 4


def test_a_flat_emission_has_no_shared_module() -> None:
    """The flat form must not depend on the mechanism that it is compared with."""
    text = emit_verilog(Row(), name="row", flat=True)
    assert "module leaf(" not in text and "module inner(" not in text


def test_boundary_and_own_inputs_are_marked_for_verilator() -> None:
    """A missing mark costs speed or code size, silently."""
    text = emit_verilog(Row(), name="row")
    module = text[text.index("module leaf(") :]
    module = module[: module.index("endmodule")]
    assert "/*verilator no_inline_module*/" in module
    assert module.count("/*verilator public_flat_rd*/") == 2
    assert "[7:0] value /*verilator public_flat_rd*/;" in module


def test_two_components_under_one_key_are_refused() -> None:
    """Otherwise one of them would silently get the other one's logic."""

    class Clash(wiring.Component):
        o: Out(17)

        def elaborate(self, platform: Any) -> Module:
            m = Module()
            m.submodules.a = EmitOnce(Inner, key="inner", step=1)
            m.submodules.b = EmitOnce(Inner, key="inner", step=2)
            return m

    with pytest.raises(ValueError) as caught:
        emit_verilog(Clash(), name="clash")
    assert str(caught.value) == (
        "Emit-once key 'inner' stands for two different components:"
        " Inner(step=1) and Inner(step=2)."
    )


def test_key_must_be_a_verilog_name() -> None:
    """The key becomes a module's name."""
    with pytest.raises(
        ValueError, match=r"^Emit-once key 'a b' must be a lower-case Verilog name.$"
    ):
        EmitOnce(Inner, key="a b")


def test_own_input_must_exist() -> None:
    """A misspelt name would cost speed, silently."""
    with pytest.raises(ValueError, match=r"^Own input 'x' is no member of Inner\(\) with own x.$"):
        EmitOnce(Inner, key="inner", own_inputs=("x",))


def test_key_equal_to_the_top_is_refused() -> None:
    """Two modules of one name are an error in Verilog."""
    with pytest.raises(ValueError, match=r"^Module name 'leaf' is used twice in one design.$"):
        emit_verilog(Row(), name="leaf")
