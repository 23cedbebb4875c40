# SPDX-License-Identifier: Apache-2.0
"""`mtia compare`: a network on RTL, functional model and float64, layer by layer."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hw.config import ChipConfig, get_config
from sw.cli.building import build_teller
from sw.cli.files import check_outputs, load_array
from sw.cli.options import CONFIG, TRACE
from sw.files import write_atomic
from sw.runtime.compare import LayerDifference, compare_layers
from sw.runtime.device import DeviceName, open_device
from sw.runtime.infer import LayerRun, NetworkJob, prepare_network, run_network
from sw.runtime.network import Network, load_network
from sw.runtime.operands import DTYPES
from sw.runtime.tracing import recorded

__all__ = ["command"]

_TABLE_WIDTH = 108
_RANDOM_INPUTS = 16


def command(
    network: Annotated[Path, typer.Argument(metavar="NET.npz", help="Quantised network.")],
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", metavar="X.npy", help="Inputs; else the file's examples."),
    ] = None,
    config: CONFIG = "tiny",
    report: Annotated[
        Path | None, typer.Option("--json", metavar="REPORT", help="Write the figures here.")
    ] = None,
    trace: TRACE = None,
) -> None:
    """Run a network on RTL, functional model and float64, and show where they part.

    RTL and functional model must agree in every bit: the exit code is 1 if they do not. From
    float64, with the weights as trained, they part by what quantisation costs.
    """
    member = get_config(config)
    net = load_network(network)
    values = _inputs(net, inputs)
    check_outputs([report, trace], [network, inputs])
    job = prepare_network(member, net, values.shape[0])
    rtl, functional = _run_both(member, job, values, trace)
    layers = compare_layers(net, values, rtl, functional)
    if report is not None:
        write_atomic(report, json.dumps(_figures(member, net, layers), indent=2) + "\n")
    _show(member, net, layers)
    if any(layer.mismatches for layer in layers):
        raise typer.Exit(1)


def _inputs(net: Network, path: Path | None) -> NDArray[Any]:
    """The asked inputs, else the examples of the file, else random ones."""
    if path is not None:
        return net.as_inputs(load_array(path, "--inputs"))
    if net.examples is not None:
        return net.as_inputs(net.examples)
    rng, shape = np.random.default_rng(1), (_RANDOM_INPUTS, net.n_inputs)
    dtype = DTYPES[net.in_format]
    if net.in_format.is_float:
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, endpoint=True).astype(dtype)


def _run_both(
    member: ChipConfig, job: NetworkJob, values: NDArray[Any], trace: Path | None
) -> tuple[list[LayerRun], list[LayerRun]]:
    """The same job on both devices, with a bar; `trace` is of the RTL."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        found = []
        for device in (DeviceName.FUNCTIONAL, DeviceName.RTL):
            task = bar.add_task(f"{device}: starting", total=len(job.steps))

            def say(text: str, task: Any = task, device: DeviceName = device) -> None:
                bar.update(task, description=f"{device}: {text}")

            def show(layer: int, cycles: int, task: Any = task, say: Any = say) -> None:
                bar.update(task, completed=layer)
                say(f"{escape(job.network.layers[layer].name)}, {cycles:,} cycles")

            chip = open_device(device, member, progress=build_teller(console, member.name, say))
            try:
                with recorded(chip, trace if device is DeviceName.RTL else None):
                    found.append(run_network(chip, job, values, progress=show))
            finally:
                chip.port.close()
            bar.update(task, completed=len(job.steps), description=f"{device}: done")
    functional, rtl = found
    return rtl, functional


def _figures(member: ChipConfig, net: Network, layers: list[LayerDifference]) -> dict[str, Any]:
    return {
        "config": member.name,
        "network": net.name,
        "inputs": layers[0].shape[0],
        "mismatches": sum(layer.mismatches for layer in layers),
        "layers": [
            {name: _for_json(value) for name, value in dataclasses.asdict(layer).items()}
            for layer in layers
        ],
    }


def _for_json(value: Any) -> Any:
    """The value, or null for an infinity, which JSON has no number for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(member: ChipConfig, net: Network, layers: list[LayerDifference]) -> None:
    title = f"{escape(net.name)}, {layers[0].shape[0]} inputs, on {member.name}"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("layer", no_wrap=True)
    for head in (
        "result",
        "RTL <> functional",
        "max error",
        "mean error",
        "at",
        "SQNR dB",
        "cycles",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    for layer in layers:
        table.add_row(
            escape(layer.layer),
            f"{layer.shape[0]} x {layer.shape[1]} {layer.out}",
            _mismatch(layer),
            f"{layer.max_error:.4g}",
            f"{layer.mean_error:.4g}",
            f"{layer.worst[0]}, {layer.worst[1]}",
            "-" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f}",
            "-" if layer.cycles is None else f"{layer.cycles:,}",
        )
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table)
    console.print("errors: RTL against float64 with the weights as trained, in real units")


def _mismatch(layer: LayerDifference) -> str:
    if layer.first_mismatch is None:
        return "[green]equal[/]"
    row, column = layer.first_mismatch
    return f"[red]{layer.mismatches} differ, first {row}, {column}[/]"
