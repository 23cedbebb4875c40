# SPDX-License-Identifier: Apache-2.0
"""Write the pages of `docs/` that follow from definitions; `--check` only compares.

Commands, registers, counters and traps are each defined once, in `hw/arch`; a page never says
anything that the hardware does not do.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hw.arch.address_map import REGIONS
from hw.arch.commands import COMMANDS, Command, Field, is_long
from hw.arch.csr import (
    CACHE_REGISTERS,
    COUNTERS,
    ELEMENT_REGISTERS,
    GRID_REGISTERS,
    PAGE_BITS,
    REGISTERS,
    ControlPage,
    Register,
    counter_offset,
)
from hw.arch.traffic import ELEMENT_TRAFFIC, element_traffic_offset, side_shapes
from hw.arch.traps import TRAP_TEXT, Trap
from hw.arch.units import State, Unit
from sw.files import write_atomic

__all__ = ["command_page", "main", "pages", "register_page"]

ROOT = Path(__file__).resolve().parents[1]
_NOTE = "<!-- Written by `make docs` from {source}; change that, not this. -->\n"


def pages() -> dict[Path, str]:
    """Every generated page."""
    docs = ROOT / "docs"
    return {docs / "commands.md": command_page(), docs / "registers.md": register_page()}


def command_page() -> str:
    """The command set."""
    parts = [
        "# Commands\n",
        _NOTE.format(source="hw/arch/commands.py"),
        "A command list is a sequence of 16-byte quads in memory, little-endian. A short command"
        " takes one quad, a long one (opcode bit 6) four. Bits that no field names must be zero.\n",
        _table(
            ("opcode", "command", "quads", "what it does"),
            (
                (
                    f"0x{c.opcode:02x}",
                    f"[{c.opcode.name}](#{c.name})",
                    4 if is_long(c.opcode) else 1,
                    c.doc,
                )
                for c in COMMANDS.values()
            ),
        ),
    ]
    parts += ["## Fields that every command has\n", _field_table(_common_fields())]
    parts += [part for command in COMMANDS.values() for part in _command_section(command)]
    return "\n".join(parts)


def register_page() -> str:
    """Address map, registers, counters and traps."""
    return "\n".join(
        [
            "# Registers, counters and traps\n",
            _NOTE.format(source="hw/arch"),
            "## Address map\n",
            _table(
                ("region", "base", "what it is"),
                ((r.name, f"0x{r.base:010x}", r.doc) for r in REGIONS),
            ),
            "## Control registers\n",
            "32 bits each, at the base of `control`.\n",
            _register_table(REGISTERS.values()),
            *_grid_section(),
            *_fault_section(),
            *_counter_section(),
            *_traffic_section(),
            *_trap_section(),
        ]
    )


def _register_table(registers: Iterable[Register]) -> str:
    """One row for each register."""
    return _table(
        ("offset", "register", "access", "what it is"),
        ((f"0x{r.offset:03x}", r.name, r.access, r.doc) for r in registers),
    )


_GRID_PAGES = (
    (ControlPage.GRID, "the chip's own registers"),
    (ControlPage.SELECTED, "those of all selected elements, to write only"),
    (ControlPage.TRAFFIC, "traffic counters of the sides, to read only"),
    (
        ControlPage.ELEMENTS,
        "element (0, 0); row r, column c 0x10000 r + 0x1000 c behind; counters too",
    ),
)


def _grid_section() -> Iterator[str]:
    """Pages of a grid, and what they hold that a chip with one element has not."""
    yield "## Control registers of a grid\n"
    yield (
        "A chip with a grid has pages of 4 KB in the region `control`"
        " ([what they are for](grid.md#control)).\n"
    )
    yield _table(
        ("page", "offset", "what it holds"),
        ((page.name, f"0x{page << PAGE_BITS:06x}", what) for page, what in _GRID_PAGES),
    )
    yield "Page GRID:\n"
    yield _register_table(GRID_REGISTERS.values())
    yield "Chips with a [memory-side cache](units/memory_cache.md) have in page GRID as well:\n"
    yield _register_table(CACHE_REGISTERS.values())
    yield (
        "Pages of elements hold the registers of a chip with one element from JOB_LIST_LO on,"
        " without those of the SRAM; these differ or are more:\n"
    )
    yield _register_table(
        r for name, r in ELEMENT_REGISTERS.items() if REGISTERS.get(name) is not r
    )
    yield (
        "`RANGEn_*`, `FI_*_SHAPE` and `MULTICASTn` of an element in a grid are settings of a job:"
        " JOB_START takes what was written last, whatever runs or is written then. Reads show those"
        " of the job that runs, or that ran last ([more](grid.md#control)).\n"
    )


def _fault_section() -> Iterator[str]:
    """What ECC_INJECT does, and to which word."""
    yield "## Injected faults\n"
    yield (
        "A write of ECC_INJECT inverts stored bits of the 8-byte word at ECC_INJECT_LO and HI; bits"
        " 2:0 of the address do not matter. Bits 0 to 63 of a word are data, 64 to 71 check bits;"
        " other numbers invert nothing. Members without ECC ignore faults.\n"
    )
    yield (
        "The address is that of the word in the shared SRAM's array, which region `sram` numbers"
        " from 0 to the SRAM's full size. On a chip with one element it counts modulo that size; on"
        " a grid a fault beyond it is ignored, so no address of DRAM names a word.\n"
    )
    yield (
        "CACHE_WAYS does not change that. Of an SRAM of `size` bytes whose slices are built of"
        " `built` ways, the first `size * (built - CACHE_WAYS) / built` bytes are scratchpad. A"
        " fault behind them is injected too, into a cached line, though accesses to such an address"
        " are answered with an error. Way w of the cache begins at"
        " `size * (built - 1 - w) / built`; which line of DRAM lies there, its tags alone tell. If"
        " none does, the fault is gone when a line comes. Tags have no check bits and take no"
        " faults.\n"
    )


def _counter_section() -> Iterator[str]:
    """Performance counters of an element."""
    yield "## Counters\n"
    yield "48 bits each, read as a snapshot: low word at the offset, high word 4 bytes on.\n"
    yield _table(
        ("offset", "counter", "what it counts"),
        ((f"0x{counter_offset(c.name):03x}", f"`{c.name}`", c.doc) for c in COUNTERS),
    )


def _trap_section() -> Iterator[str]:
    """Causes of traps, and the numbers of units and states."""
    yield "## Trap causes\n"
    yield _table(
        ("code", "cause", "what happened"),
        ((int(trap), trap.name, TRAP_TEXT[trap]) for trap in Trap),
    )
    yield "## Units and their states\n"
    yield _table(("code", "unit"), ((int(unit), unit.name) for unit in Unit))
    yield _table(("code", "state"), ((int(state), state.name) for state in State))


def _traffic_section() -> Iterator[str]:
    """Counters of a grid's lanes, memories and links."""
    yield "## Traffic counters of a grid\n"
    yield (
        "32 bits each, read as SNAPSHOT or GRID_SNAPSHOT has frozen them. In an element's page,"
        " counted since its last job started:\n"
    )
    rows = ((element_traffic_offset(c.name), c) for c in ELEMENT_TRAFFIC)
    yield _table(
        ("offset", "counter", "what it counts"),
        ((f"0x{offset:03x}", f"`{counter.name}`", counter.doc) for offset, counter in rows),
    )
    yield (
        "In page TRAFFIC side W begins at 0x000, E at 0x400, N at 0x800 and S at 0xc00. A side has"
        " a counter for each of its lanes, the host's last, of flits that passed the lane's end:"
        " all of kind `read`, then `line`, `write` and `ack`. Behind them each of its memories has"
        " four, of accesses that it took, and where there are caches four of those. With four"
        " sides each way out through the corner follows, of reads and of lines. W has, last, those"
        " of each row's other lanes: accesses to local memories (`ask`, `visit`, `reply`, `told`),"
        " signals (`sent`, `received`), accesses to registers and reports; of `ask`, `told` and"
        " `received` the host's too, which are behind the rows'; and accesses that the host's port"
        " (`host_port`) and its DMA engine (`dma`) ask for, of the chip's memories and of the"
        " host's own. Those of side W of a grid of 2 x 2 with 4 slices and a cache:\n"
    )
    shape = side_shapes(rows=2, columns=2, n_slices=4, has_cache=True)[0]
    yield _table(
        ("offset", "counter"),
        ((f"0x{4 * index:03x}", f"`{name}`") for index, name in enumerate(shape.counters)),
    )


def _common_fields() -> list[Field]:
    """Fields that all commands share."""
    first, *others = COMMANDS.values()
    return [field for field in first.fields if all(field in other.fields for other in others)]


def _command_section(command: Command) -> Iterator[str]:
    """One command: what it does, and its own fields."""
    yield f"## {command.opcode.name}\n"
    yield f"`0x{command.opcode:02x}`, {command.bits // 8} bytes. {command.doc}\n"
    common = _common_fields()
    own = [field for field in command.fields if field not in common]
    if own:
        yield _field_table(own)


def _field_table(fields: Iterable[Field]) -> str:
    """One row for each field."""
    return _table(
        ("bits", "field", "range", "default", "meaning"),
        (
            (
                f"{f.offset + f.width - 1}:{f.offset}" if f.width > 1 else f.offset,
                f"`{f.name}`",
                f"{f.low} to {f.high}"
                if f.width < 24
                else f"{f.width} bits{', signed' * f.signed}",
                f.default,
                f.doc,
            )
            for f in fields
        ),
    )


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """A Markdown table."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    """Text that does not end a cell."""
    return " ".join(str(value).replace("|", "\\|").split())


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    stale = [p for p, text in pages().items() if not p.is_file() or p.read_text() != text]
    names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
    if check and stale:
        print(f"{names}: out of date; type: make docs", file=sys.stderr)
        return 1
    for path in stale:
        write_atomic(path, pages()[path])
    print(f"documents: {'up to date' if not stale else f'wrote {names}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
