# SPDX-License-Identifier: Apache-2.0
"""Who gets which bank when every lane holds an access in a register: the older one."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.ls.arbiter import check_lanes, next_owner

__all__ = ["HeldArbiter"]


class HeldArbiter(wiring.Component):
    """Takes accesses into lanes, and lets those to one bank go in the order in which they came.

    Operation: a lane takes its owner's access when it holds none, or when the one that it holds
    goes to its bank. It goes when no older access to its bank is held. Of two that were taken in
    the same cycle the one of the lane with the lower number is older; but lanes that write do not
    wait for others that were taken with them, nor these for them: such a bank has two ports.

    A lane's owner is the next slot in turn that wants an access, and stays until it is granted:
    known beforehand, so that wide data is selected early.

    Timing: `grant` depends on registers and the slot's `valid` alone. An access goes in the cycle
    after its grant at the earliest, and at the latest after as many as there are lanes. A request
    that is held is granted after at most `max_wait` refusals.

    Parameters
    ----------
    n_banks : banks, a power of two.
    lanes : for each slot the number of its lane, in order of first slots.
    writes : lanes with a second port of the banks.

    Members
    -------
    valid : In(n_slots), slot wants an access.
    bank : In(range(n_banks)) for each lane, bank that its owner wants.
    grant : Out(n_slots), the lane takes the slot's access in this cycle.
    owner : Out(n_slots), slot that owns its lane, from a register; one in each lane.
    load : Out(n_lanes), the lane takes what its owner may want.
    has : Out(n_banks) for each lane, the bank to which its access goes in this cycle, or none.
    went : Out(n_slots), the slot's access goes to its bank in this cycle.

    Raises: ValueError when there is no slot, `n_banks` is not a power of two, or lanes are not
    numbered in order of their first slots.
    """

    def __init__(self, *, n_banks: int, lanes: Sequence[int], writes: Sequence[int]) -> None:
        self.n_lanes = check_lanes(len(lanes), n_banks, lanes)
        self.n_banks = n_banks
        self.lanes = tuple(lanes)
        self.writes = frozenset(writes)
        n_slots = len(lanes)
        super().__init__(
            {
                "valid": In(n_slots),
                "bank": In(data.ArrayLayout(range(n_banks), self.n_lanes)),
                "grant": Out(n_slots),
                "owner": Out(n_slots),
                "load": Out(self.n_lanes),
                "has": Out(data.ArrayLayout(n_banks, self.n_lanes)),
                "went": Out(n_slots),
            }
        )

    @property
    def max_wait(self) -> int:
        """Most cycles in which a request that is held can be refused."""
        most = max(self.lanes.count(lane) for lane in range(self.n_lanes))
        return most * self.n_lanes

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        lanes = range(self.n_lanes)
        held, goes = Signal(self.n_lanes), Signal(self.n_lanes)
        banks = [Signal(range(self.n_banks), name=f"bank{lane}") for lane in lanes]
        m.d.comb += self.load.eq(~held | goes)
        for lane in lanes:
            others = [
                held[other] & (banks[other] == banks[lane]) & self._older(m, other, lane)
                for other in lanes
                if other != lane
            ]
            m.d.comb += goes[lane].eq(held[lane] & ~Cat(others).any())
            with m.If(goes[lane]):
                m.d.comb += self.has[lane].eq(1 << banks[lane])
            self._elaborate_lane(m, lane, held, banks[lane], goes[lane])
        return m

    def _older(self, m: Module, other: int, lane: int) -> Value:
        """Whether the other lane's access, if it holds one, is older than this lane's."""
        older = Signal(name=f"older{other}_{lane}")
        same_port = (other in self.writes) == (lane in self.writes)
        with m.If(self.load[lane]):
            m.d.sync += older.eq(~self.load[other] | (same_port and other < lane))
        with m.Elif(self.load[other]):
            m.d.sync += older.eq(0)
        return older

    def _elaborate_lane(
        self, m: Module, lane: int, held: Signal, bank: Signal, goes: Value
    ) -> None:
        """Take the owner's access, and choose the next owner."""
        slots = [slot for slot, of in enumerate(self.lanes) if of == lane]
        valid = Cat(self.valid[slot] for slot in slots)
        owner = Signal(len(slots), init=1, name=f"owner{lane}")
        source = Signal(len(slots), name=f"source{lane}")  # the slot whose access is held
        load = self.load[lane]
        wants = (valid & owner).any()
        with m.If(load):
            m.d.sync += [held[lane].eq(wants), bank.eq(self.bank[lane]), source.eq(owner)]
        if len(slots) > 1:
            with m.If(valid.any() & (load | ~wants)):
                m.d.sync += owner.eq(next_owner(owner, valid))
        for at, slot in enumerate(slots):
            m.d.comb += [
                self.owner[slot].eq(owner[at]),
                self.grant[slot].eq(self.valid[slot] & owner[at] & load),
                self.went[slot].eq(source[at] & goes),
            ]
