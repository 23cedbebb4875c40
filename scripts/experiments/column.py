# SPDX-License-Identifier: Apache-2.0
"""A dot-product column of realistic cost, in many forms, for the experiment `dpe_column.py`.

The integer path is exact. The floating-point path has the shape and the cost of the real one but
keeps no special values; nothing but the experiment uses it.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, EnableInserter, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.lib.clock_gate import Gated
from hw.lib.emit_once import Boundary, EmitOnce

__all__ = ["Engine", "Form"]

N_LANES, N_PAIRS, N_ROWS, N_BANKS = 32, 16, 32, 4


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way of writing the engine; every field is a question the experiment asks."""

    n_columns: int = 32
    once: bool = True
    """Columns are emitted once; otherwise every column is elaborated in place."""
    boundary: Boundary = Boundary.FREE
    fp: str = "gated"
    """The floating-point path: "none", "free" running, with an "enable", or "gated"."""
    idle: str = "free"
    """The whole column: "free" running, or "gated" while it has no work."""
    packed: bool = False
    """Operands cross the column's boundary as one wide vector in place of one signal per lane."""
    chained: bool = False
    """Sums are chains in place of balanced trees."""
    cut: int = 2
    """The products are registered after sums of so many (1: the products themselves; 0: never)."""
    resettable: bool = False
    """Data registers have a reset."""
    word: int = 0
    """Operands are registered with so many bits, products and sums have 32; 0: exact widths."""
    fp_words: bool = False
    """The floating-point path shifts by slicing and sums in whole machine words."""
    own_input: bool = True
    """The load enable stays a variable of each column."""
    one_memory: bool = False
    """The four accumulator banks are one memory."""


def add_up(values: list[Value], chained: bool) -> Value:
    """Sum as a balanced tree or as a chain."""

    def add(a: Value, b: Value) -> Value:
        if len(a) == len(b) == 32 or len(a) == len(b) == 64:  # wrap in the machine word
            return (a + b)[: len(a)].as_signed()
        return a + b

    if chained:
        total = values[0]
        for value in values[1:]:
            total = add(total, value)
        return total
    while len(values) > 1:
        values = [add(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]


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

    def reg(self, shape: Any, name: str) -> Signal:
        return Signal(shape, name=name, reset_less=not self.form.resettable)

    def up(self, value: Value, k: int) -> Value:
        """`value` shifted left; `<<` by a number of 5 bits makes a result of 31 bits more."""
        return Cat(Const(0, k), value[:-k]) if self.form.fp_words else value << k

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        q = [self.reg(22, f"q{j}") for j in range(N_PAIRS)]
        e = [self.reg(9, f"e{j}") for j in range(N_PAIRS)]
        s = self.reg(N_PAIRS, "s")
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
        terms: list[Value] = []
        for j in range(N_PAIRS):
            shift, aligned = Signal(9, name=f"shift{j}"), Signal(29, name=f"aligned{j}")
            m.d.comb += shift.eq(level[0] - e[j])
            m.d.comb += aligned.eq(Mux(shift > 31, 0, Cat(Const(0, 7), q[j]) >> shift[:5]))
            term = Signal(signed(64 if self.form.fp_words else 30), name=f"term{j}")
            m.d.comb += term.eq(Mux(s[j], -aligned, aligned))
            terms.append(term)
        total, e_max = (
            self.reg(signed(64 if self.form.fp_words else 34), "total"),
            self.reg(9, "e_max"),
        )
        m.d.sync += [total.eq(add_up(terms, self.form.chained)), e_max.eq(level[0])]
        return e_max, total

    def _round(self, m: Module, total: Signal, e_max: Signal) -> Signal:
        magnitude, exponent = Signal(34), Signal(10)
        m.d.comb += [magnitude.eq(Mux(total < 0, -total, total)), exponent.eq(e_max)]
        for k in (16, 8, 4, 2, 1):
            shifted = Signal(34, name=f"norm{k}")
            empty = magnitude[34 - k :] == 0
            m.d.comb += shifted.eq(Mux(empty, self.up(magnitude, k), magnitude))
            lower = Signal(10, name=f"exp{k}")
            m.d.comb += lower.eq(Mux(empty, exponent - k, exponent))
            magnitude, exponent = shifted, lower
        up = Signal()
        m.d.comb += up.eq(magnitude[9] & (magnitude[:9].any() | magnitude[10]))
        rounded = Signal(25)
        m.d.comb += rounded.eq(magnitude[10:] + up)
        partial = self.reg(32, "partial")
        m.d.sync += partial.eq(
            Cat(
                Mux(rounded[24], rounded[1:24], rounded[:23]),
                (exponent + rounded[24])[:8],
                total < 0,
            )
        )
        return partial

    def _add(self, m: Module, partial: Signal) -> None:
        other = self.reg(32, "acc_q")
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
        magnitude, exponent = total, big[23:31]
        for k in (16, 8, 4, 2, 1):
            shifted, lower = Signal(29, name=f"add_norm{k}"), Signal(8, name=f"add_exp{k}")
            empty = magnitude[28 - k :] == 0
            m.d.comb += shifted.eq(Mux(empty, self.up(magnitude, k), magnitude))
            m.d.comb += lower.eq(Mux(empty, exponent - k, exponent))
            magnitude, exponent = shifted, lower
        rounded = Signal(24)
        m.d.comb += rounded.eq(magnitude[4:28] + magnitude[3])
        result = self.reg(32, "result")
        m.d.sync += result.eq(Cat(rounded[:23], exponent, big[31]))
        m.d.comb += self.sum.eq(result)


class Column(wiring.Component):
    """Holds 32 operands, multiplies them with 32 passing ones and accumulates the sum per row."""

    def __init__(self, *, form: Form) -> None:
        self.form = form
        a_bits, h_bits = (form.word, form.word) if form.word else (12, 9)
        lanes = (
            {"a": In(N_LANES * 12), "load": In(N_LANES * 9)}
            if form.packed
            else {"a": In(signed(a_bits)).array(N_LANES), "load": In(signed(h_bits)).array(N_LANES)}
        )
        super().__init__(
            {
                **lanes,
                "a_exp": In(8).array(N_PAIRS),
                "a_sign": In(N_PAIRS),
                "h_exp": In(8).array(N_PAIRS),
                "h_sign": In(N_PAIRS),
                "load_en": In(1),
                "swap": In(1),
                "valid": In(1),
                "is_float": In(1),
                "row": In(5),
                "bank": In(2),
                "drain_row": In(5),
                "drain_bank": In(2),
                "drain": Out(32),
            }
        )

    def reg(self, shape: Any, name: str) -> Signal:
        return Signal(shape, name=name, reset_less=not self.form.resettable)

    def delay(self, m: Module, value: Value, n: int, name: str) -> Signal:
        for k in range(n):
            stage = Signal.like(value, name=f"{name}_q{k + 1}")
            m.d.sync += stage.eq(value)
            value = stage
        return value

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held = self._hold(m)
        a = (
            [self.a[i * 12 : i * 12 + 12].as_signed() for i in range(N_LANES)]
            if self.form.packed
            else list(self.a)
        )
        products = []
        for i in range(N_LANES):
            product = Signal(signed(32 if self.form.word else 21), name=f"product{i}")
            m.d.comb += product.eq((a[i] * held[i])[: len(product)])
            products.append(product)
        n_cut, total = self._integer_sum(m, products)
        acc_read, acc_write, acc_en = Signal(32), Signal(32), Signal()
        int_row = self.delay(m, Cat(self.row, self.bank), n_cut, "int_row")
        int_en = self.delay(m, self.valid & ~self.is_float, n_cut, "int_en")
        row_read, row_write = Signal(7), Signal(7)
        m.d.comb += [
            row_read.eq(int_row),
            row_write.eq(int_row),
            acc_en.eq(int_en),
            acc_write.eq(acc_read + total),
        ]
        if self.form.fp != "none":
            fp = self._fp_path(m, products)
            m.d.comb += fp.acc.eq(acc_read)
            fp_en = self.delay(m, self.valid & self.is_float, 4, "fp_en")
            fp_row = [self.delay(m, Cat(self.row, self.bank), n, f"fp_row{n}") for n in (2, 4)]
            with m.If(~int_en):
                m.d.comb += row_read.eq(fp_row[0])
            with m.If(fp_en):
                m.d.comb += [row_write.eq(fp_row[1]), acc_write.eq(fp.sum), acc_en.eq(1)]
        self._accumulators(m, row_read, acc_read, row_write, acc_write, acc_en)
        return m

    def _hold(self, m: Module) -> list[Signal]:
        width = self.form.word or 9
        held = [self.reg(signed(width), f"held{i}") for i in range(N_LANES)]
        following = [self.reg(signed(width), f"following{i}") for i in range(N_LANES)]
        load = (
            [self.load[i * 9 : i * 9 + 9].as_signed() for i in range(N_LANES)]
            if self.form.packed
            else list(self.load)
        )
        # Registered in here: a parent's expression that differs from column to column would be
        # inlined, and Verilator could not use one function for all columns.
        load_en = Signal()
        m.d.sync += load_en.eq(self.load_en)
        with m.If(load_en):
            m.d.sync += [following[i].eq(load[i]) for i in range(N_LANES)]
        with m.If(self.swap):
            m.d.sync += [held[i].eq(following[i]) for i in range(N_LANES)]
        return held

    def _integer_sum(self, m: Module, products: list[Signal]) -> tuple[int, Signal]:
        cut, chained = self.form.cut, self.form.chained
        terms: list[Value] = list(products)
        width = 32 if self.form.word else 26
        if cut:
            groups = []
            for i in range(0, N_LANES, cut):
                group = self.reg(signed(width), f"group{i}")
                m.d.sync += group.eq(add_up(products[i : i + cut], chained))
                groups.append(group)
            terms = groups
        total = self.reg(signed(width), "int_total")
        m.d.sync += total.eq(add_up(terms, chained))
        return (2 if cut else 1), total

    def _fp_path(self, m: Module, products: list[Signal]) -> FpPath:
        fp = FpPath(form=self.form)
        for j in range(N_PAIRS):
            m.d.comb += fp.product[j].eq(products[2 * j] + (products[2 * j + 1] << 8))
            m.d.comb += [fp.a_exp[j].eq(self.a_exp[j]), fp.h_exp[j].eq(self.h_exp[j])]
        m.d.comb += fp.sign.eq(self.a_sign ^ self.h_sign)
        # The path runs for as long as a product is in it.
        active = self.valid & self.is_float
        busy = active
        for k in range(3):
            stage = Signal(name=f"fp_active{k}")
            m.d.sync += stage.eq(active)
            active = stage
            busy = busy | stage
        m.submodules.fp = {
            "free": lambda: fp,
            "enable": lambda: EnableInserter(busy)(fp),
            "gated": lambda: Gated(fp, enable=busy),
        }[self.form.fp]()
        return fp

    def _accumulators(
        self,
        m: Module,
        row_read: Signal,
        acc_read: Signal,
        row_write: Signal,
        acc_write: Signal,
        acc_en: Signal,
    ) -> None:
        n_memories = 1 if self.form.one_memory else N_BANKS
        reads, drains = [], []
        for b in range(n_memories):
            memory = Memory(shape=32, depth=N_ROWS * N_BANKS // n_memories, init=[])
            m.submodules[f"acc{b}"] = memory
            read, write = memory.read_port(domain="comb"), memory.write_port()
            drain = memory.read_port(domain="comb")
            here = 1 if self.form.one_memory else row_write[5:] == b
            m.d.comb += [
                read.addr.eq(row_read),
                write.addr.eq(row_write),
                write.data.eq(acc_write),
                write.en.eq(acc_en & here),
                drain.addr.eq(Cat(self.drain_row, self.drain_bank)),
            ]
            reads.append(read.data)
            drains.append(drain.data)
        bank_read = Const(0) if self.form.one_memory else row_read[5:]
        bank_drain = Const(0) if self.form.one_memory else self.drain_bank
        with m.Switch(bank_read):
            for b in range(n_memories):
                with m.Case(b):
                    m.d.comb += acc_read.eq(reads[b])
        with m.Switch(bank_drain):
            for b in range(n_memories):
                with m.Case(b):
                    m.d.comb += self.drain.eq(drains[b])


class Engine(wiring.Component):
    """Columns side by side on one operand row, with the operand register and the decoder."""

    def __init__(self, form: Form) -> None:
        self.form = form
        super().__init__(
            {
                "row_data": In(256),
                "load_data": In(256),
                "load_column": In(6),
                "load_en": In(1),
                "swap": In(1),
                "valid": In(1),
                "is_float": In(1),
                "row": In(5),
                "bank": In(2),
                "drain_row": In(5),
                "drain_bank": In(2),
                "drain_column": In(6),
                "drain": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        form = self.form
        inner = Module()
        a, a_exp, a_sign = self._decode(inner, self.row_data, True, "a")
        load, h_exp, h_sign = self._decode(inner, self.load_data, False, "h")
        control = {}
        for name in ("swap", "valid", "is_float", "row", "bank"):
            control[name] = Signal.like(getattr(self, name), name=f"{name}_q")
            inner.d.sync += control[name].eq(getattr(self, name))
        load_en = Signal(form.n_columns)
        own = ("load_en",) if form.own_input else ()
        drains = []
        for c in range(form.n_columns):
            inner.d.comb += load_en[c].eq(self.load_en & (self.load_column == c))
            column = (
                EmitOnce(Column, key="column", boundary=form.boundary, own_inputs=own, form=form)
                if form.once
                else Column(form=form)
            )
            inner.submodules[f"column{c}"] = column
            if form.packed:
                inner.d.comb += [column.a.eq(Cat(a)), column.load.eq(Cat(load))]
            else:
                inner.d.comb += [column.a[i].eq(a[i]) for i in range(N_LANES)]
                inner.d.comb += [column.load[i].eq(load[i]) for i in range(N_LANES)]
            inner.d.comb += [column.a_exp[j].eq(a_exp[j]) for j in range(N_PAIRS)]
            inner.d.comb += [column.h_exp[j].eq(h_exp[j]) for j in range(N_PAIRS)]
            inner.d.comb += [getattr(column, name).eq(value) for name, value in control.items()]
            inner.d.comb += [
                column.a_sign.eq(a_sign),
                column.h_sign.eq(h_sign),
                column.load_en.eq(load_en[c]),
                column.drain_row.eq(self.drain_row),
                column.drain_bank.eq(self.drain_bank),
            ]
            drains.append(column.drain)
        with inner.Switch(self.drain_column):
            for c, drain in enumerate(drains):
                with inner.Case(c):
                    inner.d.comb += self.drain.eq(drain)
        if form.idle == "gated":
            wake = Signal(8)  # keeps the clock running until the last result has landed
            m.d.sync += wake.eq(Cat(self.valid | self.load_en | self.swap, wake))
            m.submodules.engine = Gated(
                inner, enable=self.valid | self.load_en | self.swap | wake.any()
            )
        else:
            m.submodules.engine = inner
        return m

    def _decode(
        self, m: Module, word: Signal, whole: bool, name: str
    ) -> tuple[list[Signal], list[Signal], Signal]:
        data = [word.word_select(i, 8) for i in range(N_LANES)]
        width = self.form.word or (12 if whole else 9)
        lanes = [Signal(signed(width), name=f"{name}{i}", reset_less=True) for i in range(N_LANES)]
        exps = [Signal(8, name=f"{name}_exp{j}", reset_less=True) for j in range(N_PAIRS)]
        sign = Signal(N_PAIRS, name=f"{name}_sign", reset_less=True)
        with m.If(self.is_float):
            for j in range(N_PAIRS):
                half = Cat(data[2 * j], data[2 * j + 1])
                live = half[10:15].any()
                both = half[:10] | (live << 10)
                low, high = (both, both) if whole else (both[:8], both[8:])
                m.d.sync += [
                    lanes[2 * j].eq(low),
                    lanes[2 * j + 1].eq(high),
                    exps[j].eq(half[10:15] | ~live),
                    sign[j].eq(half[15]),
                ]
        with m.Else():
            m.d.sync += [lanes[i].eq(data[i].as_signed()) for i in range(N_LANES)]
        return lanes, exps, sign
