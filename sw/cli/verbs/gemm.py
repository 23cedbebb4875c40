# SPDX-License-Identifier: Apache-2.0
"""`mtia gemm`: C = A @ B computed by the RTL in the compiled simulator, or by the functional
simulator."""

import enum
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from hw.config import ChipConfig, get_config
from sim.waves import write_save_file
from sw.cli.options import CONFIG, DEVICE
from sw.errors import UserError
from sw.files import atomic_path, check_writable, write_atomic
from sw.runtime.device import DeviceName, open_device
from sw.runtime.gemm import GemmJob, GemmRun, as_operand, prepare_gemm, run_gemm
from sw.runtime.simulated import Waves

__all__ = ["command"]


class Place(enum.StrEnum):
    """Memory of the operands."""

    AUTO = "auto"
    SRAM = "sram"
    DRAM = "dram"


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
        Place, typer.Option("--place", help="Memory of A, B and C; auto: SRAM if they fit.")
    ] = Place.AUTO,
    dtype: Annotated[
        Dtype | None, typer.Option("--dtype", help="Convert A and B to this format first.")
    ] = None,
    bias: Annotated[
        Path | None, typer.Option("--bias", metavar="V.npy", help="Bias [N] (not built yet).")
    ] = None,
    relu: Annotated[bool, typer.Option("--relu", help="ReLU (not built yet).")] = False,
    out: Annotated[
        OutFormat | None,
        typer.Option("--out", help="Format of C: int32 for integers, fp32 for floats."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", help="Requantisation scale (not built yet).")
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
) -> None:
    """Multiply two matrices on the simulated chip: C[M,N] = A[M,K] @ B[K,N].

    int8 and uint8 (any mix) give int32, float16 and bfloat16 give float32, bit for bit as
    docs/numerics.md says. Set WAVES=1 to record dump.fst (WAVES_FROM, WAVES_TO in cycles,
    WAVES_SCOPE an instance).
    """
    _refuse_epilogue(bias, relu, scale)
    member = get_config(config)
    left = as_operand(_load(a, "A"), dtype, f"A ({a})")
    right = as_operand(_load(b, "B"), dtype, f"B ({b})")
    _check_out(out, left)
    waves = _waves()
    _check_outputs(output, perf, waves)
    job = prepare_gemm(member, left, right, where=place, load_first=preload)
    run, extra = _run(Console(stderr=True), device, member, job, stall_limit, waves)
    with atomic_path(output) as path, path.open("wb") as file:
        np.save(file, run.c)
    figures = {**run.perf, **extra}
    if perf is not None:
        write_atomic(perf, json.dumps(figures, indent=2) + "\n")
    print(_summary(figures, output))


def _refuse_epilogue(bias: Path | None, relu: bool, scale: float | None) -> None:
    for name, given in (
        ("--bias", bias is not None),
        ("--relu", relu),
        ("--scale", scale is not None),
    ):
        if given:
            raise UserError(f"{name} needs the SIMD engine, which this version does not have yet.")


def _check_out(out: OutFormat | None, left: NDArray[Any]) -> None:
    natural = OutFormat.INT32 if left.dtype.kind in "iu" else OutFormat.FP32
    if out not in (None, natural):
        raise UserError(
            f"--out is {out}; without the SIMD engine, which this version does not have yet,"
            f" the result of {left.dtype} operands is {natural}."
        )


def _load(path: Path, name: str) -> NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{name} ({path}) is not a .npy file of numbers.") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{name} ({path}) is an archive of arrays; it must be one .npy array.")
    return array


def _waves() -> Waves | None:
    """What the environment asks to be recorded."""
    if os.environ.get("WAVES", "0") in ("", "0"):
        return None
    return Waves(
        path=Path("dump.fst"),
        scope=os.environ.get("WAVES_SCOPE", ""),
        first=_cycle("WAVES_FROM", 0),
        last=_cycle("WAVES_TO", 2**62),
    )


def _cycle(name: str, otherwise: int) -> int:
    text = os.environ.get(name) or str(otherwise)
    if not text.isdecimal():
        raise UserError(f"{name} is {text!r}; it must be a number of cycles.")
    return int(text)


def _check_outputs(output: Path, perf: Path | None, waves: Waves | None) -> None:
    """Find what cannot be written before the work, not after it."""
    targets = [output, *([perf] if perf else []), *([waves.path] if waves else [])]
    for target in targets:
        check_writable(target)
    if len({target.resolve() for target in targets}) < len(targets):
        raise UserError(f"Two outputs have the same name, {output}; give them different ones.")


def _run(
    console: Console,
    device: DeviceName,
    member: ChipConfig,
    job: GemmJob,
    stall_limit: int,
    waves: Waves | None,
) -> tuple[GemmRun, dict[str, Any]]:
    """Build, run, and time the simulation."""
    problem = job.plan.problem
    floor = max(problem.macs // member.pe.dpe.macs_per_cycle(problem.element_bytes), 1)
    with console.status("starting ...") as status:
        chip = open_device(device, member, waves=waves, progress=status.update)
        start, began = time.monotonic(), chip.port.cycles

        def show(cycles: int) -> None:
            rate = (chip.port.cycles - began) / max(time.monotonic() - start, 1e-9) / 1000
            share = min(100 * cycles / floor, 99)
            status.update(f"{cycles:,} cycles, about {share:.0f} % ({rate:.0f} kHz)")

        try:
            run = run_gemm(chip, job, stall_limit=stall_limit, progress=show)
        finally:
            cycles, elapsed = chip.port.cycles - began, time.monotonic() - start
            chip.port.close()
            if waves is not None and waves.path.is_file():  # also of a run that failed
                console.print(f"{waves.path} {write_save_file(waves.path)}")
    return run, {
        "simulated_khz": cycles / elapsed / 1000 if cycles else None,
        "simulation_seconds": elapsed,
        "simulated_cycles": cycles or None,
        **chip.build,
    }


def _summary(figures: dict[str, Any], output: Path) -> str:
    what = (
        f"{figures['m']} x {figures['n']} x {figures['k']} {figures['dtype_a']} on"
        f" {figures['config']} from {figures['place'].upper()}"
    )
    if figures["cycles"] is None:
        return f"{what}: functional, {figures['simulation_seconds']:.3f} s -> {output}"
    return (
        f"{what}: {figures['cycles']:,} cycles,"
        f" {100 * figures['utilisation']:.1f} % of {figures['peak_macs_per_cycle']} MAC/cycle"
        f" ({figures['simulated_khz']:.0f} kHz) -> {output}"
    )
