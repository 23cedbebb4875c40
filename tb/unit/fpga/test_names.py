# SPDX-License-Identifier: Apache-2.0
"""Lists of units on the command line."""

import re
from pathlib import Path

import pytest

from hw.config import PRESETS, ConfigError, get_config
from hw.config.override import overridden
from hw.fpga.units import UNITS
from sw.cli.app import main
from sw.synth.names import unit_names

_CONFIG = get_config("fpga")
_ALL = [name for name in UNITS if name != "element"]
"""The element is nearly the chip, and takes as long."""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("wqe", ["wqe"]),
        ("all", _ALL),
        ("chip, wqe", ["chip", "wqe"]),
        ("wqe,wqe,fi.reader,wqe", ["wqe", "fi.reader"]),
        ("chip,all", ["chip", *_ALL]),
        ("wqe,all", ["wqe", *(name for name in _ALL if name != "wqe")]),
        ("all,element", [*_ALL, "element"]),
    ],
)
def test_lists_are_resolved(text: str, names: list[str]) -> None:
    """A unit that runs twice costs its time twice, and has two rows."""
    assert unit_names(text, _CONFIG) == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wqe,dep", r"no unit 'dep'; there are all, chip, cp, wqe, .* Did you mean 'dpe'"),
        ("chp", "Did you mean 'chip'"),
        ("wqe,", "There is no unit ''"),
        ("fi.readr", "There is no unit 'fi.readr' in 'fi'; .* Did you mean 'fi.reader'"),
        ("chip.wqe", "There is no unit 'chip.wqe'; there are all, chip"),
    ],
)
def test_slips_get_a_sentence(text: str, words: str) -> None:
    """With all that there is, the whole and every unit too."""
    with pytest.raises(ConfigError, match=words):
        unit_names(text, _CONFIG)


def test_the_chip_of_a_grid_is_refused() -> None:
    """Figures of one element would pass for those of all."""
    grid = get_config("mtia100")
    with pytest.raises(ConfigError, match="^'mtia100' has 8 x 8 elements, and the flow builds"):
        unit_names("wqe,chip", grid)
    assert unit_names("wqe,grid.control", grid) == ["wqe", "grid.control"]
    with pytest.raises(ConfigError, match="A whole grid is not built; name a part of it"):
        unit_names("grid", grid)
    with pytest.raises(ConfigError, match="no unit 'grid.side' in 'grid'; .* 'grid.side_w'"):
        unit_names("grid.side", grid)
    alone = overridden(grid, ["rows=1", "cols=1", "sram.cache_ways=0"])
    assert unit_names("chip", alone) == ["chip"]


@pytest.mark.parametrize("name", [name for name, member in PRESETS.items() if member.n_pes > 1])
def test_the_advice_for_a_grid_helps(name: str) -> None:
    """Followed to the letter it gave the next refusal."""
    with pytest.raises(ConfigError) as refusal:
        unit_names("chip", get_config(name))
    changes = re.findall(r"--set (\S+=\d+)", str(refusal.value))
    assert ("spare_rows=0" in changes) == (name == "tiny-spare")
    assert unit_names("chip", overridden(get_config(name), changes)) == ["chip"]


def test_all_names_are_known_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip in the last name must not cost the run of the first."""
    monkeypatch.setattr("sw.synth.order.RESULTS", tmp_path)
    monkeypatch.setattr("sw.cli.verbs.synth.run_flow", None)
    assert main(["synth", "--unit", "wqe,fi.readr"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mtia: There is no unit 'fi.readr'")
