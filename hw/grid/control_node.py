# SPDX-License-Identifier: Apache-2.0
"""Where the register network meets an element."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.control_flits import Report, access_layout, ended_layout, report_layout
from hw.grid.traffic import moves
from hw.iface.control import ControlPort
from hw.lib.arbiter import RoundRobinArbiter
from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop

__all__ = ["ControlNode"]


class ControlNode(wiring.Component):
    """One element's stage of its row's control lanes.

    Operation: accesses for the element go to its registers, a write in every cycle; answers and
    ends of jobs go back, in turn. At most one read is under way in a whole chip. That the element
    moves goes back on a wire of its position.

    Timing: 1 cycle from the lane to the registers and to the next element, 2 from an answer to the
    lane and 1 from the end of a job, 1 from `moved`.

    Parameters
    ----------
    n_positions : positions of a mask.

    Members
    -------
    here : In(n_positions), one-hot. position : In(range(n_positions)). Constants of the place.
    weight : In(range(n_positions + 1)), elements behind on the way back; constant.
    down_i, down_o : In, Out(stream.Signature(access_layout(n_positions))), accesses.
    up_i, up_o : In, Out(stream.Signature(report_layout(n_positions))), reports.
    port : Out(ControlPort), to the element's registers.
    ended : In(stream.Signature(ended_layout())), jobs that ended.
    moved : In(1), the element makes progress. moved_i, moved_o : In, Out(n_positions), who does,
        a bit for each position.
    passing : Out(2), an access leaves the lane for the element; a report enters the lane.

    Raises: ValueError when there is no position.
    """

    def __init__(self, *, n_positions: int) -> None:
        if n_positions < 1:
            raise ValueError(f"ControlNode n_positions must be at least 1, not {n_positions!r}.")
        self.n_positions = n_positions
        access, report = access_layout(n_positions), report_layout(n_positions)
        super().__init__(
            {
                "here": In(n_positions),
                "position": In(range(n_positions)),
                "weight": In(range(n_positions + 1)),
                "down_i": In(stream.Signature(access)),
                "down_o": Out(stream.Signature(access)),
                "up_i": In(stream.Signature(report)),
                "up_o": Out(stream.Signature(report)),
                "port": Out(ControlPort()),
                "ended": In(stream.Signature(ended_layout())),
                "moved": In(1),
                "moved_i": In(n_positions),
                "moved_o": Out(n_positions),
                "passing": Out(2),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.down = down = LaneHop(shape=self.down_i.payload.shape())
        m.submodules.up = up = MergeHop(shape=self.up_i.payload.shape(), most=self.n_positions)
        for lane, name in ((down, "down"), (up, "up")):
            wiring.connect(m, wiring.flipped(getattr(self, f"{name}_i")), lane.i)
            wiring.connect(m, lane.o, wiring.flipped(getattr(self, f"{name}_o")))
        access, port = down.tap.payload, self.port
        m.d.comb += [
            down.here.eq(self.here),
            up.weight.eq(self.weight),
            port.write.valid.eq(down.tap.valid & ~access.is_read),
            port.write.payload.offset.eq(access.offset),
            port.write.payload.data.eq(access.data),
            port.read.valid.eq(down.tap.valid & access.is_read),
            port.read.payload.eq(access.offset),
            down.tap.ready.eq(~access.is_read | port.read.ready),
            self.passing.eq(Cat(moves(down.tap), moves(up.local))),
        ]
        m.d.sync += self.moved_o.eq(self.moved_i | Mux(self.moved, self.here, 0))
        self._elaborate_reports(m, up.local)
        return m

    def _elaborate_reports(self, m: Module, local: Any) -> None:
        """Answers and ends of jobs take turns."""
        shape = self.up_i.payload.shape()
        m.submodules.turns = turns = RoundRobinArbiter(shape=shape, n_inputs=2)
        wiring.connect(m, turns.o, local)
        answer, ended = turns.i
        answered, value = Signal(), Signal(32)  # an answer waits
        with m.If(self.port.answer.valid):
            m.d.sync += [answered.eq(1), value.eq(self.port.answer.payload)]
        with m.Elif(answer.ready):
            m.d.sync += answered.eq(0)
        m.d.comb += [
            answer.valid.eq(answered),
            answer.payload.kind.eq(Report.ANSWER),
            answer.payload.data.eq(value),
            answer.payload.position.eq(self.position),
            ended.valid.eq(self.ended.valid),
            self.ended.ready.eq(ended.ready),
            ended.payload.kind.eq(Report.ENDED),
            ended.payload.data.eq(self.ended.payload.cause),
            ended.payload.job.eq(self.ended.payload.job),
            ended.payload.failed.eq(self.ended.payload.failed),
            ended.payload.position.eq(self.position),
        ]
