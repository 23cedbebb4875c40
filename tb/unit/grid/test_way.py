# SPDX-License-Identifier: Apache-2.0
"""The whole way of an access, from taps over lanes to a side and back, as docs/grid.md has it."""

from typing import Any

import cocotb
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.arch.address_map import DRAM
from hw.arch.interleave import Interleave
from hw.grid.side import GridSide
from hw.grid.tap import Tap
from hw.iface.memory import MemoryReadPort, MemoryWritePort
from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop
from hw.net.sides import Side, hops, n_left, place_of_slice
from tb.common.memory import axi_ram, payload_shapes
from tb.common.runner import run_bench
from tb.common.stream import Bench, StreamSink, StreamSource
from tb.unit.grid.geometries import DRAM_BYTES, SRAM_BYTES, bench_geometry

GEOMETRIES = {"plain": bench_geometry(ecc=False), "ecc": bench_geometry(ecc=True)}
SIDE, LANE, TAG = Side.E, 1, 4
CHANNEL = 1  # of the side
N_TILES, LINE = 3, 16
ORDER = hops(SIDE, rows=2, columns=3)
DEAL = Interleave(n_slices=8, line_bytes=LINE)
MINE = [a for a in range(0, SRAM_BYTES, LINE) if place_of_slice(DEAL.slice_of(a), DEAL)[0] is SIDE]
DRAM_DEAL = Interleave(n_slices=4, line_bytes=LINE)
BEHIND = [
    a for a in range(DRAM.base, DRAM.base + DRAM_BYTES, LINE) if DRAM_DEAL.slice_of(a) == CHANNEL
]
KINDS = {
    "read": (MemoryReadPort, "line"),
    "write": (MemoryWritePort, "ack"),
}
"""Ports of tiles, and the lanes of their answers; those of requests are named as the ports."""


def latency(kind: str, *, between: int, ecc: bool = True, channel: int | None = None) -> int:
    """Cycles of an access when nothing else moves, `between` tiles lying between tile and side;
    `channel` is what passes at its AXI port from the request to the answer."""
    tap, lane, switch, crossbar = 1, between + 1, 2, 1
    if channel is not None:
        memory = channel + {"read": 3, "write": 1}[kind]
    else:
        memory = {"read": 4 if ecc else 3, "write": 1}[kind]
    return tap + lane + switch + crossbar + memory + switch + lane


def busy_interval(alone: int, under_way: int, *, n_tiles: int = N_TILES) -> float:
    """Cycles from one answer to the next of a tile that always has so many reads under way, on a
    lane that so many tiles keep busy; a read takes `under_way` times that from its request on."""
    return max(alone / under_way, n_tiles)


class Ways(wiring.Component):
    """Twice, without and with ECC: side E and one lane of it, which passes three tiles."""

    def __init__(self) -> None:
        self._sides = {
            name: GridSide(geometry=geometry, side=SIDE) for name, geometry in GEOMETRIES.items()
        }
        ports = {
            f"{name}_{kind}": In(port(link_bytes=LINE, tag_width=TAG)).array(N_TILES)
            for name in GEOMETRIES
            for kind, (port, _) in KINDS.items()
        }
        axi = f"axi{CHANNEL}"
        channels = {f"{n}_axi": side.signature.members[axi] for n, side in self._sides.items()}
        super().__init__(ports | channels)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, side in self._sides.items():
            m.submodules[f"{name}_side"] = side
            axi = getattr(side, f"axi{CHANNEL}")
            wiring.connect(m, axi, wiring.flipped(getattr(self, f"{name}_axi")))
            for kind in KINDS:
                self._add_lane(m, name, kind)
        return m

    def _add_lane(self, m: Module, name: str, kind: str) -> None:
        """The tiles' taps for reads or writes, and the lane of requests and that of answers."""
        geometry, side, (port, answer) = GEOMETRIES[name], self._sides[name], KINDS[kind]
        number = geometry.sides.index(SIDE)
        up, down = getattr(side, kind)[LANE], getattr(side, answer)[LANE]
        for place in ORDER:
            tap = Tap(geometry=geometry, port=port, tag_widths=(TAG,))
            merge = MergeHop(shape=getattr(geometry.shapes, kind), most=geometry.n_positions)
            lane = LaneHop(shape=getattr(geometry.shapes, answer))
            for part, submodule in {"tap": tap, "up": merge, "down": lane}.items():
                m.submodules[f"{name}_{kind}_{part}{place}"] = submodule
            m.d.comb += [
                tap.row.eq(1 << place),
                lane.here.eq(1 << place),
                merge.weight.eq(n_left(SIDE, place, rows=2, columns=3)),
            ]
            outer = getattr(self, f"{name}_{kind}")[place]
            wiring.connect(m, wiring.flipped(outer), tap.master0)
            wiring.connect(m, tap.request[number], merge.local)
            wiring.connect(m, lane.tap, tap.answer[number])
            wiring.connect(m, merge.o, up)
            wiring.connect(m, down, lane.i)
            up, down = merge.i, lane.o
        m.d.comb += down.ready.eq(1)


class Channel:
    """How long the last access took at a channel's AXI port, from its request to its answer."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._ports = {
            "read": [bench.port(f"{name}__{at}") for at in ("arvalid", "arready", "rvalid")],
            "write": [bench.port(f"{name}__{at}") for at in ("awvalid", "awready", "bvalid")],
        }
        self._begun: dict[str, int] = {}
        self.took: dict[str, int] = {}
        bench.add(self)

    def sample(self, cycle: int) -> None:
        """Look at both ends."""
        for kind, pins in self._ports.items():
            valid, ready, answered = (int(pin.value) for pin in pins)
            if valid and ready:
                self._begun[kind] = cycle
            if answered:
                self.took[kind] = cycle - self._begun[kind]

    def drive(self) -> None:
        """It only looks."""

    def reset(self) -> None:
        """Nothing is under way."""
        self._begun.clear()


def agents_of(bench: Bench, name: str, kind: str) -> list[tuple[StreamSource, StreamSink]]:
    """Requests and responses of each tile, nearest to the side first."""
    port, _ = KINDS[kind]
    request, response = payload_shapes(port(link_bytes=LINE, tag_width=TAG))
    return [
        (
            bench.source(f"{name}_{kind}__{place}__request", request),
            bench.sink(f"{name}_{kind}__{place}__response", response),
        )
        for place in ORDER
    ]


def request_of(kind: str, address: int, tag: int = 0) -> dict[str, int]:
    """A read or write of a whole line."""
    data = {"data": address ^ 0x5A5A, "strobe": (1 << LINE) - 1} if kind == "write" else {}
    return {"address": address, "tag": tag, **data}


def keep(requests: StreamSource, responses: StreamSink, under_way: int) -> None:
    """Let a tile ask only while fewer of its accesses are under way."""

    def is_full(_: Any) -> bool:
        return len(requests.cycles) - len(responses.cycles) >= under_way

    requests._pauses = is_full


async def started(dut: Any) -> tuple[Bench, dict[tuple[str, str], Any], dict[str, Channel]]:
    """The bench out of reset, its agents by geometry and kind, its channels."""
    bench = Bench(dut)
    tiles = {(name, kind): agents_of(bench, name, kind) for name in GEOMETRIES for kind in KINDS}
    channels = {}
    for name in GEOMETRIES:
        axi_ram(bench, f"{name}_axi", size=DRAM_BYTES // 4)
        channels[name] = Channel(bench, f"{name}_axi")
    await bench.start()
    return bench, tiles, channels


@cocotb.test()
async def an_access_takes_what_the_formula_says(dut: Any) -> None:
    """Reads and writes of SRAM, for each distance, with and without ECC, at any line of the
    side."""
    bench, ways, _ = await started(dut)
    for (name, kind), tiles in ways.items():
        for between, (requests, responses) in enumerate(tiles):
            expected = latency(kind, between=between, ecc=name == "ecc")
            for tag, address in enumerate((MINE[0], MINE[7], MINE[-1])):
                requests.send(request_of(kind, address, tag))
                answer = (await responses.receive(1))[0]
                assert (answer["tag"], answer["error"]) == (tag, 0)
                took = responses.cycles[-1] - requests.cycles[-1]
                assert took == expected, (name, kind, between)
                await bench.wait(30)


@cocotb.test()
async def an_access_to_dram_takes_what_the_formula_says(dut: Any) -> None:
    """Besides what the memory behind the channel takes."""
    bench, ways, channels = await started(dut)
    for (name, kind), tiles in ways.items():
        for between, (requests, responses) in enumerate(tiles):
            for tag, address in enumerate((BEHIND[0], BEHIND[5], BEHIND[-1])):
                requests.send(request_of(kind, address, tag))
                answer = (await responses.receive(1))[0]
                assert (answer["tag"], answer["error"]) == (tag, 0)
                took = responses.cycles[-1] - requests.cycles[-1]
                channel = channels[name].took[kind]
                expected = latency(kind, between=between, channel=channel)
                assert took == expected, (name, kind, between, took, channel)
                await bench.wait(30)


@cocotb.test()
async def a_lane_carries_a_flit_per_cycle_shared_by_its_tiles(dut: Any) -> None:
    """One tile alone gets all of it, three that always ask a third each."""
    _, ways, _ = await started(dut)
    n = 60
    for kind in KINDS:
        tiles = ways["ecc", kind]
        requests, responses = tiles[-1]
        requests.send_all(request_of(kind, MINE[at % len(MINE)]) for at in range(n))
        await responses.receive(n)
        assert responses.cycles[-1] - responses.cycles[0] == n - 1
        for requests, _ in tiles:
            requests.send_all(request_of(kind, MINE[at % len(MINE)], 1) for at in range(n))
        for _, responses in tiles:
            await responses.receive(n)
        begin = min(responses.cycles[-n] for _, responses in tiles)
        ends = [responses.cycles[-1] for _, responses in tiles]
        # The lane is full until the first of them is done, but for the first flits of the far ones.
        assert max(ends) - begin <= N_TILES * n + N_TILES
        assert max(ends) - min(ends) <= 2 * N_TILES


@cocotb.test()
async def a_busy_lane_takes_what_the_formula_says(dut: Any) -> None:
    """Each tile keeps so many reads under way: it gets one in as many cycles as tiles share the
    lane, or as often as its own come back. Would break if the farthest were served less."""
    bench, ways, _ = await started(dut)
    tiles, n = ways["ecc", "read"], 120
    for under_way in (2, 4, 8, 16):
        before = [len(responses.cycles) for _, responses in tiles]
        for requests, responses in tiles:
            keep(requests, responses, under_way)
            requests.send_all(request_of("read", MINE[at % len(MINE)]) for at in range(n))
        for between, (_, responses) in enumerate(tiles):
            await responses.receive(n)
            back = responses.cycles[before[between] :]
            first, last = n // 4, n // 2  # while all of them ask
            interval = (back[last] - back[first]) / (last - first)
            alone = latency("read", between=between) + 1  # so long until the bench asks again
            expected = busy_interval(alone, under_way)
            assert 0 <= interval - expected <= 0.5, (under_way, between, interval, expected)
        await bench.wait(40)


def test_the_way_of_an_access() -> None:
    """Latency and rate of lanes and side together."""
    run_bench(Ways(), name="grid_ways", test_module=__name__)
