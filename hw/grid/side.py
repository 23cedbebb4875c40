# SPDX-License-Identifier: Apache-2.0
"""One side of the grid: the ends of its lanes, its memories, and the switches between them."""

from collections.abc import Iterator
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.traffic import CORNER_KINDS, LANE_KINDS
from hw.chip.memory_control import connect_memories
from hw.grid.cache_control import connect_caches
from hw.grid.geometry import GridGeometry
from hw.grid.memory_node import MemoryNode
from hw.grid.node_access import ask_memory, hear_memory, memory_place
from hw.grid.side_reads import SideReads
from hw.grid.spare_row import ROW_BITS, used_rows
from hw.grid.traffic import TrafficCounters, TrafficPort, flow, moves_and_waits
from hw.iface.trace import SideTrace
from hw.mem.sram_slice import EccFault
from hw.net.crosspoint import CrosspointSwitch
from hw.net.sides import Side, is_of_rows

__all__ = ["GridSide"]

_OF_READS = (
    "read",
    "line",
    "signs",
    "corner_read_o",
    "corner_read_i",
    "corner_line_o",
    "corner_line_i",
)
"""Ports that are those of `SideReads`."""
_PASSES = ("moves", "waits")


class GridSide(wiring.Component):
    """Carries what comes on the lanes to the side's memories, and their answers back.

    Operation: reads, writes, lines and acknowledgements have a switch each, so none of them ever
    waits for another kind; an answer leaves on the lane on which the request came. The last lane is
    the host's. Reads that elements share may pass on to the side beyond the corner (`SideReads`).

    Timing: 2 cycles through a switch, each way; a flit per cycle on each lane and to each memory.

    Parameters
    ----------
    geometry : the grid.
    side : which one.

    Members
    -------
    read, write : In(stream.Signature(flit)).array(lanes), from the lanes.
    line, ack : Out(stream.Signature(flit)).array(lanes), to the lanes.
    signs, corner_read_o, corner_read_i, corner_line_o, corner_line_i : see `SideReads`.
    axi0, ... : Out(Axi4Port), DRAM channels by their number.
    inject, clear, clearing, corrected, uncorrected : of all slices together, see `MemoryNode`.
    traffic : In(TrafficPort()), counters of lanes and memories, see `GridGeometry.side_shape`.
    chip_moves, chip_waits : In(...), what passes and waits elsewhere in the chip, a bit for each of
        `SideShape.chip_counters`; only at W.
    cache : In(CacheControlPort), of all caches; only if there are any.
    trace : Out(SideTrace), what is counted, and what waits to be.
    left_out : In(4), row whose lanes are not counted and not shown; only along rows, and if there
        is a spare row.

    Raises: ValueError for a side without memories.
    """

    def __init__(self, *, geometry: GridGeometry, side: Side) -> None:
        if side not in geometry.sides:
            names = ", ".join(known.name for known in geometry.sides)
            raise ValueError(f"GridSide side must be one of {names}, not {side.name}.")
        self.geometry, self.side = geometry, side
        self.n_lanes = geometry.n_lanes(side)
        self.has_spare_lane = geometry.has_spare_row and is_of_rows(side)
        shapes = geometry.shapes
        lane = range(self.n_lanes)
        self.write_shape = data.StructLayout({"flit": shapes.write, "lane": lane})
        self._write_tag = data.StructLayout(
            {name: shapes.write[name].shape for name in ("tag", "mask")} | {"lane": lane}
        )
        self._reads = SideReads(geometry=geometry, side=side)
        self.nodes = {
            number: MemoryNode(
                geometry=geometry,
                number=number,
                read_tag_width=self._reads.tag.size,
                write_tag_width=self._write_tag.size,
            )
            for number in geometry.nodes(side)
        }
        own = self._reads.signature.members
        first = next(iter(self.nodes.values()))
        count = geometry.link_bytes // 8 * len(self.nodes)
        shape = geometry.side_shape(side)
        elsewhere = In(len(shape.chip_counters))
        super().__init__(
            {
                "write": In(stream.Signature(shapes.write)).array(self.n_lanes),
                **{name: own[name] for name in _OF_READS if name in own},
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
                **({f"chip_{w}": elsewhere for w in _PASSES} if shape.chip_counters else {}),
                **({"cache": In(geometry.cache_control)} if geometry.cache_control else {}),
                "trace": Out(SideTrace(n_counters=len(shape.counters))),
                **({"left_out": In(ROW_BITS)} if self.has_spare_lane else {}),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reads = reads = self._reads
        for at, (number, node) in enumerate(self.nodes.items()):
            m.submodules[f"node{number}"] = node
            wiring.connect(m, reads.memory[at], node.read)
            if node.has_channel:
                wiring.connect(m, node.axi, wiring.flipped(getattr(self, f"axi{number}")))
        for name in _OF_READS:
            self._connect(m, name)
        self._elaborate_writes(m)
        self._elaborate_acks(m)
        connect_memories(m, self, list(self.nodes.values()))
        if self.geometry.cache_control is not None:
            connect_caches(m, self.cache, [node.cache for node in self.nodes.values()])
        self._elaborate_traffic(m)
        return m

    def _elaborate_traffic(self, m: Module) -> None:
        """Count and show what passes."""
        shape = self.geometry.side_shape(self.side)
        m.submodules.traffic = traffic = TrafficCounters(names=shape.counters)
        wiring.connect(m, wiring.flipped(self.traffic), traffic.port)
        passed, waiting = moves_and_waits(self._lane_flows())
        for node in self.nodes.values():
            passed = Cat(passed, node.accesses)
            waiting = Cat(waiting, Const(0, len(node.accesses)))
        if shape.n_corners:
            ways = [way for name in CORNER_KINDS for way in getattr(self, f"{name}_o")]
            through, held = moves_and_waits(map(flow, ways))
            passed, waiting = Cat(passed, through), Cat(waiting, held)
        if shape.chip_counters:
            passed, waiting = Cat(passed, self.chip_moves), Cat(waiting, self.chip_waits)
        m.d.comb += [
            self.trace.moves.eq(passed),
            self.trace.waits.eq(waiting),
            traffic.events.eq(self.trace.moves),
        ]

    def _lane_flows(self) -> Iterator[Value]:
        """Of each kind, of all lanes but that of a row that is left out; the host's is the last."""
        for kind in LANE_KINDS:
            *rows, host = map(flow, getattr(self, kind))
            yield from used_rows(rows, self.left_out) if self.has_spare_lane else rows
            yield host

    def _connect(self, m: Module, name: str) -> None:
        """A port of the reads is the side's."""
        if name not in self.signature.members:
            return
        outer, inner = getattr(self, name), getattr(self._reads, name)
        if name == "signs":
            m.d.comb += [mine.eq(theirs) for mine, theirs in zip(inner, outer, strict=True)]
        elif self.signature.members[name].dimensions:
            for one, other in zip(inner, outer, strict=True):
                wiring.connect(m, one, wiring.flipped(other))
        else:
            wiring.connect(m, inner, wiring.flipped(outer))

    def _elaborate_writes(self, m: Module) -> None:
        """From the lanes to the memories."""
        nodes = list(self.nodes.values())
        switch = CrosspointSwitch(
            shape=self.write_shape, n_inputs=self.n_lanes, n_outputs=len(nodes)
        )
        m.submodules.write_switch = switch
        for number, lane in enumerate(self.write):
            _, memory = memory_place(self.geometry, lane.payload.address, len(nodes))
            m.d.comb += [
                switch.i[number].valid.eq(lane.valid),
                switch.i[number].payload.flit.eq(lane.payload),
                switch.i[number].payload.lane.eq(number),
                switch.target[number].eq(memory),
                lane.ready.eq(switch.i[number].ready),
            ]
        for number, (port, node) in enumerate(zip(switch.o, nodes, strict=True)):
            ask_memory(m, port, node.write.request, self._write_tag, name=f"write_tag{number}")

    def _elaborate_acks(self, m: Module) -> None:
        """From the memories to the lanes."""
        shape = self.ack[0].payload.shape()
        switch = CrosspointSwitch(shape=shape, n_inputs=len(self.nodes), n_outputs=self.n_lanes)
        m.submodules.ack_switch = switch
        for number, node in enumerate(self.nodes.values()):
            response, port = node.write.response, switch.i[number]
            kept = hear_memory(m, response, port.payload, self._write_tag, name=f"ack_tag{number}")
            m.d.comb += [
                port.valid.eq(response.valid),
                response.ready.eq(port.ready),
                switch.target[number].eq(1 << kept.lane),
            ]
        for port, lane in zip(switch.o, self.ack, strict=True):
            wiring.connect(m, port, wiring.flipped(lane))
