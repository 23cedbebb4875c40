# SPDX-License-Identifier: Apache-2.0
"""Credits: how many things may still be in flight."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CreditCounter"]


class CreditCounter(wiring.Component):
    """Counts free places at a receiver, for a sender that must not send without one.

    Operation: starts with `limit` credits. Each cycle takes away `take` credits and gives back
    `give`. The sender takes at most `count`, whatever comes back in the same cycle; the receiver
    gives back only what was taken. Whoever breaks that gets `fault` in the same cycle and the count
    stays as it is, so that it never wraps into a wrong but plausible number.

    Timing: `count` changes in the cycle after `take` and `give`; one update per cycle. `fault`
    depends on `take` and `give` combinationally. A round trip of t cycles from taking a credit to
    seeing it again allows min(1, limit / t) words per cycle.

    Parameters
    ----------
    limit : credits at the start, at least 1.
    max_step : most credits taken or given back in one cycle, 1 to `limit`.

    Members
    -------
    take : In(range(max_step + 1)), credits used in this cycle.
    give : In(range(max_step + 1)), credits that come back in this cycle.
    count : Out(range(limit + 1)), credits at hand.
    full : Out(1), all credits are at hand: nothing is in flight.
    fault : Out(1), more was taken than there is, or given back than was taken.

    Raises: ValueError when a parameter is out of range.
    """

    def __init__(self, *, limit: int, max_step: int = 1) -> None:
        if limit < 1:
            raise ValueError(f"CreditCounter limit must be at least 1, not {limit!r}.")
        if not 1 <= max_step <= limit:
            raise ValueError(f"CreditCounter max_step must be 1 to {limit}, not {max_step!r}.")
        self.limit = limit
        self.max_step = max_step
        super().__init__(
            {
                "take": In(range(max_step + 1)),
                "give": In(range(max_step + 1)),
                "count": Out(range(limit + 1), init=limit),
                "full": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        n_next = Signal(range(self.limit + self.max_step + 1))
        m.d.comb += [
            n_next.eq(self.count - self.take + self.give),
            self.full.eq(self.count == self.limit),
            self.fault.eq((self.take > self.count) | (n_next > self.limit)),
        ]
        with m.If((self.take != self.give) & ~self.fault):
            m.d.sync += self.count.eq(n_next)
        return m
