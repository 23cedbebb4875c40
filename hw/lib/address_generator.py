# SPDX-License-Identifier: Apache-2.0
"""The address generator that all units share, and the reporter of finished steps beside it.

Not responsible for what moves: a unit turns each address into an access, and says when a step's
data has moved.
"""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.commands import LEVELS
from hw.iface.pe import CbAcquire, CbDone, CbGrant, CbRole
from hw.lib.elastic import PipeStage, StreamFifo
from hw.lib.loop_nest import LoopNest

__all__ = ["AddressGenerator", "CB_UNIT_BYTES", "StepReporter", "address_layout", "nest_layout"]

CB_UNIT_BYTES = 64
"""Unit of everything that a circular buffer counts."""


def nest_layout(stride_width: int) -> data.StructLayout:
    """What starts an address generator: loop counts and one operand, as commands name them."""
    return data.StructLayout(
        {
            "counts": data.ArrayLayout(unsigned(16), LEVELS),
            "strides": data.ArrayLayout(signed(stride_width), LEVELS),
            "offset": unsigned(stride_width),
            "cb": unsigned(6),
            "step_level": unsigned(3),
            "adv_level": unsigned(3),
            "need": unsigned(16),
            "adv": unsigned(16),
            "tail_level": unsigned(3),  # in this level's last iteration
            "tail_inner": unsigned(1),  # this level (below it)
            "tail_count": unsigned(16),  # has so many iterations; 0: no difference
            "tail_adv": unsigned(16),  # and steps need and advance so much; 0: no difference
        }
    )


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
           for stays at `acquire` until it is granted (streams take nothing back), which is ignored.

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

    Members
    -------
    nest : In(stream.Signature(nest_layout(stride_width))), nests to walk.
    acquire : Out(stream.Signature(CbAcquire)), connect to a `CbPort`.
    grant : In(stream.Signature(CbGrant, always_ready=True)), connect to the same port.
    addresses : Out(stream.Signature(address_layout(address_width))), the addresses in order.
    stop : In(1), drop everything.
    busy : Out(1), a nest is under way.
    waiting : Out(1), no address is there because a step is not granted.

    Raises: ValueError for a unit that is no power of two or larger than 64 bytes, and for widths
    that cannot address anything.
    """

    def __init__(
        self, *, address_width: int, unit_bytes: int, role: CbRole, stride_width: int
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
        super().__init__(
            {
                "nest": In(stream.Signature(nest_layout(stride_width))),
                "acquire": Out(stream.Signature(CbAcquire)),
                "grant": In(stream.Signature(CbGrant, always_ready=True)),
                "addresses": Out(stream.Signature(address_layout(address_width))),
                "stop": In(1),
                "busy": Out(1),
                "waiting": Out(1),
            }
        )

    @property
    def offset_width(self) -> int:
        """Bits of a loop offset: signed, so that a negative sum is seen."""
        return self.stride_width + 1

    @property
    def step_layout(self) -> data.StructLayout:
        """A granted step, as it waits for its turn."""
        full = 13 + self.cb_shift + 1  # base + depth may be one more than the highest address
        return data.StructLayout(
            {
                "origin": signed(self.offset_width),
                "last": unsigned(LEVELS),
                "advance": unsigned(16),
                "start": unsigned(full),  # base + pointer, in units
                "limit": unsigned(full),  # base + depth
                "base": unsigned(13),
                "depth": unsigned(13),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        nest = Signal(nest_layout(self.stride_width))  # the nest under way
        walks_outside = Signal(LEVELS)
        ahead = Signal(self.step_layout)  # the next step
        offered = Signal()  # a step was asked for in the cycle before, and not granted
        ahead_asked, ahead_granted = Signal(), Signal()
        steps_left = Signal()  # the outer walk has steps to ask for
        inside_busy = Signal()

        walking = steps_left | ahead_asked | ahead_granted | inside_busy
        m.submodules.outer = outer = LoopNest(offset_width=self.offset_width)
        m.submodules.inner = inner = LoopNest(offset_width=self.offset_width)
        m.submodules.out = out = PipeStage(shape=self.addresses.payload.shape())
        wiring.connect(m, wiring.flipped(self.addresses), out.o)

        m.d.comb += [
            walks_outside.eq(Cat(nest.step_level <= level for level in range(LEVELS))),
            outer.walks.eq(walks_outside),
            outer.others_last.eq(~walks_outside),
            inner.walks.eq(~walks_outside),
            self.busy.eq(walking | out.o.valid),
            self.waiting.eq(self.busy & ~inside_busy & ~out.o.valid & ~ahead_granted),
            self.nest.ready.eq(~walking & ~self.stop & ~offered),
        ]
        for walk in (outer, inner):
            m.d.comb += [
                walk.counts.eq(nest.counts),
                *(walk.strides[level].eq(nest.strides[level]) for level in range(LEVELS)),
                walk.tail_level.eq(nest.tail_level),
                walk.tail_inner.eq(nest.tail_inner),
                walk.tail_count.eq(nest.tail_count),
            ]

        load = Signal()  # the step ahead becomes the present one
        self._elaborate_acquire(
            m, nest, outer, ahead, offered, steps_left, ahead_asked, ahead_granted, load
        )
        self._elaborate_addresses(m, nest, inner, ahead, ahead_granted, inside_busy, load, out)

        with m.If(self.stop):
            m.d.sync += [
                flag.eq(0) for flag in (steps_left, ahead_asked, ahead_granted, inside_busy)
            ]
            m.d.comb += out.o.ready.eq(1)
        return m

    def _elaborate_acquire(
        self,
        m: Module,
        nest: data.View,
        outer: LoopNest,
        ahead: data.View,
        offered: Signal,
        steps_left: Signal,
        ahead_asked: Signal,
        ahead_granted: Signal,
        load: Signal,
    ) -> None:
        """Walk the steps, ask for each, keep the answer."""
        begin = self.nest.valid & self.nest.ready
        asks = self.acquire.valid & self.acquire.ready
        m.d.sync += offered.eq(self.acquire.valid & ~self.acquire.ready)
        with m.If(begin):
            m.d.sync += [nest.eq(self.nest.payload), steps_left.eq(1)]
        m.d.comb += [
            outer.start.eq(begin),
            outer.origin.eq(self.nest.payload.offset),
            outer.step.eq(asks),
        ]

        # A negative start counts as farther than any buffer reaches, so that the table traps.
        start_units = Signal(16)
        extent = Signal(17)
        tail = Signal()  # this step's need and advance are those of the tail
        round_up = CB_UNIT_BYTES // self.unit_bytes - 1
        m.d.comb += [
            start_units.eq((outer.offset[:-1] + round_up) >> self.cb_shift),
            tail.eq(outer.in_tail & (nest.tail_adv != 0)),
            extent.eq(start_units + Mux(tail, nest.tail_adv, nest.need)),
        ]
        group_end = Signal()  # every level below adv_level is at its last iteration
        below_adv = Cat(nest.adv_level > level for level in range(LEVELS))
        m.d.comb += [
            group_end.eq((nest.adv_level != 7) & ((outer.last | ~below_adv).all())),
            self.acquire.valid.eq(
                (steps_left & ~ahead_asked & ~ahead_granted & ~self.stop) | offered
            ),
            self.acquire.payload.cb.eq(nest.cb),
            self.acquire.payload.role.eq(self.role),
            self.acquire.payload.extent.eq(Mux(extent[16] | outer.offset[-1], 0xFFFF, extent[:16])),
            self.acquire.payload.advance.eq(Mux(group_end, Mux(tail, nest.tail_adv, nest.adv), 0)),
        ]
        with m.If(asks & steps_left):
            m.d.sync += [
                ahead_asked.eq(1),
                ahead.origin.eq(outer.offset),
                ahead.last.eq(outer.last),
                ahead.advance.eq(self.acquire.payload.advance),
            ]
            with m.If(outer.end):
                m.d.sync += steps_left.eq(0)
        with m.If(self.grant.valid & ahead_asked):
            grant = self.grant.payload
            m.d.sync += [
                ahead_asked.eq(0),
                ahead_granted.eq(1),
                ahead.start.eq((grant.base + grant.pointer) << self.cb_shift),
                ahead.limit.eq((grant.base + grant.depth) << self.cb_shift),
                ahead.base.eq(grant.base),
                ahead.depth.eq(grant.depth),
            ]
        with m.If(load):
            m.d.sync += ahead_granted.eq(0)

    def _elaborate_addresses(
        self,
        m: Module,
        nest: data.View,
        inner: LoopNest,
        ahead: data.View,
        ahead_granted: Signal,
        inside_busy: Signal,
        load: Signal,
        out: PipeStage,
    ) -> None:
        """Walk inside the present step and wrap its addresses."""
        present = Signal(self.step_layout)
        first = Signal()
        moves = inside_busy & out.i.ready
        m.d.comb += [
            load.eq(ahead_granted & (~inside_busy | (out.i.ready & inner.end))),
            inner.others_last.eq(present.last),
            inner.start.eq(load),
            inner.origin.eq(ahead.origin),
            inner.step.eq(moves),
        ]
        with m.If(load):
            m.d.sync += [present.eq(ahead), inside_busy.eq(1), first.eq(1)]
        with m.Elif(moves):
            m.d.sync += first.eq(0)
            with m.If(inner.end):
                m.d.sync += inside_busy.eq(0)

        full = len(present.start)
        depth = present.depth << self.cb_shift
        straight = Signal(signed(max(full, self.offset_width) + 2))
        wrapped = Signal.like(straight)
        m.d.comb += [
            straight.eq(present.start + inner.offset),
            wrapped.eq(Mux(straight >= present.limit, straight - depth, straight)),
            out.i.valid.eq(inside_busy & ~self.stop),
            out.i.payload.address.eq(wrapped),
            out.i.payload.outside.eq(
                (inner.offset < 0) | (inner.offset >= depth) | (wrapped[self.address_width :] != 0)
            ),
            out.i.payload.last.eq(inner.last),
            out.i.payload.step_first.eq(first),
            out.i.payload.step_end.eq(inner.end),
            out.i.payload.advance.eq(present.advance),
            out.i.payload.cb.eq(nest.cb),
            out.i.payload.base.eq(present.base),
            out.i.payload.depth.eq(present.depth),
        ]


class StepReporter(wiring.Component):
    """Tells the CB table that a step's data has moved, unless the step did not advance a pointer.

    Operation
        Takes a finished step, and reports it on `done` when its advance is not 0. Waits for the
        table in a queue.

    Timing
        `done` is valid the cycle after `step` at the earliest; a step per cycle until the queue of
        4 is full.

    Parameters
    ----------
    role : whether the operand is consumed or produced.

    Members
    -------
    step : In(stream.Signature(StructLayout({"cb": 6, "advance": 16}))), a step has moved.
    done : Out(stream.Signature(CbDone)), connect to a `CbPort`.
    pending : Out(1), a report waits.
    """

    def __init__(self, *, role: CbRole) -> None:
        self.role = role
        super().__init__(
            {
                "step": In(stream.Signature(data.StructLayout({"cb": 6, "advance": 16}))),
                "done": Out(stream.Signature(CbDone)),
                "pending": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = StreamFifo(shape=CbDone, depth=4)
        report = fifo.i.payload
        m.d.comb += [
            self.step.ready.eq(fifo.i.ready),
            fifo.i.valid.eq(self.step.valid & (self.step.payload.advance != 0)),
            report.cb.eq(self.step.payload.cb),
            report.role.eq(self.role),
            report.advance.eq(self.step.payload.advance),
            self.pending.eq(fifo.o.valid),
        ]
        wiring.connect(m, wiring.flipped(self.done), fifo.o)
        return m
