# SPDX-License-Identifier: Apache-2.0
"""Draw how busy each unit was over time, from a trace file.

python -m sim.trace.picture gemm.pftrace -o gemm.png

Load this module before anything that loads Yosys (`hw.generate`), or draw in a process of its own:
after Yosys matplotlib's fonts cannot be loaded any more, since both bring their own pybind11.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from hw.arch.units import State, Unit
from sim.trace.reader import ElementTrace, read_trace

matplotlib.use("agg")
from matplotlib import pyplot as plt

__all__ = ["draw_utilisation", "main"]

_LAYERS = (
    ("works", "#2a9d4a", (State.BUSY,)),
    ("waits for data or room", "#e9c46a", (State.WAIT_CB_DATA, State.WAIT_CB_ROOM)),
    (
        "waits for bank, held block or neighbour",
        "#8ab6d6",
        (State.WAIT_BANK, State.WAIT_HELD, State.WAIT_NEIGHBOUR),
    ),
    ("waits for local memory", "#b5838d", (State.WAIT_LS,)),
    ("waits for memory", "#c9b6e4", (State.WAIT_MEMORY, State.WAIT_TAGS)),
    ("halted", "#9a2a2a", (State.HALTED,)),
)
_LANE_INCHES, _FRAME_INCHES = 0.75, 1.5


def draw_utilisation(
    trace: ElementTrace, path: Path, *, title: str = "", windows: int = 300
) -> None:
    """Write a picture with a lane for each unit: the share of its time that it worked, and what it
    waited for, in `windows` equal windows from the first unit's start to the last one's end."""
    units = [unit.name for unit in Unit if trace.states.get(unit.name)]
    start, end = trace.span
    edges = np.linspace(start, max(end, start + 1), windows + 1)
    height = _LANE_INCHES * max(len(units), 1) + _FRAME_INCHES
    figure, lanes = plt.subplots(
        max(len(units), 1), 1, sharex=True, squeeze=False, figsize=(10, height)
    )
    for axes, unit in zip(lanes[:, 0], units, strict=False):
        _draw_lane(axes, trace, unit, edges)
    lanes[0, 0].text(1.01, 1.05, "works", transform=lanes[0, 0].transAxes, fontsize=8)
    lanes[-1, 0].xaxis.set_major_formatter("{x:,.0f}")
    word = "steps" if "one step" in trace.description else "cycles"
    lanes[-1, 0].set_xlabel(f"{word} since the first unit started")
    handles = [Patch(color=colour, label=label) for label, colour, _ in _LAYERS[:-1]]
    figure.suptitle(title or f"{trace.name}: what each unit did", x=0.02, ha="left", fontsize=11)
    figure.legend(handles=handles, ncols=len(handles), loc="lower left", frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.35 / height, 1, 1), h_pad=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_lane(axes: Axes, trace: ElementTrace, unit: str, edges: np.ndarray) -> None:
    """Stacked shares of one unit, and on the right how much of the whole time it worked."""
    base = np.zeros(len(edges) - 1)
    for _, colour, states in _LAYERS:
        share = sum(trace.shares(unit, state, edges) for state in states)
        axes.stairs(base + share, edges - edges[0], baseline=base, fill=True, color=colour, lw=0)
        base = base + share
    busy = trace.total(unit, State.BUSY) / (edges[-1] - edges[0])
    axes.set_xlim(0, edges[-1] - edges[0])
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel(unit, rotation=0, ha="right", va="center")
    axes.text(1.01, 0.5, f"{100 * busy:.0f} %", transform=axes.transAxes, va="center", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def main() -> None:
    """Draw one file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    draw_utilisation(read_trace(options.trace), options.output, title=options.title)


if __name__ == "__main__":
    main()
