# SPDX-License-Identifier: Apache-2.0
"""What a run leaves: its own files alone, whatever stands in its way, and every fault told."""

import json
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from rich.console import Console

from hw.config import get_config
from hw.fpga.devices import DEVICES
from hw.fpga.goals import Goal
from sw.cli.app import main
from sw.errors import UserError
from sw.synth.flow import RESULT_FILES, run_flow
from sw.synth.order import Order
from sw.synth.placement import Placement
from sw.synth.synthesis import SynthesisError, synthesise
from tb.unit.fpga.parts import LATCH, LOOP, PLAIN, ByVerilog, Pair, Pins

_SMALL = DEVICES["ecp5-25f"]
_QUICK = ["--unit", "wqe", "--no-place", "--no-picture"]


class Ring(wiring.Component):
    """A value that needs itself."""

    a: In(1)
    y: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        inner = Signal()
        m.d.comb += [inner.eq(self.a & self.y), self.y.eq(~inner)]
        return m


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results of one's own."""
    monkeypatch.setattr("sw.synth.order.RESULTS", tmp_path)
    return tmp_path


@pytest.fixture
def plain_design(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight flip-flops in a unit's place."""
    monkeypatch.setattr(Order, "component", lambda _order: ByVerilog(PLAIN))


@pytest.fixture
def no_nextpnr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nextpnr that fails without a word."""
    program = tmp_path / "nextpnr"
    program.write_text("#!/bin/sh\n[ $1 = --version ] || exit 3\necho nextpnr-ecp5\n")
    program.chmod(0o755)
    monkeypatch.setenv("NEXTPNR", str(program))


def _order(**changes: Any) -> Order:
    member = get_config("fpga")
    return Order(**{"member": member, "device": _SMALL, "unit": "wqe", "jobs": 1, **changes})


def _flow_of(component: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """The report of another design in a unit's place, as it stands in its file."""
    monkeypatch.setattr(Order, "component", lambda _order: component)
    order = _order(with_picture=False, **changes)
    run_flow(order, Console(quiet=True))
    return json.loads((order.folder / "report.json").read_text())


def _leftovers(folder: Path) -> None:
    """What an earlier run left, and a file that is none of the flow's."""
    folder.mkdir(parents=True)
    for name in (*RESULT_FILES, "notes.txt"):
        (folder / name).write_text("old")


@pytest.mark.usefixtures("plain_design")
def test_a_run_leaves_no_file_of_an_earlier_one(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture or bitstream of another netlist beside the report would be taken for its own."""
    folder = results / "fpga" / "wqe"
    _leftovers(folder)
    assert main(["synth", *_QUICK]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "report.json"]
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("results: ")]
    assert line.endswith("/wqe: report.json")


@pytest.mark.usefixtures("plain_design", "no_nextpnr")
def test_a_failed_placement_is_a_fault(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An old report, or one with empty faults, would read as success."""
    folder = results / "fpga" / "wqe"
    _leftovers(folder)
    assert main(["synth", "--unit", "wqe", "--no-picture"]) == 1
    sentence = (
        "nextpnr cannot place the design on ecp5-85f with seed 1: it ended with exit code 3 and"
        " said nothing."
    )
    assert capsys.readouterr().err.splitlines() == [f"mtia synth: {sentence}"]
    report = json.loads((folder / "report.json").read_text())
    assert (report["faults"], report["placed"], report["paths"]) == ([sentence], None, [])
    assert not (folder / "chip.bit").exists()


@pytest.mark.usefixtures("plain_design")
def test_a_report_names_its_netlist() -> None:
    """Two reports with one key are of one netlist; the key is that of the cache."""
    order = _order(with_placement=False, with_picture=False)
    report = run_flow(order, Console(quiet=True))
    assert report.netlist == synthesise(order.component(), order.device).key
    assert json.loads((order.folder / "report.json").read_text())["netlist"] == report.netlist


def test_devices_do_not_share_a_folder(results: Path) -> None:
    """A report of one device beside a bitstream of another one."""
    assert _order(device=DEVICES["ecp5-85f"]).folder == results / "fpga" / "wqe"
    assert _order().folder == results / "fpga-ecp5-25f" / "wqe"
    changed = _order(changes=("clock_mhz=50",))
    assert changed.folder.parent.name == f"fpga-{changed.config.digest()}-ecp5-25f"


def test_loops_end_before_paths_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither estimate nor placement can end on a loop; the report says why both are missing."""
    monkeypatch.setattr("sw.synth.flow.place", None)
    report = _flow_of(ByVerilog(LOOP), monkeypatch, with_estimate=True)
    (fault,) = report["faults"]
    assert fault.startswith("A combinational loop goes through ")
    assert (report["placed"], report["estimates"]) == (None, [])
    assert report["area"]["lut"] > 0


def test_latches_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yosys gives up, so there is no netlist; the report says so."""
    report = _flow_of(ByVerilog(LATCH), monkeypatch)
    (fault,) = report["faults"]
    assert fault.startswith("A latch is inferred for ")
    assert (report["netlist"], report["tree"], report["area"]["lut"]) == (None, None, 0)


def test_loops_that_amaranth_finds_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the project's own lines, in place of a traceback."""
    with pytest.raises(SynthesisError, match="^A combinational loop goes through "):
        synthesise(Ring(), _SMALL)
    (fault,) = _flow_of(Ring(), monkeypatch)["faults"]
    assert "y (tb/unit/fpga/test_results.py:" in fault and "\n" not in fault


def test_a_design_without_netlist_has_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bad unit of many must not end the others, nor look like one of no LUTs."""
    monkeypatch.setattr(Order, "component", lambda _order: Ring())
    assert main(["synth", "--unit", "wqe,cp", "--no-picture"]) == 1
    shown = capsys.readouterr()
    rows = [line.split()[:2] for line in shown.out.splitlines()]
    assert [row for row in rows if row[:1] in (["wqe"], ["cp"])] == [["wqe", "-"], ["cp", "-"]]
    assert len(shown.err.splitlines()) == 1


def test_faults_of_the_base_run_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A comparison with a member that cannot be built compares nothing."""
    designs = iter([ByVerilog(PLAIN), ByVerilog(LOOP)])
    monkeypatch.setattr(Order, "component", lambda _order: next(designs))
    arguments = ["--unit", "wqe", "--no-place", "--no-picture", "--set", "clock_mhz=50"]
    assert main(["synth", *arguments, "--compare"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mtia synth: Without --set: A combinational loop goes through ")


@pytest.mark.usefixtures("plain_design")
def test_a_unit_without_paths_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    """It is legal, but a dash for its MHz must not pass for a clock that is reached."""
    assert main(["synth", "--unit", "wqe", "--no-picture", "--target", "ecp5-25f"]) == 0
    sentence = "Unit wqe has no path from register to register, so nothing shows that it reaches"
    assert f"note: {sentence} clock_mhz=60 of 'fpga'." in capsys.readouterr().out


def test_placement_is_left_out_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No note about paths where none were asked for."""
    report = _flow_of(Pair(), monkeypatch, with_placement=False)
    assert (report["faults"], report["notes"]) == ([], [])
    assert report["tools"]["nextpnr"] is None


def test_goals_and_their_figures_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight registers of a unit with the tile, and a goal that they miss."""
    monkeypatch.setattr(Order, "component", lambda _order: ByVerilog(PLAIN))
    monkeypatch.setattr(Order, "goal", Goal(per_mac=0.1))
    assert main(["synth", "--unit", "dpe", "--no-place", "--no-picture"]) == 1
    shown = capsys.readouterr()
    assert "its goal is at most 0.1." in shown.err and "LUT4+FF/MAC" in shown.out
    report = _flow_of(ByVerilog(PLAIN), monkeypatch, unit="dpe", with_placement=False)
    assert report["per_mac"] == pytest.approx(8 / 64, abs=0.006)
    assert _flow_of(ByVerilog(PLAIN), monkeypatch, with_placement=False)["per_mac"] is None


@pytest.mark.parametrize("error", [UserError("Nothing draws."), RuntimeError("Nothing draws.")])
def test_a_picture_that_fails_is_a_note(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of matplotlib's must not cost the report of hours of routing."""
    monkeypatch.setattr(Order, "component", lambda _order: ByVerilog(PLAIN))

    def fail(*_arguments: Any) -> bytes:
        raise error

    monkeypatch.setattr("sw.synth.flow.draw_tree", fail)
    order = _order(with_placement=False)
    report = run_flow(order, Console(quiet=True))
    assert (report.faults, report.files) == ([], ("report.json",))
    notes = json.loads((order.folder / "report.json").read_text())["notes"]
    assert notes == ["There is no picture of wqe: Nothing draws."]


def test_a_report_says_which_seed_the_bitstream_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best seed's, while paths are those of the seed nearest to the median."""
    monkeypatch.setattr(Placement, "slowest_mhz", property(lambda run: 60.0 + run.seed))
    assert _flow_of(Pins(), monkeypatch, unit="chip", seeds=2)["bitstream_seed"] == 2
    assert _flow_of(Pins(), monkeypatch)["bitstream_seed"] is None


@pytest.mark.usefixtures("plain_design")
def test_a_comparison_leaves_the_own_results_of_the_member(results: Path) -> None:
    """A placed report takes long, and a comparison of areas is no reason to lose it."""
    _leftovers(results / "fpga" / "wqe")
    assert main(["synth", *_QUICK, "--set", "clock_mhz=50", "--compare"]) == 0
    assert (results / "fpga" / "wqe" / "report.json").read_text() == "old"
    (folder,) = (path for path in results.iterdir() if path.name != "fpga")
    plain = json.loads((folder / "wqe" / "without" / "report.json").read_text())
    assert plain["changes"] == []
    assert json.loads((folder / "wqe" / "report.json").read_text())["changes"] == ["clock_mhz=50"]


def test_one_chosen_seed_is_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 7 was seven runs."""
    report = _flow_of(Pair(), monkeypatch, first_seed=7)
    assert [run["seed"] for run in report["clock"]["seeds"]] == [7]
    report = _flow_of(Pair(), monkeypatch, first_seed=7, seeds=2)
    assert [run["seed"] for run in report["clock"]["seeds"]] == [7, 8]
