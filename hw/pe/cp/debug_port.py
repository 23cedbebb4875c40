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
from hw.num.bits import pick
from hw.pe.cp.cb_table import cb_state_layout

__all__ = ["DebugPort"]

_WORD = 32
_STATUS = ("state", "cb", "bank", "tag", "opcode", "steps")


class DebugPort(wiring.Component):
    """Shows the word of the element's state that `select` names.

    Operation
        `select` is space << 24 | index << 8 | word, as `hw.arch.csr.DebugSpace` says. What does not
        exist reads as 0.

    Timing
        `data` shows the state of at most `READ_CYCLES` cycles before, while the memory of the
        queues is not read otherwise. Rows of the buffer table and the signal counters are asked for
        by `cb` and `counter` and answer in the same cycle; of queues by `queue` and `queue_word`,
        and answer when they can.

    Parameters
    ----------
    units : units that are present.
    sources : number of each present command source in the debug space.
    n_banks : accumulator banks.
    cb_width : bits of amounts and pointers in the buffer table.

    Members
    -------
    select : In(32), what to show.
    data : Out(32), that word.
    statuses : In(UnitStatus).array(7), what units do.
    n_waiting : In(8).array(7), commands in queues.
    stored : In(7), queues that have a head to show.
    peeks : Out(1), queue : Out(3), queue_word : Out(4), word of a queue's head to be looked up for
        `queued`.
    queued : In(32).
    cb : Out(6), row of the buffer table that `row` and `row_valid` show.
    row : In(cb_state_layout(cb_width)).
    row_valid : In(1).
    counter : Out(5), signal counter that `counter_value` shows.
    counter_value : In(32).
    quads : In(128).array(len(sources)), first quad of each source's command.
    source_waiting : In(len(sources)), it cannot go.
    banks : In(ArrayLayout(BankState, n_banks)), states of accumulator banks.
    """

    READ_CYCLES = 6

    def __init__(
        self, *, units: tuple[Unit, ...], sources: tuple[int, ...], n_banks: int, cb_width: int
    ) -> None:
        self.units = units
        self.sources = sources
        self.n_banks = n_banks
        super().__init__(
            {
                "select": In(32),
                "data": Out(_WORD),
                "statuses": In(UnitStatus).array(Unit.CP),
                "n_waiting": In(8).array(Unit.CP),
                "stored": In(Unit.CP),
                "peeks": Out(1),
                "queue": Out(3),
                "queue_word": Out(4),
                "queued": In(_WORD),
                "cb": Out(6),
                "row": In(cb_state_layout(cb_width)),
                "row_valid": In(1),
                "counter": Out(5),
                "counter_value": In(32),
                "quads": In(QUAD_BITS).array(len(sources)),
                "source_waiting": In(len(sources)),
                "banks": In(data.ArrayLayout(BankState, n_banks)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A word of each space is looked up first, and one of these is shown a cycle later."""
        m = Module()
        select = Signal(32)
        word, index, space = select[:8], select[8:16], select[24:]
        row, row_valid = Signal.like(self.row), Signal()
        m.d.sync += [
            select.eq(self.select),
            self.data.eq(0),
            row.eq(self.row),
            row_valid.eq(self.row_valid),
        ]
        m.d.comb += [
            self.cb.eq(index),
            self.counter.eq(index),
            self.peeks.eq(space == DebugSpace.QUEUE),
            self.queue.eq(index),
            self.queue_word.eq(word),
        ]
        n_queue_words = LONG_BITS // _WORD
        has_head = (self.stored & (1 << index[:3])).any() & (index < Unit.CP)
        for name, exists, value in (
            (DebugSpace.UNIT, (index < Unit.CP) & (word < 3), self._units(index, word)),
            (DebugSpace.CB, word < 5, self._cb(row, row_valid, word)),
            (DebugSpace.QUEUE, has_head & (word < n_queue_words), self.queued),
            (DebugSpace.COUNTER, word == 0, self.counter_value),
            (DebugSpace.SOURCE, word < 5, self._sources(index, word)),
            (DebugSpace.BANK, (index < self.n_banks) & (word == 0), self._bank(index)),
        ):
            shown, hit = Signal(_WORD, name=f"shown_{name}"), Signal(name=f"hit_{name}")
            m.d.sync += [shown.eq(value), hit.eq((space == name) & exists)]
            with m.If(hit):
                m.d.sync += self.data.eq(shown)
        return m

    def _bank(self, index: Value) -> Value:
        return pick([Value.cast(bank) for bank in self.banks], index)

    def _units(self, index: Value, word: Value) -> Value:
        """A word of a unit; absent units are zeros."""
        statuses = [
            Cat(*(self.statuses[unit][name] for name in _STATUS), self.n_waiting[unit])
            for unit in range(Unit.CP)
        ]
        shown = pick(statuses, index)
        fields: dict[str, Value] = {}
        for name in _STATUS:
            width = len(Value.cast(self.statuses[0][name]))
            fields[name], shown = shown[:width], shown[width:]
        words = [
            Cat(_pad(fields["state"], 8), _pad(fields["cb"], 8), _pad(fields["bank"], 8), shown),
            Cat(fields["tag"], fields["opcode"]),
            fields["steps"],
        ]
        return pick([_pad(value, _WORD) for value in words], word)

    def _cb(self, row: Any, row_valid: Value, word: Value) -> Value:
        """A word of a circular buffer."""
        # The two pointers that are not stored trail those that are.
        is_claim = word[1]
        ahead = Mux(is_claim, row.claim, row.reserve)
        amount = Mux(is_claim, row.held, row.pending)
        behind = ahead - amount + Mux(ahead < amount, row.depth, 0)
        users = Cat(
            _pad(row.producer.unit, 7),
            row.producer.known,
            _pad(row.consumer.unit, 7),
            row.consumer.known,
        )
        trailing = Cat(_pad(ahead, 16), behind[: len(row.reserve)])
        words = [
            Cat(_pad(row.base, 16), row.depth),
            trailing,
            trailing,
            Cat(_pad(Cat(row_valid, row.shared), 8), users),
            Cat(_pad(row.filled, 16), row.room),
        ]
        return Mux(row_valid, pick([_pad(value, _WORD) for value in words], word), 0)

    def _sources(self, index: Value, word: Value) -> Value:
        """A word of a source; nothing of one that does not wait."""
        shown = Const(0, _WORD)
        for number, quad, waiting in zip(
            self.sources, self.quads, self.source_waiting, strict=True
        ):
            first = Cat(_pad(waiting, 8), quad[:24])
            words = [first, *(quad.word_select(n, _WORD) for n in range(4))]
            shown = shown | Mux(waiting & (index == number), pick(words, word), 0)
        return shown


def _pad(value: Value, width: int) -> Value:
    """`value` with zeros above it."""
    bits = Value.cast(value)
    return Cat(bits, Const(0, width - len(bits)))
