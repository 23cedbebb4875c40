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
from hw.pe.se.drain_lane import DrainSettings
from hw.pe.se.drain_program import DrainProgram, one_of
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


def _fixed_settings(sizes: Sizes) -> dict[str, int]:
    """What every command asks for, as others do not start; from reset on, so that no register of it
    is needed."""
    return {} if sizes.with_fp else dict.fromkeys(("from_re", "drains", "elements"), 1)


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
        times_itself = one_of(program.function, TIMES_ITSELF)
        uses_statistic = (program.out != SimdOut.ELEMENTS) | (program.post == Post.STATISTIC)
        rules = [
            ("program", program.program >= config.programs),
            ("post", times_itself & (program.post != Post.NONE)),
            ("reduce", times_itself & (program.reduce != Reduce.NONE)),
            ("reduce", uses_statistic & (program.reduce == Reduce.NONE)),
            ("stat_function", one_of(program.stat_function, TIMES_ITSELF)),
            (
                "b_format",
                (program.b_mode == BMode.HELD)
                & ~one_of(program.b_format, (Format.INT32, Format.FP32)),
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
    command : In(512), a SIMD; program : In(512), the SE_PROGRAM of its slot (with FP32 lanes).
    drain_program : In(DrainProgram), the same as the integer drain path needs it.
    filled : In(1), the slot is there and was filled.
    settings : Out(settings_layout); front : Out(front_config()); drain : Out(DrainSettings).
    illegal : Out(1); bit : Out(16), of the field.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "command": In(LONG_BITS),
                "program": In(LONG_BITS),
                "drain_program": In(DrainProgram),
                "filled": In(1),
                "settings": Out(settings_layout(sizes), init=_fixed_settings(sizes)),
                "front": Out(front_config()),
                "drain": Out(DrainSettings),
                "illegal": Out(1),
                "bit": Out(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        command = view(self.command, Opcode.SIMD)
        program = view(self.program, Opcode.SE_PROGRAM)
        # Signals of their own: a part of a wide one must not depend on another part of it.
        drains, n_beats = Signal(), Signal(16)
        m.d.comb += [
            self.settings.n_beats.eq(n_beats),
            *(getattr(self.drain, x).eq(self.drain_program[x]) for x in ("relu", "low", "high")),
        ]
        self._elaborate_path(m, command, drains)
        self._elaborate_beats(m, command, drains, n_beats)
        if self.sizes.with_fp:
            self._elaborate_operands(m, command, program)
            self._elaborate_lanes(m, program)
        rules = self._rules(m, command, program, drains, n_beats)
        _judge(m, Opcode.SIMD, rules, self.illegal, self.bit)
        return m

    def _elaborate_path(self, m: Module, command: data.View, drains: Signal) -> None:
        """Whether the command runs on the integer drain path, and what it does there."""
        settings, program = self.settings, self.drain_program
        from_re = command.source == SimdSource.RE
        m.d.comb += [
            settings.integers.eq(program.integers),
            settings.adds_bias.eq(program.adds_bias),
            settings.b_pair.eq(program.pair),
            drains.eq(program.drains & from_re & ~command.accumulate),
        ]
        if self.sizes.with_fp:
            m.d.comb += [settings.from_re.eq(from_re), settings.drains.eq(drains)]
        else:
            m.d.comb += [
                *(settings[name].eq(1) for name in _fixed_settings(self.sizes)),
                settings.b_mode.eq(Mux(program.held, BMode.HELD, BMode.NONE)),
            ]

    def _elaborate_operands(self, m: Module, command: data.View, program: data.View) -> None:
        """Where values come from, and what is made of them."""
        settings = self.settings
        for name in ("a", "b", "out"):
            size = size_code(m, program[f"{name}_format"], name=f"{name}_size")
            m.d.comb += settings[f"{name}_size"].eq(size)
        m.d.comb += [
            settings.b_mode.eq(program.b_mode),
            settings.accumulates.eq(command.accumulate),
            settings.elements.eq(program.out != SimdOut.STATISTICS),
            settings.statistics.eq(program.out != SimdOut.ELEMENTS),
            settings.uses_statistic.eq(
                (program.out != SimdOut.ELEMENTS) | (program.post == Post.STATISTIC)
            ),
            settings.squares.eq(program.reduce == Reduce.SUM_SQUARES),
        ]
        with m.If(one_of(program.function, TIMES_ITSELF)):
            m.d.comb += settings.second.eq(Second.ARGUMENT)
        with m.Elif(program.post == Post.STATISTIC):
            m.d.comb += settings.second.eq(Second.STATISTIC)
        with m.Elif(program.post != Post.NONE):
            m.d.comb += settings.second.eq(Second.OPERAND)

    def _elaborate_beats(
        self, m: Module, command: data.View, drains: Signal, n_beats: Signal
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
            m.d.comb += n_beats.eq(Mux(self.drain_program.integers, integer_beats, drain_beats))

    def _elaborate_lanes(self, m: Module, program: data.View) -> None:
        """What every lane does."""
        front = self.front
        is_typed = one_of(program.b_mode, (BMode.ELEMENT, BMode.HELD))
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

    def _rules(
        self,
        m: Module,
        command: data.View,
        program: data.View,
        drains: Signal,
        n_beats: Signal,
    ) -> list[tuple[str, Value]]:
        """What the engine does not have, or has no room for."""
        sizes = self.sizes
        no_row = (command.source == SimdSource.RE) & (command.count0 != sizes.columns)
        if not sizes.with_fp:
            return [("program", ~self.filled | ~drains), ("count0", no_row)]
        on_lanes = program.out_format != Format.INT32
        is_wide = one_of(program.a_format, (Format.INT32, Format.FP32))
        too_wide = (program.b_mode == BMode.HELD) & (command.count0 > sizes.columns)
        too_long, too_many = self._elaborate_room(m, command, program, n_beats)
        return [
            ("program", ~self.filled | (~drains & ~on_lanes)),
            ("count0", too_long | too_wide | no_row),
            ("source", (command.source == SimdSource.RE) & ~is_wide),
            ("count1", too_many),
            ("accumulate", command.accumulate & (program.reduce == Reduce.SUM_SQUARES)),
        ]

    def _elaborate_room(
        self, m: Module, command: data.View, program: data.View, n_beats: Signal
    ) -> tuple[Value, Value]:
        """Whether a row is longer than the row buffer, and sums are more than there is room for."""
        config = self.sizes.config
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
        too_long = (program.post == Post.STATISTIC) & (row_beats > config.row_beats)
        return too_long, command.accumulate & (n_sums > config.sum_beats)


def _judge(
    m: Module, opcode: Opcode, rules: Iterable[tuple[str, Value]], illegal: Signal, bit: Signal
) -> None:
    """Drive `illegal`, and `bit` with the first field that is wrong."""
    command = COMMANDS[opcode]
    for name, wrong in reversed(list(rules)):
        with m.If(wrong):
            m.d.comb += [illegal.eq(1), bit.eq(command.field(name).offset)]
