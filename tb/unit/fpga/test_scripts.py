# SPDX-License-Identifier: Apache-2.0
"""Tables of options and rivals: every row can be measured, and says what it was measured with."""

import pytest

from hw.config import get_config
from hw.config.override import overridden
from hw.fpga.units import get_unit
from scripts.fpga_options import OPTIONS, Option
from scripts.fpga_rivals import RIVALS, RIVALS_TOOLS

_CONFIG = get_config("fpga")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.title)
def test_options_are_off_until_chosen(option: Option) -> None:
    """A row whose change changes nothing would show that the feature is free."""
    assert overridden(_CONFIG, option.changes).digest() != _CONFIG.digest()
    for change in option.changes:
        assert overridden(_CONFIG, [change]) != _CONFIG
    get_unit(overridden(_CONFIG, option.changes), option.unit)


def test_rivals_are_as_measured() -> None:
    """The two figures that our compute path is measured by."""
    per_mac = {rival.name: round(rival.per_mac) for rival in RIVALS}
    assert per_mac["axis-systolic-array 8x8"] == 168
    assert per_mac["NVDLA CMAC core"] == 122
    assert "nextpnr-ecp5 0.11" in RIVALS_TOOLS
    assert all(rival.source and (rival.mhz or rival.note) for rival in RIVALS)
