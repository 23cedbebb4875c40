# SPDX-License-Identifier: Apache-2.0
"""The chip with a grid of elements."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.arch.address_map import ADDRESS_BITS
from hw.arch.csr import HOST_PLACE
from hw.arch.traffic import HOST_EVENTS, ROW_LANES
from hw.chip.dma_engine import DmaEngine
from hw.chip.dram_bridge import DramBridge
from hw.chip.host_port import HostPort
from hw.chip.memory_control import connect_memories
from hw.config.tree import ChipConfig
from hw.grid.cache_control import connect_caches
from hw.grid.control import GRID_CONTROL_BITS, GridControl
from hw.grid.geometry import DMA_SLOTS, HOST_ID_WIDTH, HOST_READ_SLOTS, GridGeometry
from hw.grid.link_guard import LINKS
from hw.grid.remote_asker import RemoteAsker
from hw.grid.remote_switch import RemoteSwitch
from hw.grid.side import GridSide
from hw.grid.signal_switch import SignalSwitch
from hw.grid.spare_row import RowMap, used_rows
from hw.grid.tap import Tap
from hw.grid.tile import LANES, Tile
from hw.grid.traffic import flow, moves_and_waits
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.iface.trace import LinkTrace, TracePort
from hw.lib.emit_once import Boundary, EmitOnce
from hw.net.sides import Side, corner_of, hops, is_of_rows

__all__ = ["GridChip"]


class GridChip(wiring.Component):
    """A member of the family: elements, lanes, memories on up to four sides, and the host.

    Operation: docs/grid.md. The host writes operands and command lists, starts jobs on
    sub-grids through the control registers, waits for `irq`, and reads the results. Of a member
    with a spare row, everything but the tiles' names is by the rows that are used.

    Timing: a cycle per lane stage; docs/grid.md has the latency of an access. Every output comes
    from a register but for `ready` of the host's channels, `sides` and `links`.

    Parameters
    ----------
    config : the member; it has two elements or more.
    tile_boundary : how Verilator shall treat a tile.

    Members
    -------
    host : In(Axi4Port), `link_bytes` wide. dram0, ... : Out(Axi4Port), the DRAM channels.
    host_memory : Out(Axi4Port), memory of the host that its DMA engine reads and writes; as wide as
        a DRAM channel.
    irq : Out(1), high while a job that GRID_WAIT names is done.
    trace0_0, ... : Out(TracePort()), what the elements' units and buffers do, by row and column.
    sides_w, ... : Out(SideTrace), what passes at each side.
    links0, ... : Out(LinkTrace), what passes on the reduction links from the tiles of each row.

    Raises: ConfigError when the configuration cannot be built.
    """

    def __init__(self, config: ChipConfig, *, tile_boundary: Boundary = Boundary.FREE) -> None:
        self.geometry = geometry = GridGeometry(config)
        self.config = config
        self.tile_boundary = tile_boundary
        self._host = HostPort(
            link_bytes=geometry.link_bytes,
            id_width=HOST_ID_WIDTH,
            sram_bytes=config.sram.size_bytes,
            dram_bytes=config.dram.size_bytes,
            local_bytes=config.pe.ls.size_bytes,
            rows=geometry.used_rows,
            columns=geometry.columns,
            control_bits=GRID_CONTROL_BITS,
            read_slots=HOST_READ_SLOTS,
        )
        self._dma = DmaEngine(link_bytes=geometry.link_bytes, slots=DMA_SLOTS)
        self._dma_bridge = DramBridge(
            link_bytes=geometry.link_bytes,
            beat_bytes=config.dram.bytes_per_cycle,
            read_tag_width=self._dma.tag_width,
            write_tag_width=self._dma.tag_width,
            size_bytes=1 << ADDRESS_BITS,
            read_slots=DMA_SLOTS,
            write_slots=DMA_SLOTS,
        )
        self._sides = {side: GridSide(geometry=geometry, side=side) for side in geometry.sides}
        self._control = GridControl(
            rows=geometry.used_rows,
            columns=geometry.columns,
            n_positions=geometry.n_positions,
            config_id=int(config.digest(), 16),
            count_width=sum(len(side.corrected) for side in self._sides.values()),
            n_sides=len(self._sides),
            has_spare_row=geometry.has_spare_row,
            cache=geometry.cache_control,
        )
        if geometry.has_spare_row:
            self._row_map = RowMap(rows=geometry.used_rows, n_positions=geometry.n_positions)
        channels = [
            (number, side)
            for side in self._sides.values()
            for number, node in side.nodes.items()
            if node.has_channel
        ]
        self._channels = dict(sorted(channels, key=lambda channel: channel[0]))
        super().__init__(
            {
                "host": self._host.signature.members["axi"],
                **{
                    f"dram{number}": side.signature.members[f"axi{number}"]
                    for number, side in self._channels.items()
                },
                "host_memory": self._dma_bridge.signature.members["axi"],
                "irq": Out(1),
                **self._trace_members(),
            }
        )

    def _trace_members(self) -> dict[str, Any]:
        """What elements, lanes and links show to whoever records them."""
        rows, columns = self.geometry.used_rows, self.geometry.columns
        places = [(row, column) for row in range(rows) for column in range(columns)]
        return {
            **{f"trace{row}_{column}": Out(TracePort()) for row, column in places},
            **{
                f"sides_{side.name.lower()}": part.signature.members["trace"]
                for side, part in self._sides.items()
            },
            **{f"links{row}": Out(LinkTrace(columns=columns)) for row in range(rows)},
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.host_port = self._host
        m.submodules.control = self._control
        for number, (side, part) in enumerate(self._sides.items()):
            name = side.name.lower()
            m.submodules[f"side_{name}"] = part
            wiring.connect(m, part.trace, wiring.flipped(getattr(self, f"sides_{name}")))
            wiring.connect(m, self._control.traffic[number], part.traffic)
        for number, side in self._channels.items():
            axi = getattr(side, f"axi{number}")
            wiring.connect(m, axi, wiring.flipped(getattr(self, f"dram{number}")))
        wiring.connect(m, wiring.flipped(self.host), self._host.axi)
        wiring.connect(m, self._host.control, self._control.port)
        m.d.comb += self.irq.eq(self._control.irq)
        asker = self._elaborate_host(m)
        connect_memories(m, self._control, list(self._sides.values()))
        if self.geometry.cache_control is not None:
            caches = [side.cache for side in self._sides.values()]
            connect_caches(m, self._control.cache, caches)
        tiles = self._elaborate_tiles(m)
        self._elaborate_lanes(m, tiles)
        self._elaborate_corners(m)
        flows = self._elaborate_control_lanes(m, tiles)
        flows |= self._elaborate_signals(m, tiles)
        flows |= self._elaborate_remote(m, tiles, asker)
        self._elaborate_counted(m, flows)
        self._elaborate_links(m, tiles)
        return m

    def _elaborate_counted(self, m: Module, flows: Mapping[str, list[Value]]) -> None:
        """Side W counts and shows what passes on the rows' other lanes, and at the host."""
        ports = {
            "host_port.read": self._host.read,
            "host_port.write": self._host.write,
            **{
                f"dma.{name}": getattr(self._dma, port)
                for name, port in (
                    ("read", "chip_read"),
                    ("write", "chip_write"),
                    ("host_read", "host_read"),
                    ("host_write", "host_write"),
                )
            },
        }
        counted = [one for name in ROW_LANES for one in flows[name]]
        counted += [flow(ports[name].request) for name in HOST_EVENTS]
        side = self._sides[Side.W]
        passed, waiting = moves_and_waits(counted)
        m.d.comb += [side.chip_moves.eq(passed), side.chip_waits.eq(waiting)]

    def _elaborate_host(self, m: Module) -> RemoteAsker:
        """The host's lanes, which its DMA engine uses too, and that one's way to its memory; who
        asks for local memories for both."""
        m.submodules.dma, m.submodules.dma_bridge = self._dma, self._dma_bridge
        for name in ("read", "write"):
            wiring.connect(m, getattr(self._dma, f"host_{name}"), getattr(self._dma_bridge, name))
        wiring.connect(m, self._dma_bridge.axi, wiring.flipped(self.host_memory))
        wiring.connect(m, self._control.dma, self._dma.control)
        geometry, dma = self.geometry, self._dma
        asker = RemoteAsker(shapes=geometry.remote, lanes=geometry.shapes)
        m.submodules.host_asker = asker
        m.d.comb += [asker.place.row.eq(HOST_PLACE[0]), asker.place.column.eq(HOST_PLACE[1])]
        for name, answer, kind, widths in (
            ("read", "line", MemoryReadPort, geometry.host_reads),
            ("write", "ack", MemoryWritePort, geometry.host_writes),
        ):
            tap = Tap(geometry=geometry, port=kind, tag_widths=widths)
            m.submodules[f"host_{name}s"] = tap
            wiring.connect(m, getattr(self._host, name), tap.master0)
            wiring.connect(m, getattr(dma, f"chip_{name}"), tap.master1)
            for number, side in enumerate(self._sides.values()):
                wiring.connect(m, tap.request[number], getattr(side, name)[-1])
                wiring.connect(m, getattr(side, answer)[-1], tap.answer[number])
            wiring.connect(m, tap.window_request, getattr(asker, name))
            wiring.connect(m, getattr(asker, answer), tap.window_answer)
            if geometry.has_spare_row:  # nobody knows before the first job which row is bad
                m.d.comb += tap.has_windows.eq(self._control.has_started)
        return asker

    def _elaborate_tiles(self, m: Module) -> dict[tuple[int, int], Any]:
        """All tiles, by row and column."""
        tiles = {}
        for row in range(self.geometry.rows):
            for column in range(self.geometry.columns):
                tile = EmitOnce(Tile, key="tile", boundary=self.tile_boundary, config=self.config)
                m.submodules[f"tile{row}_{column}"] = tiles[row, column] = tile
                m.d.comb += [tile.row.eq(row), tile.column.eq(column)]
                if self.geometry.has_spare_row:
                    m.d.comb += tile.left_out.eq(self._control.left_out)
                    m.d.comb += tile.has_started.eq(self._control.has_started)
                else:
                    trace = getattr(self, f"trace{row}_{column}")
                    wiring.connect(m, tile.trace, wiring.flipped(trace))
        if self.geometry.has_spare_row:
            self._elaborate_spare(m, tiles)
        return tiles

    def _elaborate_spare(self, m: Module, tiles: dict[tuple[int, int], Any]) -> None:
        """Control lanes, sides and traces of the rows that are used."""
        control, row_map = self._control, self._row_map
        m.submodules.row_map = row_map
        m.d.comb += row_map.left_out.eq(control.left_out)
        for row in range(self.geometry.used_rows):
            wiring.connect(m, control.down[row], row_map.used_down[row])
            wiring.connect(m, row_map.used_up[row], control.up[row])
            m.d.comb += control.moved[row].eq(row_map.used_moved[row])
        for side in self._sides.values():
            if side.has_spare_lane:
                m.d.comb += side.left_out.eq(control.left_out)
        for column in range(self.geometry.columns):
            traces = [_outputs(tiles[row, column].trace) for row in range(self.geometry.rows)]
            for row, shown in enumerate(
                zip(*map(self._used, zip(*traces, strict=True)), strict=True)
            ):
                outer = _outputs(getattr(self, f"trace{row}_{column}"))
                m.d.comb += [mine.eq(theirs) for mine, theirs in zip(outer, shown, strict=True)]

    def _used(self, values: Sequence[Any]) -> Sequence[Any]:
        """Of values by rows of tiles, those of the rows that are used."""
        spare = self.geometry.has_spare_row
        return used_rows(values, self._control.left_out) if spare else values

    def _elaborate_lanes(self, m: Module, tiles: dict[tuple[int, int], Any]) -> None:
        """Every lane passes the tiles of a row or column, in one direction or the other."""
        shape = {"rows": self.geometry.rows, "columns": self.geometry.columns}
        for number, (side, part) in enumerate(self._sides.items()):
            for lane in range(part.n_lanes - 1):
                passed = [
                    tiles[(lane, place) if is_of_rows(side) else (place, lane)]
                    for place in hops(side, **shape)
                ]
                for name, direction in LANES.items():
                    end = getattr(part, name)[lane]
                    ins = [getattr(tile, f"{name}_i")[number] for tile in passed]
                    outs = [getattr(tile, f"{name}_o")[number] for tile in passed]
                    if direction == "down":
                        _chain(m, end, ins, outs)
                    else:
                        _merge(m, end, ins, outs)
                # From the farthest tile, whose own input stays 0, through the nearer ones.
                signs = [(tile.signs_i[number], tile.signs_o[number]) for tile in passed]
                for (_, behind), (near, _) in zip(signs[1:], signs, strict=False):
                    m.d.comb += near.eq(behind)
                m.d.comb += part.signs[lane].eq(signs[0][1])

    def _elaborate_corners(self, m: Module) -> None:
        """Ways between sides, for reads that elements share."""
        for side, part in self._sides.items():
            for way in range(self.geometry.n_corners):
                other = self._sides[corner_of(side)]
                wiring.connect(m, part.corner_read_o[way], other.corner_read_i[way])
                wiring.connect(m, part.corner_line_o[way], other.corner_line_i[way])

    def _elaborate_control_lanes(
        self, m: Module, tiles: dict[tuple[int, int], Any]
    ) -> dict[str, list[Value]]:
        """Control lanes of each row, from W and back; what passes, for W to count."""
        ends = self._row_map if self.geometry.has_spare_row else self._control
        columns = range(self.geometry.columns)
        for row in range(self.geometry.rows):
            passed = [tiles[row, column] for column in columns]
            _chain(
                m,
                ends.down[row],
                [tile.access_i for tile in passed],
                [tile.access_o for tile in passed],
            )
            _merge(
                m,
                ends.up[row],
                [tile.report_i for tile in passed],
                [tile.report_o for tile in passed],
            )
            for behind, tile in itertools.pairwise(reversed(passed)):
                m.d.comb += tile.moved_i.eq(behind.moved_o)
            m.d.comb += ends.moved[row].eq(passed[0].moved_o)
        lanes = {"access": self._control.down, "report": self._control.up}
        return {name: [flow(lane) for lane in lanes[name]] for name in lanes}

    def _elaborate_signals(
        self, m: Module, tiles: dict[tuple[int, int], Any]
    ) -> dict[str, list[Value]]:
        """Signal lanes of each row, to W, through the switch, and back into a row; what passes."""
        geometry = self.geometry
        m.submodules.signal_switch = switch = SignalSwitch(
            rows=geometry.used_rows,
            n_positions=geometry.n_positions,
            has_spare_row=geometry.has_spare_row,
        )
        wiring.connect(m, switch.host, self._control.messages)
        self._connect_rows(m, tiles, switch, up="sent", down="received")
        return {
            "sent": self._flows(switch.up),
            "received": [*self._flows(switch.down), flow(switch.host)],
        }

    def _elaborate_remote(
        self, m: Module, tiles: dict[tuple[int, int], Any], asker: RemoteAsker
    ) -> dict[str, list[Value]]:
        """Lanes of accesses to local memories, and of their answers, like those of signals; what
        passes."""
        geometry, flows = self.geometry, dict[str, list[Value]]()
        for up, down, flit, host_asks in (
            ("ask", "visit", geometry.remote.request, True),
            ("reply", "told", geometry.remote.answer, False),
        ):
            switch = RemoteSwitch(
                flit=flit,
                rows=geometry.used_rows,
                n_positions=geometry.n_positions,
                host_asks=host_asks,
                has_spare_row=geometry.has_spare_row,
            )
            m.submodules[f"{up}_switch"] = switch
            wiring.connect(m, getattr(asker, "ask" if host_asks else "told"), switch.host)
            self._connect_rows(m, tiles, switch, up=up, down=down)
            for name, lanes in ((up, switch.up), (down, switch.down)):
                flows[name] = self._flows(lanes)
                if ROW_LANES[name]:
                    flows[name].append(flow(switch.host))
        return flows

    def _flows(self, lanes: Sequence[Any]) -> list[Value]:
        """What passes and waits, for the lane of each row that is used."""
        return list(self._used([flow(lane) for lane in lanes]))

    def _connect_rows(
        self, m: Module, tiles: dict[tuple[int, int], Any], switch: Any, *, up: str, down: str
    ) -> None:
        """The lanes of each row to a switch at W and back, through the tiles' ports."""
        if self.geometry.has_spare_row:
            m.d.comb += switch.left_out.eq(self._control.left_out)
        for row in range(self.geometry.rows):
            passed = [tiles[row, column] for column in range(self.geometry.columns)]
            ends = (switch.down[row], switch.up[row])
            for end, lane, way in zip(ends, (down, up), (_chain, _merge), strict=True):
                ins, outs = ([getattr(tile, f"{lane}_{at}") for tile in passed] for at in "io")
                way(m, end, ins, outs)

    def _elaborate_links(self, m: Module, tiles: dict[tuple[int, int], Any]) -> None:
        """Reduction links from each tile to its southern and eastern neighbour."""
        for (row, column), tile in tiles.items():
            for name, place in (("in_north", (row - 1, column)), ("in_west", (row, column - 1))):
                if place in tiles:
                    wiring.connect(m, getattr(tiles[place], LINKS[name]), getattr(tile, name))
            for way in ("south", "east") if row < self.geometry.used_rows else ():
                rows, trace = range(self.geometry.rows), getattr(self, f"links{row}")
                links = [getattr(tiles[at, column], f"out_{way}") for at in rows]
                passes, waits = moves_and_waits([self._flows(links)[row]])
                m.d.comb += [
                    getattr(trace, f"{way}_moves")[column].eq(passes),
                    getattr(trace, f"{way}_waits")[column].eq(waits),
                ]


def _outputs(port: Any) -> list[Value]:
    """What a port of traces shows, in the order of its members."""
    members = port.signature.flatten(port)
    return [Value.cast(value) for _, member, value in members if member.flow is Out]


def _chain(m: Module, end: Any, ins: list[Any], outs: list[Any]) -> None:
    """A lane from a side: through all tiles; behind the last one everything disappears."""
    for source, target in zip([end, *outs[:-1]], ins, strict=True):
        wiring.connect(m, source, target)
    m.d.comb += outs[-1].ready.eq(1)


def _merge(m: Module, end: Any, ins: list[Any], outs: list[Any]) -> None:
    """A lane to a side: from the farthest tile through the nearer ones."""
    for source, target in zip(outs, [end, *ins[:-1]], strict=True):
        wiring.connect(m, source, target)
