# SPDX-License-Identifier: Apache-2.0
"""What a SIMD command and its program ask of the parts of the engine."""

from collections.abc import Iterable
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import (
    COMMANDS,
    LONG_BITS,
    Addend,
    BMode,
    Factor,
    Function,
    Opcode,
    Post,
    Pre,
    Reduce,
    SimdOut,
    SimdSource,
)
from hw.arch.formats import Format
from hw.iface.command_view import view
from hw.pe.se.drain_path import DrainSettings
from hw.pe.se.front import SUM_DISTANCE
from hw.pe.se.front_lane import front_config
from hw.pe.se.sizes import Sizes
from hw.pe.se.unpacker import size_code

__all__ = ["Decoder", "ProgramRules", "Second", "TIMES_ITSELF", "settings_layout"]

TIMES_ITSELF = (Function.TANH, Function.GELU, Function.SILU)
"""Functions whose table value may have to be multiplied with the argument."""


class Second(enum.Enum, shape=2):
    """Second operand of the multiplier behind the row buffer."""

    NONE = 0
    STATISTIC = 1
    OPERAND = 2  # b or c
    ARGUMENT = 3  # what the function was applied to


def settings_layout(sizes: Sizes) -> data.StructLayout:
    """What a command asks for; stays as it is while the command runs."""
    return data.StructLayout(
        {
            "from_re": 1,
            "drains": 1,  # on the integer drain path
            "integers": 1,  # and comes out as INT32
            "b_mode": 2,
            "b_pair": 1,
            "a_size": 2,  # log2 of the bytes of an element
            "b_size": 2,
            "out_size": 2,
            "n_beats": 16,  # of a row
            "n_tail": range(sizes.lanes + 1),  # elements of a row's last beat
            "tail_keep": sizes.lanes,
            "accumulates": 1,
            "spaced": 1,  # so few beats that they must keep a distance
            "adds_bias": 1,  # on the integer drain path
            "elements": 1,  # elements are written
            "statistics": 1,  # statistics are written
            "uses_statistic": 1,
            "second": Second,
            "squares": 1,
        }
    )


class ProgramRules(wiring.Component):
    """Which combination of a program's fields the engine does not have.

    Timing: combinational.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    program : In(512), an SE_PROGRAM command.
    illegal : Out(1); bit : Out(16), of the field.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        super().__init__({"program": In(LONG_BITS), "illegal": Out(1), "bit": Out(16)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        program = view(self.program, Opcode.SE_PROGRAM)
        config = self.sizes.config
        times_itself = _one_of(program.function, TIMES_ITSELF)
        uses_statistic = (program.out != SimdOut.ELEMENTS) | (program.post == Post.STATISTIC)
        rules = [
            ("program", program.program >= config.programs),
            ("post", times_itself & (program.post != Post.NONE)),
            ("reduce", times_itself & (program.reduce != Reduce.NONE)),
            ("reduce", uses_statistic & (program.reduce == Reduce.NONE)),
            ("stat_function", _one_of(program.stat_function, TIMES_ITSELF)),
            (
                "b_format",
                (program.b_mode == BMode.HELD)
                & ~_one_of(program.b_format, (Format.INT32, Format.FP32)),
            ),
            (
                "factor",
                (program.reduce == Reduce.SUM_SQUARES) & (program.factor != Factor.NONE),
            ),
        ]
        if not (config.with_functions and config.with_fp):
            rules += [
                (name, program[name] != Function.NONE) for name in ("function", "stat_function")
            ]
        _judge(m, Opcode.SE_PROGRAM, rules, self.illegal, self.bit)
        return m


class Decoder(wiring.Component):
    """Turns a SIMD command and its program into what the parts of the engine need.

    Timing: combinational; the command and the program stand still while it runs.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    command : In(512), a SIMD; program : In(512), the SE_PROGRAM of its slot.
    filled : In(1), the slot is there and was filled.
    settings : Out(settings_layout); front : Out(front_config()); drain : Out(DrainSettings).
    scale : Out(32), the drain path's scale where it is not held.
    illegal : Out(1); bit : Out(16), of the field.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "command": In(LONG_BITS),
                "program": In(LONG_BITS),
                "filled": In(1),
                "settings": Out(settings_layout(sizes)),
                "front": Out(front_config()),
                "drain": Out(DrainSettings),
                "scale": Out(32),
                "illegal": Out(1),
                "bit": Out(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        command = view(self.command, Opcode.SIMD)
        program = view(self.program, Opcode.SE_PROGRAM)
        # Signals of their own: a part of a wide one must not depend on another part of it.
        drains, integers, n_beats = Signal(), Signal(), Signal(16)
        m.d.comb += [
            self.settings.drains.eq(drains),
            self.settings.integers.eq(integers),
            self.settings.n_beats.eq(n_beats),
        ]
        self._elaborate_operands(m, command, program)
        self._elaborate_path(m, command, program, drains, integers)
        self._elaborate_beats(m, command, drains, integers, n_beats)
        self._elaborate_lanes(m, program)
        self._elaborate_rules(m, command, program, drains, n_beats)
        return m

    def _elaborate_operands(self, m: Module, command: data.View, program: data.View) -> None:
        """Where values come from, and what is made of them."""
        settings = self.settings
        for name in ("a", "b", "out"):
            size = size_code(m, program[f"{name}_format"], name=f"{name}_size")
            m.d.comb += settings[f"{name}_size"].eq(size)
        m.d.comb += [
            settings.from_re.eq(command.source == SimdSource.RE),
            settings.b_mode.eq(program.b_mode),
            settings.b_pair.eq(program.b_pair),
            settings.accumulates.eq(command.accumulate),
            settings.elements.eq(program.out != SimdOut.STATISTICS),
            settings.statistics.eq(program.out != SimdOut.ELEMENTS),
            settings.uses_statistic.eq(
                (program.out != SimdOut.ELEMENTS) | (program.post == Post.STATISTIC)
            ),
            settings.squares.eq(program.reduce == Reduce.SUM_SQUARES),
        ]
        with m.If(_one_of(program.function, TIMES_ITSELF)):
            m.d.comb += settings.second.eq(Second.ARGUMENT)
        with m.Elif(program.post == Post.STATISTIC):
            m.d.comb += settings.second.eq(Second.STATISTIC)
        with m.Elif(program.post != Post.NONE):
            m.d.comb += settings.second.eq(Second.OPERAND)

    def _elaborate_path(
        self,
        m: Module,
        command: data.View,
        program: data.View,
        drains: Signal,
        integers: Signal,
    ) -> None:
        """Whether the program only requantises rows of the reduction engine."""
        drain = self.drain
        held = program.b_mode == BMode.HELD
        without_b = (program.b_mode == BMode.NONE) & (program.imm_b == 0)
        adds = (program.pre == Pre.ADD) & held & (program.b_format == Format.INT32)
        scaled = _one_of(program.factor, (Factor.NONE, Factor.IMMEDIATE, Factor.C))
        to_bytes = _one_of(program.out_format, (Format.INT8, Format.UINT8)) & scaled
        m.d.comb += [
            integers.eq((program.out_format == Format.INT32) & (program.factor == Factor.NONE)),
            self.settings.adds_bias.eq(adds),
            drains.eq(
                (command.source == SimdSource.RE)
                & ~command.accumulate
                & (program.a_format == Format.INT32)
                & (held | (program.b_mode == BMode.NONE))
                & ((program.pre == Pre.PASS) | adds | ((program.pre == Pre.ADD) & without_b))
                & (integers | to_bytes)
                & (program.addend == Addend.NONE)
                & (program.function == Function.NONE)
                & (program.reduce == Reduce.NONE)
                & (program.post == Post.NONE)
                & ~program.stochastic
            ),
            drain.relu.eq(program.relu),
            drain.unsigned.eq(program.out_format == Format.UINT8),
            drain.clamp.eq(program.clamp),
            drain.clamp_low.eq(program.clamp_low),
            drain.clamp_high.eq(program.clamp_high),
            self.scale.eq(program.imm_factor),
        ]
        with m.If(program.factor == Factor.C):
            m.d.comb += self.scale.eq(program.imm_c)
        with m.Elif(program.factor == Factor.NONE):
            m.d.comb += self.scale.eq(0x3F80_0000)

    def _elaborate_beats(
        self, m: Module, command: data.View, drains: Signal, integers: Signal, n_beats: Signal
    ) -> None:
        """How a row is cut."""
        sizes, settings = self.sizes, self.settings
        lane_bits = (sizes.lanes - 1).bit_length()
        rest = command.count0[:lane_bits]
        n_tail = Mux(rest == 0, sizes.lanes, rest)
        m.d.comb += [
            n_beats.eq((command.count0 + sizes.lanes - 1) >> lane_bits),
            settings.n_tail.eq(n_tail),
            settings.tail_keep.eq(Cat(n_tail > lane for lane in range(sizes.lanes))),
        ]
        with m.If(drains):
            drain_beats = sizes.columns // sizes.config.drain_lanes
            integer_beats = sizes.columns // sizes.integer_lanes
            m.d.comb += n_beats.eq(Mux(integers, integer_beats, drain_beats))

    def _elaborate_lanes(self, m: Module, program: data.View) -> None:
        """What every lane does."""
        front = self.front
        is_typed = _one_of(program.b_mode, (BMode.ELEMENT, BMode.HELD))
        b_format = Mux(is_typed, program.b_format, Format.FP32)
        m.d.comb += [
            *(
                getattr(front, name).eq(getattr(program, name))
                for name in ("a_format", "pre", "relu", "factor", "addend")
            ),
            front.imm_factor.eq(program.imm_factor),
            front.imm_addend.eq(program.imm_addend),
            front.b_format.eq(b_format),
            front.adds_integers.eq(
                (program.pre == Pre.ADD)
                & (program.a_format == Format.INT32)
                & (b_format == Format.INT32)
            ),
            front.squares.eq(program.reduce == Reduce.SUM_SQUARES),
            front.post_is_c.eq(program.post == Post.C),
        ]

    def _elaborate_rules(
        self,
        m: Module,
        command: data.View,
        program: data.View,
        drains: Signal,
        n_beats: Signal,
    ) -> None:
        """What the engine does not have, or has no room for."""
        sizes, config = self.sizes, self.sizes.config
        n_rows = Signal(11)  # saturated, as are beats: no buffer has more than 1024
        row_beats = Signal(11)
        n_sums = Signal(22)
        n_least = Signal(22)  # beats of the shortest iteration of level 2
        least_rows = Mux(command.tail_count == 0, n_rows, command.tail_count)
        m.d.comb += [
            n_rows.eq(Mux(command.count1 > 1024, 1025, command.count1)),
            row_beats.eq(Mux(n_beats > 1024, 1025, n_beats)),
            n_sums.eq(n_rows * row_beats),
            n_least.eq(least_rows * row_beats),
            self.settings.spaced.eq(command.accumulate & (n_least < SUM_DISTANCE)),
        ]
        is_wide = _one_of(program.a_format, (Format.INT32, Format.FP32))
        too_long = (program.post == Post.STATISTIC) & (row_beats > config.row_beats)
        too_wide = (program.b_mode == BMode.HELD) & (command.count0 > sizes.columns)
        from_re = command.source == SimdSource.RE
        no_row = from_re & (command.count0 != sizes.columns)
        on_lanes = program.out_format != Format.INT32
        rules = [
            ("program", ~self.filled),
            ("program", ~drains & ~(on_lanes & int(config.with_fp))),
            ("count0", too_long | too_wide | no_row),
            ("source", from_re & ~is_wide),
            ("count1", command.accumulate & (n_sums > config.sum_beats)),
            ("accumulate", command.accumulate & (program.reduce == Reduce.SUM_SQUARES)),
        ]
        _judge(m, Opcode.SIMD, rules, self.illegal, self.bit)


def _judge(
    m: Module, opcode: Opcode, rules: Iterable[tuple[str, Value]], illegal: Signal, bit: Signal
) -> None:
    """Drive `illegal`, and `bit` with the first field that is wrong."""
    command = COMMANDS[opcode]
    for name, wrong in reversed(list(rules)):
        with m.If(wrong):
            m.d.comb += [illegal.eq(1), bit.eq(command.field(name).offset)]


def _one_of(value: Value, codes: Iterable[int]) -> Value:
    """Whether `value` is one of the codes."""
    return Value.cast(value).matches(*(int(code) for code in codes))
