# SPDX-License-Identifier: Apache-2.0
"""Local memory: banks behind word-wide slots of all units."""

import enum
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config.element import LsConfig
from hw.iface.pe import LsReadPort, LsWritePort
from hw.lib.select import one_of
from hw.pe.ls.arbiter import BankArbiter
from hw.pe.ls.array import LsArray
from hw.pe.ls.crossbar import bank_of
from hw.pe.ls.held_arbiter import HeldArbiter

__all__ = ["LocalMemory", "LsSlots", "SlotKind"]


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
    `BankArbiter`), so none starves. A write that was accepted is seen by every read accepted in a
    later cycle.

    With `config.read_lanes` or `write_lanes` slots share so many lanes, dealt out in turn. Of the
    slots of a lane one has a word in a cycle: they take turns, and who was idle waits a cycle.
    With `config.two_port` reads and writes do not meet at all; a read in the very cycle in which
    its word is written returns undefined data. With `config.access_stage` a lane keeps the access
    that it has accepted until the older ones have left its bank (see `HeldArbiter`).

    Each byte has a parity bit, made when it is written and checked when it is read; `error` of the
    response has a bit for each wrong byte. Bytes never written have undefined parity.

    Timing: reads of a slot return in order, 2 cycles after they were accepted (`config.latency`).
    With `config.access_stage` it is 3, and the cycles for which their bank is another's.
    Every slot (lane) can have a word in every cycle, and a held request waits at most `max_wait`
    cycles. Combinational from all requests to all `ready`; with `config.access_stage` from a
    slot's `valid` to its own.

    Parameters
    ----------
    config : sizes.
    slots : all slots, in order of priority.
    with_inject : whether there is a port `inject`, for tests of parity.
    one_memory : whether Verilator sees the banks as one memory (see `hw.pe.ls.array`).

    Members
    -------
    <name> : In(LsReadPort or LsWritePort).array(count) for each entry of `slots`.
    conflicts : Out(struct of a count for each group), slots refused two cycles before.
    words_read, words_written : Out, accesses two cycles before.
    inject : In(word_bytes), inverts these bytes' parity in what is written in this cycle.

    Raises: ValueError when there is no slot of each kind or two have the same name.

    Resources: `size_bytes` of data, with parity an eighth more; a crossbar of lanes x banks words.
    """

    def __init__(
        self,
        *,
        config: LsConfig,
        slots: tuple[LsSlots, ...],
        with_inject: bool = False,
        one_memory: bool = True,
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
        self.one_memory = one_memory
        self.address_width = (config.words - 1).bit_length()
        sizes = {"address_width": self.address_width, "word_bytes": config.word_bytes}
        signatures = {SlotKind.READ: LsReadPort(**sizes), SlotKind.WRITE: LsWritePort(**sizes)}
        members = {s.name: In(signatures[s.kind]).array(s.count) for s in slots}
        n_by_group: dict[str, int] = {}
        n_by_kind = dict.fromkeys(SlotKind, 0)
        for slot in slots:
            n_by_group[slot.group] = n_by_group.get(slot.group, 0) + slot.count
            n_by_kind[slot.kind] += slot.count
        if not all(n_by_kind.values()):
            raise ValueError("Slots must be of both kinds; local memory is read and written.")
        self.n_slots = sum(n_by_kind.values())
        self._kinds = [slot.kind for slot in slots for _ in range(slot.count)]
        self.lanes = self._deal(n_by_kind)
        self._arbiters = self._make_arbiters()
        layout = {group: range(n + 1) for group, n in n_by_group.items()}
        members |= {
            "conflicts": Out(data.StructLayout(layout)),
            "words_read": Out(range(n_by_kind[SlotKind.READ] + 1)),
            "words_written": Out(range(n_by_kind[SlotKind.WRITE] + 1)),
        }
        if with_inject:
            members["inject"] = In(config.word_bytes)
        super().__init__(members)

    def _deal(self, n_by_kind: dict[SlotKind, int]) -> tuple[int, ...]:
        """Lane of each slot: those of a kind in turn, lanes numbered in order of first slots."""
        lanes: dict[tuple[SlotKind, int], int] = {}
        seen = dict.fromkeys(SlotKind, 0)
        found = []
        for kind in self._kinds:
            limit = getattr(self.config, f"{kind.value}_lanes") or n_by_kind[kind]
            place = kind, seen[kind] % limit
            seen[kind] += 1
            found.append(lanes.setdefault(place, len(lanes)))
        return tuple(found)

    def _make_arbiters(self) -> dict[str, tuple[BankArbiter | HeldArbiter, list[int]]]:
        """Arbiters with their slots: one, or one for each kind of access."""
        kinds, n_banks = self._kinds, self.config.banks
        everybody = list(range(len(kinds)))
        if self.config.access_stage:
            writes = {
                self.lanes[i]
                for i in everybody
                if self.config.two_port and kinds[i] is SlotKind.WRITE
            }
            held = HeldArbiter(n_banks=n_banks, lanes=self.lanes, writes=sorted(writes))
            return {"arbiter": (held, everybody)}
        groups = {"arbiter": everybody}
        if self.config.two_port:
            groups = {
                f"{kind.value}_arbiter": [i for i, other in enumerate(kinds) if other is kind]
                for kind in SlotKind
            }
        arbiters = {}
        for name, slots in groups.items():
            lanes = [self.lanes[i] for i in slots]
            numbers = {lane: number for number, lane in enumerate(dict.fromkeys(lanes))}
            arbiter = BankArbiter(
                n_slots=len(slots), n_banks=n_banks, lanes=[numbers[lane] for lane in lanes]
            )
            arbiters[name] = arbiter, slots
        return arbiters

    @property
    def max_wait(self) -> int:
        """Most cycles in which a request that is held can be refused."""
        return max(arbiter.max_wait for arbiter, _ in self._arbiters.values())

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ports = [(slot, port) for slot in self.slots for port in getattr(self, slot.name)]
        n_lanes = {
            kind: len({self.lanes[i] for i, other in enumerate(self._kinds) if other is kind})
            for kind in SlotKind
        }
        m.submodules.array = array = LsArray(
            config=self.config,
            n_reads=n_lanes[SlotKind.READ],
            n_writes=n_lanes[SlotKind.WRITE],
            one_memory=self.one_memory,
        )
        refused, granted = Signal(self.n_slots), Signal(self.n_slots)
        n_seen = dict.fromkeys(SlotKind, 0)
        banks = {SlotKind.READ: array.r_bank, SlotKind.WRITE: array.w_bank}
        for name, (arbiter, slots) in self._arbiters.items():
            m.submodules[name] = arbiter
            members = [ports[i] for i in slots]
            for number, i in enumerate(slots):
                request = members[number][1].request
                m.d.comb += [
                    arbiter.valid[number].eq(request.valid),
                    request.ready.eq(arbiter.grant[number]),
                    granted[i].eq(arbiter.grant[number]),
                    refused[i].eq(arbiter.valid[number] & ~arbiter.grant[number]),
                ]
            for lane in range(arbiter.n_lanes):
                numbers = [n for n, other in enumerate(arbiter.lanes) if other == lane]
                kind = members[numbers[0]][0].kind
                connect = {
                    SlotKind.READ: self._elaborate_read,
                    SlotKind.WRITE: self._elaborate_write,
                }[kind]
                went = arbiter.went if self.config.access_stage else arbiter.grant
                of_lane = [(members[n][1], arbiter.owner[n], went[n]) for n in numbers]
                load = arbiter.load[lane] if self.config.access_stage else None
                m.d.comb += banks[kind][n_seen[kind]].eq(arbiter.has[lane])
                address = connect(m, array, n_seen[kind], of_lane, load)
                m.d.comb += arbiter.bank[lane].eq(bank_of(address, self.config.banks))
                n_seen[kind] += 1
        if self.with_inject:
            domain = m.d.sync if self.config.access_stage else m.d.comb
            domain += array.inject.eq(self.inject)
        self._elaborate_counts(m, ports, refused, granted)
        return m

    def _elaborate_read(
        self,
        m: Module,
        array: LsArray,
        at: int,
        slots: list[tuple[Any, Value, Value]],
        load: Value | None,
    ) -> Value:
        """Connect a lane of reads; a slot's response comes two cycles after its access.

        Returns the owner's address.
        """
        owner = [flag for _, flag, _ in slots]
        address = Signal.like(array.r_address[at], name=f"r_address{at}")
        m.d.comb += address.eq(one_of([port.request.payload for port, _, _ in slots], owner))
        _access(m, load, array.r_address[at].eq(address))
        for number, (port, _, went) in enumerate(slots):
            under_way = Signal(name=f"under_way{at}_{number}")
            m.d.sync += [under_way.eq(went), port.response.valid.eq(under_way)]
            m.d.comb += [
                port.response.payload.data.eq(array.r_data[at]),
                port.response.payload.error.eq(array.r_error[at]),
            ]
        return address

    def _elaborate_write(
        self,
        m: Module,
        array: LsArray,
        at: int,
        slots: list[tuple[Any, Value, Value]],
        load: Value | None,
    ) -> Value:
        """Connect a lane of writes; returns the owner's address."""
        owner = [flag for _, flag, _ in slots]
        requests = [port.request.payload for port, _, _ in slots]
        address = Signal.like(array.w_address[at], name=f"w_address{at}")
        m.d.comb += address.eq(one_of([request.address for request in requests], owner))
        _access(
            m,
            load,
            array.w_address[at].eq(address),
            array.w_data[at].eq(one_of([r.data for r in requests], owner)),
            array.w_mask[at].eq(one_of([r.strobe for r in requests], owner)),
        )
        return address

    def _elaborate_counts(
        self, m: Module, ports: list[Any], refused: Signal, granted: Signal
    ) -> None:
        """Count refused and granted slots of each cycle, when the arbiter has said which."""
        was_refused, was_granted = Signal(self.n_slots), Signal(self.n_slots)
        m.d.sync += [was_refused.eq(refused), was_granted.eq(granted)]

        def total(flags: Value, owner: list[int]) -> Value:
            return sum((flags[i] for i in owner), start=Value.cast(0))

        for group in dict.fromkeys(slot.group for slot in self.slots):
            members = [i for i, (slot, _) in enumerate(ports) if slot.group == group]
            m.d.sync += self.conflicts[group].eq(total(was_refused, members))
        for kind, counter in (
            (SlotKind.READ, self.words_read),
            (SlotKind.WRITE, self.words_written),
        ):
            members = [i for i, (slot, _) in enumerate(ports) if slot.kind is kind]
            m.d.sync += counter.eq(total(was_granted, members))


def _access(m: Module, load: Value | None, *statements: Any) -> None:
    """What a lane brings to the banks: in registers that load with `load`, or at once."""
    if load is None:
        m.d.comb += statements
    else:
        with m.If(load):
            m.d.sync += statements
