# SPDX-License-Identifier: Apache-2.0
"""Measure kernels of the SIMD engine and the layout unit on the RTL, and check every bit.

Softmax and LayerNorm of rows of 1,024 elements against the roof of local memory, embedding pooling
against the element's link, transposes. Cycles are the hardware's, from job start to completion;
results must equal the functional simulator's bit for bit. They go to
`build/results/se-MEMBER.json`. The exit code is 1 when a result is wrong or a figure below its
floor.

Roofs: the engine reads two words of local memory a cycle. *passes* is the time to read every row
once at that rate for each pass, *once* the time to read every row once and write it once, which
run side by side. *link* is the time that the rows gathered, and nothing else, take on the link.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from hw.config import ChipConfig, ConfigError, get_config
from scripts.cycle_record import check_cycles
from sw.files import write_atomic
from sw.runtime import ops
from sw.runtime.chip import Chip
from sw.runtime.device import DeviceName, open_device
from sw.runtime.ops import OpRun

__all__ = ["Measured", "Row", "main", "measure"]

RESULTS = Path(__file__).resolve().parents[1] / "build" / "results"
_TABLE_WIDTH = 110


@dataclass(frozen=True)
class Row:
    """One kernel on one problem."""

    name: str
    run: Callable[[Chip], OpRun]
    roof: float
    """Cycles that the figure is measured against."""
    against: str
    floor: float = 0.0
    strict: float | None = None
    """Cycles of reading and writing once."""


@dataclass(frozen=True)
class Measured:
    """What one row showed."""

    name: str
    cycles: int
    figure: float
    against: str
    floor: float
    once: float | None
    is_exact: bool
    commands: int

    @property
    def is_good(self) -> bool:
        """Whether every bit is right and the floor is reached."""
        return self.is_exact and self.figure >= self.floor


def _rows_kernels(config: ChipConfig, rng: np.random.Generator) -> list[Row]:
    """Softmax and LayerNorm, two passes each."""
    pe = config.pe
    rows, n = (256, 1024) if pe.dpe.columns >= 32 else (48, 256)
    x = (rng.standard_normal((rows, n)) * 3).astype(np.float32)
    once = x.nbytes / (2 * pe.ls.word_bytes)
    size = f"{rows} x {n}"
    return [
        Row(f"softmax {size}", lambda c: ops.softmax(c, x), 2 * once, "passes", 0.5, once),
        Row(f"LayerNorm {size}", lambda c: ops.layernorm(c, x), 2 * once, "passes", 0.5, once),
        Row(f"dynamic INT8 {size}", lambda c: ops.quantize(c, x), once, "passes", 0.0, once),
    ]


def _pooling_kernels(config: ChipConfig, rng: np.random.Generator) -> list[Row]:
    """Bags of 32 rows of 128 bytes (less on small members)."""
    full = config.pe.dpe.columns >= 32
    bags, width, n_table = (512, 32, 4096) if full else (48, 8, 512)
    table = rng.standard_normal((n_table, width)).astype(np.float32)
    indices = rng.integers(0, n_table, (bags, 32)).astype(np.int32)
    weights = rng.standard_normal((bags, 32)).astype(np.float32)
    roof = bags * 32 * width * 4 / config.pe.link_bytes
    what = f"{bags} bags of 32 x {4 * width} B"
    return [
        Row(
            f"pooling {what}", lambda chip: ops.pooling(chip, table, indices), roof, "link",
            0.9 if full else 0.0,
        ),
        Row(
            f"weighted pooling {what}", lambda chip: ops.pooling(chip, table, indices, weights),
            roof, "link",
        ),
    ]  # fmt: skip


def _transpose_kernels(config: ChipConfig, rng: np.random.Generator) -> list[Row]:
    """From memory to memory; each direction of the link carries every byte once."""
    size = 512 if config.pe.dpe.columns >= 32 else 96
    found = []
    for dtype in (np.int8, np.float16):
        n_bytes = np.dtype(dtype).itemsize
        x = rng.integers(0, 256, (size, size * n_bytes)).astype(np.uint8).view(dtype)
        roof = x.nbytes / config.pe.ls.word_bytes  # a word a cycle through the layout unit
        found.append(
            Row(
                f"transpose {size} x {size} {np.dtype(dtype).name}",
                lambda chip, x=x: ops.transpose(chip, x), roof, "a word a cycle",
            )
        )  # fmt: skip
    return found


def measure(row: Row, chip: Chip, model: Chip) -> Measured:
    """Run one row on the RTL and on the functional simulator."""
    run, wanted = row.run(chip), row.run(model)
    cycles = run.job.cycles or 0
    return Measured(
        name=row.name,
        cycles=cycles,
        figure=row.roof / cycles,
        against=row.against,
        floor=row.floor,
        once=None if row.strict is None else row.strict / cycles,
        is_exact=all(run.results[name].tobytes() == wanted.results[name].tobytes()
                     for name in wanted.results),
        commands=run.n_commands,
    )  # fmt: skip


def _show(config: str, results: list[Measured]) -> None:
    table = Table(title=f"SIMD engine and layout unit on {config}", box=box.SIMPLE_HEAD)
    table.add_column("kernel", no_wrap=True)
    for head in ("bits", "cycles", "of roof", "roof", "of once", "commands"):
        table.add_column(head, justify="right", no_wrap=True)
    for result in results:
        figure = f"{100 * result.figure:.1f} %"
        table.add_row(
            result.name,
            "exact" if result.is_exact else "[red]WRONG[/]",
            f"{result.cycles:,}",
            figure if result.figure >= result.floor else f"[red]{figure}[/]",
            result.against,
            "" if result.once is None else f"{100 * result.once:.1f} %",
            f"{result.commands:,}",
        )
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table)


def main() -> int:
    """Measure, show, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default="mtia100-pe")
    config_name = parser.parse_args().config
    try:
        config = get_config(config_name)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    rng = np.random.default_rng(int(os.environ.get("SEED") or 1))
    rows = [
        row
        for kernels in (_rows_kernels, _pooling_kernels, _transpose_kernels)
        for row in kernels(config, rng)
    ]
    with Console(stderr=True).status("starting ...") as status:
        chip = open_device(DeviceName.RTL, config, progress=status.update)
        model = open_device(DeviceName.FUNCTIONAL, config)
        results = []
        for row in rows:
            status.update(row.name)
            results.append(measure(row, chip, model))
        chip.port.close()
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(result) for result in results], indent=2)
    write_atomic(RESULTS / f"se-{config.name}.json", text + "\n")
    _show(config.name, results)
    moved = check_cycles({f"{config.name}: {result.name}": result.cycles for result in results})
    return int(moved > 0 or not all(result.is_good for result in results))


if __name__ == "__main__":
    sys.exit(main())
