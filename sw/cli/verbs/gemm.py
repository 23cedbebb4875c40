# SPDX-License-Identifier: Apache-2.0
"""`mtia gemm`: C = A @ B with everything that may follow it, on one element or on the grid."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from hw.arch.commands import Function
from hw.arch.formats import Format
from hw.config import ChipConfig, get_config
from sw.cli.files import check_folder, check_outputs, load_array
from sw.cli.gemm_options import (
    ACTIVATION,
    BIAS,
    CACHE_WAYS,
    DTYPE,
    GRID,
    LEFT_OUT_ROW,
    MATRIX_A,
    MATRIX_B,
    NO_MULTICAST,
    OUT,
    PERF,
    PLACE,
    PRELOAD,
    RELU,
    REPORT,
    RESULT,
    SCALE,
    STALL_LIMIT,
    THREADS,
    Activation,
    OutFormat,
    Place,
)
from sw.cli.gemm_task import OnElement, OnGrid, run_task
from sw.cli.options import (
    CONFIG,
    DEVICE,
    TRACE,
    TRACE_ELEMENTS,
    TRACE_FROM,
    TRACE_TO,
    WAVE_ELEMENT,
    WAVE_FROM,
    WAVE_TO,
    WAVES,
)
from sw.cli.places import parse_place
from sw.cli.recording import chosen_trace, chosen_waves
from sw.errors import UserError
from sw.files import atomic_path, write_atomic
from sw.report.page import PAGE_NAME, write_report
from sw.report.record import RunRecord
from sw.runtime.cache import check_cache_ways
from sw.runtime.device import DeviceName
from sw.runtime.gemm import Finish, GemmRun, as_operand, prepare_gemm
from sw.runtime.grid_gemm import prepare_grid_gemm
from sw.runtime.left_out import check_left_out, tile_of

__all__ = ["command"]

_AS_A_WHOLE = "one element is recorded as a whole"
_GRID_ONLY = {
    "--trace-from": _AS_A_WHOLE,
    "--trace-to": _AS_A_WHOLE,
    "--trace-elements": _AS_A_WHOLE,
    "--wave-element": _AS_A_WHOLE,
    "--left-out-row": "one element has no rows",
    "--cache-ways": "a chip of one element has no cache",
    "--threads": "one element is simulated by one",
    "--no-multicast": "one element shares no reads",
}
"""Options that only a grid knows, and why so."""


def command(
    a: MATRIX_A,
    b: MATRIX_B,
    output: RESULT,
    config: CONFIG = "mtia100-pe",
    device: DEVICE = DeviceName.RTL,
    perf: PERF = None,
    place: PLACE = Place.AUTO,
    dtype: DTYPE = None,
    bias: BIAS = None,
    relu: RELU = False,
    out: OUT = None,
    scale: SCALE = None,
    activation: ACTIVATION = None,
    preload: PRELOAD = False,
    stall_limit: STALL_LIMIT = 20_000,
    trace: TRACE = None,
    trace_from: TRACE_FROM = None,
    trace_to: TRACE_TO = None,
    trace_elements: TRACE_ELEMENTS = None,
    waves: WAVES = None,
    wave_from: WAVE_FROM = None,
    wave_to: WAVE_TO = None,
    wave_element: WAVE_ELEMENT = None,
    report: REPORT = None,
    grid: GRID = False,
    no_multicast: NO_MULTICAST = False,
    left_out_row: LEFT_OUT_ROW = None,
    cache_ways: CACHE_WAYS = None,
    threads: THREADS = None,
) -> None:
    """Multiply two matrices on the chip: C[M,N] = convert(f(relu(A[M,K] @ B[K,N] + bias) * scale)).

    int8 and uint8 (any mix) are summed in int32, float16 and bfloat16 in float32, bit for bit as
    docs/numerics.md says. Without options C holds the sums. Cycles of traces and waves count from
    power-on. WAVES=1 records dump.fst as well (WAVES_FROM, WAVES_TO, WAVES_SCOPE an instance).
    """
    member = get_config(config)
    left = as_operand(load_array(a, "A"), dtype, f"A ({a})")
    right = as_operand(load_array(b, "B"), dtype, f"B ({b})")
    how: dict[str, Any] = {"finish": _finish(out, bias, relu, scale, activation), "where": place}
    choices = (trace_from, trace_to, trace_elements, wave_element, left_out_row, cache_ways)
    choices += (threads, no_multicast or None)
    _check_grid(grid, member, device, preload, dict(zip(_GRID_ONLY, choices, strict=True)))
    recording = chosen_waves(waves, wave_from, wave_to, _tile(member, wave_element, left_out_row))
    chosen = chosen_trace(member, trace, trace_from, trace_to, trace_elements)
    written = [output, perf, trace, recording.path if recording else None]
    page = None if report is None else report / PAGE_NAME
    check_outputs(written, [a, b, bias, _scale_file(scale)], page)
    _check_report(report, device)
    record: dict[str, Any] = {"waves": recording, "trace": trace, "report": report is not None}
    if grid:
        how |= {"multicast": not no_multicast, "cache_ways": cache_ways or 0}
        cut = prepare_grid_gemm(member, left, right, **how)
        record |= {"counters": perf is not None, "grid_trace": chosen}
        record |= {"left_out_row": left_out_row, "cache_ways": cache_ways or 0}
        task: OnGrid | OnElement = OnGrid(member, cut, threads=threads or 1, **record)
    else:
        job = prepare_gemm(member, left, right, load_first=preload, **how)
        task = OnElement(member, device, job, **record)
    _write(*run_task(Console(stderr=True), task, stall_limit), output, perf, report)


def _write(
    run: GemmRun,
    extra: dict[str, Any],
    record: RunRecord | None,
    output: Path,
    perf: Path | None,
    report: Path | None,
) -> None:
    """Write what was asked for, and say what came out."""
    with atomic_path(output) as path, path.open("wb") as file:
        np.save(file, run.c)
    figures = {**run.perf, **extra}
    if perf is not None:
        write_atomic(perf, json.dumps(figures, indent=2) + "\n")
    page = None if record is None or report is None else write_report(record, report)
    print(_summary(figures, output, page))


def _tile(
    member: ChipConfig, element: str | None, left_out_row: int | None
) -> tuple[int, int] | None:
    """The tile that holds the element to record."""
    if left_out_row is not None:
        check_left_out(member, left_out_row)
    if element is None:
        return None
    return tile_of(member, parse_place("--wave-element", element, member), left_out_row)


def _finish(
    out: OutFormat | None,
    bias: Path | None,
    relu: bool,
    scale: str | None,
    activation: Activation | None,
) -> Finish:
    """What the options ask for."""
    is_relu = activation is Activation.RELU
    function = Function.NONE
    if activation is not None and not is_relu:
        function = Function[activation.name]
    return Finish(
        out=None if out is None else Format[out.name],
        bias=None if bias is None else load_array(bias, "--bias"),
        relu=relu or is_relu,
        scale=None if scale is None else _scale(scale),
        activation=function,
    )


def _scale_file(text: str | None) -> Path | None:
    """The file that holds a factor for each column, if there is one."""
    return Path(text) if text is not None and text.endswith(".npy") else None


def _scale(text: str) -> float | NDArray[Any]:
    """A number, or the vector in a file."""
    if (path := _scale_file(text)) is not None:
        return load_array(path, "--scale")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--scale is {text}; it must be a number or a .npy file.") from None


def _check_report(folder: Path | None, device: DeviceName) -> None:
    """Refuse a page that could not be made."""
    if folder is not None:
        if device is not DeviceName.RTL:
            raise UserError("--report needs --device rtl; the functional device has no time.")
        check_folder(folder, PAGE_NAME, "--report")


def _check_grid(
    grid: bool, member: ChipConfig, device: DeviceName, preload: bool, choices: dict[str, Any]
) -> None:
    """Refuse what the whole grid cannot do, and what only it can."""
    if not grid:
        for name, given in choices.items():
            if given is not None:
                raise UserError(f"{name} needs --grid; {_GRID_ONLY[name]}.")
        return
    if member.n_pes == 1:
        raise UserError(f"{member.name} has one element; leave --grid out.")
    if device is not DeviceName.RTL:
        raise UserError("--grid needs --device rtl; the functional device has one element.")
    if preload:
        raise UserError("--preload is for one element; leave it or --grid out.")
    check_cache_ways(member, choices["--cache-ways"] or 0)


def _summary(figures: dict[str, Any], output: Path, page: Path | None) -> str:
    place = {"weights": "SRAM, B from DRAM"}.get(figures["place"], figures["place"].upper())
    what = (
        f"{figures['m']} x {figures['n']} x {figures['k']} {figures['dtype_a']} to"
        f" {figures['out']} on {figures['config']} from {place}"
    )
    if figures["cycles"] is None:
        return f"{what}: {figures['simulation_seconds']:.2f} s, functional -> {output}"
    return (
        f"{what}: {figures['cycles']:,} cycles,"
        f" {100 * figures['utilisation']:.1f} % of {figures['peak_macs_per_cycle']} MAC/cycle"
        f" ({figures['simulated_khz']:.0f} kHz) -> {output}"
        + (f", {page}" if page is not None else "")
    )
