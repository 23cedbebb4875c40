# SPDX-License-Identifier: Apache-2.0
"""Reduction of rows: beats of a row to one value."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.se.front import N_PARTIALS, beat_info
from hw.pe.se.reduce_tree import ReduceNode, ReduceTree, neutral_value
from hw.pe.se.sizes import Sizes

__all__ = ["RowReducer"]


class RowReducer(wiring.Component):
    """Reduces rows of beats; nothing stalls here.

    Operation: lanes of a beat in a tree; the beat's value into its partial result; when a row ends,
    its partial results in a second tree. Missing lanes and partial results are neutral.

    Timing: a beat per cycle; `latency` clock edges from a row's last beat to its value.

    Numerics: see docs/units/simd_engine.md, step 7.

    Parameters
    ----------
    sizes : see `Sizes`.

    Members
    -------
    reduce : In(3), `hw.arch.commands.Reduce`.
    valid, info, values : In, a beat.
    keep : In(lanes), lanes of a row's last beat that count.
    o_valid, o : Out, a row's value.
    busy : Out(1), values are on their way, so the clock must run.

    Resources: lanes + 7 FP32 adders.
    """

    def __init__(self, *, sizes: Sizes) -> None:
        self.sizes = sizes
        self.tree = ReduceTree(n=sizes.lanes)
        self.last_tree = ReduceTree(n=N_PARTIALS)
        super().__init__(
            {
                "reduce": In(3),
                "valid": In(1),
                "info": In(beat_info(sizes)),
                "values": In(data.ArrayLayout(32, sizes.lanes)),
                "keep": In(sizes.lanes),
                "o_valid": Out(1),
                "o": Out(32),
                "busy": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Clock edges from a row's last beat to its value."""
        return 1 + self.tree.latency + ReduceNode.latency + 1 + self.last_tree.latency

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.tree = tree = self.tree
        m.submodules.node = node = ReduceNode()
        m.submodules.last_tree = last_tree = self.last_tree
        neutral = neutral_value(m, self.reduce, name="neutral")
        m.d.comb += [part.reduce.eq(self.reduce) for part in (tree, node, last_tree)]

        # Missing lanes become neutral in a register of their own.
        entering = Signal(data.ArrayLayout(32, self.sizes.lanes), reset_less=True)
        m.d.sync += [
            entering[lane].eq(
                Mux(self.info.row_last & ~self.keep[lane], neutral, self.values[lane])
            )
            for lane in range(self.sizes.lanes)
        ]
        m.d.comb += tree.values.eq(entering)
        info: Any = self.info
        valids = [self.valid]
        valid, info = self._delay(m, valids, info, 1 + tree.latency, "beat")
        partials = Array(Signal(32, name=f"partial{i}", reset_less=True) for i in range(N_PARTIALS))
        m.d.comb += [
            node.a.eq(tree.o),
            node.b.eq(Mux(info.opens, neutral, partials[info.partial])),
        ]
        valid, info = self._delay(m, valids, info, node.latency, "partial")
        with m.If(valid):
            m.d.sync += partials[info.partial].eq(node.o)
        self._elaborate_collect(m, valid, info, node.o, neutral)
        row_valid = Signal(name="row_valid")
        m.d.sync += row_valid.eq(valid & info.row_last)
        valids.append(row_valid)
        for stage in range(last_tree.latency):
            following = Signal(name=f"row_valid{stage + 1}")
            m.d.sync += following.eq(valids[-1])
            valids.append(following)
        m.d.comb += [
            self.o_valid.eq(valids[-1]),
            self.o.eq(last_tree.o),
            self.busy.eq(Cat(valids[1:]).any()),
        ]
        return m

    def _elaborate_collect(
        self, m: Module, valid: Any, info: Any, value: Any, neutral: Signal
    ) -> None:
        """Complete partial results wait for the others of their row."""
        kept = Signal(data.ArrayLayout(32, N_PARTIALS), reset_less=True)
        there = Signal(N_PARTIALS)
        complete = Signal(data.ArrayLayout(32, N_PARTIALS), reset_less=True)
        closes = valid & info.closes
        for index in range(N_PARTIALS):
            arrives = closes & (info.partial == index)
            with m.If(arrives):
                m.d.sync += [kept[index].eq(value), there[index].eq(1)]
            with m.If(valid & info.row_last):
                m.d.sync += [
                    complete[index].eq(
                        Mux(arrives, value, Mux(there[index], kept[index], neutral))
                    ),
                    there[index].eq(0),
                ]
        m.d.comb += self.last_tree.values.eq(complete)

    def _delay(
        self, m: Module, valids: list[Any], info: Any, n_edges: int, name: str
    ) -> tuple[Any, Any]:
        """Valid bit (the last of `valids`, which grows) and info of a beat, later."""
        for edge in range(n_edges):
            valid = Signal(name=f"{name}_valid{edge + 1}")
            following = Signal(
                beat_info(self.sizes), name=f"{name}_info{edge + 1}", reset_less=True
            )
            m.d.sync += [valid.eq(valids[-1]), following.eq(info)]
            valids.append(valid)
            info = following
        return valids[-1], info
