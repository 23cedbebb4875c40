# SPDX-License-Identifier: Apache-2.0
"""Options of `mtia gemm` alone, and what they name."""

import enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ACTIVATION",
    "BIAS",
    "CACHE_WAYS",
    "DTYPE",
    "GRID",
    "LEFT_OUT_ROW",
    "MATRIX_A",
    "MATRIX_B",
    "NO_MULTICAST",
    "OUT",
    "PERF",
    "PLACE",
    "PRELOAD",
    "RELU",
    "REPORT",
    "RESULT",
    "SCALE",
    "STALL_LIMIT",
    "THREADS",
    "Activation",
    "OutFormat",
    "Place",
]


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


MATRIX_A = Annotated[Path, typer.Argument(metavar="A.npy", help="Matrix A [M,K].")]
MATRIX_B = Annotated[Path, typer.Argument(metavar="B.npy", help="Matrix B [K,N].")]
RESULT = Annotated[Path, typer.Option("-o", "--output", help="Result C [M,N], .npy.")]
PERF = Annotated[
    Path | None, typer.Option("--json", metavar="PERF", help="Write performance figures here.")
]
PLACE = Annotated[
    Place,
    typer.Option(
        "--place",
        help="Of A, B and C; auto: SRAM if they fit; weights: B in DRAM, the rest in SRAM.",
    ),
]
DTYPE = Annotated[
    Dtype | None, typer.Option("--dtype", help="Convert A and B to this format first.")
]
BIAS = Annotated[
    Path | None,
    typer.Option("--bias", metavar="V.npy", help="Add V [N]: int32, or float32 for floats."),
]
RELU = Annotated[bool, typer.Option("--relu", help="Replace negative sums by 0, after the bias.")]
OUT = Annotated[
    OutFormat | None,
    typer.Option("--out", help="Format of C; without it int32 for integers, fp32 for floats."),
]
SCALE = Annotated[
    str | None,
    typer.Option("--scale", metavar="S", help="Multiply by S, or by S.npy [N] by column."),
]
ACTIVATION = Annotated[
    Activation | None, typer.Option("--activation", help="Function, after the scale.")
]
PRELOAD = Annotated[
    bool,
    typer.Option("--preload", help="Multiply only when A and B are in local memory (measures)."),
]
STALL_LIMIT = Annotated[
    int,
    typer.Option("--stall-limit", min=1000, help="Cycles without progress that are a hang."),
]
REPORT = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Write a page about the run, DIR/index.html."),
]
GRID = Annotated[
    bool, typer.Option("--grid", help="All elements of the member; without it only one.")
]
NO_MULTICAST = Annotated[
    bool,
    typer.Option("--no-multicast", help="Each element of a grid reads its operands by itself."),
]
LEFT_OUT_ROW = Annotated[
    int | None,
    typer.Option(
        "--left-out-row", min=0, metavar="R", help="Row of tiles to do without, of one spare."
    ),
]
CACHE_WAYS = Annotated[
    int | None,
    typer.Option(
        "--cache-ways", metavar="N", help="Ways of each SRAM slice that are cache of DRAM; else 0."
    ),
]
THREADS = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, max=64, help="That simulate a grid; else 1."),
]
