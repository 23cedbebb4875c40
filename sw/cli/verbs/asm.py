# SPDX-License-Identifier: Apache-2.0
"""`mtia asm`: text to a command list."""

from pathlib import Path
from typing import Annotated

import typer

from sw.asm import AssemblyError, assemble
from sw.files import write_atomic

__all__ = ["command"]


def command(
    source: Annotated[Path, typer.Argument(help="Text, one command a line.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Command list to write.")],
) -> None:
    """Assemble a command list."""
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise AssemblyError(f"{source}: byte {error.start} is no UTF-8 text.") from None
    try:
        data = assemble(text)
    except AssemblyError as error:
        raise AssemblyError(f"{source}: {error}") from None
    write_atomic(output, data)
