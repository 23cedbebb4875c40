# SPDX-License-Identifier: Apache-2.0
"""Local memory: single-port banks behind word-wide slots of all units."""

import enum
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Any

from amaranth.hdl import Array, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config.tree import LsConfig
from hw.iface.pe import LsReadPort, LsWritePort
from hw.pe.ls.arbiter import BankArbiter
from hw.pe.ls.bank import LsBank, byte_parity

__all__ = ["LS_LATENCY", "LocalMemory", "LsSlots", "SlotKind"]

LS_LATENCY = 2
"""Cycles from the grant of a read to its response."""


class SlotKind(enum.Enum):
    """What a slot does."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, kw_only=True)
class LsSlots:
    """`count` equal slots of one unit, in order of priority among themselves.

    Parameters
    ----------
    name : name of the port.
    kind : whether they read or write.
    group : whose conflicts are counted together.
    count : number of slots.
    """

    name: str
    kind: SlotKind
    group: str
    count: int = 1


class LocalMemory(wiring.Component):
    """All units' local memory: a word per cycle for every slot, as long as the banks differ.

    Operation: word `a` lies in bank XOR of all bank-index-wide groups of `a`, so streams of any
    power-of-two pitch walk the banks. A slot has its bank in the cycle in which `ready` answers
    its `valid`. Slots listed first come first; those that wait long come before them (see
    `BankArbiter`), so none starves. There are no queues: a write that was accepted is seen by
    every read accepted in a later cycle.

    Each byte has a parity bit, made when it is written and checked when it is read; `error` of the
    response has a bit for each wrong byte. Bytes never written have undefined parity.

    Timing: reads of a slot return in order, exactly `LS_LATENCY` cycles after they were accepted.
    Every slot can have a word in every cycle; a held request waits at most `max_wait` cycles.
    Combinational from all requests to all `ready`.

    Parameters
    ----------
    config : sizes.
    slots : all slots, in order of priority.
    with_inject : whether there is a port `inject`, for tests of parity.

    Members
    -------
    <name> : In(LsReadPort or LsWritePort).array(count) for each entry of `slots`.
    conflicts : Out(struct of a count for each group), slots refused in the cycle before.
    words_read, words_written : Out, accesses in the cycle before.
    inject : In(word_bytes), inverts these bytes' parity in what is written in this cycle.

    Raises: ValueError when there is no slot or two have the same name.

    Resources: `size_bytes` of data, with parity an eighth more; a crossbar of slots x banks words.
    """

    def __init__(
        self, *, config: LsConfig, slots: tuple[LsSlots, ...], with_inject: bool = False
    ) -> None:
        config.validate()
        names = [slot.name for slot in slots]
        if not slots or len(set(names)) != len(names):
            raise ValueError(f"Slots are {names}; there must be one at least, with unique names.")
        for slot in slots:
            if slot.count < 1:
                raise ValueError(f"Count of slots {slot.name!r} is {slot.count}; it must be >= 1.")
        self.config = config
        self.slots = slots
        self.with_inject = with_inject
        self.address_width = (config.words - 1).bit_length()
        sizes = {"address_width": self.address_width, "word_bytes": config.word_bytes}
        signatures = {SlotKind.READ: LsReadPort(**sizes), SlotKind.WRITE: LsWritePort(**sizes)}
        members = {s.name: In(signatures[s.kind]).array(s.count) for s in slots}
        n_by_group: dict[str, int] = {}
        n_by_kind = {kind: 0 for kind in SlotKind}
        for slot in slots:
            n_by_group[slot.group] = n_by_group.get(slot.group, 0) + slot.count
            n_by_kind[slot.kind] += slot.count
        self.n_slots = sum(n_by_kind.values())
        layout = {group: range(n + 1) for group, n in n_by_group.items()}
        members |= {
            "conflicts": Out(data.StructLayout(layout)),
            "words_read": Out(range(n_by_kind[SlotKind.READ] + 1)),
            "words_written": Out(range(n_by_kind[SlotKind.WRITE] + 1)),
        }
        if with_inject:
            members["inject"] = In(config.word_bytes)
        super().__init__(members)

    @property
    def max_wait(self) -> int:
        """Most cycles in which a request that is held can be refused."""
        return BankArbiter(n_slots=self.n_slots, n_banks=self.config.banks).max_wait

    @property
    def bank_index_width(self) -> int:
        """Bits of a bank number."""
        return (self.config.banks - 1).bit_length()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        arbiter = BankArbiter(n_slots=self.n_slots, n_banks=self.config.banks)
        m.submodules.arbiter = arbiter
        ports = [(slot, port) for slot in self.slots for port in getattr(self, slot.name)]
        for i, (slot, port) in enumerate(ports):
            m.d.comb += [
                arbiter.valid[i].eq(port.request.valid),
                arbiter.bank[i].eq(self._bank_of(_address(slot, port))),
                port.request.ready.eq(arbiter.grant[i]),
            ]
        parities = self._elaborate_parity(m, ports)
        banks = []
        for number in range(self.config.banks):
            bank = LsBank(
                depth=self.config.words // self.config.banks,
                word_bytes=self.config.word_bytes,
                parity=self.config.parity,
            )
            m.submodules[f"bank{number}"] = bank
            self._elaborate_access(m, number, bank, arbiter, ports, parities)
            banks.append(bank)
        for i, (slot, port) in enumerate(ports):
            if slot.kind is SlotKind.READ:
                self._elaborate_return(m, port, arbiter.grant[i], arbiter.bank[i], banks, i)
        self._elaborate_counts(m, ports, arbiter)
        return m

    def _bank_of(self, address: Value) -> Value:
        """XOR of all groups of the address; the group on top may be narrower."""
        width = self.bank_index_width
        groups = [address[start : start + width] for start in range(0, len(address), width)]
        return reduce(xor, groups)

    def _elaborate_parity(self, m: Module, ports: list[Any]) -> dict[int, Signal]:
        """Parity bits of what each write slot offers."""
        parities = {}
        for i, (slot, port) in enumerate(ports):
            if slot.kind is SlotKind.READ or not self.config.parity:
                continue
            parities[i] = Signal(self.config.word_bytes, name=f"parity{i}")
            bits = byte_parity(port.request.payload.data)
            with m.If(port.request.valid):
                m.d.comb += parities[i].eq(bits ^ self.inject if self.with_inject else bits)
        return parities

    def _elaborate_access(
        self,
        m: Module,
        number: int,
        bank: LsBank,
        arbiter: BankArbiter,
        ports: list[Any],
        parities: dict[int, Signal],
    ) -> None:
        """Route the slot that has bank `number` to it."""
        # A number first, then selections by it: whole words move once.
        winner = Signal(range(self.n_slots), name=f"winner{number}")
        m.d.comb += bank.en.eq(arbiter.used[number])
        with m.If(bank.en):
            for i in range(self.n_slots):
                with m.If(arbiter.wins[i][number]) if i == 0 else m.Elif(arbiter.wins[i][number]):
                    m.d.comb += winner.eq(i)
            with m.Switch(winner):
                for i, (slot, port) in enumerate(ports):
                    with m.Case(i):
                        m.d.comb += bank.addr.eq(_address(slot, port)[self.bank_index_width :])
                        if slot.kind is SlotKind.WRITE:
                            m.d.comb += [
                                bank.w_mask.eq(port.request.payload.strobe),
                                bank.w_data.eq(port.request.payload.data),
                            ]
                        if i in parities:
                            m.d.comb += bank.w_parity.eq(parities[i])

    def _elaborate_return(
        self, m: Module, port: Any, grant: Value, bank: Value, banks: list[LsBank], i: int
    ) -> None:
        """Bring the word that a read slot got to its response register."""
        reading = Signal(name=f"reading{i}")
        from_bank = Signal(self.bank_index_width, name=f"from_bank{i}")
        word = Signal(8 * self.config.word_bytes, name=f"word{i}")
        parity = Signal(self.config.word_bytes, name=f"word_parity{i}")
        m.d.sync += [reading.eq(grant), port.response.valid.eq(reading)]
        with m.If(grant):
            m.d.sync += from_bank.eq(bank)
        with m.If(reading):
            m.d.comb += [
                word.eq(Array(b.r_data for b in banks)[from_bank]),
                parity.eq(Array(b.r_parity for b in banks)[from_bank]),
            ]
            m.d.sync += port.response.payload.data.eq(word)
            if self.config.parity:
                m.d.sync += port.response.payload.error.eq(byte_parity(word) ^ parity)

    def _elaborate_counts(self, m: Module, ports: list[Any], arbiter: BankArbiter) -> None:
        """Count refused and granted slots of each cycle."""
        refused = Signal(self.n_slots)
        m.d.comb += refused.eq(arbiter.valid & ~arbiter.grant)

        def total(flags: Value, chosen: list[int]) -> Value:
            return sum((flags[i] for i in chosen), start=Value.cast(0))

        for group in dict.fromkeys(slot.group for slot in self.slots):
            members = [i for i, (slot, _) in enumerate(ports) if slot.group == group]
            m.d.sync += self.conflicts[group].eq(total(refused, members))
        for kind, counter in (
            (SlotKind.READ, self.words_read),
            (SlotKind.WRITE, self.words_written),
        ):
            members = [i for i, (slot, _) in enumerate(ports) if slot.kind is kind]
            m.d.sync += counter.eq(total(arbiter.grant, members))


def _address(slot: LsSlots, port: Any) -> Value:
    """Word address that a slot asks for."""
    payload = port.request.payload
    return payload if slot.kind is SlotKind.READ else payload.address
