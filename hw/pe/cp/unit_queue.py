# SPDX-License-Identifier: Apache-2.0
"""The queue in front of one unit, and the signals that come back from it."""

from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LONG_BITS
from hw.iface.pe import Completion
from hw.lib.elastic import StreamFifo

__all__ = ["UnitQueue"]


class UnitQueue(wiring.Component):
    """Keeps commands for one unit, in order, and its signals until they are delivered.

    Operation
        1. Commands pass from `i` to `command`. The unit gets another one only while fewer than
           `MAX_OPEN` of its commands are unfinished or have their signal undelivered, so that no
           completion is ever lost although the unit cannot be held back.
        2. A completion with `signal_en` goes to `signal`, another only counts.
        3. `halt` empties the queue.
        4. `quiet` is high when nothing waits, runs, or is undelivered.

    Timing
        Latency 1 from `i` to `command` and from `completion` to `signal`; one command per cycle.
        Combinational path from `halt` to the valid of `command`.

    Parameters
    ----------
    depth : commands that wait, at least 1.

    Members
    -------
    i : In(stream.Signature(512)), commands to queue.
    command : Out(stream.Signature(512)), to the unit.
    completion : In(stream.Signature(Completion, always_ready=True)), from the unit.
    signal : Out(stream.Signature(Completion)), counters to increment.
    halt : In(1), drop all commands.
    idle : In(1), the unit is idle.
    n_waiting : Out(range(depth + 1)), commands in the queue.
    quiet : Out(1), everything is done.

    Raises: ValueError when `depth` is less than 1.
    """

    MAX_OPEN = 4
    """Commands of one unit that may be unfinished or unsignalled."""

    def __init__(self, *, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"UnitQueue depth must be at least 1 command, not {depth!r}.")
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(LONG_BITS)),
                "command": Out(stream.Signature(LONG_BITS)),
                "completion": In(stream.Signature(Completion, always_ready=True)),
                "signal": Out(stream.Signature(Completion)),
                "halt": In(1),
                "idle": In(1),
                "n_waiting": Out(range(depth + 1)),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        commands = StreamFifo(shape=LONG_BITS, depth=self.depth)
        m.submodules.commands = ResetInserter(self.halt)(commands)
        m.submodules.signals = signals = StreamFifo(shape=Completion, depth=self.MAX_OPEN)
        wiring.connect(m, wiring.flipped(self.i), commands.i)
        wiring.connect(m, wiring.flipped(self.signal), signals.o)

        n_running = Signal(range(self.MAX_OPEN + 1))
        may_start, starts, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            may_start.eq((n_running + signals.level < self.MAX_OPEN) & ~self.halt),
            self.command.valid.eq(commands.o.valid & may_start),
            self.command.payload.eq(commands.o.payload),
            commands.o.ready.eq(self.command.ready & may_start),
            starts.eq(self.command.valid & self.command.ready),
            ends.eq(self.completion.valid & (n_running != 0)),
            signals.i.valid.eq(ends & self.completion.payload.signal_en),
            signals.i.payload.eq(self.completion.payload),
            self.n_waiting.eq(commands.level),
            self.quiet.eq(
                self.idle & (commands.level == 0) & (n_running == 0) & (signals.level == 0)
            ),
        ]
        with m.If(starts & ~ends):
            m.d.sync += n_running.eq(n_running + 1)
        with m.Elif(ends & ~starts):
            m.d.sync += n_running.eq(n_running - 1)
        return m
