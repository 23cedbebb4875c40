# SPDX-License-Identifier: Apache-2.0
"""Devices, units and changed members: what there is, and a sentence for what there is not."""

import dataclasses

import pytest

from hw.chip.top import OneElementChip
from hw.config import ConfigError, get_config
from hw.config.override import overridden
from hw.fpga.devices import DEVICES, get_device
from hw.fpga.units import UNITS, get_unit
from sw.synth.area import Area

_CONFIG = get_config("fpga")


@pytest.mark.parametrize("name", UNITS)
def test_units_are_those_of_the_chip(name: str) -> None:
    """A unit that is made otherwise than in the chip would give figures of something else."""
    unit = get_unit(_CONFIG, name)
    assert len(list(unit.signature.members)) > 0
    assert not isinstance(unit, OneElementChip)


def test_parts_of_units_are_units() -> None:
    """Whoever makes a unit smaller looks at its parts."""
    assert type(get_unit(_CONFIG, "fi.reader")).__name__ == "FabricReader"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("grid.side_w", "GridSide"),
        ("grid.tile0_1", "Tile"),
        ("grid.control", "GridControl"),
        ("grid.side_n.traffic", "TrafficCounters"),
    ],
)
def test_parts_of_a_grid_are_units(name: str, part: str) -> None:
    """Of a member of several elements, as the grid has them."""
    assert type(get_unit(get_config("tiny"), name)).__name__ == part
    with pytest.raises(ConfigError, match="'fpga' has one element, so no grid"):
        get_unit(_CONFIG, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dep", "There is no unit 'dep'; there are cp, wqe, .* Did you mean 'dpe'"),
        ("fi.readr", "There is no unit 'fi.readr' in 'fi'; .* Did you mean 'fi.reader'"),
        ("xyz.reader", "There is no unit 'xyz.reader'; there are cp, wqe"),
    ],
)
def test_unknown_units_get_a_sentence(name: str, words: str) -> None:
    """A slip must not cost a look into the code."""
    with pytest.raises(ConfigError, match=words):
        get_unit(_CONFIG, name)


def test_unknown_targets_get_a_sentence() -> None:
    """The same for devices."""
    with pytest.raises(ConfigError, match=r"no target 'ecp5-86f'; .* Did you mean 'ecp5-85f'\?"):
        get_device("ecp5-86f")


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
def test_capacities_belong_to_figures(device: object) -> None:
    """A figure under another name would never be found too large."""
    for figure in ("lut", "ff", "block_ram", "multiplier"):
        assert device.capacity(figure) > 0
        assert hasattr(Area(), figure)


def test_changes_reach_their_field() -> None:
    """Of each type one."""
    changed = overridden(
        _CONFIG, ["pe.dpe.with_fp=true", "clock_mhz=50.5", "pe.cp.queue_depth=8", "name=mine"]
    )
    assert changed.pe.dpe.with_fp and changed.clock_mhz == 50.5
    assert (changed.pe.cp.queue_depth, changed.name) == (8, "mine")
    same = dataclasses.replace(changed.pe.cp, queue_depth=_CONFIG.pe.cp.queue_depth)
    assert same == _CONFIG.pe.cp


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pe.dpe.with_pf=true", "there is no 'with_pf', only columns.* Did you mean 'with_fp'"),
        ("pe.dpe.with_fp=maybe", "pe.dpe.with_fp is 'maybe'; it must be true or false"),
        ("pe.cp.cbs=many", "pe.cp.cbs is 'many'; it must be a whole number"),
        ("pe.cp.cbs=17", "cp.cbs is 17; it must be a power of two"),
        ("clock_mhz=0", "clock_mhz is 0; it must be a finite number above 0"),
        ("clock_mhz=-60", "clock_mhz is -60; it must be a finite number above 0"),
        ("clock_mhz=nan", "clock_mhz is nan; it must be a finite number above 0"),
        ("clock_mhz=inf", "clock_mhz is inf; it must be a finite number above 0"),
        ("pe.dpe=1", "'pe.dpe' is a group; change one of pe.dpe.columns"),
        ("rows.x=1", "'rows' has no fields"),
        ("pe.dpe.with_fp", "must have the form field=value"),
    ],
)
def test_changes_that_cannot_be_get_a_sentence(change: str, words: str) -> None:
    """Said before minutes of synthesis, not after."""
    with pytest.raises(ConfigError, match=words):
        overridden(_CONFIG, [change])
