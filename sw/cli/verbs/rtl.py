# SPDX-License-Identifier: Apache-2.0
"""`mtia rtl`: the Verilog of one member, with its file list, memory map and configuration."""

import time
from pathlib import Path
from typing import Annotated

import typer

from hw.config import get_config
from hw.generate import TOP_MODULE, rtl_files
from sw.cli.files import check_folder
from sw.files import write_folder

__all__ = ["command"]


def command(
    config: Annotated[str, typer.Option("--config", help="Member of the family.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")],
) -> None:
    """Write a member's Verilog, file list, memory map and configuration."""
    member = get_config(config)
    check_folder(output, f"{TOP_MODULE}.v", "--output")
    start = time.monotonic()
    files = rtl_files(member)
    write_folder(output, files)
    size = sum(len(text) for text in files.values())
    print(
        f"{output}: {', '.join(sorted(files))}; {size / 1e6:.1f} MB in"
        f" {time.monotonic() - start:.0f} s"
    )
