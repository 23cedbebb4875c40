# SPDX-License-Identifier: Apache-2.0
"""Second half of the element pipeline: from the row buffer to elements in their format."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS, Opcode
from hw.arch.formats import Format
from hw.iface.command_view import view
from hw.lib.clock_gate import Gated
from hw.lib.emit_once import Boundary, EmitOnce
from hw.num.rounding_hash import RoundingHash
from hw.pe.se.back_lane import BackLane, back_config
from hw.pe.se.front_lane import ONE
from hw.pe.se.settings import Second, settings_layout
from hw.pe.se.sizes import Sizes
from hw.pe.se.stat_lane import statistic_layout

__all__ = ["Back", "back_beat"]

# The hash starts when a beat is taken, the lanes a clock edge later.
assert RoundingHash.latency == 1 + BackLane.CONVERT


def back_beat(sizes: Sizes) -> data.StructLayout:
    """One beat as it is written."""
    return data.StructLayout(
        {
            "values": data.ArrayLayout(32, sizes.lanes),  # elements in the low bits
            "statistic": 1,  # value 0 is the row's statistic
            "row_last": 1,  # the last beat of elements
        }
    )


class BackLanes(wiring.Component):
    """All lanes, and the random words; no valid bits, no stall (the parent stops the clock).

    Members
    -------
    config : In(back_config()), seed, tensor, index : In(32).
    x, factor : In(ArrayLayout(32, lanes)); clamps, format : as in `BackLane`.
    o : Out(ArrayLayout(32, lanes)).
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        values = data.ArrayLayout(32, sizes.lanes)
        super().__init__(
            {
                "config": In(back_config()),
                "seed": In(32),
                "tensor": In(32),
                "index": In(32),
                "x": In(values),
                "factor": In(values),
                "clamps": In(1),
                "format": In(3),
                "o": Out(values),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.hash = words = RoundingHash(lanes=self.sizes.lanes)
        index = Signal(32)
        # Nothing moves in the hash of a program that does not round at random.
        with m.If(self.config.stochastic):
            m.d.comb += index.eq(self.index)
        m.d.comb += [
            words.seed.eq(self.seed),
            words.tensor.eq(self.tensor),
            words.index.eq(index),
        ]
        for number in range(self.sizes.lanes):
            m.submodules[f"lane{number}"] = lane = EmitOnce(
                BackLane, key="se_back_lane", boundary=Boundary.NO_INLINE
            )
            m.d.comb += [
                lane.config.eq(self.config),
                lane.x.eq(self.x[number]),
                lane.factor.eq(self.factor[number]),
                lane.clamps.eq(self.clamps),
                lane.format.eq(self.format),
                lane.random.eq(words.o[32 * number : 32 * number + 32]),
                self.o[number].eq(lane.o),
            ]
        return m


class Back(wiring.Component):
    """Takes beats out of the row buffer when their statistic is there, and finishes them.

    Operation: the elements of a row, where elements are written; then its statistic, where
    statistics are written, as value 0 of a beat of its own (FP32, neither clamped nor multiplied).

    Timing: a beat per cycle while `o` is taken; `latency` clock edges from `pop` to `o`. When `o`
    is not taken everything stands still.

    Parameters
    ----------
    sizes : see `Sizes`.
    buffer_depth : beats of the row buffer.

    Members
    -------
    program : In(512); settings : In(settings_layout).
    start : In(1), a command begins.
    level, pop, elements, times, seconds : to and from the row buffer.
    statistics : In(stream of statistic_layout), one for each row.
    o : Out(stream of back_beat).
    busy : Out(1), beats are on their way.
    """

    latency = 1 + BackLane.latency

    def __init__(self, *, sizes: Sizes, buffer_depth: int) -> None:
        self.sizes = sizes
        values = data.ArrayLayout(32, sizes.lanes)
        super().__init__(
            {
                "program": In(LONG_BITS),
                "settings": In(settings_layout(sizes)),
                "start": In(1),
                "level": In(range(buffer_depth + 1)),
                "pop": Out(1),
                "elements": In(values),
                "times": In(sizes.lanes),
                "seconds": In(values),
                "statistics": In(stream.Signature(statistic_layout())),
                "o": Out(stream.Signature(back_beat(sizes))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        is_statistic, row_last = Signal(), Signal()  # of the beat that is taken
        enters = self._elaborate_feed(m, advance, is_statistic, row_last)
        index = self._elaborate_index(m, enters & ~is_statistic, row_last)

        # Stage 1 is what comes out of the buffer; the lanes follow.
        valids: list[Value] = [enters]
        flags: list[Value] = [Cat(is_statistic, row_last)]
        for number in range(1, self.latency + 1):
            valid, flag = Signal(name=f"valid{number}"), Signal(2, name=f"flags{number}")
            with m.If(advance):
                m.d.sync += [valid.eq(valids[-1]), flag.eq(flags[-1])]
            valids.append(valid)
            flags.append(flag)
        lanes = BackLanes(sizes=self.sizes)
        m.submodules.lanes = Gated(lanes, enable=advance & Cat(valids[:-1]).any())
        self._elaborate_operands(m, lanes, advance, flags)
        m.d.comb += [
            lanes.index.eq(index),
            self.o.valid.eq(valids[-1]),
            self.o.payload.values.eq(lanes.o),
            self.o.payload.statistic.eq(flags[-1][0]),
            self.o.payload.row_last.eq(flags[-1][1]),
            self.busy.eq(Cat(valids[1:]).any()),
        ]
        return m

    def _elaborate_feed(
        self, m: Module, advance: Signal, is_statistic: Signal, row_last: Signal
    ) -> Signal:
        """Decide what is taken next."""
        settings = self.settings
        beat = Signal(16)  # of the row; after the elements comes the statistic
        elements_done = Signal()
        known, enters = Signal(), Signal()
        m.d.comb += [
            known.eq(self.statistics.valid),
            is_statistic.eq(elements_done | ~settings.elements),
            row_last.eq(~is_statistic & (beat == settings.n_beats - 1)),
        ]
        with m.If(is_statistic):
            m.d.comb += enters.eq(settings.statistics & known & advance)
        with m.Else():
            needs = settings.second == Second.STATISTIC
            m.d.comb += [
                enters.eq((self.level != 0) & (known | ~needs) & advance),
                self.pop.eq(enters),
            ]
        m.d.comb += self.statistics.ready.eq(
            enters & settings.uses_statistic & Mux(settings.statistics, is_statistic, row_last)
        )
        with m.If(enters):
            m.d.sync += beat.eq(beat + 1)
            with m.If(row_last):
                m.d.sync += [beat.eq(0), elements_done.eq(settings.statistics)]
            with m.If(is_statistic):
                m.d.sync += [beat.eq(0), elements_done.eq(0)]
        with m.If(self.start):
            m.d.sync += [beat.eq(0), elements_done.eq(0)]
        return enters

    def _elaborate_index(self, m: Module, moves: Value, row_last: Signal) -> Signal:
        """Index of the first element of the beat that is taken."""
        program = view(self.program, Opcode.SE_PROGRAM)
        row_index, index = Signal(32), Signal(32)
        with m.If(moves):
            m.d.sync += index.eq(index + self.sizes.lanes)
            with m.If(row_last):
                next_row = (row_index + program.index_pitch)[:32]
                m.d.sync += [row_index.eq(next_row), index.eq(next_row)]
        with m.If(self.start):
            m.d.sync += [row_index.eq(program.index_base), index.eq(program.index_base)]
        return index

    def _elaborate_operands(
        self, m: Module, lanes: BackLanes, advance: Signal, flags: list[Value]
    ) -> None:
        """What the lanes get, and when."""
        settings = self.settings
        program = view(self.program, Opcode.SE_PROGRAM)
        statistic = Signal(statistic_layout(), reset_less=True)
        with m.If(advance):
            m.d.sync += statistic.eq(self.statistics.payload)
        m.d.comb += [
            lanes.config.low.eq(program.clamp_low),
            lanes.config.high.eq(program.clamp_high),
            lanes.config.stochastic.eq(program.stochastic),
            lanes.seed.eq(program.seed),
            lanes.tensor.eq(program.tensor),
            lanes.x.eq(self.elements),
            lanes.clamps.eq(program.clamp & ~flags[1 + BackLane.CLAMP][0]),
            lanes.format.eq(Mux(flags[1 + BackLane.CONVERT][0], Format.FP32, program.out_format)),
        ]
        for number in range(self.sizes.lanes):
            factor = lanes.factor[number]
            with m.Switch(settings.second):
                with m.Case(Second.NONE):
                    m.d.comb += factor.eq(ONE)
                with m.Case(Second.STATISTIC):
                    m.d.comb += factor.eq(statistic.value)
                with m.Case(Second.OPERAND):
                    m.d.comb += factor.eq(self.seconds[number])
                with m.Case(Second.ARGUMENT):
                    m.d.comb += factor.eq(Mux(self.times[number], self.seconds[number], ONE))
        # A statistic passes as value 0. With elements beside it, it is the one before its function.
        with m.If(flags[1][0]):
            m.d.comb += [
                lanes.x[0].eq(Mux(settings.elements, statistic.appended, statistic.value)),
                lanes.factor[0].eq(ONE),
            ]
