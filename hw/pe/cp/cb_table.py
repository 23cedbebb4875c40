# SPDX-License-Identifier: Apache-2.0
"""The circular-buffer table: who may start a step, and where its data lies.

A buffer is a ring of four amounts whose sum is its depth. Every operation moves an amount to the
next one: reserve takes room to pending, commit pending to filled, claim filled to held, release
held to room. Only two pointers are stored; commit and release follow from the amounts.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hw.arch.traps import Trap
from hw.iface.pe import CbGrant, CbPort, CbRole
from hw.iface.trace import BufferTrace
from hw.lib.arbiter import RoundRobin
from hw.lib.compare import not_below
from hw.lib.select import one_of

__all__ = ["CbFault", "CbSetup", "CircularBufferTable", "cb_state_layout"]


class CbSetup(data.Struct):
    """A CB command that passed its checks, in 64-byte units."""

    cb: unsigned(6)
    shared: unsigned(1)
    base: unsigned(13)
    depth: unsigned(13)
    tag: unsigned(16)


class CbFault(data.Struct):
    """An operation that traps; valid for one cycle."""

    valid: unsigned(1)
    cause: unsigned(8)
    setup: unsigned(1)  # a CB command is at fault, not a unit
    unit: unsigned(3)  # unit at fault
    tag: unsigned(16)  # of the CB command
    cb: unsigned(6)


_RING = ("room", "pending", "filled", "held")
"""The amounts of a buffer: reserve, commit, claim, release each move one to the next."""


class _Kind(enum.Enum, shape=2):
    """What stage 3 does."""

    SETUP = 0
    ACQUIRE = 1
    DONE = 2


class _Operation(data.Struct):
    """One operation on its way from stage to stage."""

    kind: _Kind
    role: CbRole
    move: 4  # one-hot: reserve, commit, claim, release
    cb: unsigned(6)
    extent: unsigned(16)  # SETUP: base
    advance: unsigned(16)  # SETUP: depth
    unit: unsigned(3)
    shared: unsigned(1)
    tag: unsigned(16)


def cb_state_layout(width: int) -> data.StructLayout:
    """One row of the table; amounts and pointers have `width` bits, in 64-byte units."""
    user = data.StructLayout({"known": 1, "unit": 3})
    return data.StructLayout(
        {
            "base": width,
            "depth": width,
            "shared": 1,
            "producer": user,
            "consumer": user,
            "reserve": width,  # pointers, 0 <= . < depth
            "claim": width,
            "room": width,  # amounts, room + pending + filled + held = depth
            "pending": width,  # reserved, not committed
            "filled": width,  # committed, not claimed
            "held": width,  # claimed, not released
        }
    )


class CircularBufferTable(wiring.Component):
    """Grants steps on circular buffers, one operation a cycle, each port in its turn.

    Operation
        1. Stage 1 picks a request, round robin over acquires and dones; a set-up goes first.
        2. Stage 2 reads the buffer's row, stage 3 checks, and writes it back. An acquire whose data
           (room) does not suffice stays at its port and is not looked at again before a done or a
           set-up changed some buffer.
        3. A wrong operation changes nothing and is reported on `fault`: CB_UNINITIALISED;
           CB_SHARED, a second unit on one side of a buffer not declared shared; CB_TOO_SMALL, a
           step that could never start; CB_UNDERFLOW, a done beyond what was granted; CB_BUSY, a
           set-up while granted steps are not done.
        4. While `halt` is high nothing is granted; dones are still taken, so that units come to
           rest.

    Timing
        An acquire that can be granted is accepted 2 cycles after it came at the earliest, and its
        grant is valid in the next cycle. One operation a cycle over all ports, one in three cycles
        for each stream. A done, and an acquire that can be granted, is taken within 2n + 2 cycles
        (n ports), plus one for each set-up.
        No combinational path from inputs to outputs but from `halt` to the readys of acquires.

    Parameters
    ----------
    n_cbs : circular buffers, 2 to 64.
    n_units : size of local memory in 64-byte units, at most 8192.
    owners : for each port the code of its unit.

    Members
    -------
    ports : In(CbPort()).array(len(owners)), the units' operands.
    setup : In(stream.Signature(CbSetup, always_ready=True)), checked CB commands.
    halt : In(1), grant nothing.
    fault : Out(CbFault), an operation that traps.
    moved : Out(stream.Signature(BufferTrace, always_ready=True)), the buffer that the operation of
        the cycle before has changed.
    peek_cb : In(6), buffer to look at.
    peek : Out(cb_state_layout(width)), its row, in the same cycle.
    peek_valid : Out(1), the row was set up.

    Raises: ValueError when a size is out of range.
    """

    def __init__(self, *, n_cbs: int, n_units: int, owners: tuple[int, ...]) -> None:
        if not 2 <= n_cbs <= 64:
            raise ValueError(f"CircularBufferTable n_cbs must be from 2 to 64, not {n_cbs!r}.")
        if not 1 <= n_units <= 8192:
            raise ValueError(
                "CircularBufferTable n_units must be from 1 to 8192 (64-byte units of"
                f" local memory), not {n_units!r}."
            )
        if not 1 <= len(owners) <= 32:
            raise ValueError(
                f"CircularBufferTable owners must name 1 to 32 ports, not {len(owners)}."
            )
        self.n_cbs = n_cbs
        self.n_units = n_units
        self.owners = owners
        self.width = min(bits_for(n_units), 13)
        super().__init__(
            {
                "ports": In(CbPort()).array(len(owners)),
                "setup": In(stream.Signature(CbSetup, always_ready=True)),
                "halt": In(1),
                "fault": Out(CbFault),
                "moved": Out(stream.Signature(BufferTrace, always_ready=True)),
                "peek_cb": In(6),
                "peek": Out(cb_state_layout(self.width)),
                "peek_valid": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        layout = cb_state_layout(self.width)
        m.submodules.rows = rows = memory.Memory(shape=layout, depth=self.n_cbs, init=[])
        read, peek, write = (
            rows.read_port(domain="comb"),
            rows.read_port(domain="comb"),
            rows.write_port(),
        )
        is_set_up = Signal(self.n_cbs)
        waiting = Signal(_Operation)  # in stage 2
        operation, busy = Signal(_Operation), Signal()  # in stage 3
        chosen = Signal(2 * len(self.owners))  # acquires, then dones, as stage 3 works on them
        # The row as it was read, but for what the operation before has made of it: that one is
        # in a register of its own, since whether it took place is known last of all.
        row, known = Signal(layout), Signal()
        read_row, was_known, newest, is_newer = Signal(layout), Signal(), Signal(layout), Signal()

        moved, enough, right, cause = Signal(layout), Signal(), Signal(), Signal(Trap)
        self._elaborate_choice(m, waiting, operation, busy, chosen, enough)

        m.d.comb += [
            read.addr.eq(waiting.cb),
            write.addr.eq(operation.cb),
            peek.addr.eq(self.peek_cb),
            self.peek.eq(peek.data),
            self.peek_valid.eq(is_set_up.bit_select(peek.addr, 1)),
        ]
        keeps = Signal(init=1)  # the operation before has not changed the row
        amounts = self._elaborate_amounts(m, waiting, read.data, operation, newest, keeps)
        self._elaborate_move(m, operation, row, known, amounts, moved, enough, right, cause)
        rests = Signal()  # nobody works in the buffer
        m.d.comb += rests.eq(~known | ((row.pending == 0) & (row.held == 0)))
        with m.If(operation.kind == _Kind.SETUP):  # overrides some; adders need not know
            self._elaborate_setup(m, operation, rests, moved, right, cause)
        done = Signal()  # the operation takes place
        allowed = (operation.kind != _Kind.ACQUIRE) | (enough & ~self.halt)
        m.d.comb += [
            done.eq(busy & right & allowed),
            write.en.eq(done),
            write.data.eq(moved),
        ]
        m.d.sync += [
            read_row.eq(read.data),
            was_known.eq(is_set_up.bit_select(read.addr, 1)),
            newest.eq(moved),
            is_newer.eq(done & (waiting.cb == operation.cb)),
            keeps.eq(~(done & (waiting.cb == operation.cb))),
        ]
        m.d.comb += [row.eq(Mux(is_newer, newest, read_row)), known.eq(is_newer | was_known)]
        self._elaborate_trace(m, operation, done, moved)
        with m.If(busy & rests & (operation.kind == _Kind.SETUP)):  # sooner than `done`
            m.d.sync += is_set_up.bit_select(write.addr, 1).eq(1)
        self._elaborate_answers(m, operation, busy, chosen, done, row, right, cause)
        return m

    def _elaborate_amounts(
        self,
        m: Module,
        waiting: data.View,
        read: data.View,
        operation: data.View,
        newest: data.View,
        keeps: Signal,
    ) -> list[Value]:
        """The amount that the operation in stage 3 takes from, and the one that it adds to.

        They decide whether it takes place, so they are chosen from the row in stage 2 already; and
        `keeps`, a register of its own, says only of them that they are still right.
        """
        amounts = []
        for names in (_RING, (*_RING[1:], _RING[0])):
            found = Signal(self.width, name=f"found_{names[0]}")
            m.d.sync += found.eq(one_of([read[name] for name in names], waiting.move))
            new = one_of([newest[name] for name in names], operation.move)
            amounts.append(Mux(keeps, found, new))
        return amounts

    def _elaborate_trace(
        self, m: Module, operation: data.View, done: Signal, moved: data.View
    ) -> None:
        """What the operation has changed; its sum is made a cycle later."""
        filled, held = Signal(self.width), Signal(self.width)
        m.d.sync += self.moved.valid.eq(done)
        m.d.comb += self.moved.payload.fill.eq(filled + held)
        # Whether it was done is known last; so nothing but `valid` waits for it.
        m.d.sync += [
            self.moved.payload.cb.eq(operation.cb),
            self.moved.payload.depth.eq(moved.depth),
            filled.eq(moved.filled),
            held.eq(moved.held),
        ]

    def _elaborate_choice(
        self,
        m: Module,
        waiting: data.View,
        operation: data.View,
        busy: Signal,
        chosen: Signal,
        enough: Signal,
    ) -> None:
        """Stage 1: pick a request, or a set-up, which comes once and goes first.

        `waiting` is in stage 2, and moves on to stage 3 with its row.
        """
        n = len(self.owners)
        setup, sets_up = Signal(CbSetup), Signal()
        picked, blocked = Signal.like(chosen), Signal(n)
        m.submodules.chooser = chooser = RoundRobin(n_requests=2 * n, serves_all=True)
        wants = Cat(
            *(port.acquire.valid & ~blocked[i] & ~self.halt for i, port in enumerate(self.ports)),
            *(port.done.valid for port in self.ports),
        )
        m.d.sync += [sets_up.eq(self.setup.valid), setup.eq(self.setup.payload)]
        # A set-up is in stage 2 in the next cycle; what was picked there waits for it.
        with m.If(sets_up):
            m.d.sync += chosen.eq(0)
        with m.Else():
            m.d.comb += chooser.requests.eq(wants & ~chosen & ~picked)  # some are on their way
            m.d.sync += [chosen.eq(picked), picked.eq(chooser.grant)]
        self._elaborate_pick(m, waiting, picked, sets_up, setup)
        m.d.sync += [operation.eq(waiting), busy.eq(sets_up | picked.any())]

        # Data or room only come by dones and set-ups; until then a refused acquire need not try.
        with m.If(busy & (operation.kind != _Kind.ACQUIRE)):
            m.d.sync += blocked.eq(0)
        with m.Elif(busy & ~enough):
            m.d.sync += blocked.eq(blocked | chosen[:n])

    def _elaborate_pick(
        self,
        m: Module,
        waiting: data.View,
        picked: Signal,
        sets_up: Signal,
        setup: data.View,
    ) -> None:
        """Stage 2: what was picked; its payload stays at its port until stage 3 takes it."""
        n = len(self.owners)
        acquires = [port.acquire.payload for port in self.ports]
        requests = [*acquires, *(port.done.payload for port in self.ports)]
        owners = [Const(owner, 3) for owner in self.owners]
        m.d.comb += [waiting.shared.eq(setup.shared), waiting.tag.eq(setup.tag)]
        with m.If(sets_up):
            m.d.comb += [
                waiting.kind.eq(_Kind.SETUP),
                waiting.cb.eq(setup.cb),
                waiting.extent.eq(setup.base),
                waiting.advance.eq(setup.depth),
            ]
        with m.Else():
            m.d.comb += [
                waiting.kind.eq(Mux(picked[n:].any(), _Kind.DONE, _Kind.ACQUIRE)),
                waiting.extent.eq(one_of([item.extent for item in acquires], picked[:n])),
                waiting.unit.eq(one_of(owners, picked[:n] | picked[n:])),
                *(
                    Value.cast(waiting[name]).eq(one_of([item[name] for item in requests], picked))
                    for name in ("role", "cb", "advance")
                ),
            ]
            acquires, producer = picked[:n].any(), waiting.role == CbRole.PRODUCER
            m.d.comb += waiting.move.eq(
                Cat(
                    acquires & producer,
                    ~acquires & producer,
                    acquires & ~producer,
                    ~acquires & ~producer,
                )
            )

    def _elaborate_setup(
        self,
        m: Module,
        operation: data.View,
        rests: Signal,
        moved: data.View,
        right: Signal,
        cause: Signal,
    ) -> None:
        """An empty buffer, unless somebody works in it."""
        m.d.comb += [
            moved.eq(0),
            moved.base.eq(operation.extent),
            moved.depth.eq(operation.advance),
            moved.room.eq(operation.advance),
            moved.shared.eq(operation.shared),
            right.eq(rests),
            cause.eq(Trap.CB_BUSY),
        ]

    def _elaborate_move(
        self,
        m: Module,
        operation: data.View,
        row: data.View,
        known: Signal,
        amounts: list[Value],
        moved: data.View,
        enough: Signal,
        right: Signal,
        cause: Signal,
    ) -> None:
        """Acquire and done: move `advance` from one amount to the next, if it is there."""
        producer, acquires, user = Signal(), Signal(), Signal.like(row.producer)
        # The same two of the four amounts, and one of two pointers, for all kinds of moves.
        amount, target, pointer = (Signal(self.width, name=n) for n in ("amount", "target", "ptr"))
        less, more = Signal(self.width, name="less"), Signal(self.width, name="more")
        straight, around = Signal(self.width + 1), Signal(self.width + 2)
        extent, advance = operation.extent, operation.advance[: self.width]
        m.d.comb += [
            producer.eq(operation.role == CbRole.PRODUCER),
            acquires.eq(operation.kind == _Kind.ACQUIRE),
            user.eq(Mux(producer, row.producer, row.consumer)),
            Cat(amount, target).eq(Cat(amounts)),
            pointer.eq(Mux(producer, row.reserve, row.claim)),
            less.eq(amount - advance),
            more.eq(target + advance),
            straight.eq(pointer + advance),
            around.eq(straight - row.depth),
            enough.eq(
                not_below(amount, operation.advance) & (not_below(amount, extent) | ~acquires)
            ),
            moved.eq(row),
        ]
        for i, (source, then) in enumerate(zip(_RING, (*_RING[1:], _RING[0]), strict=True)):
            with m.If(operation.move[i]):
                m.d.comb += [moved[source].eq(less), moved[then].eq(more)]
        for i, place, side in ((0, "reserve", "producer"), (2, "claim", "consumer")):
            with m.If(operation.move[i]):
                m.d.comb += [
                    moved[place].eq(Mux(around[-1], straight, around)),
                    moved[side].known.eq(1),
                    moved[side].unit.eq(operation.unit),
                ]
        foreign = acquires & user.known & (user.unit != operation.unit) & ~row.shared
        fits = not_below(row.depth, extent) & not_below(row.depth, operation.advance)
        m.d.comb += right.eq(known & ~foreign & Mux(acquires, fits, enough))
        with m.If(~known):
            m.d.comb += cause.eq(Trap.CB_UNINITIALISED)
        with m.Elif(foreign):
            m.d.comb += cause.eq(Trap.CB_SHARED)
        with m.Elif(acquires):
            m.d.comb += cause.eq(Trap.CB_TOO_SMALL)
        with m.Else():
            m.d.comb += cause.eq(Trap.CB_UNDERFLOW)

    def _elaborate_answers(
        self,
        m: Module,
        operation: data.View,
        busy: Signal,
        chosen: Signal,
        done: Signal,
        row: data.View,
        right: Signal,
        cause: Signal,
    ) -> None:
        """Take the request, send the grant a cycle later, report a fault."""
        n = len(self.owners)
        grant, granted, accepts = Signal(CbGrant), Signal(n), Signal(n)
        m.d.comb += accepts.eq(Mux(done, chosen[:n], 0))
        m.d.sync += granted.eq(accepts)
        with m.If(busy):
            producer = operation.role == CbRole.PRODUCER
            m.d.sync += [
                grant.base.eq(row.base),
                grant.depth.eq(row.depth),
                grant.pointer.eq(Mux(producer, row.reserve, row.claim)),
            ]
        for i, port in enumerate(self.ports):
            m.d.comb += [
                port.acquire.ready.eq(accepts[i]),
                port.done.ready.eq(busy & chosen[n + i]),
                port.grant.valid.eq(granted[i]),
                port.grant.payload.eq(grant),
            ]
        m.d.comb += [
            self.fault.valid.eq(busy & ~right),
            self.fault.cause.eq(cause),
            self.fault.setup.eq(operation.kind == _Kind.SETUP),
            self.fault.unit.eq(operation.unit),
            self.fault.tag.eq(operation.tag),
            self.fault.cb.eq(operation.cb),
        ]
