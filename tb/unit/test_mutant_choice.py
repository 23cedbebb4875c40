# SPDX-License-Identifier: Apache-2.0
"""Mutants that cannot be seen are left out, and no others."""

import pytest

from tb.common.mutant_choice import Netlist

RTLIL = r"""
module \top
  cell $eq \same
    parameter \A_SIGNED 0
    connect \A \number
    connect \B 3'100
    connect \Y $1
  end
  cell $mux $pick
    connect \A 4'x
    connect \B \number
  end
end
"""


@pytest.mark.parametrize(
    ("mutant", "is_none"),
    [
        ("-mode const1 -module top -cell same -port B -portbit 2", True),
        ("-mode const0 -module top -cell same -port B -portbit 2", False),
        ("-mode inv -module top -cell same -port B -portbit 2", False),
        ("-mode inv -module top -cell $pick -port A -portbit 3", True),
        ("-mode inv -module top -cell $pick -port B -portbit 3", False),
        # The inversion is active where the comparison fails anyhow.
        ("-mode cnot1 -module top -cell same -port A -portbit 2 -ctrlbit 0", True),
        ("-mode cnot0 -module top -cell same -port A -portbit 2 -ctrlbit 0", False),
        ("-mode cnot1 -module top -cell same -port A -portbit 1 -ctrlbit 2", False),
        ("-mode cnot1 -module top -cell same -port A -portbit 1 -ctrlbit 5", True),
    ],
)
def test_only_mutants_without_effect_are_left_out(mutant: str, is_none: bool) -> None:
    """One too many would make the score look better than it is."""
    assert Netlist.read(RTLIL).changes_nothing(f"mutate {mutant}") == is_none
