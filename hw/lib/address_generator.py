# SPDX-License-Identifier: Apache-2.0
"""The address generator that all units share, and the reporter of finished steps beside it.

Not responsible for what moves: a unit turns each address into an access, and says when a step's
data has moved.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS, NEVER
from hw.iface.pe import CbAcquire, CbDone, CbGrant, CbRole
from hw.lib.compare import not_below
from hw.lib.elastic import SkidBuffer, StreamFifo
from hw.lib.step_nest import StepNest, levels_from, nest_layout

__all__ = ["AddressGenerator", "CB_UNIT_BYTES", "StepReporter", "address_layout", "nest_layout"]

CB_UNIT_BYTES = 64
"""Unit of everything that a circular buffer counts."""


def address_layout(address_width: int) -> data.StructLayout:
    """One address with its place in the nest."""
    return data.StructLayout(
        {
            "address": unsigned(address_width),  # wrapped, in local memory
            "outside": unsigned(1),  # beyond the circular buffer or local memory: not to be used
            "last": unsigned(LEVELS),  # levels at their last iteration; all: the nest ends
            "step_first": unsigned(1),  # first address of a step
            "step_end": unsigned(1),  # last address of a step
            "advance": unsigned(16),  # how far the pointer moves when this step is done
            "cb": unsigned(6),
            "base": unsigned(13),  # of the circular buffer, as granted for this step
            "depth": unsigned(13),
        }
    )


class AddressGenerator(wiring.Component):
    """Turns a loop nest over a circular buffer into addresses, a granted step at a time.

    Operation
        1. `nest` starts a nest; it is taken when the one before has left.
        2. Levels from `step_level` up are walked ahead: each of their iterations is a step, for
           which `acquire` asks with the extent that it needs, at most one step ahead of the
           addresses.
        3. Levels below are walked when the step is granted; each iteration is one element of
           `addresses`: (pointer + offset + sum of index * stride) wrapped into the buffer.
        4. While `tail_level` is at its last iteration, level `tail_inner` counts to `tail_count`,
           and steps need and advance `tail_adv`; 0 changes nothing.
        5. `step_level` 5 and up makes the nest one step; `adv_level` 5 and 6 advance at its end.
        6. `stop` drops everything, and takes no nest while it is high. A step that is being asked
           for, also in the first cycle of `stop`, stays at `acquire` until it is granted (streams
           take nothing back), which is ignored.

    Timing
        First address 5 cycles after `nest` is taken when the first step is granted at once. Then
        one address per cycle: n addresses of a step take max(n, 3) cycles when the step after it
        is granted at once. From a nest's last address to the first of the next pass 5 cycles.
        The only combinational paths from inputs to outputs are those from `stop`.

    Parameters
    ----------
    address_width : bits of an address, in units of `unit_bytes`.
    unit_bytes : bytes of one unit of addresses and strides, a power of two up to 64.
    role : whether the operand is consumed or produced.
    stride_width : bits of strides and of the unsigned offset in `nest_layout`.
    first_level : 1 for a unit that walks level 0 itself: it has one iteration here, whatever the
        nest says of it.
    queued : addresses leave from a queue of LUT RAM in place of two registers: fewer flip-flops,
        later in the cycle.
    staged : more registers before the sums, for a faster clock (see `StepNest`), and none behind
        them, since whoever takes the addresses keeps them in a queue. `addresses` is valid only:
        `room` says in the cycle before whether an address may leave. First address 6 cycles after
        `nest` is taken, n addresses of a step take max(n, 4) cycles, and from a nest's last
        address to the first of the next pass 6 cycles. An address that leaves in a cycle with
        `stop`, or the one after, is to be dropped; a nest that comes with it is.
    announced : a nest is at `nest` for a cycle before `valid`, which makes a faster clock.
    held : a nest stays at `nest` while it is walked, and is taken with its last address (staged,
        the cycle before), so that most of it need not be kept here.

    Members
    -------
    nest : In(stream.Signature(nest_layout(stride_width))), nests to walk.
    acquire : Out(stream.Signature(CbAcquire)), connect to a `CbPort`.
    grant : In(stream.Signature(CbGrant, always_ready=True)), connect to the same port.
    addresses : Out(stream.Signature(address_layout(address_width))), the addresses in order.
    room : In(1), only if staged: an address may leave in the next cycle.
    stop : In(1), drop everything.
    busy : Out(1), a nest is under way.
    waiting : Out(1), no address is there because a step is not granted.

    Raises: ValueError for a unit that is no power of two or larger than 64 bytes, and for widths
    that cannot address anything.
    """

    def __init__(
        self,
        *,
        address_width: int,
        unit_bytes: int,
        role: CbRole,
        stride_width: int,
        first_level: int = 0,
        queued: bool = False,
        staged: bool = False,
        held: bool = False,
        announced: bool = False,
    ) -> None:
        if unit_bytes not in (1, 2, 4, 8, 16, 32, 64):
            raise ValueError(
                "AddressGenerator unit_bytes must be a power of two from 1 to 64, "
                f"not {unit_bytes!r}."
            )
        self.unit_log2 = unit_bytes.bit_length() - 1
        self.cb_shift = 6 - self.unit_log2
        if not 1 <= address_width <= 13 + self.cb_shift:
            raise ValueError(
                "AddressGenerator address_width must be from 1 to "
                f"{13 + self.cb_shift} bits for units of {unit_bytes} bytes, "
                f"not {address_width!r}."
            )
        if not 2 <= stride_width <= 16 + self.cb_shift:
            raise ValueError(
                "AddressGenerator stride_width must be from 2 to "
                f"{16 + self.cb_shift} bits for units of {unit_bytes} bytes, "
                f"not {stride_width!r}."
            )
        self.address_width = address_width
        self.unit_bytes = unit_bytes
        self.role = role
        self.stride_width = stride_width
        self.first_level = first_level
        self.queued = queued
        self.staged = staged
        self.held = held
        self.announced = announced
        addresses = stream.Signature(address_layout(address_width), always_ready=staged)
        super().__init__(
            {
                "nest": In(stream.Signature(nest_layout(stride_width))),
                "acquire": Out(stream.Signature(CbAcquire)),
                "grant": In(stream.Signature(CbGrant, always_ready=True)),
                "addresses": Out(addresses),
                **({"room": In(1)} if staged else {}),
                "stop": In(1),
                "busy": Out(1),
                "waiting": Out(1),
            }
        )

    @property
    def grant_layout(self) -> data.StructLayout:
        """A granted step, as it waits for its turn; in units of `CB_UNIT_BYTES`."""
        return data.StructLayout(
            {
                "start": signed(14),  # pointer - depth: what is not negative is wrapped
                "straight": unsigned(14),  # pointer + base
                "wrapped": unsigned(14),  # the same less depth
                "base": unsigned(13),
                "depth": unsigned(13),
                "advance": unsigned(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        offered = Signal()  # a step was asked for in the cycle before, and not granted
        asked, granted = Signal(), Signal()  # the step ahead
        steps_left = Signal()  # the walk has steps to load
        inside_busy = Signal()
        load = Signal()  # the step ahead becomes the present one

        m.submodules.walk = walk = StepNest(
            stride_width=self.stride_width,
            first_level=self.first_level,
            held=self.held,
            announced=self.announced,
            staged=self.staged,
        )
        room, out, leaving = self._elaborate_out(m)

        walking = steps_left | inside_busy
        may_begin, begin = Signal(init=1), Signal()
        walked = ~steps_left & walk.next_inside & walk.end
        if self.staged:
            # A register, as much hangs on it. A nest that comes with `stop` is dropped.
            m.d.sync += may_begin.eq((~walking | walked) & ~begin & ~offered)
        else:
            m.d.comb += may_begin.eq(~walking & ~offered & ~self.stop)
        m.d.comb += [
            begin.eq(self.nest.valid & may_begin),
            self.busy.eq(walking | leaving),
            self.waiting.eq(steps_left & ~inside_busy & ~leaving & ~granted),
            self.nest.ready.eq(walked if self.held else may_begin),
            walk.nest.eq(self.nest.payload),
            walk.idle.eq(~walking & ~offered),
            walk.start.eq(begin),
            walk.inside.eq(inside_busy),
            walk.next_step.eq(load),
        ]
        with m.If(begin):
            m.d.sync += steps_left.eq(1)
        with m.Elif(load & walk.step_end):
            m.d.sync += steps_left.eq(0)

        settled = Const(1)  # what the step ahead asks for is there
        if self.staged:
            settled = Signal()
            m.d.sync += settled.eq(~begin & ~load)
        self._elaborate_acquire(m, walk, begin)
        may_ask = steps_left & settled
        present = self._elaborate_grant(m, may_ask, steps_left, offered, asked, granted, load)
        first = self._elaborate_inside(m, walk, granted, inside_busy, load, room)
        self._elaborate_addresses(m, walk, present, inside_busy, first, room, out)

        with m.If(self.stop):
            m.d.sync += [flag.eq(0) for flag in (steps_left, asked, granted, inside_busy)]
        return m

    def _elaborate_out(self, m: Module) -> tuple[Value, Any, Value]:
        """Where addresses go. Returns: there is room for one; that stream; some wait behind it."""
        shape = self.addresses.payload.shape()
        if self.staged:
            return self.room, self.addresses, self.addresses.valid
        out = StreamFifo(shape=shape, depth=2) if self.queued else SkidBuffer(shape=shape)
        m.submodules.out = ResetInserter(self.stop)(out)
        wiring.connect(m, wiring.flipped(self.addresses), out.o)
        return out.i.ready, out.i, out.o.valid

    def _elaborate_acquire(self, m: Module, walk: StepNest, begin: Value) -> None:
        """What the step ahead asks for."""
        nest, asks = self.nest.payload, self.acquire.payload
        # The buffer is told even when the nest has gone.
        need, adv, tail_adv, cb = (
            getattr(nest, name) if self.held and name != "cb" else Signal.like(getattr(nest, name))
            for name in ("need", "adv", "tail_adv", "cb")
        )
        tail_at = Signal(LEVELS)  # level of a tail whose steps differ
        below_adv, never = Signal(LEVELS), Signal()
        tail_levels = Cat(Const(0, 1), *(nest.tail_level == level for level in range(1, LEVELS)))
        with m.If(begin):
            m.d.sync += [
                cb.eq(nest.cb),
                tail_at.eq(Mux(nest.tail_adv != 0, tail_levels, 0)),
                below_adv.eq(~levels_from(nest.adv_level)),
                never.eq(nest.adv_level == NEVER),
            ]
        if not self.held:
            with m.If(walk.idle):
                m.d.sync += [need.eq(nest.need), adv.eq(nest.adv), tail_adv.eq(nest.tail_adv)]

        extent = Signal(17)
        tail = Signal()  # this step's need and advance are those of the tail
        start = walk.step_offset[:-1]
        part = start[: self.cb_shift].any() if self.cb_shift else Const(0, 1)  # of a unit
        # A bit below the sum carries in what rounds the start up.
        rounded = Cat(Const(1, 1), start[self.cb_shift :]) + Cat(part, Mux(tail, tail_adv, need))
        group_end = Signal()  # every level below adv_level is at its last iteration
        m.d.comb += [
            tail.eq((walk.step_last & tail_at).any()),
            extent.eq(rounded >> 1),
            group_end.eq(~never & (walk.step_last | ~below_adv).all()),
            asks.cb.eq(cb),
            asks.role.eq(self.role),
            # A negative start counts as farther than any buffer reaches, so that the table traps.
            asks.extent.eq(Mux(extent[16] | walk.step_offset[-1], 0xFFFF, extent[:16])),
            asks.advance.eq(Mux(group_end, Mux(tail, tail_adv, adv), 0)),
        ]

    def _elaborate_grant(
        self,
        m: Module,
        may_ask: Value,
        steps_left: Signal,
        offered: Signal,
        asked: Signal,
        granted: Signal,
        load: Signal,
    ) -> data.View:
        """Ask for the step ahead, and keep the answer; returns that of the present step."""
        m.submodules.grants = grants = memory.Memory(shape=self.grant_layout, depth=2, init=[])
        write, read = grants.write_port(), grants.read_port(domain="comb")
        place = Signal()  # of the present step's; the other one is that of the step ahead
        start = Signal(signed(14))
        grant = self.grant.payload
        m.d.comb += [
            write.addr.eq(~place),
            write.en.eq(self.grant.valid & asked),
            start.eq(grant.pointer - grant.depth),
            write.data.start.eq(start),
            write.data.straight.eq(grant.pointer + grant.base),
            write.data.wrapped.eq(start + grant.base),
            write.data.base.eq(grant.base),
            write.data.depth.eq(grant.depth),
            write.data.advance.eq(self.acquire.payload.advance),
        ]
        if self.staged:
            present = Signal()  # of the step whose address leaves
            m.d.sync += present.eq(place)
            m.d.comb += read.addr.eq(present)
        else:
            m.d.comb += read.addr.eq(place)
        m.d.sync += offered.eq(self.acquire.valid & ~self.acquire.ready)
        m.d.comb += self.acquire.valid.eq((may_ask & ~asked & ~granted) | offered)
        with m.If(self.acquire.valid & self.acquire.ready & steps_left):
            m.d.sync += asked.eq(1)
        with m.If(write.en):
            m.d.sync += [asked.eq(0), granted.eq(1)]
        with m.If(load):
            m.d.sync += [granted.eq(0), place.eq(~place)]
        return read.data

    def _elaborate_inside(
        self,
        m: Module,
        walk: StepNest,
        granted: Signal,
        inside_busy: Signal,
        load: Signal,
        room: Value,
    ) -> Signal:
        """Walk inside the present step. Returns whether it is at its first address."""
        first = Signal()
        m.d.comb += [
            load.eq(granted & (~inside_busy | (room & walk.end))),
            walk.next_inside.eq(inside_busy & room),
        ]
        with m.If(load):
            m.d.sync += [inside_busy.eq(1), first.eq(1)]
        with m.Elif(walk.next_inside):
            m.d.sync += first.eq(0)
            with m.If(walk.end):
                m.d.sync += inside_busy.eq(0)
        return first

    def _elaborate_addresses(
        self,
        m: Module,
        walk: StepNest,
        present: data.View,
        inside_busy: Signal,
        first: Signal,
        room: Value,
        out: Any,
    ) -> None:
        """Sum up and wrap addresses."""
        shift, item = self.cb_shift, out.payload
        units = walk.offset >> shift
        place = Signal(signed(14))  # relative to the end of the buffer; wrong if outside of it
        # Both sums, and whether they are too large, are there when it is known which one counts.
        sums = [
            Cat(walk.offset[:shift], (start + units)[:14])
            for start in (present.straight, present.wrapped)
        ]
        beyond = [address[self.address_width :].any() for address in sums]
        m.d.comb += [
            place.eq(present.start + units),
            item.address.eq(Mux(place < 0, *sums)),
            # A negative number of units is more than any depth when taken without a sign.
            item.outside.eq(
                not_below(units.as_unsigned(), present.depth) | Mux(place < 0, *beyond)
            ),
            item.advance.eq(present.advance),
            item.cb.eq(self.acquire.payload.cb),
            item.base.eq(present.base),
            item.depth.eq(present.depth),
        ]
        # Offsets come a cycle later than what is said of them, if staged.
        domain = m.d.sync if self.staged else m.d.comb
        domain += [
            out.valid.eq(inside_busy & room if self.staged else inside_busy),
            item.last.eq(walk.last),
            item.step_first.eq(first),
            item.step_end.eq(walk.end),
        ]


class StepReporter(wiring.Component):
    """Tells the CB table that a step's data has moved, unless the step did not advance a pointer.

    Operation
        Takes a finished step, and reports it on `done` when its advance is not 0. Waits for the
        table in a queue.

    Timing
        `done` is valid the cycle after `step` at the earliest; a step per cycle until the queue of
        8 is full.

    Parameters
    ----------
    role : whether the operand is consumed or produced.

    Members
    -------
    step : In(stream.Signature(StructLayout({"cb": 6, "advance": 16}))), a step has moved.
    done : Out(stream.Signature(CbDone)), connect to a `CbPort`.
    room : Out(1), at least 5 more steps fit: for those who report a step cycles after they knew of
        it, and cannot wait with it.
    pending : Out(1), a report waits.
    """

    def __init__(self, *, role: CbRole) -> None:
        self.role = role
        super().__init__(
            {
                "step": In(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "done": Out(stream.Signature(CbDone)),
                "room": Out(1),
                "pending": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = StreamFifo(shape=CbDone, depth=8)
        report = fifo.i.payload
        m.d.comb += [
            self.step.ready.eq(fifo.i.ready),
            fifo.i.valid.eq(self.step.valid & (self.step.payload.advance != 0)),
            report.cb.eq(self.step.payload.cb),
            report.role.eq(self.role),
            report.advance.eq(self.step.payload.advance),
            self.room.eq(fifo.level[2:] == 0),
            self.pending.eq(fifo.o.valid),
        ]
        wiring.connect(m, wiring.flipped(self.done), fifo.o)
        return m
