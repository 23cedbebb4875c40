# SPDX-License-Identifier: Apache-2.0
"""The floating-point path of a dot-product column: the shape and cost of the real one."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from column_form import N_PAIRS, Form, add_up

__all__ = ["FpPath"]


class FpPath(wiring.Component):
    """Aligns, sums, rounds and accumulates 16 products; four registered stages."""

    def __init__(self, *, form: Form) -> None:
        self.form = form
        super().__init__(
            {
                "product": In(unsigned(22)).array(N_PAIRS),
                "sign": In(N_PAIRS),
                "a_exp": In(8).array(N_PAIRS),
                "h_exp": In(8).array(N_PAIRS),
                "acc": In(32),
                "sum": Out(32),
            }
        )

    def up(self, value: Value, k: int) -> Value:
        """`value` shifted left; `<<` by a number of 5 bits makes a result of 31 bits more."""
        return Cat(Const(0, k), value[:-k]) if self.form.fp_words else value << k

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        q = [self.form.register(22, f"q{j}") for j in range(N_PAIRS)]
        e = [self.form.register(9, f"e{j}") for j in range(N_PAIRS)]
        s = self.form.register(N_PAIRS, "s")
        m.d.sync += s.eq(self.sign)
        for j in range(N_PAIRS):
            m.d.sync += [q[j].eq(self.product[j]), e[j].eq(self.a_exp[j] + self.h_exp[j])]
        e_max, total = self._align(m, q, e, s)
        partial = self._round(m, total, e_max)
        self._add(m, partial)
        return m

    def _align(
        self, m: Module, q: list[Signal], e: list[Signal], s: Signal
    ) -> tuple[Signal, Signal]:
        largest = self._largest(m, q, e)
        terms: list[Value] = []
        for j in range(N_PAIRS):
            shift, aligned = Signal(9, name=f"shift{j}"), Signal(29, name=f"aligned{j}")
            m.d.comb += shift.eq(largest - e[j])
            m.d.comb += aligned.eq(Mux(shift > 31, 0, Cat(Const(0, 7), q[j]) >> shift[:5]))
            term = Signal(signed(64 if self.form.fp_words else 30), name=f"term{j}")
            m.d.comb += term.eq(Mux(s[j], -aligned, aligned))
            terms.append(term)
        total = self.form.register(signed(64 if self.form.fp_words else 34), "total")
        e_max = self.form.register(9, "e_max")
        m.d.sync += [total.eq(add_up(terms, self.form.chained)), e_max.eq(largest)]
        return e_max, total

    def _largest(self, m: Module, q: list[Signal], e: list[Signal]) -> Signal:
        """The largest exponent of a product that is not zero."""
        level = []
        for j in range(N_PAIRS):
            live = Signal(9, name=f"live{j}")
            m.d.comb += live.eq(Mux(q[j] != 0, e[j], 0))
            level.append(live)
        depth = 0
        while len(level) > 1:
            above = []
            for j, (a, b) in enumerate(zip(level[::2], level[1::2], strict=True)):
                larger = Signal(9, name=f"max{depth}_{j}")
                m.d.comb += larger.eq(Mux(a > b, a, b))
                above.append(larger)
            level, depth = above, depth + 1
        return level[0]

    def _round(self, m: Module, total: Signal, e_max: Signal) -> Signal:
        magnitude, exponent = Signal(34), Signal(10)
        m.d.comb += [magnitude.eq(Mux(total < 0, -total, total)), exponent.eq(e_max)]
        magnitude, exponent = self._normalise(m, magnitude, exponent, top=34)
        up = Signal()
        m.d.comb += up.eq(magnitude[9] & (magnitude[:9].any() | magnitude[10]))
        rounded = Signal(25)
        m.d.comb += rounded.eq(magnitude[10:] + up)
        partial = self.form.register(32, "partial")
        m.d.sync += partial.eq(
            Cat(
                Mux(rounded[24], rounded[1:24], rounded[:23]),
                (exponent + rounded[24])[:8],
                total < 0,
            )
        )
        return partial

    def _normalise(
        self, m: Module, magnitude: Value, exponent: Value, *, top: int, name: str = ""
    ) -> tuple[Value, Value]:
        """Shift zeros below bit `top` out, by each power of two that fits."""
        for k in (16, 8, 4, 2, 1):
            shifted = Signal(len(magnitude), name=f"{name}norm{k}")
            lower = Signal(len(exponent), name=f"{name}exp{k}")
            empty = magnitude[top - k :] == 0
            m.d.comb += shifted.eq(Mux(empty, self.up(magnitude, k), magnitude))
            m.d.comb += lower.eq(Mux(empty, exponent - k, exponent))
            magnitude, exponent = shifted, lower
        return magnitude, exponent

    def _add(self, m: Module, partial: Signal) -> None:
        other = self.form.register(32, "acc_q")
        m.d.sync += other.eq(self.acc)
        big, small = Signal(32), Signal(32)
        m.d.comb += Cat(big, small).eq(
            Mux(partial[:31] > other[:31], Cat(partial, other), Cat(other, partial))
        )
        distance, aligned = Signal(9), Signal(28)
        m.d.comb += distance.eq(big[23:31] - small[23:31])
        m.d.comb += aligned.eq(
            Mux(distance > 27, 0, Cat(Const(0, 3), small[:23], Const(1, 1)) >> distance[:5])
        )
        left, total = Signal(28), Signal(29)
        m.d.comb += left.eq(Cat(Const(0, 3), big[:23], Const(1, 1)))
        m.d.comb += total.eq(Mux(big[31] ^ small[31], left - aligned, left + aligned))
        magnitude, exponent = self._normalise(m, total, big[23:31], top=28, name="add_")
        rounded = Signal(24)
        m.d.comb += rounded.eq(magnitude[4:28] + magnitude[3])
        result = self.form.register(32, "result")
        m.d.sync += result.eq(Cat(rounded[:23], exponent, big[31]))
        m.d.comb += self.sum.eq(result)
