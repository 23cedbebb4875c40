# SPDX-License-Identifier: Apache-2.0
"""What a memory-side cache does to ranges of lines, and how its ways come and go."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.cache import CacheOp
from hw.iface.cache import CacheControlPort
from hw.mem.cache.shape import CacheShape, Kind

__all__ = ["CacheSweep"]

_KINDS = {
    CacheOp.FLUSH: Kind.FLUSH,
    CacheOp.INVALIDATE: Kind.INVALIDATE,
    CacheOp.DROP: Kind.DROP,
    CacheOp.PREFETCH: Kind.PREFETCH,
}


class CacheSweep(wiring.Component):
    """Walks sets and lines for the commands of software, and changes the number of ways.

    Operation: a command of FLUSH, INVALIDATE or DROP visits each set that a line of its range may
    be in, until each line of it that is meant was met once, so writes that go on do not
    keep it; PREFETCH visits each line. It is done when DRAM has
    acknowledged all that left. A new number of ways stops accesses, waits for those under way,
    invalidates everything, sets all tags to zero, and lets accesses go on.

    Timing: 3 cycles for each visit: sets of the range, and a visit more for each line that leaves;
    lines to prefetch. A new number of ways takes a cycle for each set more.

    Parameters
    ----------
    shape : sizes of the cache.
    n_places : lines that may be on their way to DRAM.

    Members
    -------
    control : In(CacheControlPort), without `lost` and `failed`; a command while `busy` is ignored.
    o : Out(stream.Signature(shape.request)), visits.
    done, more : In(1), the visit is over; the same one is wanted again.
    way : In(n_ways), with `done`: the way of which it has taken care.
    first, last : Out(line_bits), lines that a visit means.
    active : In(n_places), lines on their way to DRAM.
    idle : In(1), no access is under way.
    closed : Out(1), no access may begin. is_on : Out(1), there is a cache. ways : Out, its ways.
    clears : Out(1), clear_set : Out, the tags of a set are to be zero.
    """

    def __init__(self, *, shape: CacheShape, n_places: int) -> None:
        self.shape = shape
        super().__init__(
            {
                "control": In(CacheControlPort(n_ways=shape.n_ways, line_bits=shape.line_bits)),
                "o": Out(stream.Signature(shape.request)),
                "done": In(1),
                "more": In(1),
                "way": In(shape.n_ways),
                "first": Out(shape.line_bits),
                "last": Out(shape.line_bits),
                "active": In(n_places),
                "idle": In(1),
                "closed": Out(1),
                "is_on": Out(1),
                "ways": Out(range(shape.n_ways + 1)),
                "clears": Out(1),
                "clear_set": Out(shape.set_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shape, control = self.shape, self.control
        kind, line, n_visited = Signal(Kind), Signal(shape.line_bits), Signal(shape.set_bits)
        met = Signal(shape.n_ways)  # ways of the set of which visits have taken care
        changes, resplits, waiting = Signal(), Signal(), Signal.like(self.active)
        m.d.comb += [
            changes.eq(control.ways != self.ways),
            self.is_on.eq(self.ways != 0),
            self.o.payload.kind.eq(kind),
            self.o.payload.line.eq(line),
            self.o.payload.data.eq(met),
            self.clear_set.eq(n_visited),
        ]
        with m.If(self.done):
            m.d.sync += met.eq(Mux(self.more, met | self.way, 0))
        with m.FSM(name="state") as fsm:
            m.d.comb += [
                self.closed.eq(resplits & ~fsm.ongoing("REST")),
                control.busy.eq(~fsm.ongoing("REST") | changes | control.start),
            ]
            with m.State("REST"):
                self._elaborate_rest(m, changes, resplits, kind, line, n_visited)
            with m.State("CLOSE"):
                with m.If(self.idle):
                    m.next = "CLEAR"
                    with m.If(self.is_on):
                        m.next = "VISIT"
            with m.State("VISIT"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "LOOK"
            with m.State("LOOK"):
                self._elaborate_look(m, kind, line, n_visited, waiting)
            with m.State("DRAIN"):
                # A place that is free once has been acknowledged, even if it is taken again.
                m.d.sync += waiting.eq(waiting & self.active)
                with m.If(~waiting.any()):
                    m.next = "REST"
                    with m.If(resplits):
                        m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.comb += self.clears.eq(1)
                m.d.sync += n_visited.eq(n_visited + 1)
                with m.If(n_visited == shape.n_sets - 1):
                    m.d.sync += self.ways.eq(control.ways)
                    m.next = "REST"
        return m

    def _elaborate_rest(
        self,
        m: Module,
        changes: Value,
        resplits: Signal,
        kind: Signal,
        line: Signal,
        n_visited: Signal,
    ) -> None:
        """Begin with a new number of ways, or with a command."""
        control = self.control
        m.d.sync += [n_visited.eq(0), resplits.eq(changes)]
        with m.If(changes):
            m.d.sync += [
                kind.eq(Kind.INVALIDATE),
                line.eq(0),
                self.first.eq(0),
                self.last.eq(-1),
            ]
            m.next = "CLOSE"
        with m.Elif(control.start & self.is_on & (control.first <= control.last)):
            m.d.sync += [
                line.eq(control.first),
                self.first.eq(control.first),
                self.last.eq(control.last),
            ]
            with m.Switch(control.op):
                for op, meant in _KINDS.items():
                    with m.Case(op):
                        m.d.sync += kind.eq(meant)
                        m.next = "VISIT"

    def _elaborate_look(
        self, m: Module, kind: Signal, line: Signal, n_visited: Signal, waiting: Signal
    ) -> None:
        """What the visit found: once more, the next one, or the end."""
        is_last = Signal()
        every_set = (kind != Kind.PREFETCH) & (n_visited == self.shape.n_sets - 1)
        m.d.comb += is_last.eq((line == self.last) | every_set)
        with m.If(self.done):
            m.next = "VISIT"
            with m.If(~self.more):
                m.d.sync += [line.eq(line + 1), n_visited.eq(n_visited + 1)]
                with m.If(is_last):
                    m.d.sync += [waiting.eq(self.active), n_visited.eq(0)]
                    m.next = "DRAIN"
