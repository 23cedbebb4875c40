# SPDX-License-Identifier: Apache-2.0
"""Random work for the grid of a member until so many cycles have passed, without a hang.

Rounds: `tb/system/soak.py`. A round that fails names itself; `--seed S --first N` plays it again.
"""

import argparse
import os
import sys
import time
from collections import Counter

from hw.config import PRESETS
from sw.runtime.grid import Grid
from sw.runtime.simulated import simulated_grid
from tb.common.seeds import bench_seed
from tb.system.soak import soak

__all__ = ["main"]


class _Watch:
    """Counts rounds, and says from time to time where the soak is."""

    def __init__(self, grid: Grid) -> None:
        self.kinds: Counter[str] = Counter()
        self.next_round = 0
        self._grid, self._began, self._told = grid, time.monotonic(), 0.0

    def __call__(self, number: int, kind: str) -> None:
        self.kinds[kind] += 1
        self.next_round = number + 1
        if time.monotonic() - self._told > 10:
            self._told = time.monotonic()
            print(f"round {number}: {self.figures()}", flush=True)

    def figures(self) -> str:
        """Cycles, rounds by kind, seconds."""
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.kinds.items()))
        seconds = time.monotonic() - self._began
        return f"{self._grid.port.cycles} cycles, {kinds}, {seconds:.0f} s"


def main() -> int:
    """Soak."""
    grids = [name for name, config in PRESETS.items() if config.n_pes > 1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny", choices=grids)
    parser.add_argument("--cycles", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=bench_seed())
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    arguments = parser.parse_args()
    os.environ["SEED"] = str(arguments.seed)
    config = PRESETS[arguments.config]
    grid, _ = simulated_grid(config, test=True, seed=arguments.seed, progress=print)
    watch = _Watch(grid)
    watch.next_round = arguments.first
    try:
        soak(grid, arguments.seed, arguments.cycles, first=arguments.first, progress=watch)
        print(f"{config.name}, seed {arguments.seed}: {watch.figures()}; no hang")
    except Exception as error:
        again = f"--config {config.name} --seed {arguments.seed} --first {watch.next_round}"
        print(f"round {watch.next_round} failed, again with: scripts/soak.py {again}\n{error}")
        return 1
    finally:
        grid.port.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
