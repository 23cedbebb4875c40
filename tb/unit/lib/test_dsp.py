# SPDX-License-Identifier: Apache-2.0
"""The multiplier wrapper: both of its forms are the same circuit, and it multiplies."""

import random
from pathlib import Path

import pytest
from amaranth.sim import Simulator

from hw.lib.dsp import ECP5_WIDTH, RegisteredMultiplier
from hw.lib.emit_once import emission, module_rtlil
from hw.yosys import run_yosys

OUTPUT_WIDTH = 2 * ECP5_WIDTH
SETTINGS = {
    "REG_INPUTA_CLK": "CLK0",
    "REG_INPUTA_CE": "CE0",
    "REG_INPUTA_RST": "RST0",
    "REG_INPUTB_CLK": "CLK0",
    "REG_INPUTB_CE": "CE1",
    "REG_INPUTB_RST": "RST0",
    "REG_PIPELINE_CLK": "NONE",
    "REG_OUTPUT_CLK": "CLK0",
    "REG_OUTPUT_CE": "CE0",
    "REG_OUTPUT_RST": "RST0",
    "SOURCEB_MODE": "B_SHIFT",
    "GSR": "DISABLED",
    "MULT_BYPASS": "DISABLED",
    "RESETMODE": "SYNC",
}


def vendor_model() -> str:
    """MULT18X18D as Lattice's description of the sysDSP slice has it, where we use it.

    Registers of inputs and output on CLK0 without resets, no pipeline register, both operands
    signed, B from its own port. Another setting is an error.
    """
    names = ("CLK0", "CE0", "CE1", "RST0", "SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB")
    a, b = ([f"{port}{bit}" for bit in range(ECP5_WIDTH)] for port in "AB")
    p = [f"P{bit}" for bit in range(OUTPUT_WIDTH)]
    ports = [f"input {name}" for name in (*names, *a, *b)] + [f"output {name}" for name in p]
    parameters = "\n".join(f'  parameter {name} = "{value}";' for name, value in SETTINGS.items())
    wrong = " || ".join(f'{name} != "{value}"' for name, value in SETTINGS.items())
    return f"""
module MULT18X18D({", ".join(ports)});
{parameters}
  generate if ({wrong}) NOT_MODELLED wrong(); endgenerate
  reg signed [{ECP5_WIDTH - 1}:0] a = 0, b = 0;
  reg signed [{OUTPUT_WIDTH - 1}:0] p = 0;
  always @(posedge CLK0) begin
    if (RST0 | ~SIGNEDA | ~SIGNEDB | SOURCEA | SOURCEB) begin a <= 'x; b <= 'x; p <= 'x; end
    else begin
      if (CE0) a <= {{{", ".join(reversed(a))}}};
      if (CE1) b <= {{{", ".join(reversed(b))}}};
      if (CE0) p <= a * b;
    end
  end
  assign {{{", ".join(reversed(p))}}} = p;
endmodule
"""


@pytest.mark.parametrize("x_width, y_width", ((2, 2), (4, 3)))
def test_hard_form_is_the_plain_one(x_width: int, y_width: int, tmp_path: Path) -> None:
    """By Yosys: with the vendor's block in place of the registers no output ever differs.

    Proved for few bits, since a multiplication is hard to prove; wider operands have less of the
    sign extension, and the same text.
    """
    texts = []
    for name, target in (("gold", None), ("gate", "ecp5")):
        with emission(target=target):
            component = RegisteredMultiplier(x_width=x_width, y_width=y_width)
            texts.append(module_rtlil(component, name=name)[0])
    assert "MULT18X18D" not in texts[0] and texts[1].count("\\MULT18X18D") == 1
    for name, value in SETTINGS.items():  # the model's defaults are not the vendor's
        assert f'parameter \\{name} "{value}"' in texts[1]
    (tmp_path / "forms.il").write_text("\n".join(texts))
    (tmp_path / "model.v").write_text(vendor_model())
    run_yosys(
        [
            "read_verilog -sv model.v",
            "read_rtlil forms.il",
            "setattr -mod -unset top gold gate",
            "hierarchy -check",
            "proc",
            "flatten",
            "miter -equiv -flatten -make_outputs gold gate both",
            "hierarchy -check -top both",
            "opt -full",
            "wreduce",
            "opt_clean",
            "opt_merge",
            "opt -full",
            "sat -verify -tempinduct -prove trigger 0 -seq 1 both",
        ],
        folder=tmp_path,
    )


@pytest.mark.parametrize("hard", (True, False))
def test_products_come_two_edges_later(hard: bool) -> None:
    """Corners and random numbers, with the held operand taken now and then."""
    x_width, y_width = 12, 9
    device = RegisteredMultiplier(x_width=x_width, y_width=y_width, hard=hard)
    rng = random.Random(18)

    def number(width: int) -> int:
        low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
        return rng.choice((low, low + 1, -1, 0, 1, high, rng.randint(low, high)))

    async def bench(ctx) -> None:  # noqa: ANN001
        held, expected = 0, []
        for _ in range(400):
            x, y, takes = number(x_width), number(y_width), rng.random() < 0.5
            ctx.set(device.x, x)
            ctx.set(device.y, y)
            ctx.set(device.y_en, takes)
            held = y if takes else held
            expected.append(x * held)
            await ctx.tick()
            if len(expected) > 1:
                assert ctx.get(device.p) == expected[-2]

    simulator = Simulator(device)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("name", ("x_width", "y_width"))
@pytest.mark.parametrize("width", (1, 19))
def test_widths_that_no_block_has_are_refused(name: str, width: int) -> None:
    """One sentence."""
    with pytest.raises(ValueError, match=f"{name} is {width}; it must be from 2 to 18."):
        RegisteredMultiplier(**({"x_width": 9, "y_width": 9} | {name: width}))
