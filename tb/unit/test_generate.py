# SPDX-License-Identifier: Apache-2.0
"""Verilog generation: reproducible, free of the machine's paths, and what `mtia rtl` writes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import get_config
from hw.generate import SIMULATION_PASSES, WRITING_PASSES, emit_verilog
from hw.memory_map import memory_map
from hw.verilog_text import join_next_state

ROOT = Path(__file__).resolve().parents[2]


class Sample(wiring.Component):
    """Several domains, an FSM, slices, a memory: what could come out in a different order."""

    i: In(8)
    o: Out(8)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=4, init=[1, 2, 3])
        read = memory.read_port()
        parts = [Signal(8, name=f"part_{domain}") for domain in ("fast", "slow", "other")]
        m.d.fast += parts[0].eq(self.i)
        m.d.slow += parts[1].eq(self.i)
        m.d.other += parts[2].eq(self.i)
        m.d.comb += read.addr.eq(self.i)
        with m.FSM():
            with m.State("FIRST"):
                m.d.sync += self.o[:4].eq(read.data)
                with m.If(self.i[7]):
                    m.next = "SECOND"
            with m.State("SECOND"):
                m.d.sync += self.o.eq(parts[0] ^ parts[1] ^ parts[2])
                m.next = "FIRST"
        return m


def emit_with_seed(seed: str) -> bytes:
    """The sample's Verilog from a process of its own."""
    code = (
        "from hw.generate import emit_verilog\n"
        "from tb.unit.test_generate import Sample\n"
        "print(emit_verilog(Sample(), name='sample'))"
    )
    env = {**os.environ, "PYTHONHASHSEED": seed}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


def test_same_bytes_under_every_hash_seed() -> None:
    """Amaranth keeps missing domains in a set of strings, whose order changes with the seed."""
    assert len({emit_with_seed(seed) for seed in ("0", "1", "2", "3", "random")}) == 1


def test_same_bytes_at_every_call_and_no_path_inside() -> None:
    """Yosys numbers names across its runs; source locations would name the machine's folders."""
    first, second = (emit_verilog(Sample(), name="sample") for _ in range(2))
    assert first == second
    assert str(ROOT) not in first and "/tmp" not in first and ".py" not in first


def test_ports_without_a_signature_must_be_given() -> None:
    """A plain module does not say what its ports are."""
    with pytest.raises(TypeError, match=r"^Ports of .* must be given, since it has no signature.$"):
        emit_verilog(Module(), name="plain")


def test_next_state_moves_into_the_clocked_process() -> None:
    """A process of its own runs in every cycle, which makes simulation several times slower."""
    text = emit_verilog(Sample(), name="sample")
    assert "always @*" not in text
    assert "o[3:0] <= read__data[3:0];" in text
    assert text.count("if (rst) begin") == 2


@pytest.mark.parametrize(
    "other",
    [
        "  assign y = \\$1 ;\n",
        "  assign y = { \\$1 , \\$1 };\n",
    ],
)
def test_next_state_that_is_used_elsewhere_stays(other: str) -> None:
    """Moving it would take away what the other place reads."""
    text = (
        "module t(y);\n  reg \\$1 ;\n"
        "  always @(posedge clk)\n    q <= \\$1 ;\n"
        "  always @* begin\n    if (\\$start ) begin end\n    \\$1  = q;\n"
        "    if (rst) begin\n      \\$1  = 1'h0;\n    end\n  end\n"
        f"{other}endmodule\n"
    )
    assert join_next_state(text) == text
    joined = join_next_state(text.replace(other, ""))
    assert "always @*" not in joined and "reg \\$1 ;" not in joined
    assert "    if (rst) begin\n      q <= 1'h0;\n    end\n" in joined


def test_next_state_with_another_default_keeps_it() -> None:
    """A register that falls back to a constant is no register that keeps its value."""
    text = (
        "module t(y);\n  reg [1:0] \\$1 ;\n"
        "  always @(posedge clk)\n    q <= \\$1 ;\n"
        "  always @* begin\n    if (\\$start ) begin end\n    \\$1  = 2'h3;\n"
        "    if (x) begin\n      \\$1 [0] = 1'h0;\n    end\n  end\nendmodule\n"
    )
    body = "    q <= 2'h3;\n    if (x) begin\n      q[0] <= 1'h0;\n    end\n"
    assert body in join_next_state(text)


def test_memory_map_has_unique_aligned_addresses() -> None:
    """Software is generated from this file."""
    found = memory_map(get_config("tiny"))
    assert json.loads(json.dumps(found)) == found
    addresses = [entry["address"] for entry in found["registers"] + found["counters"]]
    assert len(set(addresses)) == len(addresses)
    assert all(address % 4 == 0 for address in addresses)
    control = next(region for region in found["regions"] if region["name"] == "control")
    assert max(addresses) + 8 == control["base"] + control["size_bytes"]


def test_wide_and_narrow_values_survive_emission() -> None:
    """A smoke of widths: one bit, and more than a machine word."""

    class Wide(wiring.Component):
        i: In(100)
        o: Out(101)

        def elaborate(self, platform: Any) -> Module:
            m = Module()
            m.d.sync += self.o.eq(Cat(self.i[0], self.i))
            return m

    text = emit_verilog(Wide(), name="wide")
    assert "input [99:0] i;" in text and "output [100:0] o;" in text


class AllOfNone(wiring.Component):
    """Reductions of a slice without bits."""

    i: In(4)
    all_bits: Out(1)
    any_bit: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        nothing = self.i[:0]
        m.d.comb += [self.all_bits.eq(nothing.all()), self.any_bit.eq(nothing.any())]
        return m


@pytest.mark.parametrize("passes", [WRITING_PASSES, SIMULATION_PASSES], ids=["plain", "simulated"])
def test_all_of_no_bits_is_true(passes: tuple[str, ...]) -> None:
    """Would break if no bits were written as one bit that is 0: a loop nest's level 0, whose step
    waits for all levels below it, would stand still."""
    text = emit_verilog(AllOfNone(), name="none", passes=passes)
    assert "assign all_bits = 1'h1;" in text
    assert "assign any_bit = 1'h0;" in text or "assign any_bit = | 1'h0;" in text
