# SPDX-License-Identifier: Apache-2.0
"""The flow from an order to its report: netlist, synthesis, checks, place and route, pictures."""

import importlib.metadata
from dataclasses import replace

from rich.console import Console

from hw.fpga.netlist import fpga_netlist
from sw.files import write_folder
from sw.synth.bitstream import bitstream
from sw.synth.checks import (
    capacity_faults,
    clock_faults,
    latch_faults,
    loop_faults,
    memory_faults,
    multiplier_faults,
)
from sw.synth.estimate import estimate_paths
from sw.synth.memories import memory_uses
from sw.synth.order import CHIP, Order
from sw.synth.paths import critical_paths, port_delays
from sw.synth.picture import draw_tree
from sw.synth.placement import Runs, nextpnr_version, place
from sw.synth.progress import Progress
from sw.synth.report import Report
from sw.synth.synthesis import Synthesis, synthesise_netlist
from sw.synth.tree import area_tree

__all__ = ["run_flow", "unmodified"]


def run_flow(order: Order, console: Console) -> Report:
    """Everything that `order` asks for; files are left in `order.folder`.

    Raises
    ------
    UserError, ConfigError
        When a design or a tool stands in the way. What the checks find is in the report.
    """
    progress = Progress(console)
    name = f"{order.config.name} {order.unit}"
    with progress.phase(f"{name}: netlist"):
        netlist = fpga_netlist(order.component(), family=order.device.family)
    with progress.phase(f"{name}: synthesis"):
        synthesis = synthesise_netlist(netlist, order.device, progress=progress)
    with progress.phase(f"{name}: area by parts"):
        report = _examine(order, synthesis)
    if order.with_estimate:
        with progress.phase(f"{name}: estimate of paths"):
            report.estimates = estimate_paths(synthesis.read_netlist())
    if order.with_placement and not capacity_faults(report.area, order.device):
        if report.area.multiplier <= order.device.multipliers:
            _add_placement(report, synthesis, progress)
    _write(report, progress)
    return report


def _examine(order: Order, synthesis: Synthesis) -> Report:
    """What the netlist alone tells."""
    config, device, area = order.config, order.device, synthesis.area
    netlist = synthesis.read_netlist()
    memories = memory_uses(synthesis, netlist.cell_types)
    return Report(
        order=order,
        area=area,
        memories=memories,
        tree=area_tree(netlist, depth=order.tree_depth, name=order.unit),
        tools={
            "yosys": f"pyosys {importlib.metadata.version('pyosys')}",
            "nextpnr": nextpnr_version(),
        },
        faults=[
            *latch_faults(synthesis.coarse_cells),
            *loop_faults(synthesis.log),
            *memory_faults(memories),
            *multiplier_faults(area, synthesis.soft_products, config, device),
            *capacity_faults(area, device),
        ],
    )


def _add_placement(report: Report, synthesis: Synthesis, progress: Progress) -> None:
    """Place and route, and what that tells."""
    order = report.order
    with progress.phase(f"{order.config.name} {order.unit}: place and route"):
        runs = place(
            synthesis,
            order.device,
            seeds=range(1, order.seeds + 1),
            mhz=order.mhz,
            pins=order.pins,
            jobs=order.jobs,
            progress=progress,
        )
    report.runs = runs
    report.paths = critical_paths(runs.typical.report, synthesis.read_netlist())
    report.ports = port_delays(runs.typical.report)
    report.faults += loop_faults("", _loops(runs))
    report.faults += clock_faults(runs.median_mhz, order.config, _title(order))


def _loops(runs: Runs) -> list[str]:
    """nextpnr's complaints, each once."""
    return list(dict.fromkeys(line for run in runs.placements for line in run.loops))


def _title(order: Order) -> str:
    return "The chip" if order.unit == CHIP else f"Unit {order.unit}"


def _write(report: Report, progress: Progress) -> None:
    """Leave the files."""
    order = report.order
    files: dict[str, str | bytes] = {"report.json": report.to_json()}
    if order.with_picture:
        files["area.png"] = draw_tree(report.tree, order)
    if report.runs is not None and report.runs.typical.text_config is not None:
        best = max(report.runs.placements, key=lambda run: run.slowest_mhz or 0.0)
        with progress.phase(f"{order.config.name} {order.unit}: bitstream"):
            files |= bitstream(best)
    write_folder(order.folder, files)


def unmodified(order: Order) -> Order:
    """The same order without changes."""
    return replace(order, changes=())
