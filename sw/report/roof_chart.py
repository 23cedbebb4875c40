# SPDX-License-Identifier: Apache-2.0
"""The section with the roofline: what the member could do at most, and the run as a point."""

import math

from sw.report.record import RunRecord
from sw.report.roofs import Roofline, Slope, operand_bytes, roofline
from sw.report.svg import bytes_text, percent, picture, table, tag

__all__ = ["roof_section"]

_WIDTH, _HEIGHT = 900, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 20, 48
_WORDS, _LETTER = 150, 6.8
"""About the width of a line's words, and of a letter where they are many."""


class _Axes:
    """Logarithmic axes, base 2, around everything that is drawn."""

    def __init__(self, model: Roofline) -> None:
        ridges = [model.peak / slope.bytes_per_cycle for slope in model.slopes]
        xs = [*ridges, model.intensity, model.best_intensity]
        self.low = math.floor(math.log2(min(xs))) - 2
        self.high = math.ceil(math.log2(max(xs))) + 1
        least = min(2.0**self.low * slope.bytes_per_cycle for slope in model.slopes)
        self.bottom = math.floor(math.log2(max(min(least, model.speed / 2), 2**-6)))
        self.top = math.ceil(math.log2(model.peak) + 0.6)

    def x(self, intensity: float) -> float:
        """Place of an intensity."""
        share = (math.log2(intensity) - self.low) / (self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, speed: float) -> float:
        """Place of a speed."""
        share = (math.log2(speed) - self.bottom) / (self.top - self.bottom)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def roof_section(run: RunRecord) -> str:
    """The drawing and its numbers."""
    model = roofline(run)
    axes = _Axes(model)
    parts = [_grid(axes), *(_slope(axes, model, slope) for slope in _lines(model))]
    parts += [_peak(axes, model), _once(axes, model), _point(axes, model)]
    label = "Roofline of the member with this run as a point"
    drawing = picture(_WIDTH, _HEIGHT, label, tag("g", *parts, class_="roofs"))
    drawing = tag("div", drawing, class_="scroll wide")
    return "".join([_words(run, model), drawing, _numbers(run, model)])


def _words(run: RunRecord, model: Roofline) -> str:
    carrier = "the memory port" if run.traffic is None else f"all of {model.used.name}"
    return tag(
        "p",
        f"At {model.intensity:,.1f} MAC per byte the roof is {model.roof:,.1f} MAC per cycle, by"
        f" {model.limit}; the run reached {model.speed:,.1f}, which is"
        f" {percent(model.speed / model.roof)} of it."
        f" Bytes are those that {carrier} carried, reads and writes together."
        " Roofs are the configuration's.",
    )


def _grid(axes: _Axes) -> str:
    """Lines and numbers of both axes."""
    parts = []
    every = max((axes.high - axes.low) // 12, 1)
    for power in range(axes.low, axes.high + 1, every):
        x = axes.x(2.0**power)
        parts.append(tag("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="grid"))
        text = _power(power)
        parts.append(tag("text", text, x=x, y=_HEIGHT - _BOTTOM + 17, class_="middle"))
    every = max((axes.top - axes.bottom) // 10, 1)
    for power in range(axes.bottom, axes.top + 1, every):
        y = axes.y(2.0**power)
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", _power(power), x=_LEFT - 8, y=y + 4, class_="end"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    words = "MAC per byte to and from memory"
    parts.append(tag("text", words, x=middle, y=_HEIGHT - 10, class_="middle"))
    turn = f"translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:g}) rotate(-90)"
    parts.append(tag("text", "MAC per cycle", transform=turn, class_="middle"))
    return "".join(parts)


def _power(power: int) -> str:
    """A power of two as a number."""
    return f"{2**power:,}" if power >= 0 else f"1/{2**-power:,}"


def _lines(model: Roofline) -> list[Slope]:
    """Memories of the same bandwidth have one line."""
    found: dict[float, Slope] = {}
    for slope in model.slopes:
        other = found.get(slope.bytes_per_cycle)
        if other is not None:
            is_used = slope.is_used or other.is_used
            slope = Slope(f"{other.name} and {slope.name}", slope.bytes_per_cycle, is_used)
        found[slope.bytes_per_cycle] = slope
    return list(found.values())


def _slope(axes: _Axes, model: Roofline, slope: Slope) -> str:
    """A memory's roof, up to the peak."""
    ridge = model.peak / slope.bytes_per_cycle
    start = max(2.0**axes.low, 2.0**axes.bottom / slope.bytes_per_cycle)
    x1, y1 = axes.x(start), axes.y(start * slope.bytes_per_cycle)
    x2, y2 = axes.x(ridge), axes.y(model.peak)
    kind = "roof" if slope.is_used else "roof unused"
    line = tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)
    angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    words = f"{slope.name} {slope.bytes_per_cycle:,.6g} B/cycle"
    width = max(_WORDS, _LETTER * len(words))
    x, y = _clear_place(axes, model, (x1, y1), (x2, y2), width)
    turn = f"translate({x:.1f} {y:.1f}) rotate({angle:.1f})"
    return line + tag("text", words, y=-7, transform=turn, class_="middle")


def _clear_place(
    axes: _Axes,
    model: Roofline,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
) -> tuple[float, float]:
    """Where on a slope words so wide are as far as can be from the run's, and do not hang over."""
    run_x, run_y = axes.x(model.intensity) + _WORDS / 2, axes.y(model.speed) + 18
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    edge = min(0.5, 0.6 * width / length)
    places = [
        (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
        for part in (edge, 0.5, 1 - edge)
    ]
    return max(places, key=lambda at: abs(at[0] - run_x) / 3 + abs(at[1] - run_y))


def _peak(axes: _Axes, model: Roofline) -> str:
    """The array's roof, from the first ridge on."""
    fastest = max(slope.bytes_per_cycle for slope in model.slopes)
    x, y = axes.x(model.peak / fastest), axes.y(model.peak)
    line = tag("line", x1=x, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="roof")
    words = f"peak {model.peak:,} MAC/cycle"
    return line + tag("text", words, x=_WIDTH - _RIGHT - 4, y=y - 8, class_="end")


def _once(axes: _Axes, model: Roofline) -> str:
    """Where the run would be if each byte of A, B and C moved once."""
    x, y = axes.x(model.best_intensity), _HEIGHT - _BOTTOM
    line = tag("line", x1=x, x2=x, y1=axes.y(model.peak), y2=y, class_="once")
    return line + tag("text", "each byte once", x=x + 6, y=y - 8)


def _point(axes: _Axes, model: Roofline) -> str:
    """The run."""
    x, y = axes.x(model.intensity), axes.y(max(model.speed, 2.0**axes.bottom))
    words = f"this run: {model.speed:,.1f} MAC/cycle"
    to_left = x > 0.72 * _WIDTH
    place = {"x": x - 12, "class_": "end strong"} if to_left else {"x": x + 12, "class_": "strong"}
    gap = tag("line", x1=x, x2=x, y1=y, y2=axes.y(model.roof), class_="gap")
    dot = tag("circle", tag("title", words), cx=x, cy=y, r=6, class_="point")
    return gap + dot + tag("text", words, y=y + 18, **place)


def _numbers(run: RunRecord, model: Roofline) -> str:
    """What the drawing shows, as numbers."""
    once = f"{model.best_intensity:,.2f}"
    rows = [
        ["this run", f"{model.speed:,.2f}", f"{model.intensity:,.2f}", bytes_text(model.n_bytes)],
        ["each byte of A, B and C once", "", once, bytes_text(operand_bytes(run))],
        ["peak", f"{model.peak:,}", "", ""],
        *(
            [f"{s.name}, {s.bytes_per_cycle:,.6g} B per cycle", f"{_under(model, s):,.2f}", "", ""]
            for s in model.slopes
        ),
    ]
    head = ["", "MAC per cycle", "MAC per byte", "bytes"]
    return table(head, rows, class_="figures", id="roofs")


def _under(model: Roofline, slope: Slope) -> float:
    """What a memory would allow at the run's intensity."""
    return model.intensity * slope.bytes_per_cycle
