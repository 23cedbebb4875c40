# SPDX-License-Identifier: Apache-2.0
"""The FP32 lanes with everything around them: from operands to finished beats."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS, Function, Opcode
from hw.iface.command_view import view
from hw.lib.clock_gate import Gated
from hw.lib.elastic import StreamFifo
from hw.pe.se.back import Back, back_beat
from hw.pe.se.front import Front, beat_info
from hw.pe.se.front_lane import front_config
from hw.pe.se.function_lanes import FunctionLanes
from hw.pe.se.row_buffer import SECOND_BEATS, RowBuffer
from hw.pe.se.row_reducer import RowReducer
from hw.pe.se.settings import Second, settings_layout
from hw.pe.se.sizes import Sizes
from hw.pe.se.stat_lane import StatLane, statistic_layout

__all__ = ["FloatPath"]

_ROWS_UNDER_WAY = 16
# Beats that may be on their way to the row buffer while a row waits there.
_MARGIN = Front.latency + FunctionLanes.latency + 7


class FloatPath(wiring.Component):
    """Both halves of the element pipeline, the row buffer between them, and the reduction.

    Operation: `room` says that a beat (of a new row, too) has its place in the row buffer and its
    row in the queue of statistics, so the first half and the reduction never stall. Parts with
    nothing to do have no clock.

    Timing: a beat per cycle; `latency` cycles from a beat to `o`, those of `FunctionLanes` more
    with a function. A row's statistic is known `statistic_latency` cycles after its last beat,
    those of the function units more.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    program : In(512); settings : In(settings_layout); config : In(front_config()).
    start : In(1), a command begins.
    valid, info, row_first, a, b, c : In, a beat.
    room : Out(1).
    o : Out(stream of back_beat).
    """

    latency = Front.latency + 1 + Back.latency

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        self.with_functions = sizes.config.with_functions
        self.depth = sizes.config.row_beats + _MARGIN
        self.reducer = RowReducer(sizes=sizes)
        values = data.ArrayLayout(32, sizes.lanes)
        super().__init__(
            {
                "program": In(LONG_BITS),
                "settings": In(settings_layout(sizes)),
                "config": In(front_config()),
                "start": In(1),
                "valid": In(1),
                "info": In(beat_info(sizes)),
                "row_first": In(1),
                **{name: In(values) for name in "abc"},
                "room": Out(1),
                "o": Out(stream.Signature(back_beat(sizes))),
            }
        )

    @property
    def statistic_latency(self) -> int:
        """Cycles from a row's last beat to the statistic, without functions."""
        return Front.latency + self.reducer.latency + StatLane.latency + 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        sizes = self.sizes
        front = Front(sizes=sizes)
        m.submodules.front = Gated(front, enable=self.valid | front.busy)
        m.submodules.buffer = buffer = RowBuffer(sizes=sizes, depth=self.depth)
        m.submodules.back = back = Back(sizes=sizes, buffer_depth=self.depth)
        m.submodules.statistics = statistics = StreamFifo(
            shape=statistic_layout(), depth=_ROWS_UNDER_WAY
        )
        wiring.connect(m, wiring.flipped(self.o), back.o)
        wiring.connect(m, statistics.o, back.statistics)
        m.d.comb += [
            front.config.eq(self.config),
            front.valid.eq(self.valid),
            front.info.eq(self.info),
            front.a.eq(self.a),
            front.b.eq(self.b),
            front.c.eq(self.c),
            back.program.eq(self.program),
            back.settings.eq(self.settings),
            back.start.eq(self.start),
            back.level.eq(buffer.level),
            back.elements.eq(buffer.o),
            back.times.eq(buffer.o_times),
            back.seconds.eq(buffer.o_second),
            buffer.pop.eq(back.pop),
        ]
        valid, info, values = self._elaborate_function(m, front, buffer)
        self._elaborate_reduction(m, front, valid, info, values, statistics)
        self._elaborate_room(m, back, statistics)
        return m

    def _elaborate_function(
        self, m: Module, front: Front, buffer: RowBuffer
    ) -> tuple[Signal, data.View, data.View]:
        """The function, if any; beats go into the row buffer. Returns beats behind it."""
        settings = self.settings
        valid, info = Signal(), Signal(beat_info(self.sizes))
        values = Signal(data.ArrayLayout(32, self.sizes.lanes))
        m.d.comb += [
            valid.eq(front.result_valid),
            info.eq(front.result_info),
            values.eq(front.result),
            buffer.second_valid.eq(
                front.post_valid & (settings.second == Second.OPERAND) & settings.elements
            ),
            buffer.second_values.eq(front.post),
            buffer.has_second.eq(
                (settings.second == Second.OPERAND) | (settings.second == Second.ARGUMENT)
            ),
            buffer.valid.eq(valid & settings.elements),
            buffer.values.eq(values),
        ]
        if not self.with_functions:
            return valid, info, values
        program = view(self.program, Opcode.SE_PROGRAM)
        lanes = FunctionLanes(sizes=self.sizes)
        has_function = program.function != Function.NONE
        m.submodules.functions = Gated(lanes, enable=lanes.valid | lanes.busy)
        m.d.comb += [
            lanes.code.eq(program.function),
            lanes.valid.eq(front.result_valid & has_function),
            lanes.info.eq(front.result_info),
            lanes.values.eq(front.result),
        ]
        with m.If(has_function):
            m.d.comb += [
                valid.eq(lanes.o_valid),
                info.eq(lanes.o_info),
                values.eq(lanes.o),
                buffer.times.eq(lanes.o_times),
            ]
        with m.If(settings.second == Second.ARGUMENT):
            m.d.comb += [
                buffer.second_valid.eq(lanes.o_valid & settings.elements),
                buffer.second_values.eq(lanes.o_arguments),
            ]
        return valid, info, values

    def _elaborate_reduction(
        self,
        m: Module,
        front: Front,
        valid: Signal,
        info: data.View,
        values: data.View,
        statistics: StreamFifo,
    ) -> None:
        """From beats to statistics of rows."""
        settings, reducer = self.settings, self.reducer
        program = view(self.program, Opcode.SE_PROGRAM)
        stat = StatLane(with_functions=self.with_functions)
        m.submodules.reducer = Gated(reducer, enable=reducer.valid | reducer.busy)
        m.submodules.stat = Gated(stat, enable=reducer.o_valid | stat.busy)
        m.d.comb += [
            reducer.reduce.eq(program.reduce),
            reducer.keep.eq(settings.tail_keep),
            reducer.valid.eq(valid & settings.uses_statistic),
            reducer.info.eq(info),
            reducer.values.eq(values),
            stat.valid.eq(reducer.o_valid),
            stat.value.eq(reducer.o),
            stat.factor.eq(program.stat_factor),
            stat.addend.eq(program.stat_addend),
            stat.code.eq(program.stat_function),
            statistics.i.valid.eq(stat.o_valid),
            statistics.i.payload.eq(stat.o),
        ]
        with m.If(settings.squares):
            m.d.comb += [
                reducer.valid.eq(front.product_valid & settings.uses_statistic),
                reducer.info.eq(front.product_info),
                reducer.values.eq(front.product),
            ]

    def _elaborate_room(self, m: Module, back: Back, statistics: StreamFifo) -> None:
        """Count what is under way, so that nothing has to stall."""
        settings = self.settings
        n_beats = Signal(range(self.depth + 1))
        n_rows = Signal(range(_ROWS_UNDER_WAY + 1))
        ends = self.valid & self.info.ends
        beat_comes = ends & settings.elements
        row_comes = ends & self.row_first & settings.uses_statistic
        row_goes = statistics.o.valid & statistics.o.ready
        with m.If(beat_comes != back.pop):
            m.d.sync += n_beats.eq(Mux(back.pop, n_beats - 1, n_beats + 1))
        with m.If(row_comes != row_goes):
            m.d.sync += n_rows.eq(Mux(row_goes, n_rows - 1, n_rows + 1))
        has_second = (settings.second == Second.OPERAND) | (settings.second == Second.ARGUMENT)
        m.d.comb += self.room.eq(
            (n_beats < Mux(has_second, SECOND_BEATS, self.depth)) & (n_rows != _ROWS_UNDER_WAY)
        )
