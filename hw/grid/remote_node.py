# SPDX-License-Identifier: Apache-2.0
"""One element's stages of its row's lanes of accesses to local memories."""

from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.traffic import REMOTE_LANES
from hw.grid.remote_asker import RemoteAsker
from hw.grid.remote_flits import PLACE, RemoteShapes, from_side, to_side
from hw.grid.remote_server import RemoteServer
from hw.grid.traffic import moves
from hw.net.flits import LaneShapes
from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop

__all__ = ["RemoteNode"]


class RemoteNode(wiring.Component):
    """The element as one who asks and as one who is asked, between four lanes; this file only
    wires.

    Operation: see `RemoteAsker` and `RemoteServer`. Requests and answers share nothing, so what
    waits for its answer keeps no answer waiting.

    Timing: 1 cycle from the element to a lane and from a lane to the element, 1 to the next stage;
    a flit per cycle on each lane.

    Parameters
    ----------
    shapes : flits between elements. lanes : flits of the element's taps.
    n_positions : positions of a mask.

    Members
    -------
    here : In(n_positions), one-hot, the element's column; constant.
    weight : In(range(n_positions + 1)), elements behind on the way to W; constant.
    place : In(PLACE), the element's, of those that are used; constant.
    heard : In(1), whether what the element says enters the lanes; if not it waits.
    ask_i, ask_o, reply_i, reply_o : In, Out(stream), lanes to W.
    visit_i, visit_o, told_i, told_o : In, Out(stream), lanes from W.
    read, write, line, ack : see `RemoteAsker`.
    passing : Out(4), for each of `REMOTE_LANES`, a flit passes between it and the element.
    local_read, local_write : Out, the element's local memory, see `RemoteServer`.
    """

    def __init__(self, *, shapes: RemoteShapes, lanes: LaneShapes, n_positions: int) -> None:
        self.shapes, self.lanes, self.n_positions = shapes, lanes, n_positions
        self._asker = RemoteAsker(shapes=shapes, lanes=lanes)
        self._server = RemoteServer(shapes=shapes)
        asker, server = self._asker.signature.members, self._server.signature.members
        ends = {
            name: stream.Signature(shape)
            for name, shape in self.lane_shapes(shapes, n_positions).items()
        }
        super().__init__(
            {
                "here": In(n_positions),
                "weight": In(range(n_positions + 1)),
                "place": In(PLACE),
                "heard": In(1, init=1),
                **{f"{name}_i": In(flits) for name, flits in ends.items()},
                **{f"{name}_o": Out(flits) for name, flits in ends.items()},
                **{name: asker[name] for name in ("read", "write", "line", "ack")},
                "passing": Out(len(REMOTE_LANES)),
                "local_read": server["read"],
                "local_write": server["write"],
            }
        )

    @staticmethod
    def lane_shapes(shapes: RemoteShapes, n_positions: int) -> dict[str, Any]:
        """Flits of each lane."""
        return {
            "ask": to_side(shapes.request),
            "visit": from_side(shapes.request, n_positions),
            "reply": to_side(shapes.answer),
            "told": from_side(shapes.answer, n_positions),
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.asker, m.submodules.server = self._asker, self._server
        asker, server = self._asker, self._server
        for name in ("read", "write", "line", "ack"):
            inner, outer = getattr(asker, name), wiring.flipped(getattr(self, name))
            wiring.connect(m, inner, outer)
        wiring.connect(m, server.read, wiring.flipped(self.local_read))
        wiring.connect(m, server.write, wiring.flipped(self.local_write))
        ends = {
            "ask": asker.ask,
            "visit": server.request,
            "reply": server.reply,
            "told": asker.told,
        }
        for name, add in (
            ("ask", self._add_up),
            ("reply", self._add_up),
            ("visit", self._add_down),
            ("told", self._add_down),
        ):
            add(m, name, ends[name])
        m.d.comb += [
            asker.place.eq(self.place),
            self.passing.eq(Cat(moves(ends[name]) for name in REMOTE_LANES)),
        ]
        return m

    def _hop(self, m: Module, name: str, hop: Any) -> Any:
        m.submodules[name] = hop
        wiring.connect(m, wiring.flipped(getattr(self, f"{name}_i")), hop.i)
        wiring.connect(m, hop.o, wiring.flipped(getattr(self, f"{name}_o")))
        return hop

    def _add_up(self, m: Module, name: str, local: Any) -> None:
        """A stage of a lane to W."""
        shape = self.lane_shapes(self.shapes, self.n_positions)[name]
        hop = self._hop(m, name, MergeHop(shape=shape, most=self.n_positions))
        m.d.comb += [
            hop.weight.eq(self.weight),
            hop.local.valid.eq(local.valid & self.heard),
            hop.local.payload.eq(local.payload),
            local.ready.eq(hop.local.ready & self.heard),
        ]

    def _add_down(self, m: Module, name: str, local: Any) -> None:
        """A stage of a lane from W."""
        shape = self.lane_shapes(self.shapes, self.n_positions)[name]
        hop = self._hop(m, name, LaneHop(shape=shape))
        m.d.comb += [
            hop.here.eq(self.here),
            local.valid.eq(hop.tap.valid),
            local.payload.eq(hop.tap.payload.flit),
            hop.tap.ready.eq(local.ready),
        ]
