# SPDX-License-Identifier: Apache-2.0
"""The counters that commands signal and wait for."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.iface.pe import Completion
from hw.lib.arbiter import RoundRobin
from hw.lib.elastic import StreamFifo
from hw.lib.select import one_of

__all__ = ["CounterUpdate", "CounterWatch", "SignalCounters"]

COUNTER_BITS = 32
_MAX_COUNTERS = 32


class CounterUpdate(data.Struct):
    """A short command's work on a counter: set one, or signal one here or elsewhere."""

    valid: unsigned(1)
    is_set: unsigned(1)
    counter: unsigned(5)
    value: unsigned(32)
    row: unsigned(4)
    col: unsigned(4)
    tag: unsigned(16)


class CounterWatch(data.Struct):
    """What a WAIT waits for."""

    counter: unsigned(5)
    value: unsigned(32)


class SignalCounters(wiring.Component):
    """A bank of 32-bit counters, incremented by signals from commands, units and other elements.

    Operation
        1. `update` acts at once and goes before all else: a command of a source sees what the
           command before it did.
        2. Signals of `signals` are taken round robin, one ahead. One for this element (row and
           column 0) increments its counter; another leaves on `remote` with the row and column of
           the element it is for, counted from the grid's origin (mod 16). Signals of `arriving` are
           for this element, whatever they say.
        3. `reached` tells for each watch whether the counter had reached the value in the cycle
           before (modulo 2^32).

    Timing
        What `update` does is visible in the next cycle. A signal is taken a cycle after it came at
        the earliest, and visible two cycles after it was taken unless it waits; one counter changes
        per cycle, one in two cycles by each stream. A remote signal is valid then, too.

    Parameters
    ----------
    n_counters : counters, 2 to 32.
    n_signals : streams of signals.
    n_watches : waits that are compared at once.

    Members
    -------
    row, col : In(4), this element's place in the grid.
    update : In(CounterUpdate), work of a short command.
    signals : In(stream.Signature(Completion)).array(n_signals), signals of units.
    arriving : In(stream.Signature(Completion)), signals of other elements.
    remote : Out(stream.Signature(Completion)), signals for other elements.
    remote_room : Out(1), an `update` for another element may come in this and the next three
        cycles.
    remote_empty : Out(1), no signal waits to be counted or to leave.
    waiting : Out(1), a signal was taken and is not counted yet.
    watches : In(CounterWatch).array(n_watches), counters to compare.
    reached : Out(n_watches), their results.
    peek_counter : In(5), counter to look at.
    peek : Out(32), its value, in the same cycle.

    Raises: ValueError when `n_counters` is out of range.
    """

    REMOTE_DEPTH = 8
    """Signals that may wait to leave the element."""

    def __init__(self, *, n_counters: int, n_signals: int, n_watches: int) -> None:
        if not 2 <= n_counters <= _MAX_COUNTERS:
            raise ValueError(
                f"SignalCounters n_counters must be from 2 to {_MAX_COUNTERS}, not {n_counters!r}."
            )
        self.n_counters = n_counters
        self.n_signals = n_signals
        self.n_watches = n_watches
        super().__init__(
            {
                "row": In(4),
                "col": In(4),
                "update": In(CounterUpdate),
                "signals": In(stream.Signature(Completion)).array(n_signals),
                "arriving": In(stream.Signature(Completion)),
                "remote": Out(stream.Signature(Completion)),
                "remote_room": Out(1),
                "remote_empty": Out(1),
                "waiting": Out(1),
                "watches": In(CounterWatch).array(n_watches),
                "reached": Out(n_watches),
                "peek_counter": In(5),
                "peek": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.values = values = memory.Memory(
            shape=COUNTER_BITS, depth=self.n_counters, init=[]
        )
        self._written = Signal(self.n_counters)  # the others are still zero
        m.submodules.leaving = leaving = StreamFifo(shape=Completion, depth=self.REMOTE_DEPTH)
        wiring.connect(m, wiring.flipped(self.remote), leaving.o)
        signal, is_local, wins = Signal(Completion), Signal(), Signal()
        self._elaborate_signal(m, leaving, signal, is_local, wins)

        change, counter, old = Signal(), Signal(5), Signal(COUNTER_BITS)
        m.d.comb += [
            change.eq(Mux(self.update.valid, ~self._is_remote_update(), wins & is_local)),
            counter.eq(Mux(self.update.valid, self.update.counter, signal.signal_counter)),
        ]
        # Whether the counter was written is looked up for both, sooner than which of them it is.
        was_written = Mux(
            self.update.valid,
            self._written.bit_select(self.update.counter, 1),
            self._written.bit_select(signal.signal_counter, 1),
        )
        stored = values.read_port(domain="comb")
        m.d.comb += [stored.addr.eq(counter), old.eq(Mux(was_written, stored.data, 0))]
        write = values.write_port()
        m.d.comb += [
            write.en.eq(change),
            write.addr.eq(counter),
            write.data.eq(Mux(self.update.valid & self.update.is_set, self.update.value, old + 1)),
        ]
        with m.If(change):
            m.d.sync += self._written.bit_select(write.addr, 1).eq(1)

        for i, watch in enumerate(self.watches):
            ahead = Signal(COUNTER_BITS, name=f"ahead{i}")
            m.d.comb += ahead.eq(self._read(m, values, watch.counter) - watch.value)
            m.d.sync += self.reached[i].eq(~ahead[-1])
        m.d.comb += self.peek.eq(self._read(m, values, self.peek_counter))
        return m

    def _is_remote_update(self) -> Any:
        """The short command's signal is for another element."""
        return ((self.update.row | self.update.col) != 0) & ~self.update.is_set

    def _read(self, m: Module, values: memory.Memory, counter: Signal) -> Any:
        """Value of a counter."""
        port = values.read_port(domain="comb")
        m.d.comb += port.addr.eq(counter)
        return Mux(self._written.bit_select(port.addr, 1), port.data, 0)

    def _elaborate_signal(
        self, m: Module, leaving: StreamFifo, signal: data.View, is_local: Signal, wins: Signal
    ) -> None:
        """Take the signal whose turn it is; it counts when no short command goes before it.

        A signal that cannot leave must not hold up those for this element, since other elements
        may wait for us to take theirs.
        """
        ports = [*self.signals, self.arriving]
        takes = Signal()
        asks, is_remote, served = (Signal(len(ports), name=n) for n in ("asks", "far", "served"))
        m.submodules.chooser = chooser = RoundRobin(n_requests=len(ports))
        for i, port in enumerate(ports):
            remote = (port.payload.signal_row | port.payload.signal_col) != 0
            m.d.sync += [
                is_remote[i].eq(remote if i != self.n_signals else 0),
                asks[i].eq(port.valid & ~port.ready),
            ]
            m.d.comb += [
                chooser.requests[i].eq(asks[i] & (~is_remote[i] | self.remote_room)),
                port.ready.eq(served[i]),
            ]
        m.d.comb += [
            wins.eq(self.waiting & ~self.update.valid),
            takes.eq(~self.waiting | wins),
            served.eq(Mux(takes, chooser.grant, 0)),
            chooser.served.eq(served),
        ]
        with m.If(takes):
            m.d.sync += [
                self.waiting.eq(chooser.grant.any()),
                signal.eq(one_of([port.payload.as_value() for port in ports], chooser.grant)),
                is_local.eq((chooser.grant & ~is_remote).any()),
            ]

        sent = Signal(Completion)
        m.d.comb += sent.eq(signal)
        with m.If(self.update.valid):
            m.d.comb += [
                sent.tag.eq(self.update.tag),
                sent.signal_en.eq(1),
                sent.signal_counter.eq(self.update.counter),
                sent.signal_row.eq(self.update.row),
                sent.signal_col.eq(self.update.col),
            ]
        m.d.comb += [
            leaving.i.valid.eq((self.update.valid & self._is_remote_update()) | (wins & ~is_local)),
            leaving.i.payload.eq(sent),
            leaving.i.payload.signal_row.eq(sent.signal_row + self.row),
            leaving.i.payload.signal_col.eq(sent.signal_col + self.col),
            self.remote_empty.eq((leaving.level == 0) & ~self.waiting),
        ]
        # The others are kept for what is on its way: four short commands and two signals.
        m.d.sync += self.remote_room.eq(leaving.level < self.REMOTE_DEPTH - 6)
