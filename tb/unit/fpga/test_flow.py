# SPDX-License-Identifier: Apache-2.0
"""The whole FPGA flow on small designs: figures, names of paths, files, sentences."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hw.config import get_config
from hw.fpga.devices import DEVICES
from hw.fpga.pins import scan_shell_pins
from sw.cli.app import main
from sw.synth.bitstream import bitstream
from sw.synth.nextpnr import PlacementError
from sw.synth.order import RESULTS
from sw.synth.paths import critical_paths
from sw.synth.placement import place
from sw.synth.synthesis import synthesise
from sw.synth.tree import area_tree
from tb.unit.fpga.parts import Multiplier, Multiplying, Pair, Pins

_SMALL = DEVICES["ecp5-25f"]
_ROOT = Path(__file__).resolve().parents[3]


def test_paths_have_registers_and_lines_of_the_source() -> None:
    """A path without names sends its reader into the netlist."""
    synthesis = synthesise(Pair(), _SMALL)
    runs = place(synthesis, _SMALL, seeds=(1, 2), mhz=100)
    (path,) = critical_paths(runs.typical.report, synthesis.read_netlist())
    assert path.clock == "clk"
    assert path.start.name.partition("[")[0] in ("first", "adder.total")
    assert path.end.name.partition("[")[0] == "adder.total"
    assert path.start.source.startswith("tb/unit/fpga/parts.py:")
    assert path.delay_ns == pytest.approx(path.logic_ns + path.routing_ns)
    assert path.delay_ns == pytest.approx(1000 / runs.typical.slowest_mhz, rel=0.01)
    assert path.carries > 0
    carried = [step for step in path.steps if step.cell == "carry"]
    assert all(step.line.startswith("tb/unit/fpga/parts.py:") for step in carried)
    assert min(runs.mhz) <= runs.median_mhz <= runs.best_mhz == max(runs.mhz)


def test_every_cell_is_in_one_part() -> None:
    """A tree that loses cells sends one's effort to the wrong place."""
    synthesis = synthesise(Pair(), _SMALL)
    tree = area_tree(synthesis.read_netlist(), depth=1, name="pair")
    assert tree.area == synthesis.area
    (adder,) = tree.parts
    assert (adder.name, adder.area.carry, adder.area.ff) == ("adder", synthesis.area.carry, 16)
    assert (tree.area.ff, [depth for depth, _ in tree.walk()]) == (32, [0, 1])


def test_what_cannot_be_placed_gets_a_sentence() -> None:
    """nextpnr's own last words, with device and seed."""
    with pytest.raises(PlacementError, match=r"cannot place the design on ecp5-25f with seed 3: "):
        place(synthesise(Multiplier(29), _SMALL), _SMALL, seeds=(3,), mhz=50)


@pytest.mark.parametrize("design", [Pins, Multiplying])
def test_a_design_with_pins_becomes_a_bitstream(design: type[Pins]) -> None:
    """Pins, configuration and bits of the whole chip go this way, in minutes; would break if a
    block had a mode that the packer does not know."""
    synthesis = synthesise(design(), _SMALL)
    assert synthesis.area.multiplier == (design is Multiplying)
    runs = place(synthesis, _SMALL, seeds=(1,), mhz=60, pins=scan_shell_pins(mhz=60))
    files = bitstream(runs.typical)
    assert files["chip.config"].startswith(".device LFE5U-25F")
    assert files["chip.bit"].startswith(b"\xff\x00")
    assert runs.typical.report["utilization"]["TRELLIS_IO"]["used"] == 6


def _report(unit: str) -> dict[str, Any]:
    return json.loads((RESULTS / "fpga" / unit / "report.json").read_text())


def test_a_unit_goes_through_the_whole_flow(capsys: pytest.CaptureFixture[str]) -> None:
    """Synthesis, area by parts, place and route, report, picture."""
    (RESULTS / "fpga" / "wqe" / "report.json").unlink(missing_ok=True)
    assert main(["synth", "--unit", "wqe", "--jobs", "1"]) == 0
    shown, report = capsys.readouterr().out, _report("wqe")
    area = report["area"]
    assert area["lut"] == area["lut4"] + 2 * area["carry"] + 4 * area["lut_ram"] > 0
    assert report["per_cent"]["lut"] == pytest.approx(100 * area["lut"] / 83_640, abs=0.01)
    assert (report["unit"], report["target"], report["faults"]) == ("wqe", "ecp5-85f", [])
    assert report["clock"]["median_mhz"] == report["clock"]["best_mhz"] > 60
    assert report["placed"]["TRELLIS_FF"] >= area["ff"] - 8
    assert report["tree"]["name"] == "wqe" and report["tree"]["lut"] == area["lut"]
    assert report["paths"][0]["start"]["source"].startswith("hw/")
    assert f"{report['clock']['median_mhz']:.1f}" in shown and "slowest path of clk" in shown
    assert (RESULTS / "fpga" / "wqe" / "area.png").read_bytes().startswith(b"\x89PNG")
    assert str(_ROOT) not in (RESULTS / "fpga" / "wqe" / "report.json").read_text()


def test_faults_end_in_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A flow that fails silently is worse than none."""
    arguments = ["synth", "--unit", "wqe", "--no-picture", "--set", "clock_mhz=900", "--freq", "75"]
    assert main([*arguments, "--jobs", "1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mtia synth: Unit wqe reaches ") and line.endswith("clock_mhz=900.")


def test_changes_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """What a parameter costs is the difference of two runs."""
    change = ["--set", "pe.fi.reads_in_flight=32", "--compare"]
    assert main(["synth", "--unit", "fi.reader.pool", "--no-place", "--no-picture", *change]) == 0
    shown = capsys.readouterr().out
    assert "fi.reader.pool: cost of pe.fi.reads_in_flight=32" in shown
    digest = get_config("fpga").digest()
    assert f"results: build/synth/fpga-{digest}" not in shown  # the change has its own folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--unit", "dep"], "There is no unit 'dep'"),
        (["--target", "ice40"], "There is no target 'ice40'"),
        (["--config", "fgpa"], "Did you mean 'fpga'"),
        (["--seeds", "0"], "--seeds is 0; it must be at least 1."),
        (["--first-seed", "0"], "--first-seed is 0; it must be at least 1."),
        (["--jobs", "0"], "--jobs is 0; it must be at least 1."),
        (["--minutes", "0"], "--minutes is 0; it must be at least 1."),
        (["--first-seed", "9" * 20], "it must be at most 1,000,000."),
        (["--freq", "0"], "--freq is 0; it must be a finite number above 0."),
        (["--freq", "nan"], "--freq is nan; it must be a finite number above 0."),
        (["--compare"], "--compare shows what --set costs"),
        (["--set", "pe.dpe.colums=8"], "Did you mean 'columns'"),
    ],
)
def test_slips_get_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is synthesised."""
    assert main(["synth", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_matplotlib_and_yosys_stay_apart() -> None:
    """The two in one process crash, so the flow's own process must never load Yosys."""
    code = "import sys, sw.synth.flow; print('pyosys' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT)
    assert run.stdout.strip() == "False"
