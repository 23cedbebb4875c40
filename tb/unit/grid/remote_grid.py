# SPDX-License-Identifier: Apache-2.0
"""Local memories of a small grid with everything between them, and agents around it."""

import itertools
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arch.address_map import window_base
from hw.arch.csr import HOST_PLACE
from hw.arch.traffic import REMOTE_LANES
from hw.grid.remote_asker import RemoteAsker
from hw.grid.remote_node import RemoteNode
from hw.grid.remote_switch import RemoteSwitch
from hw.grid.tap import Tap
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.pe.fi import FiGeometry, RemoteAccess
from tb.common.local_memory import LocalMemorySlots
from tb.common.memory import payload_shapes
from tb.common.seeds import python_rng
from tb.common.stream import BACK_PRESSURE, Bench
from tb.unit.grid.geometries import bench_geometry

__all__ = [
    "ASKERS",
    "GEOMETRY",
    "HOST",
    "LINE",
    "LS_BYTES",
    "PLACES",
    "WORD",
    "Asker",
    "Device",
    "RemoteGrid",
    "name_of",
]

GEOMETRY = bench_geometry()
ROWS, COLUMNS = GEOMETRY.used_rows, GEOMETRY.columns
PLACES = list(itertools.product(range(ROWS), range(COLUMNS)))
HOST = HOST_PLACE
ASKERS = [*PLACES, HOST]
LINE, WORD, LS_BYTES = 16, 8, GEOMETRY.config.pe.ls.size_bytes
TAG = 4
PORTS = {"read": MemoryReadPort, "write": MemoryWritePort}


def name_of(place: tuple[int, int]) -> str:
    """An asker's part of its ports' names."""
    return f"{place[0]}_{place[1]}"


class RemoteGrid(wiring.Component):
    """Taps, nodes and ways into local memory of all elements; lanes, switches, the host's asker.

    Of memory nothing is there: taps offer nothing to any side.
    """

    def __init__(self) -> None:
        self._access = {
            place: RemoteAccess(
                geometry=FiGeometry(link_bytes=LINE, ls_bytes=LS_BYTES),
                read_tag_width=GEOMETRY.remote.tag_widths[0],
                write_tag_width=GEOMETRY.remote.tag_widths[1],
            )
            for place in PLACES
        }
        members: dict[str, Any] = {}
        for asker in ASKERS:
            for kind, port in PORTS.items():
                members[f"{kind}{name_of(asker)}"] = In(port(link_bytes=LINE, tag_width=TAG))
        for place, access in self._access.items():
            for kind in PORTS:
                members[f"ls_{kind}{name_of(place)}"] = access.signature.members[f"ls_{kind}"]
            members |= {
                f"hold{name_of(place)}": In(1),
                f"idle{name_of(place)}": Out(1),
                f"heard{name_of(place)}": In(1),
                f"passing{name_of(place)}": Out(len(REMOTE_LANES)),
            }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        remote, switches = GEOMETRY.remote, {}
        for up, flit, host_asks in (("ask", remote.request, True), ("reply", remote.answer, False)):
            m.submodules[f"{up}_switch"] = switches[up] = RemoteSwitch(
                flit=flit,
                rows=ROWS,
                n_positions=GEOMETRY.n_positions,
                host_asks=host_asks,
            )
        m.submodules.host = host = RemoteAsker(shapes=remote, lanes=GEOMETRY.shapes)
        m.d.comb += [host.place.row.eq(HOST[0]), host.place.column.eq(HOST[1])]
        wiring.connect(m, host.ask, switches["ask"].host)
        wiring.connect(m, switches["reply"].host, host.told)
        self._add_taps(m, HOST, host)
        for row in range(ROWS):
            self._add_row(m, row, switches)
        return m

    def _add_taps(self, m: Module, place: tuple[int, int], asker: Any) -> None:
        """The taps of one who asks."""
        for kind, answer in (("read", "line"), ("write", "ack")):
            tap = Tap(geometry=GEOMETRY, port=PORTS[kind], tag_widths=(TAG,))
            m.submodules[f"{kind}s{name_of(place)}"] = tap
            port = getattr(self, f"{kind}{name_of(place)}")
            wiring.connect(m, wiring.flipped(port), tap.master0)
            wiring.connect(m, tap.window_request, getattr(asker, kind))
            wiring.connect(m, getattr(asker, answer), tap.window_answer)

    def _add_row(self, m: Module, row: int, switches: dict[str, Any]) -> None:
        """A row's elements and lanes."""
        ends = {
            "ask": switches["ask"].up[row],
            "visit": switches["ask"].down[row],
            "reply": switches["reply"].up[row],
            "told": switches["reply"].down[row],
        }
        for column in range(COLUMNS):
            place = (row, column)
            node = RemoteNode(
                shapes=GEOMETRY.remote, lanes=GEOMETRY.shapes, n_positions=GEOMETRY.n_positions
            )
            m.submodules[f"node{name_of(place)}"] = node
            self._add_taps(m, place, node)
            self._add_access(m, place, node)
            m.d.comb += [
                node.here.eq(1 << column),
                node.weight.eq(COLUMNS - 1 - column),
                node.place.row.eq(row),
                node.place.column.eq(column),
                node.heard.eq(getattr(self, f"heard{name_of(place)}")),
                getattr(self, f"passing{name_of(place)}").eq(node.passing),
            ]
            for lane, end in ends.items():
                inner, outer = (getattr(node, f"{lane}_{at}") for at in "io")
                if lane in ("ask", "reply"):
                    wiring.connect(m, outer, end)
                    ends[lane] = inner
                else:
                    wiring.connect(m, end, inner)
                    ends[lane] = outer
        m.d.comb += [ends["visit"].ready.eq(1), ends["told"].ready.eq(1)]

    def _add_access(self, m: Module, place: tuple[int, int], node: Any) -> None:
        """The way into an element's local memory."""
        name, access = name_of(place), self._access[place]
        m.submodules[f"access{name}"] = access
        for kind in PORTS:
            wiring.connect(m, getattr(node, f"local_{kind}"), getattr(access, f"remote_{kind}"))
            outer = getattr(self, f"ls_{kind}{name}")
            for mine, theirs in zip(getattr(access, f"ls_{kind}"), outer, strict=True):
                wiring.connect(m, mine, wiring.flipped(theirs))
        m.d.comb += [
            access.remote_hold.eq(getattr(self, f"hold{name}")),
            getattr(self, f"idle{name}").eq(access.remote_idle),
        ]


class Asker:
    """Agents of one who asks."""

    def __init__(self, bench: Bench, place: tuple[int, int], pauses: str) -> None:
        source, sink = BACK_PRESSURE[pauses]
        self.requests, self.answers = {}, {}
        for kind, port in PORTS.items():
            request, response = payload_shapes(port(link_bytes=LINE, tag_width=TAG))
            name = f"{kind}{name_of(place)}"
            self.requests[kind] = bench.source(f"{name}__request", request, source())
            self.answers[kind] = bench.sink(f"{name}__response", response, sink())

    def read(self, place: tuple[int, int], line: int, tag: int = 0) -> None:
        """Ask for a line of an element."""
        self.requests["read"].send({"address": window_base(*place) + LINE * line, "tag": tag})

    def write(
        self, place: tuple[int, int], line: int, data: bytes, strobe: int = 0xFFFF, tag: int = 0
    ) -> None:
        """Write a line of an element."""
        self.requests["write"].send(
            {
                "address": window_base(*place) + LINE * line,
                "tag": tag,
                "data": int.from_bytes(data, "little"),
                "strobe": strobe,
            }
        )


class Device:
    """The grid between those who ask and local memories."""

    def __init__(self, dut: Any, pauses: str = "none") -> None:
        self.dut, self.bench, self.rng = dut, Bench(dut), python_rng("remote grid")
        _, sink = BACK_PRESSURE[pauses]
        self.askers = {place: Asker(self.bench, place, pauses) for place in ASKERS}
        self.local = {
            place: LocalMemorySlots(
                self.bench,
                word_bytes=WORD,
                size=LS_BYTES,
                pauses=sink,
                reads=[f"ls_read{name_of(place)}__{word}" for word in range(2)],
                writes=[f"ls_write{name_of(place)}__{word}" for word in range(2)],
            )
            for place in PLACES
        }
        for place, memory in self.local.items():
            memory.data[:] = python_rng(f"local memory {place}").randbytes(LS_BYTES)
            dut[f"hold{name_of(place)}"].value = 0
            dut[f"heard{name_of(place)}"].value = 1

    def line(self, place: tuple[int, int], line: int) -> int:
        """What a local memory holds."""
        return int.from_bytes(self.local[place].data[LINE * line : LINE * line + LINE], "little")
