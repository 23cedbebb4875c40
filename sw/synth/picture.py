# SPDX-License-Identifier: Apache-2.0
"""The area tree as a picture: each column a level of the design, each height a number of LUTs."""

import io
from typing import Any

from sw.errors import UserError
from sw.synth.order import Order
from sw.synth.tree import AreaTree, Part

__all__ = ["draw_tree"]

_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#9c755f")
_OWN, _TEXT = "#e8e8e8", "#202020"
_SMALLEST = 0.0105
"""Least height, of the picture's, at which a part gets its own label."""
_INCHES = (15.0, 10.5)


def draw_tree(tree: AreaTree, order: Order) -> bytes:
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
            " tree out with --no-tree."
        ) from None
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    n_levels = max(depth for depth, _ in tree.root.walk()) + 1
    _draw_part(axes, tree.root, 0, 0.0, tree.root.area.lut or 1, "#c8d0d8")
    axes.set_xlim(0, n_levels)
    axes.set_ylim(1, 0)
    axes.axis("off")
    area = tree.root.area
    axes.set_title(
        f"{order.config.name} {order.unit} on {order.device.name}: {area.lut:,} LUTs,"
        f" {area.ff:,} FFs by parts; in one piece {tree.flat.lut:,} LUTs"
        f" ({tree.excess:+.1%} by the boundaries)",
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
    if height >= _SMALLEST:
        size = 9.5 if height > 0.02 else 7.5
        axes.text(
            depth + 0.03, top + height / 2, _label(part), va="center", fontsize=size, color=_TEXT,
            clip_on=True,
        )  # fmt: skip
    for index, child in enumerate(part.parts):
        if child.area.lut == 0:
            continue
        tint = _COLOURS[index % len(_COLOURS)] if depth == 0 or len(part.parts) == 1 else colour
        if depth > 0 and len(part.parts) > 1:
            tint = _COLOURS[index % len(_COLOURS)]
        _draw_part(axes, child, depth + 1, top, whole, tint)
        top += child.area.lut / whole


def _box(depth: int, top: float, height: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (depth, top), 0.98, height, facecolor=colour, alpha=0.55, edgecolor="white", linewidth=0.7
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
