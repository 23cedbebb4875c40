# SPDX-License-Identifier: Apache-2.0
"""Tables of options and rivals: every row can be measured, and says what it was measured with."""

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hw.config import get_config
from hw.config.override import overridden
from hw.fpga.devices import DEVICES
from hw.fpga.units import get_unit
from scripts import fpga_options, fpga_rivals
from scripts.fpga_options import OPTIONS, Option
from scripts.fpga_rivals import RIVALS, RIVALS_COMMAND, RIVALS_TOOLS, plain_area
from sw.synth.order import Order
from sw.synth.synthesis import synthesise
from tb.unit.fpga.parts import LATCH, LOOP, PLAIN, ByVerilog, Chooser

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


def test_all_luts_count_those_in_other_cells() -> None:
    """A carry cell hides two LUTs, a cell of LUT RAM four."""
    rival = dataclasses.replace(RIVALS[0], macs=2, lut4=10, ff=4, carry=3, lut_ram=1)
    assert (rival.per_mac, rival.all_per_mac) == (7, 12)
    array = RIVALS[0]
    assert array.all_per_mac == (array.lut4 + 2 * array.carry + array.ff) / array.macs


def test_the_rivals_command_uses_wide_luts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the row of equal flags would be ours under another name."""
    monkeypatch.setattr(Order, "component", lambda _order: Chooser())
    order = Order(member=_CONFIG, device=DEVICES["ecp5-85f"], unit="wqe")
    ours = synthesise(Chooser(), order.device)
    assert "PFUMX" not in ours.read_netlist().cell_types.values()
    assert plain_area(order).lut4 > ours.area.lut4
    assert RIVALS_COMMAND == order.device.synth_command.replace(" -nowidelut", "")


@pytest.mark.parametrize("script", [fpga_options, fpga_rivals])
@pytest.mark.parametrize("option", ["--seeds", "--jobs"])
def test_numbers_that_mean_nothing_are_refused(
    script: ModuleType,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence, before anything is synthesised."""
    name = script.__name__.rpartition(".")[2]
    monkeypatch.setattr(sys, "argv", [name, option, "0"])
    assert script.main() == 1
    assert capsys.readouterr().err == f"{name}: {option} is 0; it must be at least 1.\n"


def _run_options(
    verilog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *options: Option
) -> int:
    """The exit code of a table of these rows, all of one design."""
    monkeypatch.setattr("sw.synth.order.RESULTS", tmp_path)
    monkeypatch.setattr(Order, "component", lambda _order: ByVerilog(verilog))
    monkeypatch.setattr(fpga_options, "OPTIONS", options)
    arguments = ["fpga_options", "--no-place", "--json", str(tmp_path / "table.json")]
    monkeypatch.setattr(sys, "argv", arguments)
    return fpga_options.main()


def test_faults_of_a_row_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures of a design that fails are no figures; both runs of a row count."""
    assert _run_options(LOOP, tmp_path, monkeypatch, Option("x", "wqe", ("clock_mhz=50",))) == 1
    one, other = capsys.readouterr().err.splitlines()
    assert one.startswith("fpga_options: x: A combinational loop goes through ")
    assert other.startswith("fpga_options: without x: A combinational loop goes through ")
    (row,) = json.loads((tmp_path / "table.json").read_text())
    assert len(row["with"]["faults"]) == len(row["without"]["faults"]) == 1


def test_a_row_without_netlist_ends_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has nothing to show."""
    assert _run_options(LATCH, tmp_path, monkeypatch, Option("x", "wqe", ("clock_mhz=50",))) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fpga_options: x: A latch is inferred for ")


def test_a_table_without_faults_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that always fails would be ignored."""
    assert _run_options(PLAIN, tmp_path, monkeypatch, Option("x", "wqe", ("clock_mhz=50",))) == 0
