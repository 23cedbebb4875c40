# SPDX-License-Identifier: Apache-2.0
"""Where an element's signals meet the signal lanes of its row."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.signal_flits import RUN_BITS, received_layout, sent_layout
from hw.grid.traffic import moves
from hw.iface.pe import Completion
from hw.lib.arbiter import RoundRobinArbiter
from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop

__all__ = ["RunPhase", "SignalNode"]


class RunPhase(data.Struct):
    """The job for which an element takes signals."""

    run: unsigned(RUN_BITS)
    prepares: unsigned(1)
    """It is the next one; the element is about to be reset for it."""
    works: unsigned(1)
    """It runs."""


class SignalNode(wiring.Component):
    """One element's stage of its row's signal lanes.

    Operation: signals that the element sends carry the run of its job. One that comes is for the
    element if it is of the same run, and waits while the element gets ready for that; others, of
    jobs that failed with signals under way, disappear. Getting ready waits for memory alone, so a
    lane is never kept by what a signal could bring about. The host's signals are for whatever job
    runs or is about to, and disappear without one; both kinds take turns.

    Timing: 1 cycle from the element to the lane, 1 from the lane to the element, 1 to the next
    stage. A signal per cycle in each direction.

    Parameters
    ----------
    n_positions : positions of a mask.

    Members
    -------
    here : In(n_positions), one-hot, the element's column; constant.
    weight : In(range(n_positions + 1)), elements behind on the way to W; constant.
    phase : In(RunPhase). Without a job that works nothing is sent.
    heard : In(1), whether what the element sends enters the lane; if not it waits.
    up_i, up_o : In, Out(stream.Signature(sent_layout())), towards W.
    down_i, down_o : In, Out(stream.Signature(received_layout(n_positions))), from W.
    position : In(range(n_positions)), the element's column; constant.
    rung : In(stream.Signature(5)), counters that the host signals.
    sent : In(stream.Signature(Completion)), signals of the element; row and column are those of
        the element that is meant.
    received : Out(stream.Signature(Completion)), signals for the element.
    passing : Out(2), a signal of the element enters the lane; one leaves the lane for it.

    Raises: ValueError when there is no position.
    """

    def __init__(self, *, n_positions: int) -> None:
        if n_positions < 1:
            raise ValueError(f"SignalNode n_positions must be at least 1, not {n_positions!r}.")
        self.n_positions = n_positions
        up, down = stream.Signature(sent_layout()), stream.Signature(received_layout(n_positions))
        super().__init__(
            {
                "here": In(n_positions),
                "position": In(range(n_positions)),
                "rung": In(stream.Signature(5)),
                "weight": In(range(n_positions + 1)),
                "phase": In(RunPhase),
                "heard": In(1, init=1),
                "up_i": In(up),
                "up_o": Out(up),
                "down_i": In(down),
                "down_o": Out(down),
                "sent": In(stream.Signature(Completion)),
                "received": Out(stream.Signature(Completion)),
                "passing": Out(2),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.up = up = MergeHop(shape=sent_layout(), most=self.n_positions)
        m.submodules.down = down = LaneHop(shape=received_layout(self.n_positions))
        for lane, name in ((up, "up"), (down, "down")):
            wiring.connect(m, wiring.flipped(getattr(self, f"{name}_i")), lane.i)
            wiring.connect(m, lane.o, wiring.flipped(getattr(self, f"{name}_o")))
        shape = data.StructLayout({"counter": 5, "run": RUN_BITS, "is_host": 1})
        m.submodules.turns = turns = RoundRobinArbiter(shape=shape, n_inputs=2)
        (of_lane, of_host), first = turns.i, turns.o
        sent, come, is_mine = self.sent.payload, down.tap.payload, Signal()
        sends = self.heard & self.phase.works  # what is left of a failed job has no run any more
        m.d.comb += [
            up.weight.eq(self.weight),
            up.local.valid.eq(self.sent.valid & sends),
            up.local.payload.counter.eq(sent.signal_counter),
            up.local.payload.run.eq(self.phase.run),
            up.local.payload.row.eq(sent.signal_row),
            up.local.payload.column.eq(sent.signal_col),
            up.local.payload.origin.eq(self.position),
            self.sent.ready.eq(up.local.ready & sends),
            down.here.eq(self.here),
            # What was chosen stays chosen, whatever becomes of the job: so all take their turn
            # first, and only then is looked at whom they are for.
            of_lane.valid.eq(down.tap.valid),
            of_lane.payload.counter.eq(come.counter),
            of_lane.payload.run.eq(come.run),
            down.tap.ready.eq(of_lane.ready),
            of_host.valid.eq(self.rung.valid),
            of_host.payload.counter.eq(self.rung.payload),
            of_host.payload.is_host.eq(1),
            self.rung.ready.eq(of_host.ready),
            is_mine.eq(first.payload.is_host | (first.payload.run == self.phase.run)),
            self.received.valid.eq(first.valid & is_mine & self.phase.works),
            self.received.payload.signal_en.eq(1),
            self.received.payload.signal_counter.eq(first.payload.counter),
            first.ready.eq(
                ~is_mine | Mux(self.phase.works, self.received.ready, ~self.phase.prepares)
            ),
            self.passing.eq(Cat(moves(up.local), moves(down.tap))),
        ]
        return m
