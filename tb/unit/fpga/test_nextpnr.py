# SPDX-License-Identifier: Apache-2.0
"""Which nextpnr is taken, what of it is believed, and what of a chip's run is kept."""

import os
from pathlib import Path

import pytest

from hw.fpga.devices import DEVICES
from hw.fpga.pins import scan_shell_pins
from sim.build_cache import BuildCache
from sw.cli.app import main
from sw.synth import placement
from sw.synth.flow import RESULT_FILES
from sw.synth.nextpnr import PlacementError, find_nextpnr
from sw.synth.order import Order
from sw.synth.placement import place
from sw.synth.synthesis import synthesise
from tb.unit.fpga.parts import PLAIN, ByVerilog, Pins

_SMALL = DEVICES["ecp5-25f"]
_WQE = ("synth", "--unit", "wqe", "--no-picture")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results and placements of one's own, of eight flip-flops."""
    monkeypatch.setattr("sw.synth.order.RESULTS", tmp_path / "results")
    monkeypatch.setattr(placement, "CACHE", BuildCache(tmp_path / "cache"))
    monkeypatch.setattr(Order, "component", lambda _order: ByVerilog(PLAIN))
    return tmp_path / "cache"


def _program(path: Path, script: str) -> Path:
    """A nextpnr that answers `--version` and then does as `script` says."""
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo mine; exit; }}\n{script}\n')
    path.chmod(0o755)
    return path


def test_a_relative_path_still_holds_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would pass the question for its version, and fail after minutes of synthesis."""
    _program(tmp_path / "mine", "exit 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEXTPNR", "./mine")
    tool = find_nextpnr()
    assert (tool.command, tool.version) == ((os.path.join(tmp_path, "mine"),), "mine")


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("/nowhere/nextpnr", "NEXTPNR is '/nowhere/nextpnr'; there is no such program."),
        ("/bin/false", "asked for its --version it ends with exit code 1."),
    ],
)
def test_a_bad_nextpnr_ends_a_run_before_it_begins(
    tmp_path: Path,
    program: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What an earlier run left stays; without placement nobody asks for nextpnr."""
    folder = tmp_path / "results" / "fpga" / "wqe"
    folder.mkdir(parents=True)
    for name in RESULT_FILES:
        (folder / name).write_text("old")
    monkeypatch.setenv("NEXTPNR", program)
    assert main([*_WQE]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mtia: NEXTPNR is ") and line.endswith(sentence)
    assert {(folder / name).read_text() for name in RESULT_FILES} == {"old"}
    assert main([*_WQE, "--no-place"]) == 0
    assert [path.name for path in folder.iterdir()] == ["report.json"]


def test_a_run_without_report_is_no_result(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that does nothing and ends well would be believed by all later runs."""
    monkeypatch.setenv("NEXTPNR", str(_program(tmp_path / "mine", "exit 0")))
    assert main([*_WQE]) == 1
    assert "with seed 1: it wrote no report.json." in capsys.readouterr().err
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_chip_keeps_its_placement_when_routing_ends_early(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Placing and routing take tens of minutes each, and one of them is done."""
    real, pins = find_nextpnr(), scan_shell_pins(mhz=60)
    synthesis = synthesise(Pins(), _SMALL)
    count = tmp_path / "count"
    words = " ".join(f"'{word}'" for word in real.command)
    once = f'echo "$@" >>{count}; case "$*" in *--no-place*) exit 7;; esac; exec {words} "$@"'
    monkeypatch.setenv("NEXTPNR", str(_program(tmp_path / "mine", once)))
    with pytest.raises(PlacementError, match="exit code 7"):
        place(synthesis, _SMALL, seeds=(1,), mhz=60, pins=pins)
    (kept,) = [path for path in cache.iterdir() if path.is_dir()]
    assert kept.name.startswith("placed-")
    _program(tmp_path / "mine", f'echo "$@" >>{count}; exec {words} "$@"')
    runs = place(synthesis, _SMALL, seeds=(1,), mhz=60, pins=pins)
    placed = ["--no-route" in line for line in count.read_text().splitlines()]
    assert placed == [True, False, False]
    assert "Info: moved " in runs.typical.log and runs.typical.text_config is not None
