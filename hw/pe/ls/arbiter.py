# SPDX-License-Identifier: Apache-2.0
"""Who gets which bank: fixed priority, except for those who have waited long."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BankArbiter"]


class BankArbiter(wiring.Component):
    """Grants each bank to at most one of the slots that ask for it, in the same cycle.

    Operation: slot 0 comes first. A slot that was refused at two ticks in a row is *urgent* and
    comes before all that are not; among urgent slots the order is the same. A tick comes every
    `tick_period` cycles. A granted slot is no longer urgent.

    Timing: combinational from `valid` and `bank` to `grant`. A request that is held is
    granted after at most `max_wait` refusals: it is urgent after two ticks, and whoever is granted
    before it then needs more than a tick to become urgent again, by when all others had their turn.

    Parameters
    ----------
    n_slots : requesters, in order of priority.
    n_banks : banks, a power of two.

    Members
    -------
    valid : In(n_slots), slot wants an access.
    bank : In(range(n_banks)) for each slot, bank it wants.
    grant : Out(n_slots), slot has its bank in this cycle.

    Raises: ValueError when there is no slot or `n_banks` is not a power of two.
    """

    def __init__(self, *, n_slots: int, n_banks: int) -> None:
        if n_slots < 1:
            raise ValueError(f"n_slots is {n_slots}; it must be at least 1.")
        if n_banks < 2 or n_banks & (n_banks - 1):
            raise ValueError(f"n_banks is {n_banks}; it must be a power of two, at least 2.")
        self.n_slots = n_slots
        self.n_banks = n_banks
        super().__init__(
            {
                "valid": In(n_slots),
                "bank": In(data.ArrayLayout(range(n_banks), n_slots)),
                "grant": Out(n_slots),
            }
        )

    @property
    def tick_period(self) -> int:
        """Cycles between ticks: a power of two, not less than the number of slots."""
        return 1 << max(2, (self.n_slots - 1).bit_length())

    @property
    def max_wait(self) -> int:
        """Most cycles in which a request that is held can be refused."""
        return 2 * self.tick_period + self.n_slots - 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        urgent = self._elaborate_ageing(m)
        wanted = [Signal(self.n_banks, name=f"wanted{i}") for i in range(self.n_slots)]
        for i, mask in enumerate(wanted):
            with m.If(self.valid[i]):
                m.d.comb += mask.eq(1 << self.bank[i])

        # Masks of banks, one step for each slot: first the urgent ones, then whoever finds his
        # bank free. Urgent losers find it taken.
        taken: Value | int = 0
        first = []
        for i, mask in enumerate(wanted):
            win = Signal(self.n_banks, name=f"urgent_win{i}")
            m.d.comb += win.eq(Mux(urgent[i], mask, 0) & ~taken)
            first.append(win)
            taken = taken | win
        taken_urgent = Signal(self.n_banks)
        m.d.comb += taken_urgent.eq(taken)
        taken = taken_urgent
        for i, mask in enumerate(wanted):
            m.d.comb += self.grant[i].eq((first[i] | (mask & ~taken)).any())
            after = Signal(self.n_banks, name=f"taken{i}")
            m.d.comb += after.eq(taken | mask)
            taken = after
        return m

    def _elaborate_ageing(self, m: Module) -> Signal:
        """Slots that have been refused at two ticks in a row."""
        refused = Signal(self.n_slots)
        marked = Signal(self.n_slots)
        urgent = Signal(self.n_slots)
        timer = Signal(range(self.tick_period))
        tick = Signal()
        m.d.comb += [
            refused.eq(self.valid & ~self.grant),
            tick.eq(timer == 0),
        ]
        m.d.sync += [
            timer.eq(timer + 1),
            marked.eq(refused & (marked | tick.replicate(self.n_slots))),
            urgent.eq(refused & (urgent | (marked & tick.replicate(self.n_slots)))),
        ]
        return urgent
