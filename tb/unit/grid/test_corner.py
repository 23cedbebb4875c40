# SPDX-License-Identifier: Apache-2.0
"""Two sides with the corner between them: what a shared read through it takes."""

from typing import Any

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.grid.side import GridSide
from hw.net.flits import Answer
from hw.net.sides import Side, corner_of, place_of_slice
from tb.common.runner import run_bench
from tb.common.stream import Bench
from tb.unit.grid.geometries import SRAM_BYTES, bench_geometry
from tb.unit.grid.test_side import LATENCY, LINE, SHAPES, SRAM_DEAL, Signs, shared_flit

GEOMETRY, LANE, MEMBERS = bench_geometry(ecc=False), 1, 0b11
JOINED = (Side.W, Side.N)
SHARED = LATENCY - 1 + 2
"""Cycles of a shared read at a side of its own: without ECC, and 2 in the collector."""
CORNER = 3
"""Cycles more, each way: the corner's register and the other side's switch."""


class Sides(wiring.Component):
    """Two sides of a grid joined at their corner, a lane of each led out as `w_read` ..."""

    def __init__(self) -> None:
        self._sides = {side: GridSide(geometry=GEOMETRY, side=side) for side in JOINED}
        lane = {
            "read": In(stream.Signature(SHAPES.read)),
            "line": Out(stream.Signature(SHAPES.line)),
            "signs": In(SHAPES.signs),
        }
        super().__init__(
            {
                f"{side.name.lower()}_{name}": port
                for side in self._sides
                for name, port in lane.items()
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for side, part in self._sides.items():
            name = side.name.lower()
            m.submodules[name] = part
            for port in ("read", "line"):
                outer = getattr(self, f"{name}_{port}")
                wiring.connect(m, getattr(part, port)[LANE], wiring.flipped(outer))
            m.d.comb += part.signs[LANE].eq(getattr(self, f"{name}_signs"))
            beyond = self._sides[corner_of(side)]
            for way in range(GEOMETRY.n_corners):
                wiring.connect(m, part.corner_read_o[way], beyond.corner_read_i[way])
                wiring.connect(m, part.corner_line_o[way], beyond.corner_line_i[way])
        return m


@cocotb.test()
async def a_corner_takes_three_cycles_each_way(dut: Any) -> None:
    """From either side to its own memories and to those beyond its corner."""
    bench, lanes = Bench(dut), {}
    for side in JOINED:
        name = side.name.lower()
        reads = bench.source(f"{name}_read", SHAPES.read)
        lines = bench.sink(f"{name}_line", SHAPES.line)
        lanes[side] = reads, lines, Signs(bench, f"{name}_signs")
    await bench.start()
    of_side: dict[Side, list[int]] = {side: [] for side in Side}
    for address in range(0, SRAM_BYTES, LINE):
        of_side[place_of_slice(SRAM_DEAL.slice_of(address), SRAM_DEAL)[0]].append(address)
    for side, (reads, lines, signs) in lanes.items():
        for memory, more in ((side, 0), (corner_of(side), 2 * CORNER)):
            for tag, address in enumerate((of_side[memory][0], of_side[memory][-1])):
                reads.send(shared_flit(address, tag, 0, MEMBERS))
                for position in range(2):
                    signs.note(position, address, tag)
                line = (await lines.receive(1))[0]
                assert (line["answer"], line["tag"], line["mask"]) == (Answer.OK, tag, MEMBERS)
                took = lines.cycles[-1] - reads.cycles[-1]
                assert took == SHARED + more, (side, memory, took)
                await bench.wait(20)


def test_a_corner_joins_two_sides() -> None:
    """W and N; E and S are built alike."""
    run_bench(Sides(), name="grid_corner", test_module=__name__)
