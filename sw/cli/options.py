# SPDX-License-Identifier: Apache-2.0
"""Options that every verb which runs something has."""

from pathlib import Path
from typing import Annotated

import typer

from sw.runtime.device import DeviceName

__all__ = [
    "CONFIG",
    "DEVICE",
    "TRACE",
    "TRACE_ELEMENTS",
    "TRACE_FROM",
    "TRACE_TO",
    "WAVES",
    "WAVE_ELEMENT",
    "WAVE_FROM",
    "WAVE_TO",
]

CONFIG = Annotated[str, typer.Option("--config", help="Member, see 'mtia configs'.")]
DEVICE = Annotated[
    DeviceName,
    typer.Option(
        "--device",
        help="rtl: the RTL in the compiled simulator; functional: the same bits from the golden"
        " models, much faster, without cycles.",
    ),
]
TRACE = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="OUT.pftrace",
        help="Record what every unit does, and how full circular buffers are, for Perfetto's"
        " viewer.",
    ),
]
TRACE_FROM = Annotated[
    int | None,
    typer.Option("--trace-from", min=0, metavar="CYCLE", help="First cycle of a grid's trace."),
]
TRACE_TO = Annotated[
    int | None,
    typer.Option("--trace-to", min=1, metavar="CYCLE", help="Cycle before which it ends."),
]
TRACE_ELEMENTS = Annotated[
    str | None,
    typer.Option(
        "--trace-elements",
        metavar="R,C:R,C...",
        help="Elements of a grid to trace, or all; without it those of row 0 and column 0 if there"
        " are more than 16.",
    ),
]
WAVES = Annotated[
    Path | None,
    typer.Option("--waves", metavar="OUT.fst", help="Record every signal, for GTKWave."),
]
WAVE_FROM = Annotated[
    int | None, typer.Option("--wave-from", min=0, metavar="CYCLE", help="First cycle of --waves.")
]
WAVE_TO = Annotated[
    int | None, typer.Option("--wave-to", min=0, metavar="CYCLE", help="Last cycle of --waves.")
]
WAVE_ELEMENT = Annotated[
    str | None,
    typer.Option("--wave-element", metavar="R,C", help="Record one element of a grid only."),
]
