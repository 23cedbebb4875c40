# SPDX-License-Identifier: Apache-2.0
"""The section that shows what units did over time."""

import numpy as np

from hw.arch.units import State, Unit
from sw.report.png import shade_uri
from sw.report.record import RunRecord
from sw.report.states import GROUPS
from sw.report.svg import legend, percent, picture, steps, tag, ticks

__all__ = ["utilisation"]

_LEFT, _RIGHT, _PLOT = 96, 64, 800
_LANE, _GAP, _TOP, _AXIS = 46, 14, 8, 44
_STRIPS, _STRIP, _FEW_STRIPS = 384, 6, 16
"""Pixels of all strips, and of the thinnest; how many strips have a label each."""
_BUSY_RGB = (46, 128, 222)
"""Between the light page's colour of work and the dark one's: a picture has only one."""


def utilisation(run: RunRecord) -> str:
    """A lane for each unit that did anything; on a grid also a strip for each element."""
    parts = [_how(run), legend((colour, name) for colour, name, _ in GROUPS), _lanes(run)]
    if run.is_grid:
        parts += [
            tag("h3", "Dot-product engine of each element"),
            tag(
                "p",
                "A strip for each element, at its left row and column. The more opaque, the larger"
                " the share of the window in which it worked.",
            ),
            _strips(run),
        ]
    return "".join(parts)


def _how(run: RunRecord) -> str:
    """Where the numbers come from."""
    activity = run.activity
    whose = f"the mean of {run.n_elements} elements" if run.is_grid else "one element"
    windows = "each cycle" if activity.window == 1 else f"windows of {activity.window:,} cycles"
    return tag(
        "p",
        f"Height: share of time, {whose}, in {windows}; blank: no work. The simulator looks at the"
        " state of every unit in every cycle, the same state that the performance counters count."
        f" From the first unit's start to the last one's end: {activity.length:,} of the job's"
        f" {run.cycles:,} cycles; the others fetch commands and report the end."
        " On the right: share of these cycles in which the unit worked.",
    )


def _lanes(run: RunRecord) -> str:
    """All lanes above one axis of time."""
    units = [unit for unit in list(Unit)[: Unit.CP] if run.activity.is_used(unit)]
    height = len(units) * (_LANE + _GAP) + _AXIS
    lanes = [_lane(run, unit, _TOP + i * (_LANE + _GAP)) for i, unit in enumerate(units)]
    axis = _axis(run.activity.length, len(units) * (_LANE + _GAP) + 4)
    label = "Share of time in which each unit works and waits, over the cycles of the run"
    return _wide(picture(_LEFT + _PLOT + _RIGHT, height, label, *lanes, axis))


def _lane(run: RunRecord, unit: Unit, top: float) -> str:
    """Stacked shares of one unit."""
    activity, bottom = run.activity, top + _LANE
    xs = _LEFT + activity.edges * (_PLOT / activity.length)
    base = np.zeros(len(xs) - 1)
    areas = []
    for colour, _, states in GROUPS:
        upper = base + activity.shares(unit, states).mean(axis=0)
        if (upper > base).any():
            lows, highs = bottom - _LANE * base, bottom - _LANE * upper
            areas.append(tag("path", d=steps(xs, lows, highs), class_=colour))
        base = upper
    busy = activity.cycles[:, unit, State.BUSY].sum() / (activity.length * run.n_elements)
    frame = tag("rect", x=_LEFT, y=top, width=_PLOT, height=_LANE, class_="lane")
    name = tag("text", unit.name, x=_LEFT - 8, y=top + _LANE / 2 + 4, class_="end")
    share = tag("text", percent(busy), x=_LEFT + _PLOT + 8, y=top + _LANE / 2 + 4)
    return "".join([frame, *areas, name, share])


def _axis(length: int, top: float) -> str:
    """Cycles since the first unit started."""
    marks = []
    for time in ticks(length):
        x = _LEFT + _PLOT * time / length
        marks.append(tag("line", x1=x, x2=x, y1=top, y2=top + 4, class_="axis"))
        marks.append(tag("text", f"{time:,}", x=x, y=top + 17, class_="middle"))
    line = tag("line", x1=_LEFT, x2=_LEFT + _PLOT, y1=top, y2=top, class_="axis")
    words = "cycles since the first unit started"
    title = tag("text", words, x=_LEFT + _PLOT / 2, y=top + 34, class_="middle")
    return "".join([line, *marks, title])


def _strips(run: RunRecord) -> str:
    """A strip for each element, row by row, on the same axis of time."""
    activity, places = run.activity, run.places
    shares = activity.shares(Unit.DPE, (State.BUSY,))
    pitch = min(max(_STRIPS / len(places), _STRIP), 2.5 * _STRIP)
    # The last window may be shorter than the others; the picture's pixels are not.
    width = _PLOT * activity.window * shares.shape[1] / activity.length
    parts = []
    for element, (row, column) in enumerate(places):
        top = _TOP + element * pitch
        lane = tag("rect", x=_LEFT, y=top, width=_PLOT, height=pitch - 1, class_="lane")
        uri = shade_uri(shares[element : element + 1], _BUSY_RGB)
        parts += [lane, _strip(uri, top, (width, pitch - 1))]
        if len(places) <= _FEW_STRIPS or column == 0:
            name = f"{row}, {column}"
            parts.append(tag("text", name, x=_LEFT - 8, y=top + pitch / 2 + 4, class_="end"))
    bottom = _TOP + len(places) * pitch
    axis = _axis(activity.length, bottom + 4)
    edge = tag("rect", x=_LEFT, y=_TOP, width=_PLOT, height=bottom - _TOP)
    clip = tag("clipPath", edge, id="strips")
    label = "Share of time in which the dot-product engine of each element works, over time"
    size = _LEFT + _PLOT + _RIGHT, bottom + _AXIS
    return _wide(picture(*size, label, clip, *parts, axis))


def _strip(uri: str, top: float, size: tuple[float, float]) -> str:
    """One strip."""
    image = tag(
        "image",
        href=uri,
        x=_LEFT,
        y=top,
        width=size[0],
        height=size[1],
        preserveAspectRatio="none",
        style="image-rendering:pixelated",
    )
    return tag("g", image, clip_path="url(#strips)")


def _wide(drawing: str) -> str:
    """A drawing that is scrolled, not shrunk, on a narrow page."""
    return tag("div", drawing, class_="scroll wide")
