# SPDX-License-Identifier: Apache-2.0
"""Resets on a global network: the netlist that nextpnr gets, from a design with such a net."""

import json
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.fpga.devices import DEFAULT_DEVICE, DEVICES
from hw.lib.global_net import on_global_net
from sw.synth.global_nets import free_logic
from sw.synth.synthesis import synthesise


class Counted(wiring.Component):
    """A counter in a domain with a reset of its own, which some logic looks at too."""

    def __init__(self) -> None:
        super().__init__({"clear": In(1), "count": Out(6), "held": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        domain = ClockDomain("own", local=True)
        m.domains += domain
        clear = Signal()
        m.d.sync += clear.eq(self.clear)
        reset = on_global_net(m, clear, name="own_rst")
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(reset)]
        inner = Module()
        inner.d.sync += self.count.eq(self.count + 1)
        m.submodules.inner = DomainRenamer("own")(inner)
        m.d.comb += self.held.eq(reset & self.count[0])
        return m


def test_only_flip_flops_are_on_the_global_network() -> None:
    """Would break if nextpnr were asked to lead a global network to a lookup table."""
    netlist = json.loads(synthesise(Counted(), DEVICES[DEFAULT_DEVICE]).netlist.read_text())
    (module,) = (m for m in netlist["modules"].values() if "DCCA" in str(m["cells"].values()))
    cells = module["cells"].values()
    (buffer,) = (cell for cell in cells if cell["type"] == "DCCA")
    spread, source = (buffer["connections"][pin][0] for pin in ("CLKO", "CLKI"))
    users = [
        (cell["type"], pin)
        for cell in cells
        for pin, bits in cell["connections"].items()
        if spread in bits and cell["port_directions"][pin] == "input"
    ]
    assert set(users) == {("TRELLIS_FF", "LSR")} and len(users) == 6
    assert any(
        source in cell["connections"].get(pin, ())
        for cell in cells
        if cell["type"] == "LUT4"
        for pin in "ABCD"
    )


def test_a_netlist_without_global_networks_stays_as_it_is(tmp_path: Path) -> None:
    """Would break if the file were written anew for nothing."""
    text = '{"modules": {"top": {"cells": {}}}}  '
    path = tmp_path / "netlist.json"
    path.write_text(text)
    free_logic(path)
    assert path.read_text() == text
