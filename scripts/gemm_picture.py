# SPDX-License-Identifier: Apache-2.0
"""Draw what every unit did in a recorded GEMM, and how C is cut into blocks.

WAVES=1 mtia gemm A.npy B.npy -o C.npy --config tiny
python scripts/gemm_picture.py dump.fst --shape 40 24 64 -o docs/images/gemm.png
"""

import argparse
from pathlib import Path

import matplotlib
import pywellen
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hw.arch.units import State
from hw.config import get_config
from sw.files import atomic_path

matplotlib.use("agg")
from matplotlib import pyplot as plt

UNITS = {
    "FI in, A": "fi.reader.row.engine.status.state",
    "FI in, B": "fi.reader.col.engine.status.state",
    "DPE": "dpe.control__status.state",
    "RE": "re.control__status.state",
    "FI out, C": "fi.writer.engine.status.state",
}
COLOURS = {
    State.BUSY: ("#2a9d4a", "works"),
    State.WAIT_CB_DATA: ("#e9c46a", "waits for data"),
    State.WAIT_CB_ROOM: ("#f4a261", "waits for room"),
    State.WAIT_BANK: ("#8ab6d6", "waits for a bank"),
    State.WAIT_MEMORY: ("#c9b6e4", "waits for memory"),
    State.WAIT_TAGS: ("#c9b6e4", ""),
    State.WAIT_HELD: ("#e76f51", "waits for the held block"),
    State.WAIT_LS: ("#b5838d", "waits for local memory"),
}


def states(waves: Path) -> tuple[dict[str, list[tuple[int, int, int]]], int]:
    """Unit to (from, to, state) in cycles, and the last cycle in which any unit was not idle."""
    found, end = {}, 0
    file = pywellen.Waveform(str(waves))  # pyright: ignore[reportAttributeAccessIssue]
    variables = {v.full_name.replace("\\", ""): v for v in file.all_vars()}
    for unit, suffix in UNITS.items():
        variable = next(v for name, v in variables.items() if name.strip().endswith(suffix))
        changes = [(time // 2, int(value)) for time, value in variable.tv]
        spans = []
        for (start, state), (stop, _) in zip(
            changes, [*changes[1:], (changes[-1][0], 0)], strict=True
        ):
            if state:
                spans.append((start, stop, state))
                end = max(end, stop)
        found[unit] = spans
    return found, end


def _merge(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring pieces as one, so that the picture stays small."""
    merged: list[tuple[int, int]] = []
    for start, length in pieces:
        if merged and sum(merged[-1]) == start:
            merged[-1] = (merged[-1][0], merged[-1][1] + length)
        else:
            merged.append((start, length))
    return merged


def draw_activity(axes: Axes, waves: Path) -> None:
    """One lane a unit."""
    lanes, end = states(waves)
    start = min(spans[0][0] for spans in lanes.values() if spans)
    for row, (_unit, spans) in enumerate(reversed(lanes.items())):
        for state, (colour, _) in COLOURS.items():
            pieces = [(a - start, b - a) for a, b, s in spans if s == state]
            axes.broken_barh(_merge(pieces), (row - 0.4, 0.8), color=colour, linewidth=0)
    axes.set_yticks(range(len(lanes)), list(reversed(lanes)))
    axes.set_xlim(0, end - start)
    axes.set_xlabel("cycles since the first command")
    for colour, words in dict.fromkeys(v for v in COLOURS.values() if v[1]):
        axes.barh(0, 0, color=colour, label=words)
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize=8)
    axes.set_title("What the units do, side by side")


def draw_blocks(axes: Axes, m: int, n: int, rows: int, tile: int) -> None:
    """C with its blocks (thick) and tiles (thin), whole blocks and rests in different colours."""
    for top in range(0, m, rows):
        for left in range(0, n, rows):
            height, width = min(rows, m - top), min(rows, n - left)
            rest = (height < rows) + 2 * (width < rows)
            colour = ("#dfeee3", "#fbe9cf", "#e3ecf5", "#f3dfe3")[rest]
            axes.add_patch(Rectangle((left, top), width, height, fc=colour, ec="k", lw=1.5))
    for at in range(tile, max(m, n), tile):
        axes.plot([at, at], [0, m] if at < n else [0, 0], "k:", lw=0.5)
        axes.plot([0, n] if at < m else [0, 0], [at, at], "k:", lw=0.5)
    axes.set_xlim(0, n)
    axes.set_ylim(m, 0)
    axes.set_aspect("equal")
    axes.set_title("C: blocks, tiles, regions")
    axes.set_xlabel("N")
    axes.set_ylabel("M")


def main() -> None:
    """Draw both into one picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("waves", type=Path)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("M", "N", "K"), required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    pe = get_config(options.config).pe
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), width_ratios=(1, 4))
    m, n, _k = options.shape
    draw_blocks(left, m, n, round(pe.re.banks**0.5) * pe.dpe.columns, pe.dpe.columns)
    draw_activity(right, options.waves)
    figure.tight_layout()
    with atomic_path(options.output) as path:
        figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
