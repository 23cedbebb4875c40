# SPDX-License-Identifier: Apache-2.0
"""What a program says about the integer drain path, kept beside it in its slot."""

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import (
    LONG_BITS,
    Addend,
    BMode,
    Factor,
    Function,
    Opcode,
    Post,
    Pre,
    Reduce,
)
from hw.arch.formats import Format
from hw.iface.command_view import view
from hw.num.fp32_order import fp32_is_nan
from hw.num.from_fp32 import FromFp32

__all__ = ["DrainDecoder", "DrainProgram", "one_of"]

_LEAST, _MOST = 0xFF80_0000, 0x7F80_0000  # infinities, which become the least and largest element


class DrainProgram(data.Struct):
    """A program as the integer drain path needs it."""

    drains: unsigned(1)
    """It only requantises: with rows of the reduction engine it runs here."""
    integers: unsigned(1)
    """It gives INT32."""
    held: unsigned(1)
    """Its b is HELD."""
    pair: unsigned(1)
    """And c behind it."""
    adds_bias: unsigned(1)
    """b is added."""
    scales_c: unsigned(1)
    """c are the scales, else `scale` is."""
    relu: unsigned(1)
    """Negative sums become 0."""
    scale: unsigned(32)
    """FP32 bits."""
    low: signed(9)
    """Least result; 0 if one of the limits is no number, for then no result is one."""
    high: signed(9)
    """Largest result, not below the least."""


class DrainDecoder(wiring.Component):
    """Reads a program that is to be stored; takes some cycles, for it converts one limit at a time.

    Operation: limits are rounded to integers of the program's format here, once.

    Timing: `busy` stands for `latency` cycles; `o` is right in the cycle after them.

    Members
    -------
    program : In(512), an SE_PROGRAM command, until `o` was taken.
    busy : In(1), a program is being read.
    o : Out(DrainProgram).
    """

    latency = 4
    """Clock edges with `busy` until `o` is right."""

    def __init__(self) -> None:
        super().__init__({"program": In(LONG_BITS), "busy": In(1), "o": Out(DrainProgram)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        program = view(self.program, Opcode.SE_PROGRAM)
        self._elaborate_kind(m, program)
        self._elaborate_limits(m, program)
        m.d.comb += [self.o.relu.eq(program.relu), self.o.scale.eq(program.imm_factor)]
        with m.If(program.factor == Factor.C):
            m.d.comb += self.o.scale.eq(program.imm_c)
        with m.Elif(program.factor == Factor.NONE):
            m.d.comb += self.o.scale.eq(0x3F80_0000)
        return m

    def _elaborate_kind(self, m: Module, program: data.View) -> None:
        """Whether the program only requantises, and what."""
        held = program.b_mode == BMode.HELD
        without_b = (program.b_mode == BMode.NONE) & (program.imm_b == 0)
        adds = (program.pre == Pre.ADD) & held & (program.b_format == Format.INT32)
        scaled = one_of(program.factor, (Factor.NONE, Factor.IMMEDIATE, Factor.C))
        integers = (program.out_format == Format.INT32) & (program.factor == Factor.NONE)
        to_bytes = one_of(program.out_format, (Format.INT8, Format.UINT8)) & scaled
        m.d.comb += [
            self.o.integers.eq(integers),
            self.o.held.eq(held),
            self.o.pair.eq(program.b_pair),
            self.o.adds_bias.eq(adds),
            self.o.scales_c.eq(held & program.b_pair & (program.factor == Factor.C)),
            self.o.drains.eq(
                (program.a_format == Format.INT32)
                & (held | (program.b_mode == BMode.NONE))
                & ((program.pre == Pre.PASS) | adds | ((program.pre == Pre.ADD) & without_b))
                & (integers | to_bytes)
                & (program.addend == Addend.NONE)
                & (program.function == Function.NONE)
                & (program.reduce == Reduce.NONE)
                & (program.post == Post.NONE)
                & ~program.stochastic
            ),
        ]

    def _elaborate_limits(self, m: Module, program: data.View) -> None:
        """Limits, first the low one, then the high one."""
        m.submodules.converter = converter = FromFp32(
            latency=2, formats=[Format.INT8, Format.UINT8], with_stochastic=False
        )
        is_unsigned = program.out_format == Format.UINT8
        limit = Signal(32, reset_less=True)
        number, least = Signal(signed(9)), Signal(signed(9))
        second = Signal()  # the low limit was taken
        high = Signal()  # `limit` is the high one
        with m.If(program.clamp):
            m.d.sync += limit.eq(Mux(second, program.clamp_high, program.clamp_low))
        with m.Else():
            m.d.sync += limit.eq(Mux(second, _MOST, _LEAST))
        m.d.comb += [
            converter.a.eq(limit),
            converter.format.eq(program.out_format),
            number[:8].eq(converter.o),
            number[8].eq(converter.o[7] & ~is_unsigned),
            self.o.low.eq(Mux(number < least, number, least)),
            self.o.high.eq(number),
        ]
        is_nan = Signal()  # one of the limits
        m.d.sync += [
            second.eq(self.busy),
            high.eq(second),
            least.eq(number),
            is_nan.eq(fp32_is_nan(limit) | (is_nan & high)),
        ]
        with m.If(is_nan):
            m.d.comb += [self.o.low.eq(0), self.o.high.eq(0)]


def one_of(value: Value, codes: Iterable[int]) -> Value:
    """Whether `value` is one of the codes."""
    return Value.cast(value).matches(*(int(code) for code in codes))
