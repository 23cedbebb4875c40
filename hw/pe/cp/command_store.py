# SPDX-License-Identifier: Apache-2.0
"""One memory for all commands that wait: stored ones (contexts) and those in units' queues.

Commands are 512 bits wide and few, so that they lie in one block memory instead of registers or
lookup tables for each unit. It is written by one command a cycle and read by one.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.arch.commands import LONG_BITS, QUAD_BITS, Opcode
from hw.arch.units import Unit
from hw.iface.command_view import view
from hw.lib.sram import DualPortSram

__all__ = ["N_UNITS", "CommandStore", "unit_code"]

N_UNITS = Unit.CP
"""Units that can have a queue, hence bits of a unit mask."""


def unit_code(mask: Value) -> Value:
    """Number of the bit that is set in a mask of units."""
    bits = [Cat(mask[i] for i in range(len(mask)) if i >> bit & 1).any() for bit in range(3)]
    return Cat(bits)


class CommandStore(wiring.Component):
    """The rows of all queues and all contexts.

    Operation
        1. `write` stores `data`, without its `store` bit: with `to_context` in `context`, which
           then belongs to `unit`; else as the youngest row of `unit`'s queue, `tails[unit]`.
           `stores` says that it is both.
        2. `row` is what was read in the cycle before: with `reads_context` the context
           `read_context`; else with `fetch` the oldest row of that unit's queue, `fronts[unit]`;
           else with `peeks` the oldest row of `peek_unit`'s, of which `peek` then shows word
           `peek_word`.
        3. `lookups` are contexts whose units, as masks, are in `targets_of`; none for an empty
           context. `present` tells whether `read_context` holds a command.

    Timing
        `row` follows one cycle after its address, `peek` three after a cycle without other reads.
        The others follow in the same cycle; a write is visible in the next.

    Parameters
    ----------
    n_contexts : stored commands, 2 to 16.
    depth : rows of each queue.
    n_lookups : how many sources look up a context's units at once.

    Raises: ValueError when `n_contexts` is out of range.
    """

    def __init__(self, *, n_contexts: int, depth: int, n_lookups: int) -> None:
        if not 2 <= n_contexts <= 16:
            raise ValueError(f"CommandStore n_contexts must be from 2 to 16, not {n_contexts!r}.")
        self.n_contexts = n_contexts
        self.n_lookups = n_lookups
        self.row_bits = bits_for(depth - 1)
        self.place_bits = max(3 + self.row_bits, bits_for(n_contexts - 1))
        rows = data.ArrayLayout(self.row_bits, N_UNITS)
        super().__init__(
            {
                "write": In(1),
                "to_context": In(1),
                "stores": In(1),
                "context": In(4),
                "unit": In(3),
                "data": In(LONG_BITS),
                "tails": In(rows),
                "fronts": In(rows),
                "reads_context": In(1),
                "read_context": In(4),
                "present": Out(1),
                "fetch": In(N_UNITS),
                "row": Out(LONG_BITS),
                "peeks": In(1),
                "peek_unit": In(3),
                "peek_word": In(4),
                "peek": Out(32),
                "lookups": In(4).array(n_lookups),
                "targets_of": Out(N_UNITS).array(n_lookups),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # A row that is written is not read in that cycle, but by a peek, which reads it again.
        m.submodules.rows = rows = DualPortSram(
            width=LONG_BITS, depth=2 << self.place_bits, keeps_old=False
        )
        kept = Signal(LONG_BITS)
        m.d.comb += [
            kept.eq(self.data),
            view(kept, Opcode.MML).store.eq(0),  # the same bit in every long command
            rows.w_mask.eq(self.write),
            rows.w_data.eq(kept),
            rows.w_addr.eq(
                Mux(
                    self.to_context,
                    self._place(self.context, 0),
                    self._place(self._queue_row(self.unit, self.tails), 1),
                )
            ),
            self.row.eq(rows.r_data),
        ]
        unit, reads = Signal(3), Signal()
        m.d.comb += [
            reads.eq(self.reads_context | self.fetch.any()),
            rows.r_en.eq(reads | self.peeks),
            unit.eq(Mux(self.fetch.any(), unit_code(self.fetch), self.peek_unit)),
            rows.r_addr.eq(
                Mux(
                    self.reads_context,
                    self._place(self.read_context, 0),
                    self._place(self._queue_row(unit, self.fronts), 1),
                )
            ),
        ]
        peeked, part = Signal(), Signal(LONG_BITS // 4)  # one in four of the row's words
        m.d.sync += [peeked.eq(~reads), self.peek.eq(part.word_select(self.peek_word[2:], 32))]
        with m.If(peeked):
            quads = [self.row.word_select(i, QUAD_BITS) for i in range(LONG_BITS // QUAD_BITS)]
            m.d.sync += part.eq(Cat(quad.word_select(self.peek_word[:2], 32) for quad in quads))
        self._elaborate_contexts(m)
        return m

    def _place(self, row: Value, is_queue: int) -> Value:
        return Cat(row, Const(0, self.place_bits - len(row)), Const(is_queue, 1))

    def _queue_row(self, unit: Value, rows: data.View) -> Value:
        """Row of a unit's queue, among those of all queues."""
        return Cat(rows[unit], unit)

    def _elaborate_contexts(self, m: Module) -> None:
        """Which contexts are there, and whose they are."""
        m.submodules.units = units = memory.Memory(shape=3, depth=self.n_contexts, init=[])
        stored = Signal(self.n_contexts)
        note = units.write_port()
        m.d.comb += [
            note.addr.eq(self.context),
            note.data.eq(self.unit),
            note.en.eq(self.stores),
            self.present.eq(stored.bit_select(self.read_context, 1)),
        ]
        with m.If(note.en):
            m.d.sync += stored.bit_select(note.addr, 1).eq(1)
        for lookup, targets_of in zip(self.lookups, self.targets_of, strict=True):
            port = units.read_port(domain="comb")
            m.d.comb += [
                port.addr.eq(lookup),
                targets_of.eq(Mux(stored.bit_select(port.addr, 1), 1 << port.data, 0)),
            ]
