# SPDX-License-Identifier: Apache-2.0
"""The page as a whole, and the file."""

import html
from pathlib import Path

from sw.files import write_folder
from sw.report.heat_map import heat_maps, unit_table
from sw.report.record import RunRecord
from sw.report.roof_chart import roof_section
from sw.report.style import STYLE
from sw.report.summary import summary
from sw.report.svg import tag
from sw.report.traffic import traffic
from sw.report.utilisation import utilisation

__all__ = ["PAGE_NAME", "report_page", "write_report"]

PAGE_NAME = "index.html"
"""The page in its folder; it needs no other file."""


def report_page(run: RunRecord) -> str:
    """A whole HTML document without any reference to another."""
    figures = run.figures
    title = "{m} x {n} x {k} {dtype_a} on {config}".format(**figures)
    where = f"all {run.n_elements} elements" if run.is_grid else "one element"
    sections = [
        tag("h1", html.escape(title)),
        tag("p", f"Matrix product on {where}, from {run.where}", class_="sub"),
        summary(run),
        _section("Utilisation over time", utilisation(run)),
        _section("Where the cycles went", _cycles(run)),
        _section("Bytes on their way", traffic(run)),
        _section("Roofline", roof_section(run)),
        tag("footer", tag("p", html.escape(_check(run)))),
    ]
    head = "".join(
        [
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            tag("title", html.escape(title)),
            tag("style", STYLE),
        ]
    )
    body = tag("main", *sections)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def write_report(run: RunRecord, folder: Path) -> Path:
    """Make the page in `folder`, which is created if needed; the page's path."""
    write_folder(folder, {PAGE_NAME: report_page(run)})
    return folder / PAGE_NAME


def _section(title: str, content: str) -> str:
    return tag("section", tag("h2", title), content)


def _cycles(run: RunRecord) -> str:
    """Maps of a grid's elements, then all units."""
    words = "Share of the job's cycles" + (", mean of all elements." if run.is_grid else ".")
    words += " A neighbour is the unit at the other end, or the next element on a reduction link."
    units = tag("h3", "All units") + tag("p", words) + unit_table(run)
    return (heat_maps(run) if run.is_grid else "") + units


def _check(run: RunRecord) -> str:
    """Whether recording and counters agree."""
    wrong = run.differences()
    if not wrong:
        return (
            "Recorded states and hardware counters agree in every cycle. Everything here is from"
            " this run's counters and records, or from the member's configuration."
        )
    return f"Recorded states and hardware counters differ: {', '.join(wrong)}."
