# SPDX-License-Identifier: Apache-2.0
"""A dot-product column of realistic cost, in many forms, for the experiment `dpe_column.py`.

The integer path is exact. The floating-point path has the shape and the cost of the real one but
keeps no special values; nothing but the experiment uses it.
"""

from typing import Any

from amaranth.hdl import Cat, Const, EnableInserter, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from column_form import N_BANKS, N_LANES, N_PAIRS, N_ROWS, Form, add_up
from column_fp import FpPath

from hw.lib.clock_gate import Gated

__all__ = ["Column"]


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
        held = [self.form.register(signed(width), f"held{i}") for i in range(N_LANES)]
        following = [self.form.register(signed(width), f"following{i}") for i in range(N_LANES)]
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
                group = self.form.register(signed(width), f"group{i}")
                m.d.sync += group.eq(add_up(products[i : i + cut], chained))
                groups.append(group)
            terms = groups
        total = self.form.register(signed(width), "int_total")
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
