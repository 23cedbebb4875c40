# SPDX-License-Identifier: Apache-2.0
"""The memory with an output register: it does what it says, and block RAM does the same."""

import random
from pathlib import Path

import pytest
from amaranth.sim import Simulator

from hw.lib.emit_once import emission, module_rtlil
from hw.lib.registered_sram import RegisteredSram
from hw.yosys import run_yosys

_WORD, _ADDRESS = 36, 14
_STEPS = 7
SETTINGS = {"DATA_WIDTH_A": 36, "DATA_WIDTH_B": 36, "REGMODE_A": "OUTREG", "REGMODE_B": "OUTREG"}
_OTHERS = ("RESETMODE", "ASYNC_RESET_RELEASE", "CSDECODE_A", "CSDECODE_B", "CLKAMUX", "CLKBMUX")


def vendor_model() -> str:
    """DP16KD as Lattice's guide to the memories has it, where we use it, with its first 16 words.

    36 bits wide, port A writes and port B reads; zeros at first. The low four bits of the write
    address enable quarters of the word. The output register has an enable of its own. A word that
    is read, or was read last, is not written.
    """
    names = [f"{name}{port}" for port in "AB" for name in ("CLK", "CE", "OCE", "WE", "RST")]
    names += [f"CS{port}{bit}" for port in "AB" for bit in range(3)]
    names += [f"AD{port}{bit}" for port in "AB" for bit in range(_ADDRESS)]
    pins = [f"{port}{bit}" for port in "AB" for bit in range(_WORD // 2)]
    ports = [f"input {name}" for name in names]
    ports += [f"input DI{pin}" for pin in pins] + [f"output DO{pin}" for pin in pins]
    quarters = "\n".join(
        f"    if (CEA & WEA & ADA{q}) words[w][{9 * q} +: 9] <= d[{9 * q} +: 9];" for q in range(4)
    )
    parameters = "\n".join(f"  parameter {name} = {value!r};" for name, value in SETTINGS.items())
    parameters += "".join(f'\n  parameter {name} = "";' for name in (*_OTHERS, "GSR"))
    return f"""
module DP16KD({", ".join(ports)});
{parameters.replace("'", '"')}
  reg [{_WORD - 1}:0] words [0:15];
  reg [{_WORD - 1}:0] latch = 0, register = 0;
  integer i;
  initial for (i = 0; i < 16; i = i + 1) words[i] = 0;
  wire [3:0] w = {{ADA8, ADA7, ADA6, ADA5}}, r = {{ADB8, ADB7, ADB6, ADB5}};
  wire [{_WORD - 1}:0] d = {{{", ".join(f"DI{pin}" for pin in reversed(pins))}}};
  always @* assume (~CEA | ~WEA | ~CEB | w != r);
  always @(posedge CLKA) begin
{quarters}
    if (CEB) latch <= words[r];
    if (OCEB) register <= latch;
  end
  assign {{{", ".join(f"DO{pin}" for pin in reversed(pins))}}} = register;
endmodule
"""


@pytest.mark.parametrize("width, lane", ((2, 1), (6, 3), (24, 12)))
def test_block_ram_is_the_plain_form(width: int, lane: int, tmp_path: Path) -> None:
    """By Yosys: no sequence of a few cycles, from zeros, gives other words.

    Without writes of a word that is read, or waits to be taken, since its reads mean nothing.
    """
    sizes = {"width": width, "depth": 4, "lane_width": lane}
    gold, _ = module_rtlil(RegisteredSram(**sizes), name="gold")
    with emission(target="ecp5"):
        gate, _ = module_rtlil(RegisteredSram(**sizes), name="gate")
    assert "DP16KD" not in gold
    assert gate.count("cell \\DP16KD") == (1 if lane <= 9 else width // lane)
    (tmp_path / "forms.il").write_text(gold + gate)
    (tmp_path / "model.v").write_text(vendor_model())
    run_yosys(
        [
            "read_verilog -sv -formal model.v",
            "read_rtlil forms.il",
            "setattr -mod -unset top gold gate",
            "hierarchy -check",
            "proc",
            "flatten",
            "memory_map",
            "chformal -lower",
            "miter -equiv -flatten -make_outputs gold gate both",
            "hierarchy -check -top both",
            "opt -full",
            f"sat -verify -tempinduct-baseonly -maxsteps {_STEPS} -prove trigger 0"
            " -set-init-zero -set-assumes both",
        ],
        folder=tmp_path,
    )


def test_what_was_read_comes_when_it_is_taken() -> None:
    """Random reads, zeros among them, takes and writes, against a list of words."""
    depth, n_lanes, lane = 8, 2, 5
    device = RegisteredSram(width=n_lanes * lane, depth=depth, lane_width=lane)
    rng = random.Random(5)

    async def bench(ctx) -> None:  # noqa: ANN001
        words, latch, register = [[0] * n_lanes for _ in range(depth)], [0] * n_lanes, [0] * n_lanes
        for _ in range(600):
            r_en, zero, o_en = (rng.random() < 0.5 for _ in range(3))
            r_addr, w_addr = rng.sample(range(depth), 2)
            mask = rng.getrandbits(n_lanes)
            data = [rng.getrandbits(lane) for _ in range(n_lanes)]
            for name, value in (
                ("r_en", r_en),
                ("r_zero", zero),
                ("o_en", o_en),
                ("r_addr", r_addr),
                ("w_addr", w_addr),
                ("w_mask", mask),
                ("w_data", sum(value << lane * number for number, value in enumerate(data))),
            ):
                ctx.set(getattr(device, name), value)
            await ctx.tick()
            register = latch if o_en else register
            if r_en:
                latch = [0] * n_lanes if zero else list(words[r_addr])
            for number in range(n_lanes):
                if mask >> number & 1:
                    words[w_addr][number] = data[number]
            taken = sum(value << lane * number for number, value in enumerate(register))
            assert ctx.get(device.r_data) == taken

    simulator = Simulator(device)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_lanes_that_do_not_divide_the_word_are_refused() -> None:
    """One sentence."""
    with pytest.raises(ValueError, match="SRAM lane_width must divide the width of 8 bits"):
        RegisteredSram(width=8, depth=4, lane_width=3)
