# SPDX-License-Identifier: Apache-2.0
"""`mtia op`: one operation of the SIMD engine on an array."""

import enum
import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from hw.arch.formats import Format
from hw.config import ChipConfig, get_config
from sw.cli.building import build_teller
from sw.cli.files import check_outputs, load_array
from sw.cli.options import CONFIG, DEVICE, TRACE
from sw.errors import UserError
from sw.files import atomic_path, write_atomic
from sw.kernels.elementwise import BINARY, UNARY
from sw.runtime import ops
from sw.runtime.device import DeviceName, open_device
from sw.runtime.operands import DTYPES
from sw.runtime.tracing import recorded

__all__ = ["command"]

_ROWS = ("softmax", "layernorm", "quantize", "pool", "transpose")


class OutFormat(enum.StrEnum):
    """Formats of a result."""

    INT8 = "int8"
    UINT8 = "uint8"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


def command(
    operation: Annotated[
        str,
        typer.Argument(help=f"{', '.join(_ROWS)}, {', '.join(UNARY)}, or {', '.join(BINARY)}."),
    ],
    x: Annotated[Path, typer.Argument(metavar="X.npy", help="Array; rows are its last axis.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Result, .npy.")],
    second: Annotated[
        Path | None,
        typer.Option(
            "--with", metavar="B.npy", help="Second operand; pool: the index list (int32)."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="W.npy", help="pool: a factor per index.")
    ] = None,
    scales: Annotated[
        Path | None,
        typer.Option("--scales", metavar="S.npy", help="quantize: write the rows' scales here."),
    ] = None,
    out: Annotated[
        OutFormat | None, typer.Option("--out", help="Format of the result; without it fp32.")
    ] = None,
    config: CONFIG = "mtia100-pe",
    device: DEVICE = DeviceName.RTL,
    perf: Annotated[
        Path | None, typer.Option("--json", metavar="PERF", help="Write performance figures here.")
    ] = None,
    trace: TRACE = None,
) -> None:
    """Run an elementwise operation, softmax, LayerNorm, dynamic INT8 or pooling on the chip."""
    member = get_config(config)
    _check(operation, second, weights, scales, out)
    arrays = {
        name: None if path is None else _known(load_array(path, name))
        for name, path in (("X", x), ("--with", second), ("--weights", weights))
    }
    check_outputs([output, scales, perf, trace], [x, second, weights])
    job = _prepare(member, operation, arrays, Format[(out or OutFormat.FP32).name])
    console = Console(stderr=True)
    with console.status("starting ...") as status:
        say = build_teller(console, member.name, status.update)
        chip = open_device(device, member, progress=say)
        start = time.monotonic()
        try:
            status.update("running ...")
            with recorded(chip, trace):
                run = job.run(chip)
        finally:
            chip.port.close()
    elapsed = time.monotonic() - start
    for path, array in ((output, run.y), (scales, run.results.get("scales"))):
        if path is not None and array is not None:
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.save(file, array)
    if perf is not None:
        figures = {"operation": operation, "config": config, "device": str(device)}
        write_atomic(perf, json.dumps(figures | _figures(run, elapsed), indent=2) + "\n")
    spent = f"{elapsed:.2f} s" if run.job.cycles is None else f"{run.job.cycles:,} cycles"
    print(f"{operation} of {run.y.shape} on {config}, {device}: {spent} -> {output}")


def _figures(run: ops.OpRun, elapsed: float) -> dict[str, Any]:
    return {
        "cycles": run.job.cycles,
        "commands": run.n_commands,
        "seconds": elapsed,
        "counters": dict(run.counters),
    }


def _check(
    operation: str,
    second: Path | None,
    weights: Path | None,
    scales: Path | None,
    out: OutFormat | None,
) -> None:
    """Options that do not go with an operation."""
    if operation not in (*_ROWS, *UNARY, *BINARY):
        names = ", ".join((*_ROWS, *UNARY, *BINARY))
        raise UserError(f"There is no operation {operation}; there are {names}.")
    takes_second = operation in BINARY or operation == "pool"
    if takes_second and second is None:
        raise UserError(f"{operation} needs a second array; give it by --with.")
    for option, value, allowed in (
        ("--with", second, takes_second),
        ("--weights", weights, operation == "pool"),
        ("--scales", scales, operation == "quantize"),
        ("--out", out, operation not in ("quantize", "transpose")),  # these have one format
    ):
        if value is not None and not allowed:
            raise UserError(f"{option} does not go with {operation}.")


def _known(array: NDArray[Any]) -> NDArray[Any]:
    """bfloat16 comes as a void of two bytes."""
    return array.view(DTYPES[Format.BF16]) if array.dtype == np.dtype("V2") else array


def _prepare(
    member: ChipConfig, operation: str, arrays: dict[str, NDArray[Any] | None], out: Format
) -> ops.OpJob:
    x, second = arrays["X"], arrays["--with"]
    assert x is not None  # X is an argument, not an option
    match operation:
        case "softmax":
            return ops.prepare_softmax(member, x, out)
        case "layernorm":
            return ops.prepare_layernorm(member, x, out)
        case "quantize":
            return ops.prepare_quantize(member, x)
        case "transpose":
            return ops.prepare_transpose(member, x)
        case "pool":
            assert second is not None
            return ops.prepare_pooling(member, x, second, arrays["--weights"], out)
        case _:
            return ops.prepare_elementwise(member, operation, x, second, out)
