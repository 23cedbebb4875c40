# SPDX-License-Identifier: Apache-2.0
"""The C header: a C program that uses it encodes commands as Python does."""

import subprocess
from pathlib import Path

from hw.arch.commands import COMMANDS, Opcode, encode
from hw.arch.csr import REGISTERS, counter_offset
from hw.arch.traffic import element_traffic_offset
from hw.arch.traps import Trap
from scripts.gen_header import header
from tb.common.seeds import python_rng


def test_c_program_encodes_the_same_commands(tmp_path: Path) -> None:
    """Random field values of every command through the macros, read back too, without warnings."""
    rng = python_rng("header")
    lines, expected = [], []
    for opcode, command in COMMANDS.items():
        values = {field.name: rng.randint(field.low, field.high) for field in command.fields[1:]}
        data = encode(opcode, **values)
        lines.append(f"uint32_t w{int(opcode)}[MTIA_LONG_WORDS] = {{0}};")
        lines.append(f"MTIA_SET(w{int(opcode)}, {opcode.name}, opcode, MTIA_OPCODE_{opcode.name});")
        for name, value in values.items():
            number = f"(int64_t){value}ll"
            lines.append(f"MTIA_SET(w{int(opcode)}, {opcode.name}, {name}, {number});")
        for word in range(len(data) // 4):
            lines.append(f'printf("%08x\\n", (unsigned)w{int(opcode)}[{word}]);')
            expected.append(int.from_bytes(data[4 * word : 4 * word + 4], "little"))
        lines.append(f'printf("%08x\\n", (unsigned)MTIA_GET(w{int(opcode)}, {opcode.name}, tag));')
        expected.append(values["tag"])
    for name, value in (
        ("MTIA_REG_JOB_START", REGISTERS["JOB_START"].offset),
        ("MTIA_COUNTER_DPE_BUSY", counter_offset("dpe.busy")),
        ("MTIA_TRAFFIC_LINK_EAST", element_traffic_offset("link.east")),
        ("MTIA_TRAFFIC_SIDE_S", 0xC00),
        ("MTIA_TRAP_CB_SHARED", Trap.CB_SHARED),
        ("MTIA_DRAM_BASE >> 32", 0x10),
        ("MTIA_OPCODE_MML", Opcode.MML),
    ):
        lines.append(f'printf("%08x\\n", (unsigned)({name}));')
        expected.append(int(value))
    (tmp_path / "mtia.h").write_text(header())
    body = "\n".join(lines)
    (tmp_path / "main.cpp").write_text(
        f'#include <cstdio>\n#include "mtia.h"\nint main() {{\n{body}\nreturn 0;\n}}\n'
    )
    subprocess.run(
        ["g++", "-Wall", "-Wextra", "-Werror", "-o", "main", "main.cpp"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    out = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    assert [int(line, 16) for line in out.split()] == expected


def test_header_is_plain_c(tmp_path: Path) -> None:
    """A C compiler takes it, twice included, and every name is defined once."""
    (tmp_path / "mtia.h").write_text(header())
    (tmp_path / "main.c").write_text('#include "mtia.h"\n#include "mtia.h"\n')
    subprocess.run(
        [
            "g++",
            "-x",
            "c",
            "-std=c99",
            "-Wall",
            "-Werror",
            "-Wno-unused-function",
            "-fsyntax-only",
            "main.c",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    names = [line.split()[1] for line in header().splitlines() if line.startswith("#define")]
    assert len(names) == len(set(names)) > 300
