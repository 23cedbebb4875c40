# SPDX-License-Identifier: Apache-2.0
"""What becomes of reads at a side: from the lanes to memories, and lines back."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.geometry import GridGeometry
from hw.grid.node_access import ask_memory, hear_memory, memory_place
from hw.grid.read_entry import ReadEntry
from hw.iface.memory import MemoryReadPort
from hw.lib.arbiter import RoundRobinArbiter
from hw.lib.elastic import SkidBuffer
from hw.net.crosspoint import CrosspointSwitch
from hw.net.sides import Side, corner_of

__all__ = ["SideReads"]

_READS, _LINES = 8, 4
"""Flits that wait at a crossing: where addresses are random some memory would starve behind a few
of them, while the lanes' first reads are for others."""


class SideReads(wiring.Component):
    """Carries reads to the side's memories and lines back, of shared ones also beyond the corner.

    Operation
        1. Reads that elements share wait in their lane's `ReadEntry` for the whole group; those of
           one element, and of the host on the last lane, pass beside them.
        2. A line leaves on the lane on which its read came.
        3. A shared read may be meant for a memory of the side beyond the corner. It passes this
           side's switch, the corner, and that side's switch; its line comes back the same way. What
           comes through a corner never goes on to another one. Of several ways through the corner
           a lane has one: its number modulo theirs.

    Timing: 2 cycles through a switch, each way; 3 more each way through the corner. A flit per
    cycle on each lane, to each memory and on each way through the corner in each direction.

    Parameters
    ----------
    geometry, side : as `GridSide` has them.

    Members
    -------
    read : In(stream.Signature(flit)).array(lanes), line : Out(stream.Signature(flit)).array(lanes).
    signs : In(LaneShapes.signs).array(lanes - 1), what the elements of the tiles' lanes say.
    memory : Out(MemoryReadPort).array(nodes).
    corner_read_o, corner_read_i, corner_line_o, corner_line_i : Out, In(stream).array(ways), reads
        and lines to and from the side beyond the corner; only where there are corners.
    """

    def __init__(self, *, geometry: GridGeometry, side: Side) -> None:
        self.geometry, self.side = geometry, side
        self.n_lanes, self.n_nodes = geometry.n_lanes(side), len(geometry.nodes(side))
        self.n_ways = geometry.n_corners
        shapes = geometry.shapes
        # Lanes beyond the corner are numbered behind the own ones.
        n_beyond = geometry.n_lanes(corner_of(side)) - 1 if self.n_ways else 0
        lane = {"lane": range(self.n_lanes + n_beyond)}
        self.read_shape = data.StructLayout({"flit": shapes.read, **lane})
        self.line_shape = data.StructLayout({"flit": shapes.line, **lane})
        kept = {name: shapes.read[name].shape for name in ("tag", "mask", "multicast")}
        self.tag = data.StructLayout(kept | lane)
        port = MemoryReadPort(link_bytes=geometry.link_bytes, tag_width=self.tag.size)
        super().__init__(
            {
                "read": In(stream.Signature(shapes.read)).array(self.n_lanes),
                "line": Out(stream.Signature(shapes.line)).array(self.n_lanes),
                "signs": In(shapes.signs).array(self.n_lanes - 1),
                "memory": Out(port).array(self.n_nodes),
                **self.corner_ports(geometry),
            }
        )

    @staticmethod
    def corner_ports(geometry: GridGeometry) -> dict[str, Any]:
        """Streams to and from the side beyond the corner."""
        if not geometry.n_corners:
            return {}
        reads, lines = map(stream.Signature, (geometry.corner_read, geometry.corner_line))
        return {
            name: member(shape).array(geometry.n_corners)
            for shape, kind in ((reads, "read"), (lines, "line"))
            for name, member in ((f"corner_{kind}_o", Out), (f"corner_{kind}_i", In))
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        entries = []
        for number, signs in enumerate(self.signs):
            entry = ReadEntry(shapes=self.geometry.shapes, depth=self.geometry.shared_reads)
            m.submodules[f"entry{number}"] = entry
            wiring.connect(m, wiring.flipped(self.read[number]), entry.i)
            m.d.comb += entry.signs.eq(signs)
            entries.append(entry)
        requests = self._elaborate_requests(m, entries)
        lines = self._elaborate_answers(m)
        for way in range(self.n_ways):
            self._elaborate_corner_reads(m, requests, way)
            self._elaborate_corner_lines(m, lines, way)
        self._elaborate_lanes(m, lines, entries)
        return m

    def _elaborate_requests(self, m: Module, entries: list[ReadEntry]) -> CrosspointSwitch:
        """From the lanes to the memories, and to the corner."""
        ways, nodes = range(self.n_ways), range(self.n_nodes)
        # What comes from a corner goes to a memory; what comes from a tile's lane, to its way too.
        inside = [(a, b) for a in range(self.n_lanes + self.n_ways) for b in nodes]
        leaving = [(a, self.n_nodes + self._way(a)) for a in range(len(entries)) if ways]
        m.submodules.read_switch = switch = CrosspointSwitch(
            shape=self.read_shape,
            n_inputs=self.n_lanes + self.n_ways,
            n_outputs=self.n_nodes + self.n_ways,
            crossings=inside + leaving,
            depth=_READS,
        )
        sources = [*(entry.o for entry in entries), self.read[-1]]
        for number, source in enumerate(sources):
            port = switch.i[number]
            m.d.comb += [
                port.valid.eq(source.valid),
                port.payload.flit.eq(source.payload),
                port.payload.lane.eq(number),
                source.ready.eq(port.ready),
                switch.target[number].eq(self._target(source.payload.address, number)),
            ]
        for number, port in enumerate(self.memory):
            ask_memory(m, switch.o[number], port.request, self.tag, name=f"read_tag{number}")
        return switch

    def _way(self, lane: int) -> int:
        """The way through the corner of a tile's lane."""
        return lane % self.n_ways

    def _target(self, address: Value, lane: int) -> Value:
        """One-hot, which of the memories is meant, or the lane's way through the corner."""
        side, memory = memory_place(self.geometry, address, self.n_nodes)
        if not self.n_ways:
            return memory
        here = side == self.side
        return Cat(memory & here.replicate(self.n_nodes), ~here << self._way(lane))

    def _elaborate_corner_reads(self, m: Module, switch: CrosspointSwitch, way: int) -> None:
        """Reads that leave through the corner, and those that come."""
        came = self._elaborate_corner(m, "read", switch, way, (self.n_lanes, self.n_nodes))
        _, memory = memory_place(self.geometry, came.flit.address, self.n_nodes)
        m.d.comb += [
            switch.i[self.n_lanes + way].payload.lane.eq(self.n_lanes + came.lane),
            switch.target[self.n_lanes + way].eq(memory),
            self.corner_read_o[way].payload.lane.eq(switch.o[self.n_nodes + way].payload.lane),
        ]

    def _elaborate_corner(
        self, m: Module, kind: str, switch: CrosspointSwitch, way: int, before: tuple[int, int]
    ) -> Any:
        """Flits of a kind leave through the corner, and come; the one that comes. What remains is
        where it goes, and lanes, which have other numbers beyond. `before` the ways the switch has
        so many other inputs and outputs."""
        corner = SkidBuffer(shape=getattr(self.geometry, f"corner_{kind}"))
        m.submodules[f"corner_{kind}s{way}"] = corner
        wiring.connect(m, wiring.flipped(getattr(self, f"corner_{kind}_i")[way]), corner.i)
        into, leaving = switch.i[before[0] + way], switch.o[before[1] + way]
        outer = getattr(self, f"corner_{kind}_o")[way]
        m.d.comb += [
            into.valid.eq(corner.o.valid),
            into.payload.flit.eq(corner.o.payload.flit),
            corner.o.ready.eq(into.ready),
            outer.valid.eq(leaving.valid),
            outer.payload.flit.eq(leaving.payload.flit),
            leaving.ready.eq(outer.ready),
        ]
        return corner.o.payload

    def _elaborate_answers(self, m: Module) -> CrosspointSwitch:
        """From the memories to the lanes, and to the corner."""
        ways, lanes = range(self.n_ways), range(self.n_lanes)
        inside = [(a, b) for a in range(self.n_nodes) for b in range(self.n_lanes + self.n_ways)]
        coming = [(self.n_nodes + way, b) for way in ways for b in lanes if self._way(b) == way]
        m.submodules.line_switch = switch = CrosspointSwitch(
            shape=self.line_shape,
            n_inputs=self.n_nodes + self.n_ways,
            n_outputs=self.n_lanes + self.n_ways,
            crossings=inside + coming,
            depth=_LINES,
        )
        for number, port in enumerate(self.memory):
            into, response = switch.i[number], port.response
            name = f"line_tag{number}"
            kept = hear_memory(m, response, into.payload.flit, self.tag, name=name)
            out = Signal(range(len(switch.o)), name=f"line_out{number}")
            beyond = kept.lane - self.n_lanes
            way = beyond[: self.n_ways.bit_length() - 1] if self.n_ways else 0
            m.d.comb += [
                into.valid.eq(response.valid),
                response.ready.eq(into.ready),
                into.payload.lane.eq(kept.lane),
                out.eq(Mux(kept.lane < self.n_lanes, kept.lane, self.n_lanes + way)),
                switch.target[number].eq(1 << out),
            ]
        return switch

    def _elaborate_corner_lines(self, m: Module, switch: CrosspointSwitch, way: int) -> None:
        """Lines that leave through the corner, and those that come."""
        came = self._elaborate_corner(m, "line", switch, way, (self.n_nodes, self.n_lanes))
        beyond = switch.o[self.n_lanes + way].payload.lane - self.n_lanes
        m.d.comb += [
            switch.target[self.n_nodes + way].eq(1 << came.lane),
            self.corner_line_o[way].payload.lane.eq(beyond),
        ]

    def _elaborate_lanes(
        self, m: Module, switch: CrosspointSwitch, entries: list[ReadEntry]
    ) -> None:
        """Lines, and what the entries answer themselves, take turns on their lane."""
        for number, lane in enumerate(self.line):
            port = switch.o[number]
            refusals = [entry.refused for entry in entries[number : number + 1]]
            turns = RoundRobinArbiter(shape=lane.payload.shape(), n_inputs=1 + len(refusals))
            m.submodules[f"turns{number}"] = turns
            m.d.comb += [
                turns.i[0].valid.eq(port.valid),
                turns.i[0].payload.eq(port.payload.flit),
                port.ready.eq(turns.i[0].ready),
            ]
            for refused in refusals:
                wiring.connect(m, refused, turns.i[1])
            wiring.connect(m, turns.o, wiring.flipped(lane))
