# SPDX-License-Identifier: Apache-2.0
"""Who gets which bank: fixed priority, except for those who have waited long."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.lib.select import one_of

__all__ = ["BankArbiter"]


class BankArbiter(wiring.Component):
    """Grants each bank to at most one of the slots that ask for it, in the same cycle.

    Operation: slot 0 comes first. A slot that was refused at two ticks in a row is *urgent* and
    comes before all that are not; among urgent slots the order is the same. A tick comes every
    `tick_period` cycles. A granted slot is no longer urgent.

    Slots can share a *lane*: then only one of them asks in a cycle, the first by the same order,
    and lanes come in the order of their first slots.

    Timing: combinational from `valid` and `bank` to `grant`. A request that is held is
    granted after at most `max_wait` refusals: it is urgent after two ticks, and every refusal
    then is another urgent slot's grant (its bank's, or that of the bank whose loser holds its
    lane), which needs more than a tick to become urgent again, by when all others had their turn.

    Parameters
    ----------
    n_slots : requesters, in order of priority.
    n_banks : banks, a power of two.
    lanes : for each slot the number of its lane, in order of first slots; None: each has its own.

    Members
    -------
    valid : In(n_slots), slot wants an access.
    bank : In(range(n_banks)) for each slot, bank it wants.
    grant : Out(n_slots), slot has its bank in this cycle.
    chosen : Out(n_slots), slot that asks for its lane; one in a lane at most.
    has : Out(n_banks) for each lane, the bank that it has in this cycle, or none.

    Raises: ValueError when there is no slot, `n_banks` is not a power of two, or lanes are not
    numbered in order of their first slots.
    """

    def __init__(self, *, n_slots: int, n_banks: int, lanes: Sequence[int] | None = None) -> None:
        if n_slots < 1:
            raise ValueError(f"n_slots is {n_slots}; it must be at least 1.")
        if n_banks < 2 or n_banks & (n_banks - 1):
            raise ValueError(f"n_banks is {n_banks}; it must be a power of two, at least 2.")
        lanes = tuple(range(n_slots) if lanes is None else lanes)
        firsts = list(dict.fromkeys(lanes))
        if len(lanes) != n_slots or firsts != list(range(len(firsts))):
            raise ValueError(
                f"lanes is {lanes}; it must have a number for each of {n_slots} slots, "
                "and new numbers must come in order."
            )
        self.n_slots = n_slots
        self.n_banks = n_banks
        self.lanes = lanes
        self.n_lanes = len(firsts)
        super().__init__(
            {
                "valid": In(n_slots),
                "bank": In(data.ArrayLayout(range(n_banks), n_slots)),
                "grant": Out(n_slots),
                "chosen": Out(n_slots),
                "has": Out(data.ArrayLayout(n_banks, self.n_lanes)),
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
        by_slot = [Signal(self.n_banks, name=f"wanted{i}") for i in range(self.n_slots)]
        for i, mask in enumerate(by_slot):
            with m.If(self.valid[i]):
                m.d.comb += mask.eq(1 << self.bank[i])
        wanted, is_urgent = [], []
        for lane in range(self.n_lanes):
            slots = [i for i, of in enumerate(self.lanes) if of == lane]
            wants, presses = self._elaborate_lane(m, lane, slots, urgent, by_slot)
            wanted.append(wants)
            is_urgent.append(presses)
        self._elaborate_banks(m, wanted, is_urgent)
        return m

    def _elaborate_lane(
        self, m: Module, lane: int, slots: list[int], urgent: Signal, wanted: list[Signal]
    ) -> tuple[Value, Value]:
        """Choose who asks. Returns: a mask of the bank; it is urgent."""
        if len(slots) == 1:
            (slot,) = slots
            m.d.comb += [
                self.chosen[slot].eq(self.valid[slot]),
                self.grant[slot].eq(self.has[lane].any()),
            ]
            return wanted[slot], urgent[slot]
        # Who is urgent holds his request, so `valid` need not come before the choice among them.
        valid = Cat(self.valid[slot] for slot in slots)
        pressing = Cat(urgent[slot] for slot in slots)
        presses = Signal(name=f"presses{lane}")
        pick = Signal(len(slots), name=f"pick{lane}")
        wants = Signal(self.n_banks, name=f"lane_wants{lane}")
        m.d.comb += [
            presses.eq(pressing.any()),
            pick.eq(Mux(presses, _first(pressing), _first(valid))),
            wants.eq(one_of([wanted[slot] for slot in slots], pick)),
        ]
        for at, slot in enumerate(slots):
            m.d.comb += [
                self.chosen[slot].eq(pick[at]),
                self.grant[slot].eq(pick[at] & self.has[lane].any()),
            ]
        return wants, presses

    def _elaborate_banks(self, m: Module, wanted: list[Value], is_urgent: list[Value]) -> None:
        """Masks of banks, one step for each lane: first the urgent ones, then whoever finds his
        bank free. Urgent losers find it taken."""
        taken: Value | int = 0
        first = []
        for i, mask in enumerate(wanted):
            win = Signal(self.n_banks, name=f"urgent_win{i}")
            m.d.comb += win.eq(Mux(is_urgent[i], mask, 0) & ~taken)
            first.append(win)
            taken = taken | win
        taken_urgent = Signal(self.n_banks)
        m.d.comb += taken_urgent.eq(taken)
        taken = taken_urgent
        for i, mask in enumerate(wanted):
            m.d.comb += self.has[i].eq(first[i] | (mask & ~taken))
            after = Signal(self.n_banks, name=f"taken{i}")
            m.d.comb += after.eq(taken | mask)
            taken = after

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


def _first(flags: Value) -> Value:
    """The lowest flag that is set; by an adder it would be slower on an FPGA."""
    return Cat(flags[at] & ~flags[:at].any() for at in range(len(flags)))
