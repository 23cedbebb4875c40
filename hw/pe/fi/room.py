# SPDX-License-Identifier: Apache-2.0
"""Room for lines that an element shares with others: all of them give a line the same place."""

from typing import Any

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.csr import N_GROUPS

__all__ = ["SharedRoom"]


class SharedRoom(wiring.Component):
    """Says when an engine's next line may go, and which place of a ring it gets if it is shared.

    Operation
        1. Lines of a group get the ring's places in turn, counted from reset on for each group by
           itself. So all members of the group, who send the same lines in the same order, give each
           line the same place, whatever else they do between.
        2. The ring holds lines of one group at a time. A line of another group, and one that is
           not shared, waits until the ring is empty: so what an element waits for with others never
           takes the room of something else.

    Timing: `may_go` follows the line in the same cycle, and what `went` or was `freed` in the next.

    Parameters
    ----------
    n_places : lines at a time, a power of two.

    Members
    -------
    multicast : In(1), group : In(range(N_GROUPS)), of the engine's next line.
    may_go : Out(1), it may go.
    place : Out(range(n_places)), its place.
    went : In(1), it goes; only while `may_go`.
    freed : In(1), the oldest line of the ring has landed.

    Raises: ValueError when `n_places` is no power of two.
    """

    def __init__(self, *, n_places: int) -> None:
        if n_places < 2 or n_places & (n_places - 1):
            raise ValueError(
                f"SharedRoom n_places must be a power of two, at least 2, not {n_places!r}."
            )
        self.n_places = n_places
        super().__init__(
            {
                "multicast": In(1),
                "group": In(range(N_GROUPS)),
                "may_go": Out(1),
                "place": Out(range(n_places)),
                "went": In(1),
                "freed": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        level = Signal(range(self.n_places + 1))
        holds = Signal(range(N_GROUPS))  # whose lines are in the ring
        following = Array(
            Signal(range(self.n_places), name=f"following{group}") for group in range(N_GROUPS)
        )
        added, is_empty = Signal(), Signal()
        m.d.comb += [
            is_empty.eq(level == 0),
            self.place.eq(following[self.group]),
            added.eq(self.went & self.multicast),
            # A power of two is reached when the highest bit is set.
            self.may_go.eq(is_empty | (self.multicast & (self.group == holds) & ~level[-1])),
        ]
        m.d.sync += level.eq(level + added - self.freed)
        with m.If(added):
            m.d.sync += [holds.eq(self.group), following[self.group].eq(self.place + 1)]
        return m
