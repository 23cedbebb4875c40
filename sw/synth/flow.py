# SPDX-License-Identifier: Apache-2.0
"""The flow from an order to its report: netlist, synthesis, checks, place and route, pictures."""

import importlib.metadata
from dataclasses import replace

from rich.console import Console

from sw.files import write_folder
from sw.synth.bitstream import BITSTREAM_FILES, bitstream
from sw.synth.checks import (
    capacity_faults,
    clock_faults,
    clock_notes,
    goal_faults,
    latch_faults,
    loop_faults,
    memory_faults,
    multiplier_faults,
    untimed_faults,
)
from sw.synth.estimate import EstimateError, estimate_paths
from sw.synth.memories import memory_uses
from sw.synth.nextpnr import PlacementError, Tool, find_nextpnr
from sw.synth.order import CHIP, Order
from sw.synth.paths import critical_paths, port_delays
from sw.synth.picture import draw_tree
from sw.synth.placement import Runs, place
from sw.synth.progress import Progress
from sw.synth.report import Report
from sw.synth.synthesis import (
    Synthesis,
    SynthesisError,
    make_netlist,
    synthesise_netlist,
)
from sw.synth.tree import area_tree

__all__ = ["RESULT_FILES", "run_flow", "unmodified"]

_REPORT, _PICTURE = "report.json", "area.png"
RESULT_FILES = (_REPORT, _PICTURE, *BITSTREAM_FILES)
"""All that a run may leave in its folder."""


def run_flow(order: Order, console: Console) -> Report:
    """Everything that `order` asks for; files are left in `order.folder`.

    What an earlier run left there goes as soon as this one can begin, so that nothing of two runs
    stands side by side.

    Raises
    ------
    UserError, ConfigError
        When a tool is missing. What the checks find, and why a tool refuses the design, is in the
        report.
    """
    progress = Progress(console)
    nextpnr = find_nextpnr() if order.with_placement else None
    for name in RESULT_FILES:
        (order.folder / name).unlink(missing_ok=True)
    report = Report(order=order, tools=_versions(nextpnr))
    try:
        synthesis = _synthesise(order, progress)
    except SynthesisError as error:
        report.faults.append(str(error))
    else:
        with progress.phase(f"{_name(order)}: area by parts"):
            _examine(report, synthesis)
        _follow_paths(report, synthesis, nextpnr, progress)
        report.faults += _missed_goals(report)
    _write(report, progress)
    return report


def _name(order: Order) -> str:
    return f"{order.config.name} {order.unit}"


def _versions(nextpnr: Tool | None) -> dict[str, str | None]:
    """Of the tools; None of one that is not needed."""
    yosys = f"pyosys {importlib.metadata.version('pyosys')}"
    return {"yosys": yosys, "nextpnr": nextpnr and nextpnr.version}


def _synthesise(order: Order, progress: Progress) -> Synthesis:
    """The netlist of the device's cells."""
    with progress.phase(f"{_name(order)}: netlist"):
        netlist = make_netlist(order.component(), order.device)
    with progress.phase(f"{_name(order)}: synthesis"):
        return synthesise_netlist(netlist, order.device, progress=progress)


def _examine(report: Report, synthesis: Synthesis) -> None:
    """What the netlist alone tells."""
    order, area = report.order, synthesis.area
    netlist = synthesis.read_netlist()
    report.netlist, report.area = synthesis.key, area
    report.memories = memory_uses(synthesis, netlist)
    report.tree = area_tree(netlist, depth=order.tree_depth, name=order.unit)
    report.faults += [
        *_timing_faults(synthesis),
        *memory_faults(report.memories),
        *untimed_faults(netlist.cells),
        *multiplier_faults(
            area, synthesis.soft_products, order.config, order.device, is_chip=order.is_chip
        ),
        *capacity_faults(area, order.device),
    ]


def _timing_faults(synthesis: Synthesis) -> list[str]:
    """What leaves paths without an end."""
    return [*latch_faults(synthesis.coarse_cells), *loop_faults(synthesis.log)]


def _follow_paths(
    report: Report, synthesis: Synthesis, nextpnr: Tool | None, progress: Progress
) -> None:
    """Estimate and placement, where the design allows them."""
    order, area = report.order, report.area
    if _timing_faults(synthesis):
        return
    if order.with_estimate:
        with progress.phase(f"{_name(order)}: estimate of paths"):
            try:
                report.estimates = estimate_paths(synthesis.read_netlist())
            except EstimateError as error:
                report.notes.append(str(error))
    fits = not capacity_faults(area, order.device) and area.multiplier <= order.device.multipliers
    if nextpnr is not None and fits:
        try:
            _add_placement(report, synthesis, nextpnr, progress)
        except PlacementError as error:
            report.faults.append(str(error))


def _add_placement(report: Report, synthesis: Synthesis, nextpnr: Tool, progress: Progress) -> None:
    """Place and route, and what that tells."""
    order = report.order
    with progress.phase(f"{_name(order)}: place and route"):
        runs = place(
            synthesis,
            order.device,
            seeds=range(order.first_seed, order.first_seed + order.seeds),
            mhz=order.mhz,
            pins=order.pins,
            jobs=order.jobs,
            nextpnr=nextpnr,
            progress=progress,
            minutes=order.minutes,
        )
    report.runs = runs
    report.paths = critical_paths(runs.typical.report, synthesis.read_netlist())
    report.ports = port_delays(runs.typical.report)
    report.faults += [*runs.unfinished, *loop_faults("", _loops(runs))]
    report.faults += clock_faults(runs.median_mhz, order.config, _title(order))
    report.notes += clock_notes(runs.median_mhz, order.config, _title(order))


def _missed_goals(report: Report) -> list[str]:
    """What the report's figures miss of the project's goals."""
    runs = report.runs
    return goal_faults(
        report.order.goal,
        _title(report.order),
        median_mhz=None if runs is None else runs.median_mhz,
        per_mac=report.per_mac,
        lut_per_cent=report.utilisation("lut"),
    )


def _loops(runs: Runs) -> list[str]:
    """nextpnr's complaints, each once."""
    return list(dict.fromkeys(line for run in runs.placements for line in run.loops))


def _title(order: Order) -> str:
    return "The chip" if order.unit == CHIP else f"Unit {order.unit}"


def _write(report: Report, progress: Progress) -> None:
    """Leave the files; the report first, which stays whatever happens to the others."""
    folder = report.order.folder
    write_folder(folder, {_REPORT: report.to_json()})
    files = {**_picture(report), **_bits(report, progress)}
    files = {_REPORT: report.to_json(), **files}
    write_folder(folder, files)
    report.files = tuple(sorted(files))


def _picture(report: Report) -> dict[str, str | bytes]:
    """The picture if it is wanted; a note if it cannot be drawn."""
    if not report.order.with_picture or report.tree is None:
        return {}
    try:
        return {_PICTURE: draw_tree(report.tree, report.order)}
    except Exception as error:  # matplotlib's own faults too: no picture is worth hours of routing
        report.notes.append(f"There is no picture of {report.order.unit}: {error}")
        return {}


def _bits(report: Report, progress: Progress) -> dict[str, str | bytes]:
    """The bitstream of the best run of a chip; its fault if there is none."""
    if report.runs is None or report.runs.typical.text_config is None:
        return {}
    best = max(report.runs.placements, key=lambda run: run.slowest_mhz or 0.0)
    with progress.phase(f"{_name(report.order)}: bitstream"):
        try:
            files = bitstream(best)
        except PlacementError as error:
            report.faults.append(str(error))
            return {}
    report.bitstream_seed = best.seed
    return files


def unmodified(order: Order) -> Order:
    """The same order without changes; the member's own results, perhaps placed, stay."""
    return replace(order, changes=(), compared_in=order.folder)
