# SPDX-License-Identifier: Apache-2.0
"""One side of the grid: the ends of its lanes, its memories, and the switches between them."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import DRAM
from hw.arch.traffic import LANE_KINDS
from hw.chip.crossbar import exists
from hw.chip.memory_control import connect_memories
from hw.grid.geometry import GridGeometry
from hw.grid.memory_node import MemoryNode
from hw.grid.traffic import TrafficCounters, TrafficPort, moves
from hw.iface.trace import LaneTrace
from hw.mem.sram_slice import EccFault
from hw.net.crosspoint import CrosspointSwitch
from hw.net.flits import Answer
from hw.net.fold import slice_number, slice_place
from hw.net.sides import Side

__all__ = ["GridSide"]


class GridSide(wiring.Component):
    """Carries what comes on the lanes to the side's memories, and their answers back.

    Operation: reads, writes, lines and acknowledgements have a switch each, so none of them ever
    waits for another kind; an answer leaves on the lane on which the request came. The last lane is
    the host's.

    Timing: 2 cycles through a switch, each way; a flit per cycle on each lane and to each memory.

    Parameters
    ----------
    geometry : the grid.
    side : which one.

    Members
    -------
    read, write : In(stream.Signature(flit)).array(lanes), from the lanes.
    line, ack : Out(stream.Signature(flit)).array(lanes), to the lanes.
    axi0, ... : Out(Axi4Port), DRAM channels by their number.
    inject, clear, clearing, corrected, uncorrected : of all slices together, see `MemoryNode`.
    traffic : In(TrafficPort()), counters of lanes and memories, see `GridGeometry.side_shape`.
    trace : Out(LaneTrace), what passes on the lanes.

    Raises: ValueError for a side without memories.
    """

    def __init__(self, *, geometry: GridGeometry, side: Side) -> None:
        if side not in geometry.sides:
            names = ", ".join(known.name for known in geometry.sides)
            raise ValueError(f"GridSide side must be one of {names}, not {side.name}.")
        self.geometry, self.side = geometry, side
        self.n_lanes = geometry.n_lanes(side)
        shapes = geometry.shapes
        lane = range(self.n_lanes)
        self.read_shape = data.StructLayout({"flit": shapes.read, "lane": lane})
        self.write_shape = data.StructLayout({"flit": shapes.write, "lane": lane})
        self._read_tag = data.StructLayout(
            {name: shapes.read[name].shape for name in ("tag", "mask", "multicast")}
            | {"lane": lane}
        )
        self._write_tag = data.StructLayout(
            {name: shapes.write[name].shape for name in ("tag", "mask")} | {"lane": lane}
        )
        self.nodes = {
            number: MemoryNode(
                geometry=geometry,
                number=number,
                read_tag_width=self._read_tag.size,
                write_tag_width=self._write_tag.size,
            )
            for number in geometry.nodes(side)
        }
        first = next(iter(self.nodes.values()))
        count = geometry.link_bytes // 8 * len(self.nodes)
        super().__init__(
            {
                "read": In(stream.Signature(shapes.read)).array(self.n_lanes),
                "write": In(stream.Signature(shapes.write)).array(self.n_lanes),
                "line": Out(stream.Signature(shapes.line)).array(self.n_lanes),
                "ack": Out(stream.Signature(shapes.ack)).array(self.n_lanes),
                **{
                    f"axi{number}": node.signature.members["axi"]
                    for number, node in self.nodes.items()
                    if node.has_channel
                },
                "inject": In(stream.Signature(EccFault)),
                "clear": first.signature.members["clear"],
                "clearing": first.signature.members["clearing"],
                "corrected": Out(range(count + 1)),
                "uncorrected": Out(range(count + 1)),
                "traffic": In(TrafficPort()),
                "trace": Out(LaneTrace(n_lanes=self.n_lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for number, node in self.nodes.items():
            m.submodules[f"node{number}"] = node
            if node.has_channel:
                wiring.connect(m, node.axi, wiring.flipped(getattr(self, f"axi{number}")))
        self._elaborate_requests(m, "read", self.read_shape, self._read_tag)
        self._elaborate_requests(m, "write", self.write_shape, self._write_tag)
        self._elaborate_answers(m, "line", "read", self._read_tag)
        self._elaborate_answers(m, "ack", "write", self._write_tag)
        connect_memories(m, self, list(self.nodes.values()))
        self._elaborate_traffic(m)
        return m

    def _elaborate_traffic(self, m: Module) -> None:
        """Count and show what passes."""
        names = self.geometry.side_shape(self.side).counters
        m.submodules.traffic = traffic = TrafficCounters(names=names)
        wiring.connect(m, wiring.flipped(self.traffic), traffic.port)
        passing = []
        for kind in LANE_KINDS:
            lanes, passes = getattr(self, kind), getattr(self.trace, f"{kind}_moves")
            waits = getattr(self.trace, f"{kind}_waits")
            m.d.comb += [
                passes.eq(Cat(moves(lane) for lane in lanes)),
                waits.eq(Cat(lane.valid & ~lane.ready for lane in lanes)),
            ]
            passing.append(passes)
        m.d.comb += traffic.events.eq(Cat(passing, (n.accesses for n in self.nodes.values())))

    def _elaborate_requests(self, m: Module, kind: str, shape: Any, tag: Any) -> None:
        """Requests of one kind, from the lanes to the memories."""
        lanes, nodes = getattr(self, kind), list(self.nodes.values())
        switch = CrosspointSwitch(shape=shape, n_inputs=self.n_lanes, n_outputs=len(nodes))
        m.submodules[f"{kind}_switch"] = switch
        for number, lane in enumerate(lanes):
            m.d.comb += [
                switch.i[number].valid.eq(lane.valid),
                switch.i[number].payload.flit.eq(lane.payload),
                switch.i[number].payload.lane.eq(number),
                switch.target[number].eq(self._node(lane.payload.address)),
                lane.ready.eq(switch.i[number].ready),
            ]
        for port, node in zip(switch.o, nodes, strict=True):
            request, flit = getattr(node, kind).request, port.payload.flit
            name = Signal(tag, name=f"{kind}_tag")
            m.d.comb += [request.valid.eq(port.valid), port.ready.eq(request.ready)]
            m.d.comb += [name[field].eq(flit[field]) for field, _ in tag if field != "lane"]
            m.d.comb += [name.lane.eq(port.payload.lane), request.payload.tag.eq(name)]
            for field, _ in request.payload.shape():
                if field != "tag":
                    m.d.comb += Value.cast(request.payload[field]).eq(flit[field])

    def _node(self, address: Value) -> Value:
        """One-hot, which of the side's memories is meant."""
        if len(self.nodes) == 1:
            return Const(1, 1)
        is_dram = exists(address, DRAM, self.geometry.config.dram.size_bytes)
        sram, dram = (
            slice_place(slice_number(address, interleave), interleave)[1]
            for interleave in (self.geometry.sram, self.geometry.dram)
        )
        return (1 << Mux(is_dram, dram, sram))[: len(self.nodes)]

    def _elaborate_answers(self, m: Module, kind: str, asked: str, tag: Any) -> None:
        """Answers of one kind, from the memories to the lanes."""
        lanes, nodes = getattr(self, kind), list(self.nodes.values())
        shape = lanes[0].payload.shape()
        switch = CrosspointSwitch(shape=shape, n_inputs=len(nodes), n_outputs=self.n_lanes)
        m.submodules[f"{kind}_switch"] = switch
        for number, node in enumerate(nodes):
            response, port = getattr(node, asked).response, switch.i[number]
            name = Signal(tag, name=f"{kind}_tag")
            m.d.comb += [
                name.eq(response.payload.tag),
                port.valid.eq(response.valid),
                response.ready.eq(port.ready),
                switch.target[number].eq(1 << name.lane),
                port.payload.answer.eq(self._answer(response.payload)),
            ]
            m.d.comb += [port.payload[field].eq(name[field]) for field, _ in tag if field != "lane"]
            if kind == "line":
                m.d.comb += port.payload.data.eq(response.payload.data)
        for port, lane in zip(switch.o, lanes, strict=True):
            wiring.connect(m, port, wiring.flipped(lane))

    def _answer(self, response: data.View) -> Value:
        """How the access ended, as a flit says it."""
        poison = response.poison if "poison" in response.shape().members else 0
        bad = Mux(poison, Answer.POISON, Answer.OK)
        return Mux(response.error, Answer.ERROR, bad)
