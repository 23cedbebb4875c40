# SPDX-License-Identifier: Apache-2.0
"""One element of the grid with its stages of all lanes that pass it."""

from typing import Any

from amaranth.hdl import Cat, Const, DomainRenamer, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.arch.traffic import ELEMENT_TRAFFIC, LANE_KINDS, REMOTE_LANES, ROW_LANES
from hw.chip.element import ELEMENT_DOMAIN, elaborate_controlled_element
from hw.config.tree import ChipConfig
from hw.grid.control_flits import access_layout, report_layout
from hw.grid.control_node import ControlNode
from hw.grid.element_control import GridElementControl
from hw.grid.geometry import GridGeometry
from hw.grid.link_guard import LINKS, LinkGuard
from hw.grid.link_pass import LinkPass
from hw.grid.list_ahead import ListAhead
from hw.grid.remote_node import RemoteNode
from hw.grid.signal_flits import received_layout, sent_layout
from hw.grid.signal_guard import SignalGuard
from hw.grid.signal_node import SignalNode
from hw.grid.spare_row import ROW_BITS, spread_rows
from hw.grid.tap import Tap
from hw.grid.traffic import moves
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop
from hw.net.sides import Side, is_of_rows
from hw.net.sign_hop import SignHop
from hw.pe.pe import ProcessingElement

__all__ = ["LANES", "Tile"]

LANES = {"read": "up", "write": "up", "line": "down", "ack": "down"}
"""Lanes by what they carry, and whether they lead up to a side or down into the grid."""


class Tile(wiring.Component):
    """An element, the registers that control it, and its stages of the lanes; this file only wires.

    Operation: equal for all places, so it is elaborated once; where it is comes in on `row` and
    `column`. Every output comes from a register, but for `ready` of the reduction links. In the row
    that is left out only stages of lanes work, and the reduction link from N leads on to S: nothing
    that the element says there is heard; nor is any element before the first job, since the row to
    be left out is not known before. Masks on lanes have a bit for each row of tiles; list
    addresses, MULTICAST registers, weights and the grid's border are of used rows.

    Timing: a cycle per lane.

    Parameters
    ----------
    config : the member.

    Members
    -------
    row, column : In(4), the place among tiles; constant.
    left_out : In(4), row of tiles that is left out. has_started : In(1), a job has, so that is
        known. Only with a spare row.
    <lane>_i, <lane>_o : In, Out(stream).array(sides), see `LANES`; `i` is the upstream end.
    signs_i, signs_o : In, Out(LaneShapes.signs).array(sides), what the elements of the lanes to a
        side say there, see `Collector`.
    access_i, access_o, report_i, report_o : the row's control lanes, see `ControlNode`.
    sent_i, sent_o, received_i, received_o : the row's signal lanes, see `SignalNode`.
    ask_i, ask_o, visit_i, ... : the row's lanes of accesses to local memory, see `RemoteNode`.
    in_north, in_west, out_south, out_east : reduction links, see `ReductionEngine`.
    moved_i, moved_o : In, Out(n_positions), who moves in the row, see `ControlNode`.
    trace : Out(TracePort()), what the element's units and buffers do.

    Raises: ConfigError when the configuration cannot be built.
    """

    def __init__(self, *, config: ChipConfig) -> None:
        self.geometry = geometry = GridGeometry(config)
        shapes = geometry.shapes
        self._pe = ProcessingElement(
            config=config.pe,
            with_links=True,
            with_cores=False,
            remote_tag_widths=geometry.remote.tag_widths,
            multicast_lanes=config.multicast_lanes,
            n_positions=geometry.n_positions,
        )
        self._shapes = {name: getattr(shapes, name) for name in LANES}
        members: dict[str, Any] = {"row": In(4), "column": In(4)}
        for name, shape in self._shapes.items():
            members[f"{name}_i"] = In(stream.Signature(shape)).array(len(geometry.sides))
            members[f"{name}_o"] = Out(stream.Signature(shape)).array(len(geometry.sides))
        signs = {"signs_i": In(shapes.signs), "signs_o": Out(shapes.signs)}
        members |= {name: port.array(len(geometry.sides)) for name, port in signs.items()}
        for name, layout in (("access", access_layout), ("report", report_layout)):
            flits = stream.Signature(layout(geometry.n_positions))
            members |= {f"{name}_i": In(flits), f"{name}_o": Out(flits)}
        for name, layout in (
            ("sent", sent_layout()),
            ("received", received_layout(geometry.n_positions)),
            *RemoteNode.lane_shapes(geometry.remote, geometry.n_positions).items(),
        ):
            flits = stream.Signature(layout)
            members |= {f"{name}_i": In(flits), f"{name}_o": Out(flits)}
        movers = geometry.n_positions
        members |= {"moved_i": In(movers), "moved_o": Out(movers)}
        if geometry.has_spare_row:
            members |= {"left_out": In(ROW_BITS), "has_started": In(1)}
        own = [*LINKS, *LINKS.values(), "trace"]
        super().__init__(members | {name: self._pe.signature.members[name] for name in own})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.control = control = GridElementControl()
        elaborate_controlled_element(m, self._pe, control)
        # Of the element and of both guards the first error counts: none of them traps after it.
        self._has_erred = Signal()
        m.d.comb += self._has_erred.eq(control.halt_request | control.trap.valid)
        self._elaborate_row(m)
        m.d.comb += [control.row.eq(self._used_row), control.column.eq(self.column)]
        wiring.connect(m, self._pe.trace, wiring.flipped(self.trace))
        units = zip(control.units, self._pe.trace.units, strict=True)
        m.d.comb += [mine.eq(theirs) for mine, theirs in units]
        self._elaborate_links(m, control)
        node = self._elaborate_control(m, control)
        signals = self._elaborate_signals(m, control)
        reads, writes, taps = self._elaborate_memory(m, control)
        remote = self._elaborate_remote(m, reads, writes)
        self._elaborate_signs(m, control, reads)
        passing = Cat(remote.passing, signals.passing, node.passing)
        self._elaborate_traffic(m, control, taps, passing)
        return m

    def _elaborate_row(self, m: Module) -> None:
        """Whether the row is used, and which one of those it is."""
        self._used_row, self._is_used = self.row, Const(1)
        if self.geometry.has_spare_row:
            self._used_row, self._is_used = Signal(ROW_BITS), Signal()
            m.d.comb += [
                self._used_row.eq(self.row - (self.row > self.left_out)),
                self._is_used.eq(self.has_started & (self.row != self.left_out)),
            ]

    def _elaborate_links(self, m: Module, control: GridElementControl) -> None:
        """The reduction links, guarded; the guard is reset with the element."""
        guard, geometry = LinkGuard(columns=self.geometry.config.pe.dpe.columns), self.geometry
        m.submodules.guard = DomainRenamer(ELEMENT_DOMAIN)(guard)
        for name in LINKS:
            if not geometry.has_spare_row:
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(guard, f"{name}_i"))
            wiring.connect(m, getattr(guard, f"{name}_o"), getattr(self._pe, name))
        for name in LINKS.values():
            wiring.connect(m, getattr(self._pe, name), getattr(guard, f"{name}_i"))
            if not geometry.has_spare_row:
                wiring.connect(m, getattr(guard, f"{name}_o"), wiring.flipped(getattr(self, name)))
        if geometry.has_spare_row:
            self._elaborate_pass(m, guard)
        last_row, last_column = geometry.used_rows - 1, geometry.columns - 1
        m.d.comb += [
            guard.missing.eq(
                Cat(
                    self._used_row == 0,
                    self.column == 0,
                    self._used_row == last_row,
                    self.column == last_column,
                )
            ),
            guard.halt.eq(self._has_erred),
        ]
        with m.If(guard.trap.valid):
            m.d.comb += control.trap.eq(guard.trap)

    def _elaborate_pass(self, m: Module, guard: LinkGuard) -> None:
        """The links of a row that may be left out: past the element then."""
        m.submodules.link_pass = past = LinkPass(columns=self.geometry.config.pe.dpe.columns)
        m.d.comb += past.i.payload.eq(self.in_north.payload)
        for name in LINKS:
            outer, inner = getattr(self, name), getattr(guard, f"{name}_i")
            m.d.comb += [
                inner.valid.eq(outer.valid & self._is_used),
                inner.payload.eq(outer.payload),
                outer.ready.eq(inner.ready & self._is_used),
            ]
        for name in LINKS.values():
            outer, inner = getattr(self, name), getattr(guard, f"{name}_o")
            m.d.comb += [
                outer.valid.eq(inner.valid & self._is_used),
                outer.payload.eq(inner.payload),
                inner.ready.eq(outer.ready & self._is_used),
            ]
        with m.If(~self._is_used):
            m.d.comb += [
                past.i.valid.eq(self.in_north.valid),
                self.in_north.ready.eq(past.i.ready),
                self.out_south.valid.eq(past.o.valid),
                self.out_south.payload.eq(past.o.payload),
                past.o.ready.eq(self.out_south.ready),
            ]

    def _elaborate_control(self, m: Module, control: GridElementControl) -> ControlNode:
        """The stage of the control lanes."""
        m.submodules.node = node = ControlNode(n_positions=self.geometry.n_positions)
        wiring.connect(m, node.port, control.port)
        wiring.connect(m, control.ended, node.ended)
        self._connect_stage(m, node, down="access", up="report")
        m.d.comb += [
            node.here.eq(1 << self.column),
            node.position.eq(self.column),
            node.weight.eq(self.geometry.columns - 1 - self.column),
            node.moved.eq(control.moved),
            node.moved_i.eq(self.moved_i),
            self.moved_o.eq(node.moved_o),
        ]
        return node

    def _connect_stage(self, m: Module, node: Any, **lanes: str) -> None:
        """Connect both ends of a node's lanes with the tile's of these names."""
        for inner, outer in lanes.items():
            for end in "io":
                lane = getattr(self, f"{outer}_{end}")
                wiring.connect(m, getattr(node, f"{inner}_{end}"), wiring.flipped(lane))

    def _elaborate_signals(self, m: Module, control: GridElementControl) -> SignalNode:
        """Signals to and from other elements; the guard is reset with the element."""
        geometry, pe = self.geometry, self._pe
        guard = SignalGuard(rows=geometry.used_rows, columns=geometry.columns)
        m.submodules.signal_guard = DomainRenamer(ELEMENT_DOMAIN)(guard)
        m.submodules.signals = node = SignalNode(n_positions=geometry.n_positions)
        wiring.connect(m, pe.remote_signal, guard.i)
        wiring.connect(m, guard.o, node.sent)
        wiring.connect(m, node.received, pe.signal_in)
        wiring.connect(m, control.signal, node.rung)
        self._connect_stage(m, node, down="received", up="sent")
        m.d.comb += [
            pe.row.eq(self._used_row),
            pe.col.eq(self.column),
            node.here.eq(1 << self.column),
            node.position.eq(self.column),
            node.weight.eq(geometry.columns - 1 - self.column),
            node.heard.eq(self._heard(1)),
            node.phase.eq(control.phase),
            guard.halt.eq(self._has_erred),
        ]
        with m.If(guard.trap.valid):
            m.d.comb += control.trap.eq(guard.trap)
        return node

    def _elaborate_remote(self, m: Module, reads: Tap, writes: Tap) -> RemoteNode:
        """Accesses to other elements' local memory, and theirs to this one's."""
        geometry, pe = self.geometry, self._pe
        m.submodules.remote = node = RemoteNode(
            shapes=geometry.remote, lanes=geometry.shapes, n_positions=geometry.n_positions
        )
        wiring.connect(m, reads.window_request, node.read)
        wiring.connect(m, node.line, reads.window_answer)
        wiring.connect(m, writes.window_request, node.write)
        wiring.connect(m, node.ack, writes.window_answer)
        wiring.connect(m, node.local_read, pe.remote_read)
        wiring.connect(m, node.local_write, pe.remote_write)
        self._connect_stage(m, node, **{name: name for name in REMOTE_LANES})
        m.d.comb += [
            node.here.eq(1 << self.column),
            node.weight.eq(geometry.columns - 1 - self.column),
            node.place.row.eq(self._used_row),
            node.place.column.eq(self.column),
            node.heard.eq(self._heard(1)),
        ]
        return node

    def _elaborate_traffic(
        self, m: Module, control: GridElementControl, taps: dict[str, Any], row_lanes: Value
    ) -> None:
        """What the element's counters of lanes and links count; `row_lanes` is what passes of each
        of `ROW_LANES`."""
        passing = {
            f"{kind}.{side.name.lower()}": moves(taps[kind][number])
            for number, side in enumerate(self.geometry.sides)
            for kind in LANE_KINDS
        }
        passing |= {"link.south": moves(self.out_south), "link.east": moves(self.out_east)}
        of_rows = [c.name for c in ELEMENT_TRAFFIC if c.name.partition(".")[2] in ROW_LANES]
        passing |= dict(zip(of_rows, row_lanes, strict=True))
        m.d.comb += control.traffic.eq(Cat(passing.get(c.name, 0) for c in ELEMENT_TRAFFIC))

    def _elaborate_signs(self, m: Module, control: GridElementControl, reads: Tap) -> None:
        """The groups with which the element shares reads, and what it and others say of them."""
        groups, n_columns, n_rows = self._pe.groups, self.geometry.columns, self.geometry.used_rows
        spare = self.geometry.has_spare_row
        m.d.comb += [groups.row_here.eq(1 << self.column), groups.column_here.eq(1 << self.row)]
        for number, masks in enumerate(control.groups):
            rows = masks[16 : 16 + n_rows]
            m.d.comb += [
                groups.row[number].eq(masks[:n_columns]),
                groups.column[number].eq(spread_rows(rows, self.left_out) if spare else rows),
            ]
        for number, side in enumerate(self.geometry.sides):
            m.submodules[f"signs_{side.name.lower()}"] = hop = SignHop(shapes=self.geometry.shapes)
            m.d.comb += [
                hop.here.eq(1 << (self.column if is_of_rows(side) else self.row)),
                hop.i.eq(self.signs_i[number]),
                hop.note.eq(reads.note[number]),
                hop.noted.eq(self._heard(reads.noted[number])),
                hop.failed.eq(self._heard(control.has_failed)),
                self.signs_o[number].eq(hop.o),
            ]

    def _elaborate_memory(
        self, m: Module, control: GridElementControl
    ) -> tuple[Tap, Tap, dict[str, Any]]:
        """The element's memory ports, and the stages of the lanes; the taps of reads and writes,
        and their streams by lane."""
        geometry, pe = self.geometry, self._pe
        m.submodules.reads = reads = Tap(
            geometry=geometry, port=MemoryReadPort, tag_widths=geometry.read_masters, shares=True
        )
        m.submodules.writes = writes = Tap(
            geometry=geometry, port=MemoryWritePort, tag_widths=geometry.write_masters
        )
        wiring.connect(m, pe.memory_read, reads.master0)
        # Not reset with the element: what it reads is for the job after the reset.
        m.submodules.list_ahead = ahead = ListAhead(link_bytes=geometry.link_bytes)
        m.d.comb += ahead.events.eq(control.queue_events)
        wiring.connect(m, pe.list_read, ahead.lists)
        wiring.connect(m, ahead.memory, reads.master1)
        wiring.connect(m, pe.memory_write, writes.master0)
        for tap in (reads, writes):
            m.d.comb += [tap.row.eq(1 << self.column), tap.column.eq(1 << self.row)]
        ports = {
            "read": reads.request,
            "line": reads.answer,
            "write": writes.request,
            "ack": writes.answer,
        }
        for number, side in enumerate(geometry.sides):
            for name, direction in LANES.items():
                add = self._add_up if direction == "up" else self._add_down
                add(m, name, number, side, ports[name][number])
        return reads, writes, ports

    def _heard(self, said: Any) -> Any:
        """What the element says, unless its row is left out."""
        return said & self._is_used if self.geometry.has_spare_row else said

    def _hop(self, m: Module, name: str, number: int, side: Side, hop: Any) -> Any:
        m.submodules[f"{name}_{side.name.lower()}"] = hop
        wiring.connect(m, wiring.flipped(getattr(self, f"{name}_i")[number]), hop.i)
        wiring.connect(m, hop.o, wiring.flipped(getattr(self, f"{name}_o")[number]))
        return hop

    def _add_up(self, m: Module, name: str, number: int, side: Side, local: Any) -> None:
        """A stage of a lane to a side."""
        hop = MergeHop(shape=self._shapes[name], most=self.geometry.n_positions)
        self._hop(m, name, number, side, hop)
        m.d.comb += [
            hop.local.valid.eq(self._heard(local.valid)),
            hop.local.payload.eq(local.payload),
            local.ready.eq(hop.local.ready),
        ]
        # Of equal shares the row that is left out has none.
        place = self.column if is_of_rows(side) else self._used_row
        size = self.geometry.columns if is_of_rows(side) else self.geometry.used_rows
        near = side in (Side.W, Side.N)
        m.d.comb += hop.weight.eq(size - 1 - place if near else place)

    def _add_down(self, m: Module, name: str, number: int, side: Side, local: Any) -> None:
        """A stage of a lane from a side."""
        hop = self._hop(m, name, number, side, LaneHop(shape=self._shapes[name]))
        wiring.connect(m, hop.tap, local)
        m.d.comb += hop.here.eq(1 << (self.column if is_of_rows(side) else self.row))
