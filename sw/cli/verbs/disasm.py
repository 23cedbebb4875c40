# SPDX-License-Identifier: Apache-2.0
"""`mtia disasm`: a command list to text."""

from pathlib import Path
from typing import Annotated

import typer

from sw.asm import AssemblyError, disassemble
from sw.files import write_atomic

__all__ = ["command"]


def command(
    source: Annotated[Path, typer.Argument(help="Command list.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Text to write instead of printing it.")
    ] = None,
) -> None:
    """Disassemble a command list."""
    try:
        text = disassemble(source.read_bytes())
    except AssemblyError as error:
        raise AssemblyError(f"{source}: {error}") from None
    if output is None:
        print(text, end="")
    else:
        write_atomic(output, text)
