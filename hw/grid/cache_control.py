# SPDX-License-Identifier: Apache-2.0
"""Registers of the memory-side caches, and the way from them to the caches."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.arch.address_map import ADDRESS_BITS, DRAM
from hw.arch.interleave import Interleave
from hw.chip.registers import RegisterFile
from hw.net.fold import slice_number

__all__ = ["LIVE_CACHE_REGISTERS", "connect_caches", "elaborate_cache_control", "own_lines"]

LIVE_CACHE_REGISTERS = ("CACHE_WAYS", "CACHE_STATUS")
"""Those that do not show what was written."""

_TOLD = ("ways", "start", "op", "first", "last")
_HEARD = ("busy", "lost", "failed")


def connect_caches(m: Module, control: Any, parts: Sequence[Any]) -> None:
    """All parts hear the same; what one of them says is heard."""
    for part in parts:
        m.d.comb += [getattr(part, name).eq(getattr(control, name)) for name in _TOLD]
    m.d.comb += [
        getattr(control, name).eq(Cat(getattr(part, name) for part in parts).any())
        for name in _HEARD
    ]


def elaborate_cache_control(m: Module, control: Any, registers: RegisterFile) -> None:
    """Connect the registers with a `CacheControlPort`, through registers, as the way is long."""
    n_ways = control.signature.n_ways
    wanted, busy = registers.cache_ways, Signal()
    ways, lost, failed = Signal.like(control.ways), Signal(), Signal()
    forgets = registers.cache_status_write
    m.d.comb += [
        ways.eq(Mux(wanted > n_ways, n_ways, wanted)),
        registers.cache_ways_read.eq(ways | n_ways << 8),
        # A command that was just written is under way.
        registers.cache_status_read.eq(Cat(busy | control.start, lost, failed)),
    ]
    m.d.sync += [
        control.ways.eq(ways),
        control.start.eq(registers.cache_command_write),
        control.op.eq(registers.written),
        control.first.eq(registers.cache_first),
        control.last.eq(registers.cache_last),
        busy.eq(control.busy | (ways != control.ways)),
        lost.eq((lost & ~forgets) | control.lost),
        failed.eq((failed & ~forgets) | control.failed),
    ]


def own_lines(
    first: Value, last: Value, interleave: Interleave, number: int
) -> tuple[Value, Value, Value]:
    """Of lines `first` to `last` of DRAM those of one channel, by their numbers there.

    Returns the first, the last, and whether there is any.
    """
    bits = interleave.slice_bits
    if not bits:
        return first, last, Const(1)

    def place(line: Value) -> tuple[Value, Value]:
        """Number of the channel's line among those beside a line; where it is there."""
        above = line[bits:]
        address = Cat(Const(0, interleave.line_log2 + bits), above, Const(0, ADDRESS_BITS))
        folded = slice_number((address | DRAM.base)[:ADDRESS_BITS], interleave)
        return above, folded ^ number

    (low, at_low), (high, at_high) = place(first), place(last)
    begin, end = low + (at_low < first[:bits]), high - (at_high > last[:bits])
    return begin[: len(low)], end[: len(high)], begin <= end
