# SPDX-License-Identifier: Apache-2.0
"""What makes the fields of a command wrong, once for each opcode.

Every rule is a pair of a field and the condition under which it is wrong: a count of 0; a CB,
counter, context, bank or program slot that does not exist; `step_level` 0 or above 5; `adv_level`
below `step_level` or 6; a level above 4; `held_level` out of 1 to 5, or above `b_step_level`; more
rows than a bank has; tails beyond what they are a tail of, or of half an element; a stride between
the words of a run that is no multiple of a word; codes that name nothing; formats or pairs of
formats that the unit does not take; rows that are added and not made of whole 4-byte values; a
circular buffer that is empty or leaves local memory; a mask bit of no unit; a read that is to be
shared where no lane allows it.

An operand that the command itself says is not used may hold anything: that of a DRAIN that does not
write to local memory, `a` of a SIMD that takes rows from the reduction engine, the source of a
FILL. Whether SIMD uses `b` depends on a program slot, which is not known here, so it is always
checked; the defaults of its fields pass.
"""

from collections.abc import Callable, Iterator

from amaranth.hdl import Mux, Value
from amaranth.lib import data

from hw.arch.commands import (
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
    Source,
    is_long,
)
from hw.arch.formats import Format
from hw.arch.units import UNITS_OF_OPCODE, Unit
from hw.pe.cp.limits import CheckLimits

__all__ = ["Rule", "field_rules"]

Rule = tuple[str, Value]
"""A field's name, and whether it is wrong."""

_TOP_LEVEL = LEVELS - 1
_INTEGER = (Format.INT8, Format.UINT8)
_WIDE = (Format.INT32, Format.FP32)


def field_rules(opcode: Opcode, f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    """The rules of `opcode` on an element of these limits; `f` is the command's view."""
    signals = 1 if opcode is Opcode.SIGNAL else f.signal_en
    yield "signal_counter", signals & (f.signal_counter >= limits.counters)
    if is_long(opcode):
        yield "context", f.store & (f.context >= limits.contexts)
        if opcode is not Opcode.SE_PROGRAM:
            for level in range(LEVELS):
                yield f"count{level}", f[f"count{level}"] == 0
    if opcode in _RULES:
        yield from _RULES[opcode](f, limits)


def _fence(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield "units", f.units[Unit.CP]


def _wait(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield "counter", f.counter >= limits.counters


def _set_counter(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield "signal_en", f.signal_en
    yield "counter", f.counter >= limits.counters


def _run(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield "ctx", f.ctx >= limits.contexts


def _cb(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield "cb", f.cb >= limits.cbs
    yield "base", f.base >= limits.ls_units
    outside = f.base + f.depth > limits.ls_units
    yield "depth", (f.depth == 0) | (f.depth >= 1 << 13) | outside


def _run_operand(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    """An operand whose level 0 is a run of bytes: it goes on from word to word."""
    yield from _operand(f, "", limits)
    yield "stride0", (f.stride0 & (limits.k_bytes - 1)) != 0


def _dma_in(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield from _run_operand(f, limits)
    for column, unit in enumerate(UNITS_OF_OPCODE[Opcode.DMA_IN]):
        if unit not in limits.units:
            yield "column", f.column == column
    if limits.multicast_lanes == 0:
        yield "multicast", f.multicast
    elif limits.multicast_lanes == 1:
        yield "multicast", f.multicast & f.column


def _dma_out(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield from _run_operand(f, limits)


def _mml(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    formats = [*_INTEGER, *((Format.FP16, Format.BF16) if limits.with_fp else ())]
    yield from _operand(f, "a_", limits)
    yield from _operand(f, "b_", limits)
    yield from _tile(f, limits)
    yield "b_step_level", f.b_step_level < f.held_level
    yield "held_level", (f.held_level == 0) | (f.held_level > LEVELS)
    yield "k_level", f.k_level > _TOP_LEVEL
    half = f.k_tail[0] & _any_of(f.a_format, (Format.FP16, Format.BF16))
    yield "k_tail", (f.k_tail > limits.k_bytes) | half
    if Unit.MLU not in limits.units:
        yield "a_from_mlu", f.a_from_mlu
        yield "b_from_mlu", f.b_from_mlu
    yield "a_format", ~_any_of(f.a_format, formats)
    # Integers mix; a floating-point format multiplies with itself only.
    yield (
        "b_format",
        Mux(
            _any_of(f.a_format, _INTEGER),
            ~_any_of(f.b_format, _INTEGER),
            f.b_format != f.a_format,
        ),
    )


def _drain(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield from _operand(f, "", limits, used=f.destination == Destination.LS)
    yield from _tile(f, limits)
    yield "format", ~_any_of(f.format, _WIDE)
    if Unit.SE not in limits.units:
        yield "destination", f.destination == Destination.SE
    yield "source", f.source > max(Source)


def _preload(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield "count0", f.count0 != 1
    yield from _operand(f, "", limits)
    yield "bank", f.bank >= limits.banks


def _se_program(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield "program", f.program >= limits.programs
    for name in ("a_format", "b_format", "out_format"):
        yield name, f[name] > max(Format)
    for name, codes in (
        ("factor", Factor),
        ("function", Function),
        ("reduce", Reduce),
        ("out", SimdOut),
        ("stat_function", Function),
    ):
        yield name, f[name] > max(codes)


def _simd(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield from _operand(f, "a_", limits, used=f.source == SimdSource.LS)
    yield from _operand(f, "b_", limits)
    yield from _operand(f, "", limits)
    yield "program", f.program >= limits.programs
    yield "tail_level", (f.tail_count != 0) & ((f.tail_level < 2) | (f.tail_level > _TOP_LEVEL))
    yield "tail_count", f.tail_count > f.count1


def _layout(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield from _operand(f, "src_", limits, used=f.operation != LayoutOp.FILL)
    yield from _operand(f, "", limits)
    yield "out_level", (f.out_level > _TOP_LEVEL) & (f.out_level != NEVER)
    yield "target", f.target > max(LayoutTarget)
    yield "tail_count", f.tail_count > Mux(f.tail_inner, f.count1, f.count0)


def _gather(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield from _run_operand(f, limits)
    yield "index_cb", f.index_cb >= limits.cbs


def _scatter(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    yield from _gather(f, limits)
    if not limits.with_scatter_add:
        yield "mode", f.mode == ScatterMode.ADD
    for name in ("count0", "mem_addr", "row_pitch"):  # values that are added lie in 4-byte lanes
        yield name, (f.mode == ScatterMode.ADD) & f[name][:2].any()
    yield "format", ~_any_of(f.format, _WIDE)


_RULES: dict[Opcode, Callable[[data.View, CheckLimits], Iterator[Rule]]] = {
    Opcode.FENCE: _fence,
    Opcode.WAIT: _wait,
    Opcode.SET_COUNTER: _set_counter,
    Opcode.RUN: _run,
    Opcode.CB: _cb,
    Opcode.DMA_IN: _dma_in,
    Opcode.DMA_OUT: _dma_out,
    Opcode.MML: _mml,
    Opcode.DRAIN: _drain,
    Opcode.PRELOAD: _preload,
    Opcode.SE_PROGRAM: _se_program,
    Opcode.SIMD: _simd,
    Opcode.LAYOUT: _layout,
    Opcode.GATHER: _gather,
    Opcode.SCATTER: _scatter,
}


def _operand(
    f: data.View, prefix: str, limits: CheckLimits, *, used: Value | int = 1
) -> Iterator[Rule]:
    """The three rules of a circular-buffer operand that is `used`."""
    step_level, adv_level = f[f"{prefix}step_level"], f[f"{prefix}adv_level"]
    yield f"{prefix}cb", used & (f[f"{prefix}cb"] >= limits.cbs)
    yield f"{prefix}step_level", used & ((step_level == 0) | (step_level > LEVELS))
    yield (
        f"{prefix}adv_level",
        used & ((adv_level < step_level) | ((adv_level > LEVELS) & (adv_level != NEVER))),
    )


def _tile(f: data.View, limits: CheckLimits) -> Iterator[Rule]:
    """What MML and DRAIN have in common."""
    yield "count0", f.count0 > limits.tile_rows
    yield "bank", f.bank >= limits.banks
    yield "m_level", f.m_level > _TOP_LEVEL
    yield "n_level", f.n_level > _TOP_LEVEL
    yield "m_tail", f.m_tail > f.count0
    yield "n_tail", f.n_tail > limits.columns


def _any_of(value: Value, allowed: list[Format] | tuple[Format, ...]) -> Value:
    """Whether a format field is one of these; one bit, so that `~` negates it."""
    return Value.cast(value).matches(*(int(item) for item in allowed))
