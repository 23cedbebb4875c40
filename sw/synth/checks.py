# SPDX-License-Identifier: Apache-2.0
"""What must hold of a design on its device; each fault is one sentence."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hw.config.tree import ChipConfig
from hw.fpga.devices import Device
from hw.fpga.goals import Goal
from hw.fpga.netlist import TOP
from sw.synth.area import AREA_TITLES, Area
from sw.synth.memories import LARGE_DEPTH, LARGE_MEMORY_BITS, MemoryUse
from sw.synth.netlist import without_indices

__all__ = [
    "capacity_faults",
    "clock_faults",
    "clock_notes",
    "goal_faults",
    "latch_faults",
    "loop_faults",
    "memory_faults",
    "multiplier_faults",
    "untimed_faults",
]

_LATCH = re.compile(r"LATCH|^\$sr$|^\$_SR_", re.IGNORECASE)
"""Yosys's latches with enables, and those of a set and a reset alone."""
_LOOP = re.compile(rf"Warning: found logic loop in module {TOP}:\n((?:    [^\n]*\n)*)")
_LOOP_STATION = re.compile(r"^    (?:wire|cell) (\S+)(?:.* source: (\S+))?", re.MULTILINE)
_LOOP_STATIONS = 6
_LOOPS = 5
_OWN_FOLDERS = ("hw/", "tb/")


def latch_faults(cells: Mapping[str, int]) -> list[str]:
    """No latch anywhere."""
    latches = [kind for kind in cells if _LATCH.search(kind)]
    number = sum(cells[kind] for kind in latches)
    if not number:
        return []
    return [f"The design has {number} latches ({', '.join(sorted(latches))}); there must be none."]


def loop_faults(log: str, nextpnr: Sequence[str] = ()) -> list[str]:
    """No combinational loop, neither to Yosys after it removed the hierarchy nor to nextpnr."""
    faults = {}
    for match in _LOOP.finditer(log):
        stations = [
            source if source.startswith(_OWN_FOLDERS) else name.replace("\\", "")
            for name, source in _LOOP_STATION.findall(match[1])
        ]
        way = ", ".join(list(dict.fromkeys(stations))[:_LOOP_STATIONS])
        faults[f"A combinational loop goes through {way or 'the design'}."] = True
    faults |= {f"nextpnr found a combinational loop: {line.strip()}": True for line in nextpnr}
    return list(faults)[:_LOOPS]


def memory_faults(memories: Sequence[MemoryUse]) -> list[str]:
    """Large memories are in block RAM."""
    return [
        f"Memory {use.name!r} ({use.depth} words of {use.width} bits, {use.source}) went to"
        f" {use.place}; more than {LARGE_MEMORY_BITS:,} bits in more than {LARGE_DEPTH} words"
        " belong into block RAM."
        for use in memories
        if use.is_misplaced
    ]


def untimed_faults(cells: Mapping[str, Any]) -> list[str]:
    """No LUT RAM is read at a constant address: nextpnr times what it gives from its address."""
    names = dict.fromkeys(
        without_indices(name)
        for name, cell in cells.items()
        if cell["type"] == "TRELLIS_DPR16X4"
        and not any(isinstance(bit, int) for bit in cell["connections"]["RAD"])
    )
    return [
        f"Memory {name!r} is LUT RAM and read at a constant address, so nextpnr would time no path"
        " from it; let the address change with what is written."
        for name in names
    ]


def multiplier_faults(
    area: Area, soft_products: int, config: ChipConfig, device: Device, *, is_chip: bool
) -> list[str]:
    """Products are in DSPs as long as there are any, and no more than there are.

    Whether the tile's columns in LUTs would find DSPs only the whole chip shows: what a unit alone
    leaves idle, the other units take.
    """
    faults = []
    left = device.multipliers - area.multiplier
    if soft_products and left > 0:
        faults.append(
            f"{soft_products} products became LUTs although {left} of {device.multipliers} DSPs"
            " are left."
        )
    per_column = config.pe.dpe.k_bytes
    lut_columns = config.pe.dpe.lut_columns
    if is_chip and lut_columns and left >= per_column:
        faults.append(
            f"dpe.lut_columns={lut_columns} keeps {lut_columns * per_column} products out of DSPs"
            f" although {left} of {device.multipliers} are left."
        )
    if left < 0:
        columns = lut_columns - left // per_column
        faults.append(
            f"The design takes {area.multiplier} DSPs and {device.name} has"
            f" {device.multipliers}, one for each product; dpe.lut_columns={columns} moves"
            f" {columns} columns of {per_column} products to LUTs."
        )
    return faults


def capacity_faults(area: Area, device: Device) -> list[str]:
    """The design fits the device; DSPs have a sentence of their own."""
    faults = []
    for figure in ("lut", "ff", "block_ram"):
        used, there = getattr(area, figure), device.capacity(figure)
        if there is not None and used > there:
            faults.append(
                f"The design takes {used:,} {AREA_TITLES[figure]} and {device.name} has {there:,}."
            )
    return faults


def clock_faults(median_mhz: float | None, config: ChipConfig, unit: str) -> list[str]:
    """The median over the seeds reaches the clock that the configuration states."""
    if median_mhz is None or median_mhz >= config.clock_mhz:
        return []
    return [
        f"{unit} reaches {median_mhz:.1f} MHz (median of all seeds); {config.name!r} states"
        f" clock_mhz={config.clock_mhz:g}."
    ]


def goal_faults(
    goal: Goal,
    unit: str,
    *,
    median_mhz: float | None,
    per_mac: float | None,
    lut_per_cent: float | None,
) -> list[str]:
    """What the project asks of this unit; a figure that was not measured misses nothing."""
    faults = []
    if goal.mhz is not None and median_mhz is not None and median_mhz < goal.mhz:
        faults.append(
            f"{unit} reaches {median_mhz:.1f} MHz (median of all seeds); its goal is"
            f" {goal.mhz:g} MHz."
        )
    if goal.per_mac is not None and per_mac is not None and per_mac > goal.per_mac:
        faults.append(
            f"{unit} takes {per_mac:.1f} LUT4 + FF per MAC; its goal is at most {goal.per_mac:g}."
        )
    if (
        goal.lut_per_cent is not None
        and lut_per_cent is not None
        and lut_per_cent >= goal.lut_per_cent
    ):
        faults.append(
            f"{unit} takes {lut_per_cent:.1f} % of the LUTs; its goal is less than"
            f" {goal.lut_per_cent:g} %."
        )
    return faults


def clock_notes(median_mhz: float | None, config: ChipConfig, unit: str) -> list[str]:
    """A placed unit without a path from register to register says nothing about the clock."""
    if median_mhz is not None:
        return []
    return [
        f"{unit} has no path from register to register, so nothing shows that it reaches"
        f" clock_mhz={config.clock_mhz:g} of {config.name!r}."
    ]
