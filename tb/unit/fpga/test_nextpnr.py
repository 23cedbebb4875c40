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
from tb.unit.fpga.parts import PLAIN, ByVerilog, Pins, Remembering

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
    answer = '[ "$1" = --version ] && { echo my nextpnr-ecp5; exit; }'
    path.write_text(f"#!/bin/sh\n{answer}\n{script}\n")
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
    assert tool.command == (os.path.join(tmp_path, "mine"),)
    assert tool.version == "my nextpnr-ecp5"


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("/nowhere/nextpnr", "NEXTPNR is '/nowhere/nextpnr'; there is no such program."),
        ("/bin/false", "asked for its --version it ends with exit code 1."),
        ("/bin/true", "NEXTPNR is '/bin/true'; that is not nextpnr-ecp5."),
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


def test_a_seed_that_does_not_end_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router may go in circles for ever, and with it `make bench`."""
    real, synthesis = find_nextpnr(), synthesise(Pins(), _SMALL)
    words = " ".join(f"'{word}'" for word in real.command)
    row = "Info:       1000 |      200        800 |  200   800 |      4321|       1.0        1.0|"
    stuck = f'case "$*" in *"--seed 2"*) echo "{row}"; while :; do :; done;; esac; '
    monkeypatch.setenv("NEXTPNR", str(_program(tmp_path / "mine", f'{stuck}exec {words} "$@"')))
    pins, short = scan_shell_pins(mhz=60), 1 / 60
    place(synthesis, _SMALL, seeds=(1,), mhz=60, pins=pins)  # is kept
    runs = place(synthesis, _SMALL, seeds=(1, 2), mhz=60, pins=pins, minutes=short)
    assert [run.seed for run in runs.placements] == [1]
    (why,) = runs.unfinished
    assert "with seed 2, when 4,321 arcs had no way" in why
    with pytest.raises(PlacementError, match="had not ended after"):
        place(synthesis, _SMALL, seeds=(2,), mhz=60, pins=pins, minutes=short)


def test_pins_of_lut_ram_stay_where_they_are(cache: Path) -> None:
    """The router may exchange inputs of a lookup table, but not address bits of LUT RAM."""
    pins = scan_shell_pins(mhz=60)
    runs = place(synthesise(Remembering(), _SMALL), _SMALL, seeds=(1,), mhz=60, pins=pins)
    assert runs.typical.text_config is not None
    tiles = runs.typical.text_config.read_text().split("\n.tile ")
    rams = [tile for tile in tiles if "SLICEA.MODE DPRAM" in tile]
    assert rams
    for tile in rams:
        open_pins = {pin for pin in "ABCD" if f"SLICEA.{pin}0MUX 1" in tile}
        assert open_pins == {"A", "C"}  # RAD[3] and RAD[2] of a memory of four words
