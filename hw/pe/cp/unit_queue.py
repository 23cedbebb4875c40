# SPDX-License-Identifier: Apache-2.0
"""The queue in front of one unit, and the signals that come back from it."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.arch.commands import LONG_BITS
from hw.iface.pe import Completion
from hw.lib.elastic import StreamFifo

__all__ = ["UnitQueue"]


class UnitQueue(wiring.Component):
    """Keeps the order of one unit's commands, its oldest command, and its signals.

    Operation
        1. `reserve` announces a command: from then on it counts in `n_waiting`, until the unit
           takes it. With `issue` it comes, on `bus`, which somebody writes into row `tail` of
           this queue's memory; the oldest one is in row `front`. The first one of an empty queue is
           kept here as well. For others `wants` asks, once the unit has taken the one before;
           `fetch` says that it is on its way, `deliver` that it is on `bus`.
        2. The unit gets another one only while fewer than `MAX_OPEN` of its commands are
           unfinished or have their signal undelivered, so that no completion is ever lost although
           the unit cannot be held back.
        3. A completion with `signal_en` goes to `signal`, another only counts.
        4. `halt` empties the queue.
        5. `quiet` is high when nothing waits, runs, or is undelivered.

    Timing
        Latency 1 from `issue` and `deliver` to `command`, 2 from `completion` to `signal`; `quiet`
        follows `idle` in the next cycle, a completion in the one behind that. `command` comes from
        registers, so `halt` is seen there in the next cycle.

    Parameters
    ----------
    depth : commands that wait, at least 2.

    Members
    -------
    reserve, issue, fetch, deliver : In(1); wants : Out(1). bus : In(512).
    tail, front : Out(range(depth)), rows.
    command : Out(stream.Signature(512)), to the unit.
    completion : In(stream.Signature(Completion, always_ready=True)), from the unit.
    signal : Out(stream.Signature(Completion)), counters to increment.
    halt : In(1), drop all commands.
    idle : In(1), the unit is idle.
    n_waiting : Out(range(depth + 1)), commands announced before the cycle before and not yet taken.
    full : Out(1), there is no room for a command that is not announced.
    stored : Out(1), row `front` holds one of them.
    quiet : Out(1), everything is done.

    Raises: ValueError when `depth` is less than 2.
    """

    MAX_OPEN = 4
    """Commands of one unit that may be unfinished or unsignalled."""

    def __init__(self, *, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"UnitQueue depth must be at least 2 commands, not {depth!r}.")
        self.depth = depth
        super().__init__(
            {
                "reserve": In(1),
                "issue": In(1),
                "fetch": In(1),
                "deliver": In(1),
                "wants": Out(1),
                "bus": In(LONG_BITS),
                "tail": Out(bits_for(depth - 1)),
                "front": Out(bits_for(depth - 1)),
                "command": Out(stream.Signature(LONG_BITS)),
                "completion": In(stream.Signature(Completion, always_ready=True)),
                "signal": Out(stream.Signature(Completion)),
                "halt": In(1),
                "idle": In(1),
                "n_waiting": Out(range(depth + 1)),
                "full": Out(1),
                "stored": Out(1),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.signals = signals = StreamFifo(shape=Completion, depth=self.MAX_OPEN)
        wiring.connect(m, wiring.flipped(self.signal), signals.o)
        n_running, was_idle = Signal(range(self.MAX_OPEN + 1)), Signal()
        starts, ends = Signal(), Signal()
        completion = Signal.like(self.completion.payload)  # of the cycle before: a unit knows late
        completed = Signal()
        announced = Signal()  # in the cycle before, and not in `n_waiting` yet
        self._elaborate_rows(m, starts, n_running + signals.level < self.MAX_OPEN)
        m.d.sync += [
            was_idle.eq(self.idle),
            announced.eq(self.reserve & ~self.halt),
            completed.eq(self.completion.valid),
            completion.eq(self.completion.payload),
        ]
        m.d.comb += [
            ends.eq(completed & (n_running != 0)),
            signals.i.valid.eq(ends & completion.signal_en),
            signals.i.payload.eq(completion),
            self.full.eq(self.n_waiting + announced == self.depth),
            self.quiet.eq(
                was_idle
                & (Cat(self.n_waiting, announced) == 0)
                & (n_running == 0)
                & (signals.level == 0)
            ),
        ]
        self._count(m, n_running, starts, ends)
        self._count(m, self.n_waiting, announced, starts)
        with m.If(self.halt):
            m.d.sync += self.n_waiting.eq(0)
        return m

    def _elaborate_rows(self, m: Module, starts: Signal, may_open: Any) -> None:
        """Rows of the memory, and the oldest command in its own register."""
        n_stored = Signal(range(self.depth + 1))
        held, on_way = Signal(), Signal()
        keeps = Signal()  # the command on the bus is the oldest
        offers = Signal()  # it is held, and the unit may have it
        # A register of its own, for the unit alone. Nothing takes back what it says but a start,
        # with which it falls: another command comes two cycles later at the earliest.
        m.d.sync += offers.eq((held | keeps) & may_open & ~starts & ~self.halt)
        m.d.comb += [
            self.command.valid.eq(offers),
            starts.eq(self.command.valid & self.command.ready),
            self.stored.eq(n_stored != 0),
            self.wants.eq(self.stored & ~held & ~on_way),
            keeps.eq(self.deliver | (self.issue & (n_stored == 0))),
        ]
        self._count(m, n_stored, self.issue, starts)
        with m.If(~held):  # kept or not: an enable for so many flip-flops must not come late
            m.d.sync += self.command.payload.eq(self.bus)
        with m.If(keeps):
            m.d.sync += [held.eq(1), on_way.eq(0)]
        with m.Elif(self.fetch):
            m.d.sync += on_way.eq(1)
        with m.If(self.issue):
            m.d.sync += self.tail.eq(self._behind(self.tail))
        with m.If(starts):
            m.d.sync += [held.eq(0), self.front.eq(self._behind(self.front))]
        with m.If(self.halt):
            m.d.sync += [
                held.eq(0),
                on_way.eq(0),
                n_stored.eq(0),
                self.tail.eq(0),
                self.front.eq(0),
            ]

    def _behind(self, row: Signal) -> Any:
        return Mux(row == self.depth - 1, 0, row + 1)

    @staticmethod
    def _count(m: Module, count: Signal, more: Any, less: Any) -> None:
        with m.If(more & ~less):
            m.d.sync += count.eq(count + 1)
        with m.Elif(less & ~more):
            m.d.sync += count.eq(count - 1)
