# SPDX-License-Identifier: Apache-2.0
"""The area tree as a picture: each column a level of the design, each height a number of LUTs."""

import io
from typing import Any

from sw.errors import UserError
from sw.synth.order import Order
from sw.synth.tree import Part

__all__ = ["draw_tree"]

_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#9c755f")
_OWN, _TEXT = "#bdbdbd", "#202020"
_OWN_LABEL = "own logic"
_SMALLEST = 0.0105
"""Least height, of the picture's, at which a part gets its own label."""
_INCHES = (15.0, 10.5)
_ROOT_WIDTH = 0.06
"""Width of the whole's column, which needs no label."""
_WIDTH = 0.98
"""Width of the others, each 1 from the next."""


def draw_tree(tree: Part, order: Order) -> bytes:
    """A PNG picture.

    Raises
    ------
    UserError
        When matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise UserError(
            "matplotlib is not installed, which draws the area tree; run 'make setup', or leave the"
            " picture out with --no-picture."
        ) from None
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    n_levels = max(depth for depth, _ in tree.walk())
    _draw_part(axes, tree, 0, 0.0, tree.area.lut or 1, "#c8d0d8")
    axes.set_xlim(1 - _ROOT_WIDTH if n_levels else 0.0, n_levels + _WIDTH)
    axes.set_ylim(1, 0)
    axes.axis("off")
    axes.set_title(
        f"{order.config.name} {order.unit} on {order.device.name}:"
        f" {tree.area.lut:,} LUTs and {tree.area.ff:,} FFs by parts; each height is LUTs",
        fontsize=12,
    )
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    return stream.getvalue()


def _draw_part(axes: Any, part: Part, depth: int, top: float, whole: int, colour: str) -> None:
    """A part's box, and those of its parts to the right of it."""
    height = part.area.lut / whole
    axes.add_patch(_box(depth, top, height, colour))
    # The whole is narrow and named in the title, unless nothing stands beside it.
    if depth > 0 or not part.parts:
        _write_label(axes, part, depth, top, height)
    for index, child in enumerate(_children(part)):
        if child.area.lut == 0:
            continue
        tint = _COLOURS[index % len(_COLOURS)] if len(part.parts) > 1 else colour
        tint = _OWN if child.name == _OWN_LABEL else tint
        _draw_part(axes, child, depth + 1, top, whole, tint)
        top += child.area.lut / whole


def _children(part: Part) -> list[Part]:
    """Its parts, and what is in none of them."""
    return [*part.parts, Part(_OWN_LABEL, part.own_area)] if part.parts else []


def _write_label(axes: Any, part: Part, depth: int, top: float, height: float) -> None:
    """Name and figures in the box, where there is room for a line."""
    if height >= _SMALLEST:
        axes.text(
            depth + 0.03, top + height / 2, _label(part), va="center",
            fontsize=11 if height > 0.025 else 8, color=_TEXT, clip_on=True,
        )  # fmt: skip


def _box(depth: int, top: float, height: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (depth, top), _WIDTH, height, facecolor=colour, alpha=0.55, edgecolor="white", linewidth=0.7
    )


def _label(part: Part) -> str:
    """Name and figures."""
    area = part.area
    words = [f"{area.lut:,}"]
    if area.multiplier:
        words.append(f"{area.multiplier} DSP")
    if area.block_ram:
        words.append(f"{area.block_ram} BRAM")
    return f"{part.name}  {', '.join(words)}"
