# SPDX-License-Identifier: Apache-2.0
"""Who gets which bank: fixed priority, except for those who have waited long."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BankArbiter", "check_lanes", "next_owner"]

_FEW_LANES = 4  # so many are compared in pairs, in fewer lookup tables in a row


def check_lanes(n_slots: int, n_banks: int, lanes: Sequence[int]) -> int:
    """Number of lanes; ValueError with a sentence when an arbiter cannot have such."""
    if n_slots < 1:
        raise ValueError(f"n_slots is {n_slots}; it must be at least 1.")
    if n_banks < 2 or n_banks & (n_banks - 1):
        raise ValueError(f"n_banks is {n_banks}; it must be a power of two, at least 2.")
    firsts = list(dict.fromkeys(lanes))
    if len(lanes) != n_slots or firsts != list(range(len(firsts))):
        raise ValueError(
            f"lanes is {tuple(lanes)}; it must have a number for each of {n_slots} slots, "
            "and new numbers must come in order."
        )
    return len(firsts)


def next_owner(owner: Value, valid: Value) -> Value:
    """The next slot in turn that wants an access, one-hot; 0 if none does."""
    behind = valid & Cat(owner[:at].any() for at in range(len(owner)))
    return Mux(behind.any(), _first(behind), _first(valid))


class BankArbiter(wiring.Component):
    """Grants each bank to at most one of the slots that ask for it, in the same cycle.

    Operation: slot 0 comes first. A slot that was refused at two ticks in a row is *urgent* and
    comes before all that are not; among urgent slots the order is the same. A tick comes every
    `tick_period` cycles. A granted slot is no longer urgent.

    Slots can share a *lane*: then only the lane's owner asks, and lanes come in the order of their
    first slots. Who owns a lane in the next cycle is the next one in turn that wants an access in
    this one, or the same if nobody does: known beforehand, so that wide data is selected early.

    Timing: combinational from `valid` and `bank` to `grant` and `has`; `owner` is a register. A
    request that is held is granted after at most `max_wait` refusals: it is urgent after two ticks.
    It has its turn in its lane every k cycles, with k the slots of the fullest lane, and is then
    refused only if another urgent slot is granted, which needs more than a tick to become urgent
    again; by then all others had their turn.

    Parameters
    ----------
    n_slots : requesters, in order of priority.
    n_banks : banks, a power of two.
    lanes : for each slot the number of its lane, in order of first slots; None: each has its own.

    Members
    -------
    valid : In(n_slots), slot wants an access.
    bank : In(range(n_banks)) for each lane, bank that its owner wants.
    grant : Out(n_slots), slot has its bank in this cycle.
    owner : Out(n_slots), slot that owns its lane, from a register; one in each lane.
    has : Out(n_banks) for each lane, the bank that it has in this cycle, or none.

    Raises: ValueError when there is no slot, `n_banks` is not a power of two, or lanes are not
    numbered in order of their first slots.
    """

    def __init__(self, *, n_slots: int, n_banks: int, lanes: Sequence[int] | None = None) -> None:
        lanes = tuple(range(n_slots) if lanes is None else lanes)
        self.n_lanes = check_lanes(n_slots, n_banks, lanes)
        self.n_slots = n_slots
        self.n_banks = n_banks
        self.lanes = lanes
        super().__init__(
            {
                "valid": In(n_slots),
                "bank": In(data.ArrayLayout(range(n_banks), self.n_lanes)),
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
        asks, wants, presses = [], [], []  # of each lane: for what bank, and that it is urgent
        for lane in range(self.n_lanes):
            slots = [i for i, of in enumerate(self.lanes) if of == lane]
            owner = self._elaborate_owner(m, lane, slots)
            asks.append((Cat(self.valid[slot] for slot in slots) & owner).any())
            wants.append(Signal(self.n_banks, name=f"wants{lane}"))
            presses.append((Cat(urgent[slot] for slot in slots) & owner).any())
            with m.If(asks[lane]):
                m.d.comb += wants[lane].eq(1 << self.bank[lane])
        few = self.n_lanes <= _FEW_LANES
        blocked = self._meet_in_pairs(asks, presses) if few else self._meet(m, wants, presses)
        for lane, mask in enumerate(wants):
            m.d.comb += self.has[lane].eq(Mux(blocked[lane], 0, mask))
        for slot, lane in enumerate(self.lanes):
            # Not by way of `has`, behind which all words are selected.
            m.d.comb += self.grant[slot].eq(self.valid[slot] & self.owner[slot] & ~blocked[lane])
        return m

    def _elaborate_owner(self, m: Module, lane: int, slots: list[int]) -> Signal:
        """The lane's owner, one-hot among its slots; the next one is found."""
        owner = Signal(len(slots), init=1, name=f"owner{lane}")
        for at, slot in enumerate(slots):
            m.d.comb += self.owner[slot].eq(owner[at])
        if len(slots) > 1:
            valid = Cat(self.valid[slot] for slot in slots)
            with m.If(valid.any()):
                m.d.sync += owner.eq(next_owner(owner, valid))
        return owner

    def _meet_in_pairs(self, asks: list[Value], presses: list[Value]) -> list[Value]:
        """For each lane whether another one that asks for the same bank goes before it."""
        blocked = []
        for i in range(self.n_lanes):
            others = []
            for j in range(self.n_lanes):
                if j != i:
                    first = presses[j] | ~presses[i] if j < i else presses[j] & ~presses[i]
                    others.append(asks[j] & (self.bank[i] == self.bank[j]) & first)
            blocked.append(Cat(others).any())
        return blocked

    def _meet(self, m: Module, wants: list[Signal], presses: list[Value]) -> list[Value]:
        """The same by masks of banks, for many lanes: an urgent lane yields to urgent ones before
        it, another to all urgent ones and to those before it."""
        urgent, before, urgent_before = [], [], []  # for each lane: banks wanted by ...
        for i, mask in enumerate(wants):
            urgent.append(Signal(self.n_banks, name=f"urgent_wants{i}"))
            before.append(Signal(self.n_banks, name=f"before{i}"))
            urgent_before.append(Signal(self.n_banks, name=f"urgent_before{i}"))
            m.d.comb += urgent[i].eq(Mux(presses[i], mask, 0))
            if i:
                m.d.comb += [
                    before[i].eq(before[i - 1] | wants[i - 1]),
                    urgent_before[i].eq(urgent_before[i - 1] | urgent[i - 1]),
                ]
        any_urgent = Signal(self.n_banks)
        m.d.comb += any_urgent.eq(urgent_before[-1] | urgent[-1])
        return [
            (mask & Mux(presses[i], urgent_before[i], before[i] | any_urgent)).any()
            for i, mask in enumerate(wants)
        ]

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
