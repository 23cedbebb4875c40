# SPDX-License-Identifier: Apache-2.0
"""The adder that chooses an operand: both of its forms are the same function."""

from pathlib import Path

import pytest

from hw.lib.chosen_sum import ChosenSum
from hw.lib.emit_once import emission, module_rtlil
from hw.yosys import run_yosys

# As Yosys's models have it: what a bit does not pass on it makes of A and B alone.
_MODEL = """
module CCU2C(input CIN, A0, B0, C0, D0, A1, B1, C1, D1, output S0, S1, COUT);
  parameter [15:0] INIT0 = 0, INIT1 = 0;
  parameter INJECT1_0 = "NO", INJECT1_1 = "NO";
  generate if (INJECT1_0 != "NO" || INJECT1_1 != "NO") NOT_MODELLED wrong(); endgenerate
  wire passes0 = INIT0[{D0, C0, B0, A0}], passes1 = INIT1[{D1, C1, B1, A1}];
  wire carry = passes0 ? CIN : INIT0[{2'b0, B0, A0}];
  assign S0 = passes0 ^ CIN, S1 = passes1 ^ carry;
  assign COUT = passes1 ? carry : INIT1[{2'b0, B1, A1}];
endmodule
"""


@pytest.mark.parametrize("width", (2, 8, 32))
def test_carry_cells_are_the_plain_sum(width: int, tmp_path: Path) -> None:
    """By Yosys: no operands give another sum."""
    texts = []
    for name, target in (("gold", None), ("gate", "ecp5")):
        with emission(target=target):
            texts.append(module_rtlil(ChosenSum(width=width), name=name)[0])
    assert "CCU2C" not in texts[0] and texts[1].count("\\CCU2C") == width // 2
    (tmp_path / "forms.il").write_text("\n".join(texts))
    (tmp_path / "model.v").write_text(_MODEL)
    run_yosys(
        [
            "read_verilog model.v",
            "read_rtlil forms.il",
            "setattr -mod -unset top gold gate",
            "hierarchy -check",
            "proc",
            "flatten",
            "miter -equiv -flatten -make_outputs gold gate both",
            "hierarchy -check -top both",
            "opt -full",
            "sat -verify -prove trigger 0 both",
        ],
        folder=tmp_path,
    )


@pytest.mark.parametrize("width", (0, 3))
def test_widths_that_no_cells_have_are_refused(width: int) -> None:
    """One sentence."""
    with pytest.raises(ValueError, match=f"width is {width}; it must be even, at least 2."):
        ChosenSum(width=width)
