# SPDX-License-Identifier: Apache-2.0
"""Pictures of what the network made of the held-out digits."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from sw.files import atomic_path

matplotlib.use("agg")
from matplotlib import pyplot as plt

__all__ = ["draw_confusion", "draw_digits"]

_RIGHT, _WRONG = "#2a7f3f", "#c0392b"
_GRID = (5, 10)
"""Rows and columns of the sheet of images."""


def draw_confusion(labels: NDArray[np.int64], found: NDArray[np.int64], path: Path) -> None:
    """Which digit was taken for which."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, found), 1)
    figure, axes = plt.subplots(figsize=(6.4, 6.2))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Right ones green, wrong ones red and strong enough that a single one is seen.
    colours = np.ones((10, 10, 3))
    for row, column in np.ndindex(10, 10):
        if counts[row, column]:
            strength = 0.15 + 0.6 * share[row, column] if row == column else 0.35
            paint = np.array(to_rgb(_RIGHT if row == column else _WRONG))
            colours[row, column] = 1 - strength * (1 - paint)
    axes.imshow(colours)
    for row, column in np.ndindex(10, 10):
        if counts[row, column]:
            weight = "normal" if row == column else "bold"
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", weight=weight
            )
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xticks(np.arange(-0.5, 10), minor=True)
    axes.set_yticks(np.arange(-0.5, 10), minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("taken for")
    axes.set_ylabel("digit")
    right = int(np.trace(counts))
    axes.set_title(
        f"{right} of {labels.size} held-out digits right ({100 * right / labels.size:.1f} %)"
    )
    _save(figure, path)


def draw_digits(
    images: NDArray[np.uint8], labels: NDArray[np.int64], logits: NDArray[np.float32], path: Path
) -> None:
    """A sheet of images with what they were taken for: all wrong ones first, then some right."""
    found = logits.argmax(axis=1)
    wrong, right = np.flatnonzero(found != labels), np.flatnonzero(found == labels)
    rows, columns = _GRID
    chosen = np.concatenate([wrong, right])[: rows * columns]
    figure, grid = plt.subplots(rows, columns, figsize=(11, 6.6))
    for axes, number in zip(grid.ravel(), chosen, strict=False):
        _draw_digit(axes, images[number], int(labels[number]), logits[number])
    for axes in grid.ravel()[chosen.size :]:
        axes.axis("off")
    figure.suptitle(
        f"What the chip saw: the {wrong.size} wrong ones first (red), then right ones;"
        " in brackets the softmax of the logits"
    )
    _save(figure, path)


def _draw_digit(
    axes: Axes, image: NDArray[np.uint8], label: int, logits: NDArray[np.float32]
) -> None:
    found = int(logits.argmax())
    shares = np.exp(logits - logits.max())
    percent = 100 * shares[found] / shares.sum()
    axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
    name = f"{found}" if found == label else f"{label} as {found}"
    colour = _RIGHT if found == label else _WRONG
    axes.set_title(f"{name} ({percent:.0f} %)", fontsize=9, color=colour)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#cccccc" if found == label else _WRONG)


def _save(figure: plt.Figure, path: Path) -> None:  # pyright: ignore[reportPrivateImportUsage]
    figure.tight_layout()
    with atomic_path(path) as target:
        figure.savefig(target, dpi=110)
    plt.close(figure)
