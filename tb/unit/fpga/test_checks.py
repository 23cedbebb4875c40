# SPDX-License-Identifier: Apache-2.0
"""Every check of the FPGA flow: passes a good design, and finds its fault in a bad one."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hw.config import get_config
from hw.config.override import overridden
from hw.fpga.devices import DEVICES, Device
from hw.fpga.goals import NO_GOAL, Goal
from sw.synth.area import Area
from sw.synth.checks import (
    capacity_faults,
    clock_faults,
    clock_notes,
    goal_faults,
    latch_faults,
    loop_faults,
    memory_faults,
    multiplier_faults,
    untimed_faults,
)
from sw.synth.memories import MemoryUse, memory_uses
from sw.synth.order import Order
from sw.synth.synthesis import Synthesis, SynthesisError, synthesise
from tb.unit.fpga.parts import LATCH, LOOP, MEMORY, PLAIN, ByVerilog, DeepTable, Multiplier

_DEVICE = DEVICES["ecp5-25f"]
_CONFIG = get_config("fpga")


def _memories(synthesis: Synthesis) -> list[MemoryUse]:
    return memory_uses(synthesis, synthesis.read_netlist())


def test_a_good_design_has_no_faults() -> None:
    """A check that always fails would be switched off."""
    synthesis = synthesise(ByVerilog(PLAIN), _DEVICE)
    assert latch_faults(synthesis.coarse_cells) == []
    assert loop_faults(synthesis.log) == []
    assert synthesis.area == Area(ff=8)


def test_a_latch_is_refused() -> None:
    """Latches behave otherwise in simulation, and nothing in this design wants one."""
    with pytest.raises(SynthesisError, match=r"A latch is inferred for '\S*y'; every value needs"):
        synthesise(ByVerilog(LATCH), _DEVICE)


def test_latch_cells_are_found() -> None:
    """A latch that is instantiated by hand comes through Yosys's own check."""
    (fault,) = latch_faults({"$dlatch": 2, "$dff": 5, "$_DLATCH_P_": 1})
    assert fault == "The design has 3 latches ($_DLATCH_P_, $dlatch); there must be none."
    (fault,) = latch_faults({"$sr": 1, "$_SR_PN_": 1, "$dffsr": 1, "$_DFFSR_PPP_": 1})
    assert fault == "The design has 2 latches ($_SR_PN_, $sr); there must be none."


def test_a_latch_that_is_meant_is_found() -> None:
    """Yosys infers no latch from `always_latch` with an error, it just makes one."""
    synthesis = synthesise(ByVerilog(LATCH.replace("always @*", "always_latch")), _DEVICE)
    assert latch_faults(synthesis.coarse_cells) != []


def test_a_combinational_loop_is_found() -> None:
    """A loop through valid and ready of two units oscillates, and timing analysis is blind."""
    (fault,) = loop_faults(synthesise(ByVerilog(LOOP), _DEVICE).log)
    assert fault.startswith("A combinational loop goes through ") and "part" in fault


def test_nextpnr_complaints_are_faults() -> None:
    """What Yosys cannot see through hard blocks, nextpnr may."""
    (fault,) = loop_faults("", ["Warning: combinational loop at net x"])
    assert fault.endswith("combinational loop at net x")


@pytest.mark.parametrize(("depth", "place"), [(16, "LUT RAM"), (256, "LUT RAM")])
def test_large_memories_outside_of_block_ram_are_found(depth: int, place: str) -> None:
    """A deep memory that is read at once fills thousands of LUTs silently."""
    (use,) = memories = _memories(synthesise(DeepTable(depth), _DEVICE))
    assert (use.depth, use.width, use.place) == (depth, 32, place)
    assert use.source.startswith("tb/unit/fpga/parts.py:")
    faults = memory_faults(memories)
    assert len(faults) == (depth == 256)
    assert all("went to LUT RAM" in fault for fault in faults)


@pytest.mark.parametrize("is_constant", [False, True])
def test_lut_ram_at_a_constant_address_is_found(is_constant: bool) -> None:
    """nextpnr knows no path from it, so its clock would be wrong without a word."""
    text = MEMORY.replace("a[7:4]", "4'd5") if is_constant else MEMORY
    faults = untimed_faults(synthesise(ByVerilog(text), _DEVICE).read_netlist().cells)
    assert len(faults) == is_constant
    assert all("is LUT RAM and read at a constant address" in fault for fault in faults)


def test_a_memory_of_a_hand_written_module_has_the_line_of_its_instance() -> None:
    """The module's own file is a temporary one."""
    (use,) = _memories(synthesise(ByVerilog(MEMORY), _DEVICE))
    assert (use.name, use.place) == ("part.words", "LUT RAM")
    path, _, line = use.source.partition(":")
    text = Path(path).read_text().splitlines()[int(line) - 1]
    assert path == "tb/unit/fpga/parts.py" and 'Instance("part"' in text


def test_a_memory_in_two_kinds_of_cells_says_both() -> None:
    """The smaller part would be missing from the sum."""

    class Cells:
        cell_types = {"m.0.0": "DP16KD", "m.0.1": "DP16KD", "m.1.0": "TRELLIS_DPR16X4"}

        def amaranth_line(self, source: str, path: str) -> str:
            return source

    sizes = {"SIZE": "1000000", "WIDTH": "1000", "RD_PORTS": "1", "WR_PORTS": "1"}
    memory = {"parameters": sizes, "attributes": {"src": "hw/x.py:1"}}
    synthesis: Any = SimpleNamespace(memory_cells={"m": memory})
    netlist: Any = Cells()
    (use,) = memory_uses(synthesis, netlist)
    assert (use.place, use.cells) == ("LUT RAM and block RAM", 3)


def test_products_take_dsps() -> None:
    """One product, one DSP."""
    synthesis = synthesise(Multiplier(), _DEVICE)
    assert synthesis.area.multiplier == 1
    assert (
        multiplier_faults(synthesis.area, synthesis.soft_products, _CONFIG, _DEVICE, is_chip=False)
        == []
    )


def test_products_in_luts_are_found() -> None:
    """DSPs that stand idle beside products of LUTs waste the device."""
    device: Device = dataclasses.replace(_DEVICE, synth_command="synth_ecp5 -abc9 -nodsp")
    synthesis = synthesise(Multiplier(), device)
    (fault,) = multiplier_faults(
        synthesis.area, synthesis.soft_products, _CONFIG, device, is_chip=False
    )
    assert fault == "1 products became LUTs although 28 of 28 DSPs are left."


def test_too_many_products_name_the_parameter() -> None:
    """Yosys maps every product to a DSP, however many there are."""
    (fault,) = multiplier_faults(Area(multiplier=40), 0, _CONFIG, _DEVICE, is_chip=False)
    assert "takes 40 DSPs and ecp5-25f has 28" in fault
    assert "dpe.lut_columns=2 moves 2 columns of 8 products" in fault


def test_lut_columns_without_need_are_found() -> None:
    """The parameter is for devices with too few DSPs."""
    config = overridden(_CONFIG, ["pe.dpe.lut_columns=2"])
    (fault,) = multiplier_faults(Area(multiplier=12), 0, config, _DEVICE, is_chip=True)
    assert fault.startswith("dpe.lut_columns=2 keeps 16 products out of DSPs although 16 of 28")


def test_a_unit_alone_may_leave_dsps_idle() -> None:
    """The others of the chip take them; only on the chip is a column in LUTs one too many."""
    config = overridden(_CONFIG, ["pe.dpe.lut_columns=5"])
    assert multiplier_faults(Area(multiplier=8), 0, config, _DEVICE, is_chip=False) == []


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ({"lut4": 30_000}, "takes 30,000 LUT and ecp5-25f has 24,288"),
        ({"ff": 30_000}, "takes 30,000 FF and"),
        ({"block_ram": 57}, "takes 57 block RAM 18 Kb and ecp5-25f has 56"),
    ],
)
def test_overflow_is_found(area: dict[str, Any], words: str) -> None:
    """nextpnr would run for minutes to say the same less clearly."""
    (fault,) = capacity_faults(Area(**area), _DEVICE)
    assert words in fault
    assert capacity_faults(Area(lut4=24_288, ff=24_288, block_ram=56), _DEVICE) == []


def test_a_missed_clock_is_found() -> None:
    """The figure that the configuration states is a promise."""
    (fault,) = clock_faults(59.94, _CONFIG, "Unit wqe")
    assert fault == ("Unit wqe reaches 59.9 MHz (median of all seeds); 'fpga' states clock_mhz=60.")
    assert clock_faults(60.0, _CONFIG, "Unit wqe") == []
    assert clock_faults(None, _CONFIG, "Unit wqe") == []


def test_no_path_is_a_note() -> None:
    """A unit without registers is legal, but says nothing about the clock."""
    (note,) = clock_notes(None, _CONFIG, "Unit wqe")
    assert note.startswith("Unit wqe has no path from register to register, so nothing shows")
    assert clock_notes(10.0, _CONFIG, "Unit wqe") == []


_MEASURED = {"median_mhz": 100.0, "per_mac": 120.0, "lut_per_cent": 59.9}
_GOAL = Goal(mhz=100.0, per_mac=120.0, lut_per_cent=60.0)


@pytest.mark.parametrize(
    ("figure", "value", "sentence"),
    [
        (
            "median_mhz",
            94.23,
            "The chip reaches 94.2 MHz (median of all seeds); its goal is 100 MHz.",
        ),
        ("per_mac", 120.1, "The chip takes 120.1 LUT4 + FF per MAC; its goal is at most 120."),
        ("lut_per_cent", 60.0, "The chip takes 60.0 % of the LUTs; its goal is less than 60 %."),
    ],
)
def test_missed_goals_are_found(figure: str, value: float, sentence: str) -> None:
    """A figure that README shows would get worse, and no run would fail."""
    assert goal_faults(_GOAL, "The chip", **_MEASURED) == []
    assert goal_faults(_GOAL, "The chip", **{**_MEASURED, figure: value}) == [sentence]
    assert goal_faults(_GOAL, "The chip", **{**_MEASURED, figure: None}) == []
    assert goal_faults(NO_GOAL, "The chip", **{**_MEASURED, figure: value}) == []


def test_goals_are_those_of_the_member_as_it_is() -> None:
    """A change, a part or another device has figures of its own, for which nothing was asked."""
    orders = {
        unit: Order(member=_CONFIG, device=DEVICES["ecp5-85f"], unit=unit)
        for unit in ("chip", "dpe+re", "wqe")
    }
    assert orders["chip"].goal == Goal(lut_per_cent=60.0)
    assert orders["dpe+re"].goal == Goal(mhz=100.0, per_mac=120.0)
    assert orders["wqe"].goal == NO_GOAL
    for change in ({"changes": ("clock_mhz=50",)}, {"device": _DEVICE}):
        assert dataclasses.replace(orders["chip"], **change).goal == NO_GOAL
