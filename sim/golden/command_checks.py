# SPDX-License-Identifier: Apache-2.0
"""Model of the field checks: which commands an element of given sizes takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from hw.arch.commands import (
    COMMANDS,
    LEVELS,
    NEVER,
    Destination,
    Factor,
    Function,
    LayoutOp,
    LayoutTarget,
    Opcode,
    Reduce,
    ScatterMode,
    SimdOut,
    SimdSource,
    is_long,
)
from hw.arch.formats import Format
from hw.arch.traps import Trap
from hw.arch.units import UNITS_OF_OPCODE, Unit, unit_of

__all__ = ["UNITS_BASE", "UNITS_WHOLE", "Limits", "illegal"]

UNITS_BASE = (Unit.FI_IN_ROW, Unit.FI_IN_COL, Unit.FI_OUT, Unit.DPE, Unit.RE)
UNITS_WHOLE = tuple(sorted((*UNITS_BASE, Unit.MLU, Unit.SE)))

Check = Callable[[str, bool], None]
"""Notes a field as wrong unless the second argument holds."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes that decide what is legal."""

    units: tuple[Unit, ...] = UNITS_WHOLE
    cbs: int = 32
    counters: int = 16
    contexts: int = 16
    banks: int = 4
    tile_rows: int = 8
    columns: int = 8
    k_bytes: int = 8
    """Bytes of a row of the tile, and of a word of local memory."""
    ls_units: int = 256
    programs: int = 4
    with_fp: bool = True
    with_scatter_add: bool = True
    multicast_lanes: int = 0


def illegal(data: bytes, limits: Limits) -> tuple[Trap, int] | None:
    """Cause and info of the trap that this command raises, or None."""
    if data[0] not in COMMANDS:
        return Trap.ILLEGAL_OPCODE, 0
    command = COMMANDS[Opcode(data[0])]
    word = int.from_bytes(data[: command.bits // 8], "little")
    values = {item.name: word >> item.offset & (1 << item.width) - 1 for item in command.fields}
    if is_long(command.opcode) and not set(UNITS_OF_OPCODE[command.opcode]) & set(limits.units):
        return Trap.ILLEGAL_OPCODE, 0
    wrong = [command.field(name).offset for name in _wrong_fields(values, limits)]
    wrong += [start for start, mask in _holes(command.opcode) if word & mask][:1]
    return (Trap.ILLEGAL_FIELD, min(wrong)) if wrong else None


@cache
def _holes(opcode: Opcode) -> list[tuple[int, int]]:
    """First bit and mask of each run of bits that no field names."""
    command = COMMANDS[opcode]
    named = {bit for f in command.fields for bit in range(f.offset, f.offset + f.width)}
    unnamed = [bit for bit in range(command.bits) if bit not in named]
    starts = [bit for bit in unnamed if bit - 1 not in unnamed]
    ends = [bit + 1 for bit in unnamed if bit + 1 not in unnamed]
    return [(low, (1 << high) - (1 << low)) for low, high in zip(starts, ends, strict=True)]


def _wrong_fields(v: dict[str, int], limits: Limits) -> set[str]:
    """Names of the fields that are wrong, each for itself."""
    opcode = Opcode(v["opcode"])
    bad: set[str] = set()

    def check(name: str, fine: bool) -> None:
        if not fine:
            bad.add(name)

    if v["signal_en"] or opcode is Opcode.SIGNAL:
        check("signal_counter", v["signal_counter"] < limits.counters)
    if is_long(opcode):
        _check_long(opcode, v, limits, check)
    else:
        _check_short(opcode, v, limits, check)
    if opcode in (Opcode.MML, Opcode.DRAIN):
        _check_tile(v, limits, check)
    if opcode in (Opcode.DMA_IN, Opcode.DMA_OUT, Opcode.GATHER, Opcode.SCATTER):
        check("stride0", v["stride0"] % limits.k_bytes == 0)  # from word to word
    {
        Opcode.MML: _check_mml,
        Opcode.DRAIN: _check_drain,
        Opcode.SE_PROGRAM: _check_program,
        Opcode.SIMD: _check_simd,
    }.get(opcode, _check_others)(v, limits, check)
    return bad


def _check_short(opcode: Opcode, v: dict[str, int], limits: Limits, check: Check) -> None:
    if opcode is Opcode.FENCE:
        check("units", v["units"] < 0x80)
    if opcode in (Opcode.WAIT, Opcode.SET_COUNTER):
        check("counter", v["counter"] < limits.counters)
    if opcode is Opcode.SET_COUNTER:
        check("signal_en", not v["signal_en"])
    if opcode is Opcode.RUN:
        check("ctx", v["ctx"] < limits.contexts)
    if opcode is Opcode.CB:
        check("cb", v["cb"] < limits.cbs)
        check("base", v["base"] < limits.ls_units)
        check("depth", 1 <= v["depth"] < 8192 and v["base"] + v["depth"] <= limits.ls_units)


def _check_long(opcode: Opcode, v: dict[str, int], limits: Limits, check: Check) -> None:
    """Header, counts and operands."""
    if v["store"]:
        check("context", v["context"] < limits.contexts)
    for level in range(LEVELS):
        check(f"count{level}", v.get(f"count{level}", 1) >= 1)
    unused = {
        Opcode.DRAIN: {"": v.get("destination") != Destination.LS},
        Opcode.SIMD: {"a_": v.get("source") == SimdSource.RE},
        Opcode.LAYOUT: {"src_": v.get("operation") == LayoutOp.FILL},
    }.get(opcode, {})
    for name in v:
        prefix, found, _ = name.partition("step_level")
        if not found or unused.get(prefix):
            continue
        step, advance = v[name], v[f"{prefix}adv_level"]
        check(f"{prefix}cb", v[f"{prefix}cb"] < limits.cbs)
        check(name, 1 <= step <= LEVELS)
        check(f"{prefix}adv_level", advance == NEVER or step <= advance <= LEVELS)
    if opcode in (Opcode.MML, Opcode.DRAIN, Opcode.PRELOAD):
        check("bank", v["bank"] < limits.banks)


def _check_tile(v: dict[str, int], limits: Limits, check: Check) -> None:
    check("count0", 1 <= v["count0"] <= limits.tile_rows)
    check("m_level", v["m_level"] < LEVELS)
    check("n_level", v["n_level"] < LEVELS)
    check("m_tail", v["m_tail"] <= v["count0"])
    check("n_tail", v["n_tail"] <= limits.columns)


def _check_mml(v: dict[str, int], limits: Limits, check: Check) -> None:
    if v["b_step_level"] < v["held_level"]:
        check("b_step_level", False)
    check("held_level", 1 <= v["held_level"] <= LEVELS)
    check("k_level", v["k_level"] < LEVELS)
    whole = v["k_tail"] % 2 == 0 or v["a_format"] not in (Format.FP16, Format.BF16)
    check("k_tail", v["k_tail"] <= limits.k_bytes and whole)
    for name in ("a_from_mlu", "b_from_mlu"):
        check(name, not v[name] or Unit.MLU in limits.units)
    a, b = v["a_format"], v["b_format"]
    integers = (Format.INT8, Format.UINT8)
    floats = (Format.FP16, Format.BF16) if limits.with_fp else ()
    check("a_format", a in (*integers, *floats))
    check("b_format", b in integers if a in integers else b == a)


def _check_drain(v: dict[str, int], limits: Limits, check: Check) -> None:
    check("format", v["format"] in (Format.INT32, Format.FP32))
    check("destination", v["destination"] != Destination.SE or Unit.SE in limits.units)
    check("source", v["source"] <= 2)


def _check_program(v: dict[str, int], limits: Limits, check: Check) -> None:
    check("program", v["program"] < limits.programs)
    for name, codes in (
        ("a_format", Format),
        ("b_format", Format),
        ("out_format", Format),
        ("factor", Factor),
        ("function", Function),
        ("stat_function", Function),
        ("reduce", Reduce),
        ("out", SimdOut),
    ):
        check(name, v[name] in list(codes))


def _check_simd(v: dict[str, int], limits: Limits, check: Check) -> None:
    check("program", v["program"] < limits.programs)
    check("tail_level", v["tail_count"] == 0 or v["tail_level"] in (2, 3, 4))
    check("tail_count", v["tail_count"] <= v["count1"])


def _check_others(v: dict[str, int], limits: Limits, check: Check) -> None:
    match Opcode(v["opcode"]):
        case Opcode.DMA_IN:
            check("column", unit_of(Opcode.DMA_IN, v) in limits.units)
            check("multicast", not v["multicast"] or v["column"] < limits.multicast_lanes)
        case Opcode.PRELOAD:
            check("count0", v["count0"] == 1)
        case Opcode.LAYOUT:
            check("target", v["target"] in list(LayoutTarget))
            check("out_level", v["out_level"] < LEVELS or v["out_level"] == NEVER)
            check("tail_count", v["tail_count"] <= v[f"count{v['tail_inner']}"])
        case Opcode.GATHER | Opcode.SCATTER:
            check("index_cb", v["index_cb"] < limits.cbs)
            check("format", v.get("format", Format.FP32) in (Format.INT32, Format.FP32))
            if v.get("mode") == ScatterMode.ADD:
                check("mode", limits.with_scatter_add)
                for name in ("count0", "mem_addr", "row_pitch"):
                    check(name, v[name] % 4 == 0 and (name != "count0" or v[name] > 0))
        case _:
            pass
