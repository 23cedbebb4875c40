# SPDX-License-Identifier: Apache-2.0
"""The whole way of a read, from taps over lanes to a side and back, as docs/grid.md has it."""

from typing import Any

import cocotb
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw.arch.interleave import Interleave
from hw.grid.side import GridSide
from hw.grid.tap import Tap
from hw.iface.memory import MemoryReadPort
from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop
from hw.net.sides import Side, hops, n_left, place_of_slice
from tb.common.memory import payload_shapes
from tb.common.runner import run_bench
from tb.common.stream import Bench, StreamSink, StreamSource
from tb.unit.grid.geometries import SRAM_BYTES, bench_geometry

GEOMETRIES = {"plain": bench_geometry(ecc=False), "ecc": bench_geometry(ecc=True)}
SIDE, LANE, TAG = Side.E, 1, 4
N_TILES, LINE = 3, 16
ORDER = hops(SIDE, rows=2, columns=3)
DEAL = Interleave(n_slices=8, line_bytes=LINE)
MINE = [a for a in range(0, SRAM_BYTES, LINE) if place_of_slice(DEAL.slice_of(a), DEAL)[0] is SIDE]


def latency(*, between: int, ecc: bool) -> int:
    """Cycles of a read when nothing else moves, `between` tiles lying between tile and side."""
    tap, lane, switch, crossbar, sram = 1, between + 1, 2, 1, 4 if ecc else 3
    return tap + lane + switch + crossbar + sram + switch + lane


class Ways(wiring.Component):
    """Twice, without and with ECC: side E and one lane of it, which passes three tiles."""

    def __init__(self) -> None:
        port = MemoryReadPort(link_bytes=LINE, tag_width=TAG)
        super().__init__({name: In(port).array(N_TILES) for name in GEOMETRIES})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, geometry in GEOMETRIES.items():
            m.submodules[f"{name}_side"] = side = GridSide(geometry=geometry, side=SIDE)
            number = geometry.sides.index(SIDE)
            up, down = side.read[LANE], side.line[LANE]
            for place in ORDER:
                tap = Tap(geometry=geometry, port=MemoryReadPort, tag_widths=(TAG,))
                merge = MergeHop(shape=geometry.shapes.read, most=geometry.n_positions)
                lane = LaneHop(shape=geometry.shapes.line)
                parts = {"tap": tap, "read": merge, "line": lane}
                for part, submodule in parts.items():
                    m.submodules[f"{name}_{part}{place}"] = submodule
                m.d.comb += [
                    tap.row.eq(1 << place),
                    lane.here.eq(1 << place),
                    merge.weight.eq(n_left(SIDE, place, rows=2, columns=3)),
                ]
                wiring.connect(m, wiring.flipped(getattr(self, name)[place]), tap.master0)
                wiring.connect(m, tap.request[number], merge.local)
                wiring.connect(m, lane.tap, tap.answer[number])
                wiring.connect(m, merge.o, up)
                wiring.connect(m, down, lane.i)
                up, down = merge.i, lane.o
            m.d.comb += down.ready.eq(1)
        return m


def agents_of(bench: Bench, name: str) -> list[tuple[StreamSource, StreamSink]]:
    """Requests and responses of each tile, nearest to the side first."""
    request, response = payload_shapes(MemoryReadPort(link_bytes=LINE, tag_width=TAG))
    return [
        (
            bench.source(f"{name}__{place}__request", request),
            bench.sink(f"{name}__{place}__response", response),
        )
        for place in ORDER
    ]


@cocotb.test()
async def a_read_takes_what_the_formula_says(dut: Any) -> None:
    """For each distance, with and without ECC, at any line of the side."""
    bench = Bench(dut)
    ways = {name: agents_of(bench, name) for name in GEOMETRIES}
    await bench.start()
    for name, tiles in ways.items():
        for between, (requests, responses) in enumerate(tiles):
            expected = latency(between=between, ecc=name == "ecc")
            for tag, address in enumerate((MINE[0], MINE[7], MINE[-1])):
                requests.send({"address": address, "tag": tag})
                answer = (await responses.receive(1))[0]
                assert (answer["tag"], answer["error"]) == (tag, 0)
                assert responses.cycles[-1] - requests.cycles[-1] == expected, (name, between)
                await bench.wait(30)


@cocotb.test()
async def a_lane_carries_a_line_per_cycle_shared_by_its_tiles(dut: Any) -> None:
    """One tile alone gets all of it, three that always ask a third each."""
    bench, n = Bench(dut), 60
    tiles = agents_of(bench, "ecc")
    await bench.start()
    requests, responses = tiles[-1]
    requests.send_all({"address": MINE[at % len(MINE)], "tag": 0} for at in range(n))
    await responses.receive(n)
    assert responses.cycles[-1] - responses.cycles[0] == n - 1
    for requests, _ in tiles:
        requests.send_all({"address": MINE[at % len(MINE)], "tag": 1} for at in range(n))
    for _, responses in tiles:
        await responses.receive(n)
    begin = min(responses.cycles[-n] for _, responses in tiles)
    ends = [responses.cycles[-1] for _, responses in tiles]
    # The lane is full until the first of them is done, but for the first flits of the far ones.
    assert max(ends) - begin <= N_TILES * n + N_TILES
    assert max(ends) - min(ends) <= 2 * N_TILES


def test_the_way_of_a_read() -> None:
    """Latency and rate of lanes and side together."""
    run_bench(Ways(), name="grid_ways", test_module=__name__)
