# SPDX-License-Identifier: Apache-2.0
"""Elementwise operations: y = f(x) and y = x op b, with b of x's shape, a row, a column, a number.

One SIMD command covers all rows, so a kernel is five commands.
"""

import dataclasses
import enum
from collections.abc import Mapping

from hw.arch.commands import NEVER, BMode, Factor, Function, Opcode, Pre
from hw.config import PeConfig
from sw.kernels.command_list import CommandList
from sw.kernels.rows import UNIT, RowArray, RowStreams, Stream
from sw.kernels.simd_limits import check_engine

__all__ = ["BINARY", "UNARY", "Kind", "Operand", "plan_elementwise"]

_A, _B, _OUT = 0, 1, 2

UNARY: Mapping[str, dict[str, int]] = {
    "copy": {},
    "relu": {"relu": 1},
    "square": {"factor": Factor.SELF},
    **{
        function.name.lower(): {"function": function}
        for function in Function
        if function is not Function.NONE
    },
}
"""Program fields of operations on one operand."""

BINARY: Mapping[str, dict[str, int]] = {
    "add": {"pre": Pre.ADD},
    "sub": {"pre": Pre.SUB},
    "mul": {"factor": Factor.B},
    "min": {"pre": Pre.MIN},
    "max": {"pre": Pre.MAX},
}
"""Program fields of operations on two operands."""


class Kind(enum.Enum):
    """Shape of b."""

    SAME = "same"
    """Element by element."""
    ROW = "row"
    """One row for all rows."""
    COLUMN = "column"
    """One FP32 value for each row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operand:
    """b in memory."""

    array: RowArray
    kind: Kind


def plan_elementwise(
    pe: PeConfig, fields: Mapping[str, int], x: RowArray, y: RowArray, b: Operand | None = None
) -> CommandList:
    """y = operation(x, b) for the program `fields` of `UNARY` or `BINARY` (and more, as a clamp).

    Raises
    ------
    ValueError
        If the member lacks lanes or functions, or a row does not fit.
    """
    check_engine(pe, functions=bool(fields.get("function", Function.NONE)))
    source = Stream(cb=_A, row_bytes=x.row_bytes)
    result = Stream(cb=_OUT, row_bytes=y.row_bytes)
    second = _second(b)
    resident = _row_units(pe, b) * UNIT
    used = [source, result, *([second] if second else [])]
    streams = RowStreams(pe, x.rows, used, resident_bytes=resident)
    commands = CommandList()
    streams.set_up(commands)
    program = {"a_format": x.fmt, "out_format": y.fmt, **fields}
    operands = streams.operand(source, "a_") | streams.operand(result, "")
    if b is not None:
        mode = BMode.ROW if b.kind is Kind.COLUMN else BMode.ELEMENT
        program |= {"b_mode": mode, "b_format": b.array.fmt}
        operands |= streams.operand(second, "b_") if second else _row_operand(pe, b)
    commands.add(Opcode.SE_PROGRAM, **program)
    if second and b is not None:
        streams.fetch(commands, second, b.array, column=True)
    elif b is not None:
        _fetch_row(commands, streams, pe, b)
    streams.fetch(commands, source, x)
    nest = streams.nest(streams.groups, streams.last)
    commands.add(Opcode.SIMD, count0=x.elements, **nest, **operands)
    streams.store(commands, result, y)
    commands.add(Opcode.END)
    return commands


def _second(b: Operand | None) -> Stream | None:
    """Stream of b, if it moves with the rows."""
    if b is None or b.kind is Kind.ROW:
        return None
    return Stream(cb=_B, row_bytes=b.array.row_bytes, packed=b.kind is Kind.COLUMN)


def _row_units(pe: PeConfig, b: Operand | None) -> int:
    """64-byte units of a row that serves all rows."""
    if b is None or b.kind is not Kind.ROW:
        return 0
    return -(-b.array.row_bytes // UNIT)


def _fetch_row(commands: CommandList, streams: RowStreams, pe: PeConfig, b: Operand) -> None:
    units = _row_units(pe, b)
    commands.add(Opcode.CB, cb=_B, base=streams.resident_base, depth=units)
    commands.add(
        Opcode.DMA_IN, column=1, cb=_B, mem_addr=b.array.address, count0=b.array.row_bytes,
        stride0=pe.ls.word_bytes, step_level=1, adv_level=1, need=units, adv=units, zero_fill=1,
    )  # fmt: skip


def _row_operand(pe: PeConfig, b: Operand) -> dict[str, int]:
    """The one row again for every row."""
    return {"b_cb": _B, "b_step_level": 2, "b_adv_level": NEVER, "b_need": _row_units(pe, b)}
