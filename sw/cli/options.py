# SPDX-License-Identifier: Apache-2.0
"""Options that every verb which runs something has."""

from pathlib import Path
from typing import Annotated

import typer

from sw.runtime.device import DeviceName

__all__ = ["CONFIG", "DEVICE", "TRACE"]

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
