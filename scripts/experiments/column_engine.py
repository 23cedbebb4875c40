# SPDX-License-Identifier: Apache-2.0
"""Dot-product columns side by side, as the experiment `dpe_column.py` builds and runs them."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from column import Column
from column_form import N_LANES, N_PAIRS, Form

from hw.lib.clock_gate import Gated
from hw.lib.emit_once import EmitOnce

__all__ = ["Engine"]

Operands = tuple[list[Signal], list[Signal], Signal]
"""Lanes, exponents of pairs of lanes, and the pairs' signs."""


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
        passing = self._decode(inner, self.row_data, True, "a")
        held = self._decode(inner, self.load_data, False, "h")
        control = {}
        for name in ("swap", "valid", "is_float", "row", "bank"):
            control[name] = Signal.like(getattr(self, name), name=f"{name}_q")
            inner.d.sync += control[name].eq(getattr(self, name))
        drains = self._columns(inner, control, passing, held)
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

    def _columns(
        self, m: Module, control: dict[str, Signal], passing: Operands, held: Operands
    ) -> list[Signal]:
        """The columns side by side; what each drains."""
        (a, a_exp, a_sign), (load, h_exp, h_sign) = passing, held
        load_en = Signal(self.form.n_columns)
        own = ("load_en",) if self.form.own_input else ()
        drains = []
        for c in range(self.form.n_columns):
            m.d.comb += load_en[c].eq(self.load_en & (self.load_column == c))
            column = (
                EmitOnce(
                    Column,
                    key="column",
                    boundary=self.form.boundary,
                    own_inputs=own,
                    form=self.form,
                )
                if self.form.once
                else Column(form=self.form)
            )
            m.submodules[f"column{c}"] = column
            if self.form.packed:
                m.d.comb += [column.a.eq(Cat(a)), column.load.eq(Cat(load))]
            else:
                m.d.comb += [column.a[i].eq(a[i]) for i in range(N_LANES)]
                m.d.comb += [column.load[i].eq(load[i]) for i in range(N_LANES)]
            m.d.comb += [column.a_exp[j].eq(a_exp[j]) for j in range(N_PAIRS)]
            m.d.comb += [column.h_exp[j].eq(h_exp[j]) for j in range(N_PAIRS)]
            m.d.comb += [getattr(column, name).eq(value) for name, value in control.items()]
            m.d.comb += [
                column.a_sign.eq(a_sign),
                column.h_sign.eq(h_sign),
                column.load_en.eq(load_en[c]),
                column.drain_row.eq(self.drain_row),
                column.drain_bank.eq(self.drain_bank),
            ]
            drains.append(column.drain)
        return drains

    def _decode(self, m: Module, word: Signal, whole: bool, name: str) -> Operands:
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
