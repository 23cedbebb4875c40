# SPDX-License-Identifier: Apache-2.0
"""What is done to rows between the accumulator banks and the register from which they leave."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Source
from hw.lib.clock_gate import Gated
from hw.pe.re.combiner import RowCombiner
from hw.pe.re.min_max import RowMinMax

__all__ = ["RowStages", "mode_layout"]


def mode_layout() -> data.StructLayout:
    """What a DRAIN command does with its rows; the same from its first row to its last."""
    return data.StructLayout({"is_float": 1, "destination": 2, "source": 2, "minmax": 1})


class RowStages(wiring.Component):
    """Adds neighbours' rows to own ones, and finds minimum and maximum of a row per cycle.

    Operation: (1) with a source an own row waits for the neighbour's, and both move on together.
    (2) With `minmax` a row's minimum and maximum become its first two values, and others zero.

    Timing: a row per cycle; latencies of `RowCombiner` and `RowMinMax` where they take part, which
    have clocks of their own that stop when they do not. Else rows go through within the cycle.

    Parameters
    ----------
    columns : values of a row.
    with_fp : whether rows may be FP32.
    sources : names of ports by source; none without links.
    fast_minmax : whether there is a `RowMinMax`.

    Members
    -------
    mode : In(mode_layout()).
    own : In(32 * columns), own_n_valid : In, a row and its columns that count.
    there : In(1), it is there; moves : Out(1), it moves on.
    in_north, in_west : In(stream of rows), where there are such sources.
    row : Out(32 * columns), n_valid : Out, valid : Out(1), a row that leaves when `advance`.
    advance : In(1), everything moves on.
    stop : In(1), forget what is on its way.
    busy : Out(1), rows are on their way.
    """

    def __init__(
        self, *, columns: int, with_fp: bool, sources: dict[Source, str], fast_minmax: bool
    ) -> None:
        self.columns = columns
        self.with_fp = with_fp
        self.sources = sources
        self.fast_minmax = fast_minmax
        row = stream.Signature(data.ArrayLayout(32, columns))
        super().__init__(
            {name: In(row) for name in sources.values()}
            | {
                "mode": In(mode_layout()),
                "own": In(32 * columns),
                "own_n_valid": In(range(columns + 1)),
                "there": In(1),
                "moves": Out(1),
                "row": Out(32 * columns),
                "n_valid": Out(range(columns + 1)),
                "valid": Out(1),
                "advance": In(1),
                "stop": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        neighbour = Signal(init=1)  # the neighbour's row is there, or not needed
        complete = Signal()
        m.d.comb += [
            complete.eq(self.there & neighbour),
            self.moves.eq(complete & self.advance & ~self.stop),
        ]
        row, valid, n_valid = self.own, complete, self.own_n_valid
        on_way: list[Value] = []
        if self.sources:
            row, valid, n_valid, more = self._elaborate_combiner(m, neighbour, complete)
            on_way += more
        m.d.comb += [
            self.row.eq(row),
            self.valid.eq(valid & ~self.stop),
            self.n_valid.eq(n_valid),
        ]
        if self.fast_minmax:
            found, there, more = self._elaborate_minmax(m, row, valid, n_valid)
            on_way += more
            with m.If(self.mode.minmax):
                m.d.comb += [self.row.eq(found), self.valid.eq(there & ~self.stop)]
        m.d.comb += self.busy.eq(Cat(on_way).any())
        return m

    def _elaborate_minmax(
        self, m: Module, row: Value, valid: Value, n_valid: Value
    ) -> tuple[Value, Value, list[Value]]:
        """Minimum and maximum of a row per cycle: result, valid, and valid bits on the way."""
        finder = RowMinMax(columns=self.columns)
        stages = self._delay(m, valid & self.mode.minmax, finder.latency, "minmax")
        m.submodules.min_max = Gated(finder, enable=self.advance & Cat(stages[:-1]).any())
        m.d.comb += [
            finder.row.eq(row),
            finder.is_float.eq(self.mode.is_float),
            finder.n_valid.eq(n_valid),
        ]
        return finder.o, stages[-1], stages[1:]

    def _elaborate_combiner(
        self, m: Module, neighbour: Signal, complete: Signal
    ) -> tuple[Value, Value, Value, list[Value]]:
        """Rows of a neighbour, if any: they are taken when the own row moves on.

        Returns row, valid, the number of its values that count, and valid bits on the way.
        """
        combiner = RowCombiner(columns=self.columns, with_fp=self.with_fp)
        has_source = self.mode.source != Source.NONE
        with m.If(has_source):
            m.d.comb += neighbour.eq(0)
        for source, name in self.sources.items():
            port = getattr(self, name)
            with m.If(self.mode.source == source):
                m.d.comb += [
                    combiner.incoming.eq(port.payload),
                    neighbour.eq(port.valid),
                    port.ready.eq(self.moves),
                ]
        stages = self._delay(m, complete & has_source, combiner.latency, "combine")
        m.submodules.combiner = Gated(combiner, enable=self.advance & Cat(stages[:-1]).any())
        counts: Value = self.own_n_valid
        for stage in range(combiner.latency):
            following = Signal.like(self.own_n_valid, name=f"n_valid{stage}")
            with m.If(self.advance):
                m.d.sync += following.eq(counts)
            counts = following
        row = Signal(32 * self.columns, name="combined")
        valid = Signal(name="combined_valid")
        counted = Signal.like(self.own_n_valid, name="combined_n_valid")
        m.d.comb += [
            combiner.own.eq(self.own),
            combiner.is_float.eq(self.mode.is_float),
            row.eq(self.own),
            valid.eq(complete),
            counted.eq(self.own_n_valid),
        ]
        with m.If(has_source):
            m.d.comb += [row.eq(combiner.o), valid.eq(stages[-1]), counted.eq(counts)]
        return row, valid, counted, stages[1:]

    def _delay(self, m: Module, first: Value, n_stages: int, name: str) -> list[Value]:
        """A valid bit and its way through `n_stages` registers."""
        stages = [first]
        for stage in range(n_stages):
            following = Signal(name=f"{name}_valid{stage}")
            with m.If(self.stop):
                m.d.sync += following.eq(0)
            with m.Elif(self.advance):
                m.d.sync += following.eq(stages[-1])
            stages.append(following)
        return stages
