# SPDX-License-Identifier: Apache-2.0
"""Small pieces of SVG and HTML: elements, numbers, paths, axes, legends."""

import html
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bytes_text", "legend", "percent", "picture", "steps", "table", "tag", "ticks"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def tag(name: str, *content: str, **attributes: str | float) -> str:
    """An element; `class_` is `class`, other underscores are hyphens, content is markup."""
    words = [
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_value(value))}"'
        for key, value in attributes.items()
    ]
    return f"<{name}{''.join(words)}>{''.join(content)}</{name}>"


def _value(value: str | float) -> str:
    """An attribute; numbers with two digits behind the point, and none that says nothing."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".")


def picture(width: float, height: float, label: str, *content: str) -> str:
    """A drawing, at most so wide; `label` is for those who cannot see it."""
    return tag(
        "svg",
        *content,
        viewBox=f"0 0 {width:g} {height:g}",
        style=f"max-width:{width:g}px",
        role="img",
        aria_label=label,
    )


def steps(xs: NDArray[np.floating], lows: NDArray[np.floating], highs: NDArray[np.floating]) -> str:
    """Path of the area between two stairs; `xs` has one corner more than these have steps."""
    top = [f"V{high:.1f}H{x:.1f}" for high, x in zip(highs, xs[1:], strict=True)]
    back = zip(lows[::-1], xs[-2::-1], strict=True)
    bottom = [f"V{low:.1f}H{x:.1f}" for low, x in back]
    return f"M{xs[0]:.1f},{lows[0]:.1f}{''.join(top)}{''.join(bottom)}Z"


def ticks(end: float, n_ticks: int = 6) -> list[int]:
    """Round numbers from 0 to `end`, about `n_ticks` of them."""
    rough = max(end / n_ticks, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return list(range(0, int(end) + 1, step))


def percent(share: float) -> str:
    """A share in words; no line breaks within it."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def bytes_text(n_bytes: float) -> str:
    """A number of bytes in the largest unit that leaves at least one of it."""
    power = 0 if n_bytes < 1 else min(int(math.log2(n_bytes) // 10), len(_UNITS) - 1)
    value = n_bytes / 1024**power
    digits = 0 if power == 0 or value >= 100 else 1
    return f"{value:,.{digits}f}\N{NO-BREAK SPACE}{_UNITS[power]}"


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Colours (classes) with their names."""
    items = [
        tag("span", tag("i", class_=f"swatch {colour}"), html.escape(name), class_="key")
        for colour, name in entries
    ]
    return tag("p", *items, class_="legend")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], **attributes: str) -> str:
    """A table; the first column names the row, the others are numbers."""
    first = tag("tr", *(tag("th", html.escape(text), scope="col") for text in head))
    body = [
        tag(
            "tr",
            tag("th", html.escape(row[0]), scope="row"),
            *(tag("td", html.escape(text)) for text in row[1:]),
        )
        for row in rows
    ]
    parts = (tag("thead", first) if head else "", tag("tbody", *body))
    return tag("div", tag("table", *parts, **attributes), class_="scroll")
