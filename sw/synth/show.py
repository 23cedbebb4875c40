# SPDX-License-Identifier: Apache-2.0
"""The flow's reports as tables on a terminal."""

import dataclasses
from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sw.synth.area import AREA_TITLES
from sw.synth.paths import Step, TimingPath
from sw.synth.report import Report
from sw.synth.tree import Part

__all__ = ["show_comparison", "show_limits", "show_report", "show_summary"]

_FIGURES = tuple(AREA_TITLES.values())
_CLOCKS = ("MHz median", "MHz best")
_PER_MAC = "LUT4+FF/MAC"
_WIDTH = 160
_STEPS = 40
_TREE_SHARE = 0.004
_MEMORIES = 12
_ESTIMATES = 25


def show_report(report: Report, console: Console) -> None:
    """Figures, parts, memories and paths of one design."""
    show_summary([report], console)
    if report.tree is not None:
        _show_tree(report.tree, console)
    if report.memories:
        _show_memories(report, console)
    if report.estimates:
        _show_estimates(report, console)
    for path in report.paths:
        _show_path(path, console)
    if report.ports:
        ports = ", ".join(f"{name} {delay:.1f} ns" for name, delay in report.ports.items())
        console.print(f"longest delays at the unit's ports, which no clock limits: {ports}")


def show_summary(reports: Sequence[Report], console: Console) -> None:
    """One row for each design."""
    order = reports[0].order
    numbers = (*_FIGURES, _PER_MAC, *_CLOCKS)
    table = _table("unit", *numbers, numbers=numbers)
    for report in reports:
        table.add_row(*_row(report))
    _print(f"{order.config.name} on {order.device.name} ({order.device.part})", table, console)


def _row(report: Report) -> list[str]:
    cells = [escape(report.order.unit)]
    if report.netlist is None:
        return [*cells, *("-" for _ in (*AREA_TITLES, _PER_MAC, *_CLOCKS))]
    for figure in AREA_TITLES:
        share = report.utilisation(figure)
        text = f"{getattr(report.area, figure):,}"
        cells.append(text if share is None else f"{text} ({share:.1f} %)")
    cells += _decimals([report.per_mac])
    runs = report.runs
    return [*cells, *_decimals((runs.median_mhz, runs.best_mhz) if runs else (None, None))]


def _decimals(values: Sequence[float | None]) -> list[str]:
    return ["-" if value is None else f"{value:.1f}" for value in values]


def _show_tree(tree: Part, console: Console) -> None:
    """Parts that are worth a line."""
    table = _table("part", *_FIGURES, numbers=_FIGURES)
    for depth, part in tree.walk():
        if part.area.lut + part.area.ff >= _TREE_SHARE * (tree.area.lut + tree.area.ff):
            figures = (getattr(part.area, name) for name in AREA_TITLES)
            table.add_row("  " * depth + escape(part.name), *(f"{n:,}" for n in figures))
    _print(
        "area by parts; logic counts for the part that all of it comes from, or goes to",
        table,
        console,
    )


def _show_memories(report: Report, console: Console) -> None:
    headings = ("memory", "words", "bits", "ports", "where", "cells", "line")
    table = _table(*headings, numbers=("words", "bits", "cells"))
    for use in report.memories[:_MEMORIES]:
        table.add_row(
            escape(use.name),
            f"{use.depth:,}",
            f"{use.width:,}",
            f"{use.read_ports} r, {use.write_ports} w",
            use.place,
            f"{use.cells:,}",
            escape(use.source),
        )
    _print("memories, the largest first", table, console)
    if len(report.memories) > _MEMORIES:
        console.print(f"{len(report.memories) - _MEMORIES} smaller ones are in the JSON")


def _show_estimates(report: Report, console: Console) -> None:
    headings = ("ns", "LUTs", "carries", "ends", "from", "to")
    table = _table(*headings, numbers=headings[:4])
    for path in report.estimates[:_ESTIMATES]:
        table.add_row(
            f"{path.delay_ns:.1f}",
            f"{path.luts}",
            f"{path.carries}",
            f"{path.ends:,}",
            escape(path.start),
            escape(path.end),
        )
    _print("paths from part to part by estimate, not placed, the slowest first", table, console)


def _show_path(path: TimingPath, console: Console) -> None:
    """One path: its cells and nets, a line a step."""
    numbers = ("ns", "+logic", "+routing")
    table = _table(*numbers, "through", "net", "line", numbers=numbers)
    for step in _merged(path.steps)[:_STEPS]:
        near = "" if step.net.exact else "near "
        table.add_row(
            f"{step.total_ns:.2f}",
            f"{step.logic_ns:.2f}",
            f"{step.routing_ns:.2f}",
            step.cell,
            escape(near + step.net.name),
            escape(step.line or step.net.source),
        )
    title = (
        f"slowest path of {path.clock}: {path.delay_ns:.2f} ns ({path.mhz:.1f} MHz), logic"
        f" {path.logic_ns:.2f}, routing {path.routing_ns:.2f}; {path.luts} LUTs,"
        f" {path.muxes} muxes, {path.carries} carries in a row\n"
        f"from {path.start.name}  {path.start.source}\nto   {path.end.name}  {path.end.source}"
    )
    _print(title, table, console)


def _merged(steps: Sequence[Step]) -> list[Step]:
    """The steps with each run along a carry chain as one."""
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if last is not None and last.cell == step.cell == "carry" and last.line == step.line:
            merged[-1] = dataclasses.replace(
                step,
                logic_ns=last.logic_ns + step.logic_ns,
                routing_ns=last.routing_ns + step.routing_ns,
            )
        else:
            merged.append(step)
    return merged


def show_limits(reports: Sequence[Report], console: Console) -> None:
    """What the slowest path of each design goes from and to."""
    headings = ("unit", "MHz", "from", "line of it", "to", "line of that", "LUTs", "routing ns")
    table = _table(*headings, numbers=("MHz", "LUTs", "routing ns"))
    for report in reports:
        for path in report.paths[:1]:
            names = (path.start.name, path.start.source, path.end.name, path.end.source)
            table.add_row(
                escape(report.order.unit),
                f"{path.mhz:.1f}",
                *map(escape, names),
                str(path.luts),
                f"{path.routing_ns:.1f}",
            )
    if table.row_count:
        _print("what limits the clock", table, console)


def show_comparison(changed: Report, plain: Report, console: Console) -> None:
    """What the changes of a member cost; nothing where one of the two has no netlist."""
    if None in (changed.netlist, plain.netlist):
        return
    names = ", ".join(changed.order.changes)
    numbers = ("without", "with", "difference")
    table = _table("figure", *numbers, numbers=numbers)
    for figure, title in AREA_TITLES.items():
        before, after = getattr(plain.area, figure), getattr(changed.area, figure)
        table.add_row(title, f"{before:,}", f"{after:,}", f"{after - before:+,}")
    if plain.runs is not None and changed.runs is not None:
        for title, attribute in zip(_CLOCKS, ("median_mhz", "best_mhz"), strict=True):
            pair = [getattr(report.runs, attribute) for report in (plain, changed)]
            difference = "-" if None in pair else f"{pair[1] - pair[0]:+.1f}"
            table.add_row(title, *_decimals(pair), difference)
    _print(f"{changed.order.unit}: cost of {names}", table, console)


def _table(*headings: str, numbers: Collection[str] = ()) -> Table:
    """An empty table; the columns of numbers are flush right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        right = heading in numbers
        table.add_column(
            heading, justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    return table


def _print(title: str, table: Table, console: Console) -> None:
    """Print whole, however narrow the terminal claims to be when it is none."""
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    console.print(f"\n[bold]{escape(title)}[/]", highlight=False)
    console.print(table)
