# SPDX-License-Identifier: Apache-2.0
"""Maps of the grid: a cell for each element, its colour a share, its text a number."""

import html
from collections.abc import Callable

from hw.arch.units import State, Unit
from sw.report.record import WAITS, Place, RunRecord
from sw.report.states import COLOURS, WORDS
from sw.report.svg import percent, picture, tag

__all__ = ["grid_map", "ground", "heat_maps", "unit_table"]

_MARGIN, _TITLE = 22, 24
_STRONGEST = 0.75
"""Opacity of a full cell: on it the text is still easy to read, in light and in dark."""
_FEW_COLUMNS = 4
"""Columns up to which cells can be wide."""


def grid_map(
    run: RunRecord,
    title: str,
    colour: str,
    cell: tuple[float, float],
    share: Callable[[Place], float],
    words: Callable[[Place], str],
) -> str:
    """One map: `share` (0 to 1) of each element's cell is its opacity, `words` stands in it."""
    rows, columns = run.shape
    width, height = cell
    parts = [tag("text", html.escape(title), x=_MARGIN, y=14, class_="title")]
    for column in range(columns):
        x = _MARGIN + (column + 0.5) * width
        parts.append(tag("text", str(column), x=x, y=_TITLE + 11, class_="middle faint"))
    for row in range(rows):
        y = _TITLE + 16 + (row + 0.5) * height + 4
        parts.append(tag("text", str(row), x=_MARGIN - 8, y=y, class_="end faint"))
    for place in run.places:
        x, y = _MARGIN + place[1] * width, _TITLE + 16 + place[0] * height
        parts.append(_cell(place, (x, y, width, height), colour, share(place), words(place)))
    size = _MARGIN + columns * width + 4, _TITLE + 16 + rows * height + 4
    wide = max(size[0], _MARGIN + 7.2 * len(title))
    drawing = picture(wide, size[1], title, *parts)
    return tag("div", drawing, class_="map", style=f"width:{wide:g}px")


def _cell(
    place: Place, box: tuple[float, float, float, float], colour: str, share: float, words: str
) -> str:
    """A cell with its text, and a tip that tells the whole of it."""
    x, y, width, height = box
    size = {"x": x + 1, "y": y + 1, "width": width - 2, "height": height - 2, "rx": 3}
    opacity = _STRONGEST * min(max(share, 0.0), 1.0)
    tip = f"element {place[0]}, {place[1]}: {words} ({percent(share)})"
    return tag(
        "g",
        tag("title", html.escape(tip)),
        tag("rect", **size, class_="cell"),
        tag("rect", **size, class_=colour, fill_opacity=opacity),
        tag("text", html.escape(words), x=x + width / 2, y=y + height / 2 + 4, class_="middle"),
    )


def heat_maps(run: RunRecord) -> str:
    """What the dot-product engine of each element did, a map for each state that it was in."""
    seen = [s for s in (State.BUSY, *WAITS) if any(run.share(p, s) > 0 for p in run.places)]

    cell = (48, 32) if run.shape[1] <= _FEW_COLUMNS else (36, 26)

    def of_state(state: State) -> str:
        def share(place: Place) -> float:
            return run.share(place, state)

        def words(place: Place) -> str:
            return f"{100 * share(place):.1f}"

        return grid_map(run, WORDS[state], COLOURS[state], cell, share, words)

    note = tag(
        "p",
        "Dot-product engine: share of the job's cycles in %, by its counters. Row 0 is the northern"
        " one, column 0 the western one. What is missing to 100 % it had no command.",
    )
    return note + tag("div", *(of_state(state) for state in seen), class_="maps")


def unit_table(run: RunRecord) -> str:
    """What each unit did, as shares of the job's cycles: a table whose cells have colours."""
    units = [unit for unit in list(Unit)[: Unit.CP] if run.activity.is_used(unit)]
    states = [s for s in (State.BUSY, *WAITS) if any(run.unit_share(u, s) > 0 for u in units)]
    head = ["unit", *(WORDS[state] for state in states), "no command"]
    rows = [_unit_row(run, unit, states) for unit in units]
    first = tag("tr", *(tag("th", words, scope="col") for words in head))
    whole = tag("table", tag("thead", first), tag("tbody", *rows), class_="figures", id="units")
    return tag("div", whole, class_="scroll")


def _unit_row(run: RunRecord, unit: Unit, states: list[State]) -> str:
    """One unit; the rest of its time it had no command."""
    shares = [run.unit_share(unit, state) for state in states]
    cells = [
        tag("td", percent(share), style=ground(COLOURS[state].removeprefix("c-"), share))
        for state, share in zip(states, shares, strict=True)
    ]
    rest = tag("td", percent(1 - sum(shares)))
    return tag("tr", tag("th", unit.name, scope="row"), *cells, rest)


def ground(colour: str, share: float) -> str:
    """The style of a table's cell in a colour of the page, the stronger, the larger the share."""
    part = 100 * _STRONGEST * min(share, 1.0)
    return f"background:color-mix(in srgb, var(--{colour}) {part:.1f}%, transparent)"
