# SPDX-License-Identifier: Apache-2.0
"""Constant address bits of LUT RAMs: the netlist that nextpnr gets, from a memory of few words."""

import json
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.fpga.devices import DEFAULT_DEVICE, DEVICES
from sw.synth.synthesis import Synthesis, synthesise


class Table(wiring.Component):
    """`depth` words of 68 bits, read at once."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        place = range(depth)
        super().__init__(
            {
                "write": In(1),
                "to": In(place),
                "word": In(68),
                "place": In(place),
                "found": Out(68),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.words = words = memory.Memory(shape=68, depth=self.depth, init=[])
        write, read = words.write_port(), words.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.to),
            write.data.eq(self.word),
            read.addr.eq(self.place),
            self.found.eq(read.data),
        ]
        return m


def table(depth: int) -> tuple[Synthesis, dict[str, Any], list[dict[str, list[Any]]]]:
    """Its synthesis, its cells, and what its LUT RAMs are connected to."""
    synthesis = synthesise(Table(depth), DEVICES[DEFAULT_DEVICE])
    modules = json.loads(synthesis.netlist.read_text())["modules"].values()
    cells = {name: cell for module in modules for name, cell in module["cells"].items()}
    rams = [c["connections"] for c in cells.values() if c["type"] == "TRELLIS_DPR16X4"]
    assert len(rams) == 17
    return synthesis, cells, rams


def test_a_bit_that_is_constant_is_1_for_reads_and_writes() -> None:
    """Would break if reads went to words that no write reaches."""
    _, cells, rams = table(4)
    ones = {
        cell["connections"]["Z"][0]
        for cell in cells.values()
        if cell["type"] == "LUT4" and cell["parameters"]["INIT"] == "1" * 16
    }
    assert len(ones) == 2  # 17 LUT RAMs are one more than share a source
    for ram in rams:
        assert ram["RAD"][2:] == ["x", "x"]
        assert set(ram["WAD"][2:]) <= ones
        used = ram["RAD"][:2] + ram["WAD"][:2]
        assert all(isinstance(bit, int) and bit not in ones for bit in used)


def test_sources_of_ones_are_counted() -> None:
    """Would break if the report left out lookup tables that the flow adds."""
    synthesis, cells, _ = table(4)
    lookup_tables = sum(cell["type"] == "LUT4" for cell in cells.values())
    assert synthesis.area.lut4 == lookup_tables >= 2
    assert synthesis.area.lut_ram == 17


def test_a_full_memory_stays_as_it_is() -> None:
    """Would break if an address bit that counts were taken away."""
    _, cells, rams = table(16)
    assert not any("_one" in name for name in cells)
    for ram in rams:
        assert all(isinstance(bit, int) for bit in ram["RAD"] + ram["WAD"])
