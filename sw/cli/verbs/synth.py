# SPDX-License-Identifier: Apache-2.0
"""`mtia synth`: a unit, or the chip, through the open FPGA flow."""

import math
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from hw.config import get_config
from hw.config.override import overridden
from hw.fpga.devices import DEFAULT_DEVICE, get_device
from hw.fpga.units import GRID, UNITS
from sw.errors import UserError
from sw.synth.flow import run_flow, unmodified
from sw.synth.names import unit_names
from sw.synth.order import CHIP, Order
from sw.synth.placement import MINUTES
from sw.synth.report import Report
from sw.synth.show import show_comparison, show_limits, show_report, show_summary
from sw.synth.synthesis import CACHE, CACHE_BYTES

__all__ = ["command"]

_MOST = 1_000_000
"""What any number may be: nextpnr's seeds have 31 bits."""


def command(
    config: Annotated[str, typer.Option("--config", help="Member, see 'mtia configs'.")] = "fpga",
    target: Annotated[str, typer.Option("--target", help="Device.")] = DEFAULT_DEVICE,
    unit: Annotated[
        str,
        typer.Option("--unit", help="Units with commas, 'chip', 'all'; see --list."),
    ] = CHIP,
    seeds: Annotated[int, typer.Option("--seeds", help="Place and route with so many seeds.")] = 1,
    first_seed: Annotated[int, typer.Option("--first-seed", help="The first of them.")] = 1,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the member."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show what --set costs: run without it too.")
    ] = False,
    mhz: Annotated[
        float | None, typer.Option("--freq", help="Clock in MHz that nextpnr aims at.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", help="Seeds at a time; as many as processors.")
    ] = None,
    minutes: Annotated[
        int, typer.Option("--minutes", help="Processor time after which a seed is given up.")
    ] = MINUTES,
    placement: Annotated[
        bool, typer.Option("--place/--no-place", help="Place and route after synthesis.")
    ] = True,
    picture: Annotated[
        bool, typer.Option("--picture/--no-picture", help="Draw the area by parts.")
    ] = True,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Show how long paths from part to part will be, unplaced."),
    ] = False,
    list_units: Annotated[bool, typer.Option("--list", help="List the units.")] = False,
) -> None:
    """Synthesise, place and route for an FPGA; report area, clock and critical paths."""
    console = Console()
    if list_units:
        _list(console)
        return
    _check({"--seeds": seeds, "--first-seed": first_seed, "--jobs": jobs, "--minutes": minutes})
    if mhz is not None and not (math.isfinite(mhz) and mhz > 0):
        raise UserError(f"--freq is {mhz:g}; it must be a finite number above 0.")
    if compare and not changes:
        raise UserError("--compare shows what --set costs; give at least one --set.")
    member = get_config(config)
    orders = [
        Order(
            member=member,
            device=get_device(target),
            unit=name,
            changes=tuple(changes or ()),
            seeds=seeds,
            first_seed=first_seed,
            aim_mhz=mhz,
            jobs=os.cpu_count() or 1 if jobs is None else jobs,
            minutes=minutes,
            with_placement=placement,
            with_picture=picture,
            with_estimate=estimate,
        )
        for name in unit_names(unit, overridden(member, changes or ()))
    ]
    _run_all(orders, compare, console)


def _check(numbers: dict[str, int | None]) -> None:
    """Refuse numbers that mean nothing."""
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1.")
        if value is not None and value > _MOST:
            raise UserError(f"{name} is {value}; it must be at most {_MOST:,}.")


def _list(console: Console) -> None:
    """Every unit and what it is."""
    for name, what in {CHIP: "the whole chip behind its scan chain, with pins", **UNITS}.items():
        console.print(f"{name:12} {what}", highlight=False)
    console.print(
        f"a.b is part b of unit a, to any depth; {GRID}.a part a of the grid of a member of"
        f" several elements, as {GRID}.tile0_0, {GRID}.side_w, {GRID}.control, {GRID}.dma",
        highlight=False,
        soft_wrap=True,
    )


def _run_all(orders: list[Order], compare: bool, console: Console) -> None:
    """All orders, then what is to be said of them together; fails if one has faults."""
    CACHE.prune(keep_bytes=CACHE_BYTES)
    reports: list[Report] = []
    faults: list[str] = []
    for order in orders:
        report, found = _run(order, compare, console, is_alone=len(orders) == 1)
        reports.append(report)
        faults += found
    if len(orders) > 1:
        show_summary(reports, console)
        show_limits(reports, console)
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    _tell_faults(faults)


def _run(
    order: Order, compare: bool, console: Console, *, is_alone: bool
) -> tuple[Report, list[str]]:
    """One order, and the member without changes where a comparison is wanted; all their faults."""
    report = run_flow(order, console)
    if is_alone:
        show_report(report, console)
    folder = os.path.relpath(order.folder)
    names = ", ".join(report.files)
    console.print(f"results: {folder}: {names}", highlight=False, soft_wrap=True)
    if not compare:
        return report, report.faults
    plain = run_flow(unmodified(order), console)
    show_comparison(report, plain, console)
    return report, [*report.faults, *(f"Without --set: {fault}" for fault in plain.faults)]


def _tell_faults(faults: list[str]) -> None:
    """Say what is wrong, and fail."""
    for fault in dict.fromkeys(faults):
        print(f"mtia synth: {fault}", file=sys.stderr)
    if faults:
        raise typer.Exit(1)
