# SPDX-License-Identifier: Apache-2.0
"""Reduction of some values to one in a balanced tree."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import Reduce
from hw.lib.emit_once import Boundary, EmitOnce
from hw.num.fp32_add import Fp32Adder
from hw.num.fp32_order import fp32_min_max

__all__ = ["ReduceNode", "ReduceTree", "neutral_value"]


def neutral_value(m: Module, reduce: Any, *, name: str) -> Signal:
    """What changes no result of a reduction: -0, an infinity, or 0."""
    value = Signal(32, name=name)
    m.d.comb += value.eq(0x8000_0000)
    with m.Switch(reduce):
        with m.Case(Reduce.MAX):
            m.d.comb += value.eq(0xFF80_0000)
        with m.Case(Reduce.MIN):
            m.d.comb += value.eq(0x7F80_0000)
        with m.Case(Reduce.ABSMAX):
            m.d.comb += value.eq(0)
    return value


class ReduceNode(wiring.Component):
    """Sum, maximum or minimum of two values.

    Timing: `latency` clock edges; one pair per cycle.

    Numerics: see `Fp32Adder` and `fp32_min_max`; ABSMAX takes magnitudes.

    Members
    -------
    reduce : In(3), `hw.arch.commands.Reduce`; stays as it is while values are under way.
    a, b : In(32).
    o : Out(32).
    """

    latency = 3

    def __init__(self) -> None:
        super().__init__({"reduce": In(3), "a": In(32), "b": In(32), "o": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.adder = adder = Fp32Adder(latency=self.latency)
        magnitudes = self.reduce == Reduce.ABSMAX
        operands = []
        for name in "ab":
            operand = Signal(32, name=f"operand_{name}")
            m.d.comb += operand.eq(getattr(self, name))
            with m.If(magnitudes):
                m.d.comb += operand[31].eq(0)
            operands.append(operand)
        chosen = fp32_min_max(m, *operands, want_max=self.reduce != Reduce.MIN, name="extreme")
        for edge in range(self.latency):
            following = Signal(32, name=f"extreme_{edge + 1}", reset_less=True)
            m.d.sync += following.eq(chosen)
            chosen = following
        sums = (self.reduce == Reduce.SUM) | (self.reduce == Reduce.SUM_SQUARES)
        m.d.comb += [
            adder.a.eq(self.a),
            adder.b.eq(self.b),
            self.o.eq(Mux(sums, adder.o, chosen)),
        ]
        return m


class ReduceTree(wiring.Component):
    """Reduces `n` values to one: value i with value i + n / 2 first.

    Timing: `latency` = 3 * log2(n) clock edges; one set per cycle.

    Parameters
    ----------
    n : values, a power of two.

    Members
    -------
    reduce : In(3), `hw.arch.commands.Reduce`.
    values : In(ArrayLayout(32, n)).
    o : Out(32).

    Resources: n - 1 FP32 adders.
    """

    def __init__(self, *, n: int) -> None:
        self.n = n
        super().__init__({"reduce": In(3), "values": In(data.ArrayLayout(32, n)), "o": Out(32)})

    @property
    def latency(self) -> int:
        """Clock edges from the values to the result."""
        return ReduceNode.latency * (self.n - 1).bit_length()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        values = [self.values[i] for i in range(self.n)]
        while len(values) > 1:
            half = len(values) // 2
            values = [self._node(m, half, i, values[i], values[i + half]) for i in range(half)]
        m.d.comb += self.o.eq(values[0])
        return m

    def _node(self, m: Module, half: int, index: int, a: Any, b: Any) -> Any:
        node = EmitOnce(ReduceNode, key="se_reduce_node", boundary=Boundary.NO_INLINE)
        m.submodules[f"node{half}_{index}"] = node
        m.d.comb += [node.reduce.eq(self.reduce), node.a.eq(a), node.b.eq(b)]
        return node.o
