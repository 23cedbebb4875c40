# SPDX-License-Identifier: Apache-2.0
"""The AXI4 monitor of the benches catches what it is there for."""

from types import SimpleNamespace
from typing import Any

import pytest

from tb.common.memory import AxiMonitor


class _Pins(dict[str, SimpleNamespace]):
    """A device whose signals are created when asked for."""

    def __missing__(self, name: str) -> SimpleNamespace:
        return self.setdefault(name, SimpleNamespace(value=0))


class _Wire:
    """A manager's channels under a monitor; each call of `cycle` sets pins and samples once."""

    def __init__(self) -> None:
        self.pins = _Pins()
        bench: Any = SimpleNamespace(dut=self.pins, add=lambda agent: None)
        self.monitor = AxiMonitor(bench, "dram", manager=True)

    def cycle(self, **values: int) -> None:
        """Set pins, then let the clock rise."""
        for name, value in values.items():
            self.pins[f"dram__{name}"].value = value
        self.monitor.sample(0)


def test_an_offer_that_is_taken_back_is_caught() -> None:
    """valid must stay."""
    wire = _Wire()
    wire.cycle(arvalid=1, arready=0)
    with pytest.raises(AssertionError, match="arvalid fell"):
        wire.cycle(arvalid=0)


def test_an_offer_that_changes_is_caught() -> None:
    """So must the payload."""
    wire = _Wire()
    wire.cycle(wvalid=1, wready=0, wdata=5)
    with pytest.raises(AssertionError, match="w changed"):
        wire.cycle(wdata=6)


def test_a_burst_across_4_kb_is_caught() -> None:
    """Also where only its last beat lies behind the boundary."""
    wire = _Wire()
    wire.cycle(arvalid=1, arready=1, araddr=0xFC0, arlen=7, arsize=3)
    with pytest.raises(AssertionError, match="crosses 4 KB"):
        wire.cycle(arvalid=1, arready=1, araddr=0xFC0, arlen=8, arsize=3)


@pytest.mark.parametrize("data_first", [False, True])
def test_a_last_beat_too_soon_is_caught(data_first: bool) -> None:
    """Data may be ahead of its address, and is compared all the same."""
    wire = _Wire()
    beats = [{"wvalid": 1, "wready": 1, "wlast": last} for last in (0, 1)]
    address = {"awvalid": 1, "awready": 1, "awlen": 2, "wvalid": 0}
    cycles = [*beats, address] if data_first else [address, {"awvalid": 0, **beats[0]}, beats[1]]
    for values in cycles[:-1]:
        wire.cycle(**values)
    with pytest.raises(AssertionError, match="burst of 3 beats had wlast at beat 2"):
        wire.cycle(**cycles[-1])
