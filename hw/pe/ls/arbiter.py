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

    Slots can share a *lane*: then only the lane's owner asks, and lanes come in the order of their
    first slots. Who owns a lane in the next cycle is the next one in turn that wants an access in
    this one, or the same if nobody does: known beforehand, so that wide data is selected early.

    Timing: combinational from `valid` and `bank` to `grant`. A request that is held is
    granted after at most `max_wait` refusals: it is urgent after two ticks. It has its turn in its
    lane every k cycles, with k the slots of the fullest lane, and is then refused only if another
    urgent slot is granted, which needs more than a tick to become urgent again; by then all others
    had their turn.

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
    owner : Out(n_slots), slot that owns its lane, from a register; one in each lane.
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
                "owner": Out(n_slots),
                "has": Out(data.ArrayLayout(n_banks, self.n_lanes)),
            }
        )

    @property
    def _turns(self) -> int:
        """Cycles in which every slot can have been granted once, if all want the same."""
        most = max(self.lanes.count(lane) for lane in range(self.n_lanes))
        return self.n_slots * most

    @property
    def tick_period(self) -> int:
        """Cycles between ticks: a power of two, not less than the number of turns."""
        return 1 << max(2, (self._turns - 1).bit_length())

    @property
    def max_wait(self) -> int:
        """Most cycles in which a request that is held can be refused."""
        return 2 * self.tick_period + self._turns - 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        urgent = self._elaborate_ageing(m)
        by_slot = [Signal(self.n_banks, name=f"wanted{i}") for i in range(self.n_slots)]
        for i, mask in enumerate(by_slot):
            with m.If(self.valid[i]):
                m.d.comb += mask.eq(1 << self.bank[i])
        wanted, is_urgent = [], []
        for lane in range(self.n_lanes):
            wants, presses = self._elaborate_lane(m, lane, urgent, by_slot)
            wanted.append(wants)
            is_urgent.append(presses)
        blocked = self._elaborate_banks(m, wanted, is_urgent)
        for slot, lane in enumerate(self.lanes):
            # Not by way of `has`, behind which all words are selected.
            m.d.comb += self.grant[slot].eq(self.valid[slot] & self.owner[slot] & ~blocked[lane])
        return m

    def _elaborate_lane(
        self, m: Module, lane: int, urgent: Signal, wanted: list[Signal]
    ) -> tuple[Value, Value]:
        """The owner asks, and the next one is found. Returns: mask of the bank; it is urgent."""
        slots = [i for i, of in enumerate(self.lanes) if of == lane]
        owner = Signal(len(slots), init=1, name=f"owner{lane}")  # one-hot
        for at, slot in enumerate(slots):
            m.d.comb += self.owner[slot].eq(owner[at])
        if len(slots) == 1:
            return wanted[slots[0]], urgent[slots[0]]
        valid = Cat(self.valid[slot] for slot in slots)
        behind = valid & Cat(owner[:at].any() for at in range(len(slots)))
        with m.If(valid.any()):
            m.d.sync += owner.eq(Mux(behind.any(), _first(behind), _first(valid)))
        wants = Signal(self.n_banks, name=f"lane_wants{lane}")
        m.d.comb += wants.eq(one_of([wanted[slot] for slot in slots], owner))
        return wants, (Cat(urgent[slot] for slot in slots) & owner).any()

    def _elaborate_banks(
        self, m: Module, wanted: list[Value], is_urgent: list[Value]
    ) -> list[Signal]:
        """Masks of banks: an urgent lane yields to urgent ones before it, another to all urgent
        ones and to those before it. Returns for each lane whether it yields."""
        urgent, before, urgent_before = [], [], []  # for each lane: banks wanted by ...
        for i, mask in enumerate(wanted):
            urgent.append(Signal(self.n_banks, name=f"urgent_wants{i}"))
            before.append(Signal(self.n_banks, name=f"before{i}"))
            urgent_before.append(Signal(self.n_banks, name=f"urgent_before{i}"))
            m.d.comb += urgent[i].eq(Mux(is_urgent[i], mask, 0))
            if i:
                m.d.comb += [
                    before[i].eq(before[i - 1] | wanted[i - 1]),
                    urgent_before[i].eq(urgent_before[i - 1] | urgent[i - 1]),
                ]
        any_urgent = Signal(self.n_banks)
        m.d.comb += any_urgent.eq(urgent_before[-1] | urgent[-1])
        blocked = []
        for i, mask in enumerate(wanted):
            yields = Mux(is_urgent[i], urgent_before[i], before[i] | any_urgent)
            blocked.append(Signal(name=f"blocked{i}"))
            m.d.comb += [
                self.has[i].eq(mask & ~yields),
                blocked[i].eq((mask & yields).any()),
            ]
        return blocked

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
