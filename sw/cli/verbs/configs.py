# SPDX-License-Identifier: Apache-2.0
"""`mtia configs`: the members of the family."""

import json
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from hw.config import PRESETS, ChipConfig, get_config

__all__ = ["command"]

_TABLE_WIDTH = 110


def command(
    name: Annotated[str | None, typer.Argument(help="Only this member.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every field, as JSON.")] = False,
) -> None:
    """List the configurations of the family."""
    members = list(PRESETS.values()) if name is None else [get_config(name)]
    if as_json:
        print(json.dumps({member.name: member.to_dict() for member in members}, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("member", "grid", "tile", "MAC/cycle", "banks", "LS", "SRAM", "DRAM"):
        table.add_column(heading, no_wrap=True)
    table.add_column("meant for", min_width=20)
    for member in members:
        table.add_row(*_row(member))
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table)


def _row(config: ChipConfig) -> list[str]:
    """The cells of one member."""
    pe = config.pe
    return [
        config.name,
        f"{config.rows}x{config.cols}{' + a row' if config.spare_rows else ''}",
        f"{pe.dpe.columns}x{pe.dpe.k_bytes}",
        f"{config.n_pes * pe.dpe.macs_per_cycle():,}",
        str(pe.re.banks),
        f"{_size(pe.ls.size_bytes)}, {pe.ls.banks}x{pe.ls.word_bytes}",
        f"{_size(config.sram.size_bytes)}, {config.sram.slices}x{config.sram.bytes_per_cycle}",
        f"{config.dram.channels}x{config.dram.bytes_per_cycle} B",
        config.purpose,
    ]


def _size(n_bytes: int) -> str:
    """Bytes in binary units."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if n_bytes >= size and n_bytes % size == 0:
            return f"{n_bytes // size} {unit}"
    return f"{n_bytes} B"
