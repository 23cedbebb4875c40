# SPDX-License-Identifier: Apache-2.0
"""`mtia gemm`: C = A @ B with everything that may follow it, on one element or on the grid."""

import enum
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from hw.arch.commands import Function
from hw.arch.formats import Format
from hw.config import ChipConfig, get_config
from sw.cli.files import check_outputs, load_array
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
from sw.report.page import check_folder, write_report
from sw.runtime.device import DeviceName
from sw.runtime.gemm import Finish, as_operand, prepare_gemm
from sw.runtime.grid_gemm import prepare_grid_gemm
from sw.runtime.left_out import check_left_out, tile_of

__all__ = ["command"]


class Place(enum.StrEnum):
    """Memory of the operands."""

    AUTO = "auto"
    SRAM = "sram"
    DRAM = "dram"
    WEIGHTS = "weights"


class OutFormat(enum.StrEnum):
    """Format of the result."""

    INT32 = "int32"
    INT8 = "int8"
    UINT8 = "uint8"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


class Dtype(enum.StrEnum):
    """Formats that operands are converted to."""

    INT8 = "int8"
    UINT8 = "uint8"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Activation(enum.StrEnum):
    """Functions of the SIMD engine that make sense behind a product."""

    RELU = "relu"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    GELU = "gelu"
    SILU = "silu"


def command(
    a: Annotated[Path, typer.Argument(metavar="A.npy", help="Matrix A [M,K].")],
    b: Annotated[Path, typer.Argument(metavar="B.npy", help="Matrix B [K,N].")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Result C [M,N], .npy.")],
    config: CONFIG = "mtia100-pe",
    device: DEVICE = DeviceName.RTL,
    perf: Annotated[
        Path | None, typer.Option("--json", metavar="PERF", help="Write performance figures here.")
    ] = None,
    place: Annotated[
        Place,
        typer.Option(
            "--place",
            help="Of A, B and C; auto: SRAM if they fit; weights: B in DRAM, the rest in SRAM.",
        ),
    ] = Place.AUTO,
    dtype: Annotated[
        Dtype | None, typer.Option("--dtype", help="Convert A and B to this format first.")
    ] = None,
    bias: Annotated[
        Path | None,
        typer.Option("--bias", metavar="V.npy", help="Add V [N]: int32, or float32 for floats."),
    ] = None,
    relu: Annotated[
        bool, typer.Option("--relu", help="Replace negative sums by 0, after the bias.")
    ] = False,
    out: Annotated[
        OutFormat | None,
        typer.Option("--out", help="Format of C; without it int32 for integers, fp32 for floats."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option("--scale", metavar="S", help="Multiply by S, or by S.npy [N] by column."),
    ] = None,
    activation: Annotated[
        Activation | None, typer.Option("--activation", help="Function, after the scale.")
    ] = None,
    preload: Annotated[
        bool,
        typer.Option(
            "--preload", help="Multiply only when A and B are in local memory (measures)."
        ),
    ] = False,
    stall_limit: Annotated[
        int,
        typer.Option("--stall-limit", min=1000, help="Cycles without progress that are a hang."),
    ] = 20_000,
    trace: TRACE = None,
    trace_from: TRACE_FROM = None,
    trace_to: TRACE_TO = None,
    trace_elements: TRACE_ELEMENTS = None,
    waves: WAVES = None,
    wave_from: WAVE_FROM = None,
    wave_to: WAVE_TO = None,
    wave_element: WAVE_ELEMENT = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Write a page about the run, DIR/index.html."),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="All elements of the member; without it only one.")
    ] = False,
    no_multicast: Annotated[
        bool,
        typer.Option("--no-multicast", help="Each element of a grid reads its operands by itself."),
    ] = False,
    left_out_row: Annotated[
        int | None,
        typer.Option(
            "--left-out-row", min=0, metavar="R", help="Row of tiles to do without, of one spare."
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=64, help="That simulate a grid.")
    ] = 1,
) -> None:
    """Multiply two matrices on the chip: C[M,N] = convert(f(relu(A[M,K] @ B[K,N] + bias) * scale)).

    int8 and uint8 (any mix) are summed in int32, float16 and bfloat16 in float32, bit for bit as
    docs/numerics.md says. Without options C holds the sums. Cycles of traces and waves count from
    power-on. WAVES=1 records dump.fst as well (WAVES_FROM, WAVES_TO, WAVES_SCOPE an instance).
    """
    member = get_config(config)
    left = as_operand(load_array(a, "A"), dtype, f"A ({a})")
    right = as_operand(load_array(b, "B"), dtype, f"B ({b})")
    finish = _finish(out, bias, relu, scale, activation)
    choices = (trace_from, trace_to, trace_elements, wave_element, left_out_row)
    _check_grid(grid, member, device, preload, choices)
    if left_out_row is not None:
        check_left_out(member, left_out_row)
    element = None if wave_element is None else parse_place("--wave-element", wave_element, member)
    tile = None if element is None else tile_of(member, element, left_out_row)
    recording = chosen_waves(waves, wave_from, wave_to, tile)
    grid_trace = chosen_trace(member, trace, trace_from, trace_to, trace_elements)
    check_outputs([output, perf, trace, recording.path if recording else None])
    _check_report(report, device)
    if grid:
        task: OnGrid | OnElement = OnGrid(
            member,
            prepare_grid_gemm(
                member, left, right, finish=finish, where=place, multicast=not no_multicast
            ),
            recording,
            counters=perf is not None,
            threads=threads,
            trace=trace,
            grid_trace=grid_trace,
            report=report is not None,
            left_out_row=left_out_row,
        )
    else:
        job = prepare_gemm(member, left, right, finish=finish, where=place, load_first=preload)
        task = OnElement(member, device, job, recording, trace, report=report is not None)
    run, extra, record = run_task(Console(stderr=True), task, stall_limit)
    with atomic_path(output) as path, path.open("wb") as file:
        np.save(file, run.c)
    figures = {**run.perf, **extra}
    if perf is not None:
        write_atomic(perf, json.dumps(figures, indent=2) + "\n")
    page = None if record is None or report is None else write_report(record, report)
    print(_summary(figures, output, page))


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


def _scale(text: str) -> float | NDArray[Any]:
    """A number, or the vector in a file."""
    if text.endswith(".npy"):
        return load_array(Path(text), "--scale")
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--scale is {text}; it must be a number or a .npy file.") from None


def _check_report(folder: Path | None, device: DeviceName) -> None:
    """Refuse a page that could not be made."""
    if folder is not None:
        if device is not DeviceName.RTL:
            raise UserError("--report needs --device rtl; the functional device has no time.")
        check_folder(folder)


def _check_grid(
    grid: bool, member: ChipConfig, device: DeviceName, preload: bool, choices: tuple[Any, ...]
) -> None:
    """Refuse what the whole grid cannot do, and what only it can."""
    if not grid:
        names = ("--trace-from", "--trace-to", "--trace-elements", "--wave-element")
        *recorded, left_out_row = choices
        for name, given in zip(names, recorded, strict=True):
            if given is not None:
                raise UserError(f"{name} needs --grid; one element is recorded as a whole.")
        if left_out_row is not None:
            raise UserError("--left-out-row needs --grid; one element has no rows.")
        return
    if member.n_pes == 1:
        raise UserError(f"{member.name} has one element; leave --grid out.")
    if device is not DeviceName.RTL:
        raise UserError("--grid needs --device rtl; the functional device has one element.")
    if preload:
        raise UserError("--preload is for one element; leave it or --grid out.")


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
