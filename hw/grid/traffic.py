# SPDX-License-Identifier: Apache-2.0
"""Counters of what passes on lanes and links."""

from collections.abc import Iterable, Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.traffic import SIDE_TRAFFIC_MOST, TRAFFIC_BITS
from hw.lib.counters import EventCounters

__all__ = ["TrafficCounters", "TrafficPort", "flow", "moves", "moves_and_waits"]


def moves(flits: Any) -> Any:
    """Whether a flit passes on a stream in this cycle."""
    return flits.valid & flits.ready


def flow(flits: Any) -> Value:
    """Bit 0: a flit passes on a stream in this cycle; bit 1: one waits."""
    return Cat(moves(flits), flits.valid & ~flits.ready)


def moves_and_waits(flows: Iterable[Any]) -> tuple[Value, Value]:
    """What passes and what waits, a bit for each `flow`."""
    found = list(flows)
    return Cat(one[0] for one in found), Cat(one[1] for one in found)


class TrafficPort(wiring.Signature):
    """How traffic counters are read, seen from the one who reads.

    Operation: `freeze` copies all counters at once, `clear` sets them to zero. `value` follows
    `index` after `TrafficCounters.latency` cycles.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "freeze": Out(1),
                "clear": Out(1),
                "index": Out(range(SIDE_TRAFFIC_MOST)),
                "value": In(TRAFFIC_BITS),
            }
        )


class TrafficCounters(wiring.Component):
    """Counts events, at most one of each in a cycle, and shows what it had at the last `freeze`.

    Operation: see `EventCounters`. Beyond the last counter `value` is zero.

    Timing: `value` follows `index` 2 cycles later; both ends are registers, as the way is long. A
    cycle that freezes or clears is not counted in what is frozen; one that clears is lost.

    Parameters
    ----------
    names : of the counters, in the order of their numbers.

    Members
    -------
    events : In(len(names)), what happens in this cycle.
    port : In(TrafficPort()).

    Raises: ValueError when there is no counter, or there are more than a page has room for.
    """

    latency = 2
    """Cycles from `index` to `value`."""

    def __init__(self, *, names: Sequence[str]) -> None:
        if not 1 <= len(names) <= SIDE_TRAFFIC_MOST:
            raise ValueError(
                f"TrafficCounters names must be 1 to {SIDE_TRAFFIC_MOST}, not {len(names)}."
            )
        self.names = tuple(names)
        super().__init__({"events": In(len(names)), "port": In(TrafficPort())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.counters = counters = EventCounters(names=self.names, width=TRAFFIC_BITS)
        index, there = Signal.like(self.port.index), Signal()
        m.d.comb += [
            counters.amounts.eq(self.events),
            counters.freeze.eq(self.port.freeze),
            counters.clear.eq(self.port.clear),
            counters.select.eq(index),
            there.eq(index < len(self.names)),
        ]
        m.d.sync += [
            index.eq(self.port.index),
            self.port.value.eq(Mux(there, counters.value, 0)),
        ]
        return m
