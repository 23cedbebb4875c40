# SPDX-License-Identifier: Apache-2.0
"""The debug port: one word of the element's state at a time, laid out as in `hw.arch.csr`."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS, QUAD_BITS
from hw.arch.csr import DebugSpace
from hw.arch.units import Unit
from hw.iface.pe import BankState, UnitStatus
from hw.pe.cp.cb_table import cb_state_layout

__all__ = ["DebugPort"]

_WORD = 32


class DebugPort(wiring.Component):
    """Shows the word of the element's state that `select` names.

    Operation
        `select` is space << 24 | index << 8 | word, as `hw.arch.csr.DebugSpace` says. What does not
        exist reads as 0.

    Timing
        `data` shows the state of the cycle before. Rows of the buffer table and the signal counters
        are asked for by `cb` and `counter` and answer in the same cycle.

    Parameters
    ----------
    units : units that are present.
    n_sources : command sources.
    n_banks : accumulator banks.
    cb_width : bits of amounts and pointers in the buffer table.

    Members
    -------
    select : In(32), what to show.
    data : Out(32), that word.
    statuses : In(UnitStatus).array(7), what units do.
    n_waiting : In(8).array(7), commands in queues.
    heads : In(512).array(7), commands at queues' heads.
    cb : Out(6), row of the buffer table that `row` and `row_valid` show.
    row : In(cb_state_layout(cb_width)).
    row_valid : In(1).
    counter : Out(5), signal counter that `counter_value` shows.
    counter_value : In(32).
    sources : In(128).array(n_sources), first quad of each source's command.
    source_waiting : In(n_sources), it cannot go.
    banks : In(ArrayLayout(BankState, n_banks)), states of accumulator banks.
    """

    def __init__(
        self, *, units: tuple[Unit, ...], n_sources: int, n_banks: int, cb_width: int
    ) -> None:
        self.units = units
        self.n_sources = n_sources
        self.n_banks = n_banks
        super().__init__(
            {
                "select": In(32),
                "data": Out(_WORD),
                "statuses": In(UnitStatus).array(Unit.CP),
                "n_waiting": In(8).array(Unit.CP),
                "heads": In(LONG_BITS).array(Unit.CP),
                "cb": Out(6),
                "row": In(cb_state_layout(cb_width)),
                "row_valid": In(1),
                "counter": Out(5),
                "counter_value": In(32),
                "sources": In(QUAD_BITS).array(n_sources),
                "source_waiting": In(n_sources),
                "banks": In(data.ArrayLayout(BankState, n_banks)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        word, index, space = self.select[:8], self.select[8:16], self.select[24:]
        shown = Signal(_WORD)
        m.d.comb += [self.cb.eq(index), self.counter.eq(index)]
        with m.Switch(space):
            with m.Case(DebugSpace.UNIT):
                self._show(m, shown, word, index, {unit: self._unit(unit) for unit in self.units})
            with m.Case(DebugSpace.CB):
                self._show(m, shown, word, Const(0), {0: self._cb()})
            with m.Case(DebugSpace.QUEUE):
                for unit in self.units:
                    with m.If(
                        (index == unit) & (word < LONG_BITS // _WORD) & (self.n_waiting[unit] != 0)
                    ):
                        m.d.comb += shown.eq(self.heads[unit].word_select(word[:4], _WORD))
            with m.Case(DebugSpace.COUNTER):
                self._show(m, shown, word, Const(0), {0: [self.counter_value]})
            with m.Case(DebugSpace.SOURCE):
                self._show(
                    m, shown, word, index, {i: self._source(i) for i in range(self.n_sources)}
                )
            with m.Case(DebugSpace.BANK):
                self._show(m, shown, word, index, {i: [self.banks[i]] for i in range(self.n_banks)})
        m.d.sync += self.data.eq(shown)
        return m

    def _show(
        self, m: Module, shown: Signal, word: Value, index: Value, words: dict[int, list[Any]]
    ) -> None:
        """Choose one of the words of one of the indices."""
        with m.Switch(index):
            for number, values in words.items():
                with m.Case(number):
                    with m.Switch(word):
                        for i, value in enumerate(values):
                            with m.Case(i):
                                m.d.comb += shown.eq(value)

    def _unit(self, unit: Unit) -> list[Value]:
        status = self.statuses[unit]
        return [
            Cat(
                _pad(status.state, 8),
                _pad(status.cb, 8),
                _pad(status.bank, 8),
                self.n_waiting[unit],
            ),
            Cat(status.tag, status.opcode),
            status.steps,
        ]

    def _cb(self) -> list[Value]:
        row = self.row
        # The two pointers that are not stored trail those that are.
        commit = row.reserve - row.pending + Mux(row.reserve < row.pending, row.depth, 0)
        release = row.claim - row.held + Mux(row.claim < row.held, row.depth, 0)
        users = Cat(
            _pad(row.producer.unit, 7),
            row.producer.known,
            _pad(row.consumer.unit, 7),
            row.consumer.known,
        )
        words = [
            Cat(_pad(row.base, 16), row.depth),
            Cat(_pad(row.reserve, 16), commit[: len(row.reserve)]),
            Cat(_pad(row.claim, 16), release[: len(row.claim)]),
            Cat(_pad(Cat(self.row_valid, row.shared), 8), users),
            Cat(_pad(row.filled, 16), row.room),
        ]
        return [Mux(self.row_valid, value, 0) for value in words]

    def _source(self, i: int) -> list[Value]:
        quad, waiting = self.sources[i], self.source_waiting[i]
        first = Mux(waiting, Cat(_pad(waiting, 8), quad[:24]), 0)
        return [first, *(Mux(waiting, quad.word_select(n, _WORD), 0) for n in range(4))]


def _pad(value: Value, width: int) -> Value:
    """`value` with zeros above it."""
    bits = Value.cast(value)
    return Cat(bits, Const(0, width - len(bits)))
