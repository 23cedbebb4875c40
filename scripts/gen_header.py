# SPDX-License-Identifier: Apache-2.0
"""Write the C header of commands, registers, traps and states; they are defined once, in `hw/arch`.

python scripts/gen_header.py -o mtia.h
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hw.arch.address_map import REGIONS
from hw.arch.commands import COMMANDS, LONG_BITS, QUAD_BYTES, Destination, Opcode, Source
from hw.arch.csr import (
    CACHE_REGISTERS,
    COUNTER_BASE,
    COUNTERS,
    ELEMENT_REGISTERS,
    GRID_REGISTERS,
    PAGE_BITS,
    REGISTERS,
    ControlPage,
    DebugSpace,
    JobState,
)
from hw.arch.formats import Format
from hw.arch.traffic import (
    ELEMENT_TRAFFIC,
    SIDE_NAMES,
    SIDE_PAGE_BITS,
    element_traffic_offset,
)
from hw.arch.traps import Trap
from hw.arch.units import State, Unit
from sw.files import write_atomic

__all__ = ["header", "main"]

_ENUMS = (Opcode, Format, Destination, Source, Unit, State, Trap, JobState, DebugSpace)

_HELPERS = """\
/* Write the low `width` bits of `value` at bit `offset` of a command, an array of 32-bit words. */
static inline void mtia_set(uint32_t *words, unsigned offset, unsigned width, uint64_t value)
{
    for (unsigned bit = 0; bit < width; bit++) {
        uint32_t mask = (uint32_t)1 << ((offset + bit) & 31);
        uint32_t *word = &words[(offset + bit) >> 5];
        *word = (value >> bit & 1) ? (*word | mask) : (*word & ~mask);
    }
}

/* Read `width` bits at bit `offset` of a command, without sign. */
static inline uint64_t mtia_get(const uint32_t *words, unsigned offset, unsigned width)
{
    uint64_t value = 0;
    for (unsigned bit = 0; bit < width; bit++)
        value |= (uint64_t)(words[(offset + bit) >> 5] >> ((offset + bit) & 31) & 1) << bit;
    return value;
}

/* MTIA_SET(words, MML, a_cb, 3) */
#define MTIA_SET(words, command, field, value) \\
    mtia_set(words, MTIA_##command##_##field##_OFFSET, MTIA_##command##_##field##_WIDTH, \\
             (uint64_t)(value))
#define MTIA_GET(words, command, field) \\
    mtia_get(words, MTIA_##command##_##field##_OFFSET, MTIA_##command##_##field##_WIDTH)
"""


_REGISTERS = REGISTERS | ELEMENT_REGISTERS | GRID_REGISTERS | CACHE_REGISTERS


def header() -> str:
    """The text of the header."""
    return "\n".join(
        [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            "/* Written by scripts/gen_header.py from hw/arch; change that, not this. */",
            "#ifndef MTIA_H",
            "#define MTIA_H",
            "",
            "#include <stdint.h>",
            "",
            *_defines([("MTIA_QUAD_BYTES", QUAD_BYTES), ("MTIA_LONG_WORDS", LONG_BITS // 32)]),
            *(line for kind in _ENUMS for line in _enumeration(kind.__name__, kind)),
            "/* Fields: bits from the start of the command. */",
            *_defines(_fields()),
            "/* Bases of the address map, and offsets of the control registers. */",
            *_defines(
                (f"MTIA_{region.name.upper()}_BASE", f"{region.base:#x}ull") for region in REGIONS
            ),
            *_defines(
                (f"MTIA_REG_{name}", f"{register.offset:#05x}")
                for name, register in _REGISTERS.items()
            ),
            "/* Pages of a chip with a grid. */",
            *_defines(
                (f"MTIA_PAGE_{page.name}", f"{page << PAGE_BITS:#08x}") for page in ControlPage
            ),
            "/* Offsets of the low words of counters; the high words follow at + 4. */",
            *_defines(
                (
                    f"MTIA_COUNTER_{counter.name.upper().replace('.', '_')}",
                    f"{COUNTER_BASE + 8 * index:#05x}",
                )
                for index, counter in enumerate(COUNTERS)
            ),
            "/* Traffic counters of a grid: in an element's page, and in page TRAFFIC by side. */",
            *_defines(_traffic()),
            _HELPERS,
            "#endif",
            "",
        ]
    )


def _traffic() -> Iterator[tuple[str, str]]:
    for counter in ELEMENT_TRAFFIC:
        name = f"MTIA_TRAFFIC_{counter.name.upper().replace('.', '_')}"
        yield name, f"{element_traffic_offset(counter.name):#05x}"
    for number, side in enumerate(SIDE_NAMES):
        yield f"MTIA_TRAFFIC_SIDE_{side}", f"{number << SIDE_PAGE_BITS:#05x}"


def _fields() -> Iterator[tuple[str, int]]:
    for command in COMMANDS.values():
        for field in command.fields:
            name = f"MTIA_{command.opcode.name}_{field.name}"
            yield f"{name}_OFFSET", field.offset
            yield f"{name}_WIDTH", field.width


def _defines(values: Iterable[tuple[str, object]]) -> list[str]:
    return [*(f"#define {name} {value}" for name, value in values), ""]


def _enumeration(name: str, members: Iterable[object]) -> list[str]:
    prefix = "MTIA_" + "".join("_" * (c.isupper() and i > 0) + c for i, c in enumerate(name))
    return [
        "enum {",
        *(
            f"    {prefix.upper()}_{member.name} = {member.value},"  # type: ignore[attr-defined]
            for member in members
        ),
        "};",
        "",
    ]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the C header.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    output: Path = parser.parse_args().output
    try:
        write_atomic(output, header())
    except OSError as error:
        print(f"gen_header: {error.strerror}: {output}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
