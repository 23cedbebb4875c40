# SPDX-License-Identifier: Apache-2.0
"""INT8 inference of a small network on real images, by the RTL of one element.

Trains on scikit-learn's handwritten digits, quantises, runs all held-out images on the RTL and on
the functional simulator, which must agree in every bit, and draws pictures into `build/showcase/`.
The exit code is 1 when the two differ, or when too few digits are right.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from hw.config import ConfigError, get_config
from scripts.digits.pictures import draw_confusion, draw_digits
from scripts.digits.training import PIXEL, Digits, load, train
from sim.trace.picture import draw_utilisation
from sim.trace.reader import read_trace
from sw.files import write_atomic
from sw.runtime.device import DeviceName, open_device
from sw.runtime.infer import LayerRun, prepare_network, run_network
from sw.runtime.network import Network, save_network
from sw.runtime.quantize import quantize_network
from sw.runtime.reference import float64_layers
from sw.runtime.tracing import recorded

__all__ = ["Outcome", "main", "run_member"]

ROOT = Path(__file__).resolve().parents[1]
SHOWCASE = ROOT / "build" / "showcase"
RESULTS = ROOT / "build" / "results"
_MEMBERS = ("tiny", "mtia100-pe")
_LEAST_RIGHT = 0.95


@dataclass(frozen=True)
class Outcome:
    """What one member made of the held-out images."""

    config: str
    logits: NDArray[np.float32]
    mismatches: int
    """Elements of all layers in which RTL and functional simulator differ."""
    layers: list[LayerRun]
    seconds: dict[str, float]

    def right(self, labels: NDArray[np.int64]) -> int:
        """Images of which the largest logit is the label's."""
        return int((self.logits.argmax(axis=1) == labels).sum())


def _learn(digits: Digits, bar: Progress) -> Network:
    """The quantised network, kept with its inputs for `mtia compare`."""
    task = bar.add_task("training", total=1)
    layers = train(digits, lambda share: bar.update(task, completed=share))
    network = quantize_network(
        "digits", layers, digits.train_images, PIXEL, examples=digits.test_images[:64]
    )
    save_network(SHOWCASE / "digits.npz", network)
    return network


def run_member(config: str, network: Network, images: NDArray[np.uint8], bar: Progress) -> Outcome:
    """All images on the functional simulator and on the RTL of one member."""
    member = get_config(config)
    job = prepare_network(member, network, images.shape[0])
    runs, seconds = {}, {}
    for device in (DeviceName.FUNCTIONAL, DeviceName.RTL):
        task = bar.add_task(f"{config}, {device}", total=_expected_cycles(job.steps, member))
        chip = open_device(device, member, progress=_tell(bar, task, f"{config}, {device}: "))
        began = time.monotonic()
        try:
            is_rtl = device is DeviceName.RTL
            with recorded(chip, SHOWCASE / f"digits-{config}.pftrace" if is_rtl else None):
                runs[device] = run_network(chip, job, images, progress=_follow(bar, task, job))
        finally:
            chip.port.close()
        seconds[str(device)] = time.monotonic() - began
        bar.update(task, completed=bar.tasks[task].total)
    rtl, functional = runs[DeviceName.RTL], runs[DeviceName.FUNCTIONAL]
    wrong = sum(_differing(a.output, b.output) for a, b in zip(rtl, functional, strict=True))
    return Outcome(config, rtl[-1].output, wrong, rtl, seconds)


def _expected_cycles(steps: tuple[Any, ...], member: Any) -> int:
    """Cycles of all layers without any waste, as the length of the bar."""
    peak = member.pe.dpe.macs_per_cycle()
    return max(1, sum(step.plan.problem.macs for step in steps) // peak)


def _tell(bar: Progress, task: TaskID, start: str) -> Any:
    return lambda text: bar.update(task, description=start + text)


def _follow(bar: Progress, task: TaskID, job: Any) -> Any:
    """Moves the bar by cycles, up to a layer's share."""
    names = [layer.name for layer in job.network.layers]
    shares = [step.plan.problem.macs for step in job.steps]
    total = bar.tasks[task].total or 1

    def show(layer: int, cycles: int) -> None:
        done = total * sum(shares[:layer]) / sum(shares)
        limit = total * shares[layer] / sum(shares)
        title = bar.tasks[task].description.partition(": ")[0]
        bar.update(task, completed=done + min(cycles, limit))
        bar.update(task, description=f"{title}: {names[layer]}")

    return show


def _differing(one: NDArray[Any], other: NDArray[Any]) -> int:
    kind = f"u{one.dtype.itemsize}"
    return int((one.view(kind) != other.view(kind)).sum())


def _record(outcome: Outcome, digits: Digits) -> dict[str, Any]:
    """Figures of one member as JSON."""
    return {
        "config": outcome.config,
        "images": digits.test_labels.size,
        "right": outcome.right(digits.test_labels),
        "mismatches": outcome.mismatches,
        "seconds": outcome.seconds,
        "layers": [{"name": run.layer.name, **run.perf} for run in outcome.layers],
    }


def _draw(outcome: Outcome, digits: Digits) -> list[Path]:
    """The pictures of one member."""
    folder, config = SHOWCASE, outcome.config
    paths = [folder / f"{name}-{config}.png" for name in ("confusion", "digits", "utilisation")]
    draw_confusion(digits.test_labels, outcome.logits.argmax(axis=1), paths[0])
    draw_digits(digits.test_images, digits.test_labels, outcome.logits, paths[1])
    trace = read_trace(folder / f"digits-{config}.pftrace")
    layers = len(outcome.layers)
    title = f"{config}: {digits.test_labels.size} digits through {layers} layers, INT8;"
    title += " between layers the host reads all counters"
    draw_utilisation(trace, paths[2], title=title)
    return paths


def _show(console: Console, network: Network, outcomes: list[Outcome], digits: Digits) -> None:
    """The table."""
    labels = digits.test_labels
    *_, real = float64_layers(network, digits.test_images)
    table = Table(title=f"{labels.size} held-out digits", box=box.SIMPLE_HEAD)
    for head in ("member", "right", "float64", "RTL = functional", "cycles", "busy", "seconds"):
        table.add_column(head, justify="left" if head == "member" else "right", no_wrap=True)
    for outcome in outcomes:
        cycles = sum(run.perf["cycles"] for run in outcome.layers)
        busy = sum(run.perf["macs"] for run in outcome.layers)
        busy /= cycles * outcome.layers[0].perf["peak_macs_per_cycle"]
        equal = "every bit" if not outcome.mismatches else f"[red]{outcome.mismatches} differ[/]"
        table.add_row(
            outcome.config,
            f"{100 * outcome.right(labels) / labels.size:.1f} %",
            f"{100 * (real.argmax(axis=1) == labels).mean():.1f} %",
            equal,
            f"{cycles:,}",
            f"{100 * busy:.0f} %",
            f"{outcome.seconds['rtl']:.1f}",
        )
    console.print(table)


def main() -> int:
    """Train, run, draw, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", action="append", help="member; may be given more than once")
    members = parser.parse_args().config or list(_MEMBERS)
    for folder in (SHOWCASE, RESULTS):
        folder.mkdir(parents=True, exist_ok=True)
    console, digits = Console(), load()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            network = _learn(digits, bar)
            outcomes = [run_member(name, network, digits.test_images, bar) for name in members]
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    for outcome in outcomes:
        text = json.dumps(_record(outcome, digits), indent=2)
        write_atomic(RESULTS / f"digits-{outcome.config}.json", text + "\n")
    _show(console, network, outcomes, digits)
    for path in [path for outcome in outcomes for path in _draw(outcome, digits)]:
        console.print(f"picture: {path.relative_to(ROOT)}")
    least = _LEAST_RIGHT * digits.test_labels.size
    return int(any(o.mismatches or o.right(digits.test_labels) < least for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
