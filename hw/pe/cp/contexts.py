# SPDX-License-Identifier: Apache-2.0
"""Contexts: stored long commands, and RUN, which repeats one moved."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import COMMANDS, LONG_BITS, OFFSET_FIELDS, Opcode
from hw.iface.command_view import view

__all__ = ["ContextStore"]

_HEADER_FIELDS = ("tag", "signal_en", "signal_counter", "signal_row", "signal_col")


class ContextStore(wiring.Component):
    """Stores long commands, and moves a stored one as a RUN command says.

    Operation
        `run` and `context` name the RUN command and the stored command it repeats; `moved` is the
        stored command with the RUN's tag, signal fields and deltas. With `write` high `data` is
        stored in `context`, without its `store` bit, and belongs to the units `targets`.

    Timing
        `moved`, `present` and `targets_of` follow their inputs in the same cycle; a write is
        visible in the next.

    Parameters
    ----------
    n_contexts : stored commands, 2 to 16.
    n_targets : bits of a unit mask.
    n_lookups : how many sources look up a context's units at once.

    Members
    -------
    context : In(4), context to read and to write.
    run : In(512), RUN command.
    moved : Out(512), the context's command as RUN moves it.
    present : Out(1), the context holds a command.
    write : In(1), store `data` in `context`.
    data : In(512), command to store.
    targets : In(n_targets), units that it is for.
    lookups : In(4).array(n_lookups), contexts to look up.
    targets_of : Out(n_targets).array(n_lookups), their units; none for an empty context.

    Raises: ValueError when `n_contexts` is out of range.
    """

    def __init__(self, *, n_contexts: int, n_targets: int, n_lookups: int) -> None:
        if not 2 <= n_contexts <= 16:
            raise ValueError(f"ContextStore n_contexts must be from 2 to 16, not {n_contexts!r}.")
        self.n_contexts = n_contexts
        self.n_targets = n_targets
        self.n_lookups = n_lookups
        super().__init__(
            {
                "context": In(4),
                "run": In(LONG_BITS),
                "moved": Out(LONG_BITS),
                "present": Out(1),
                "write": In(1),
                "data": In(LONG_BITS),
                "targets": In(n_targets),
                "lookups": In(4).array(n_lookups),
                "targets_of": Out(n_targets).array(n_lookups),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.rows = rows = memory.Memory(shape=LONG_BITS, depth=self.n_contexts, init=[])
        m.submodules.units = units = memory.Memory(
            shape=self.n_targets, depth=self.n_contexts, init=[]
        )
        stored = Signal(self.n_contexts)
        read, write, note = rows.read_port(domain="comb"), rows.write_port(), units.write_port()
        kept = Signal(LONG_BITS)
        m.d.comb += [
            read.addr.eq(self.context),
            write.addr.eq(self.context),
            note.addr.eq(self.context),
            kept.eq(self.data),
            view(kept, Opcode.MML).store.eq(0),  # the same bit in every long command
            write.en.eq(self.write),
            write.data.eq(kept),
            note.en.eq(self.write),
            note.data.eq(self.targets),
            self.present.eq(stored.bit_select(read.addr, 1)),
        ]
        with m.If(self.write):
            m.d.sync += stored.bit_select(write.addr, 1).eq(1)
        for lookup, targets_of in zip(self.lookups, self.targets_of, strict=True):
            port = units.read_port(domain="comb")
            m.d.comb += [
                port.addr.eq(lookup),
                targets_of.eq(Mux(stored.bit_select(port.addr, 1), port.data, 0)),
            ]
        self._elaborate_move(m, read.data)
        return m

    def _elaborate_move(self, m: Module, row: Any) -> None:
        """The stored command with another header, address and offset."""
        run = view(self.run, Opcode.RUN)
        m.d.comb += self.moved.eq(row)
        for name in _HEADER_FIELDS:
            m.d.comb += view(self.moved, Opcode.MML)[name].eq(run[name])
        with m.Switch(row[:8]):
            for opcode, offset in OFFSET_FIELDS.items():
                with m.Case(opcode):
                    before, after = view(row, opcode), view(self.moved, opcode)
                    m.d.comb += after[offset].eq(before[offset] + run.ls_delta)
                    if any(field.name == "mem_addr" for field in COMMANDS[opcode].fields):
                        m.d.comb += after.mem_addr.eq(before.mem_addr + run.mem_delta)
