# SPDX-License-Identifier: Apache-2.0
"""Whole lanes: of `LaneHop` from a side to tiles, and of `MergeHop` from tiles to a side."""

import itertools
from collections import Counter
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.net.lane_hop import LaneHop
from hw.net.merge_hop import MergeHop
from hw.net.sides import Side, hops, n_left
from tb.common.runner import run_bench
from tb.common.seeds import bench_parameters, python_rng
from tb.common.stream import BACK_PRESSURE, Bench, StreamSink, StreamSource, check_equal

DOWN = {"west3": (Side.W, 3), "east4": (Side.E, 4)}
"""Lanes from a side, and their tiles."""
UP = {"north4": (Side.N, 4), "south8": (Side.S, 8)}
"""Lanes to a side."""
N_FLITS = 80
UP_BITS = 16  # position and number of a flit
CAPACITY = 2  # flits that one hop holds


def order_of(lane: str) -> tuple[int, ...]:
    """Positions of a lane, nearest to the side first."""
    side, n_tiles = (DOWN | UP)[lane]
    return hops(side, rows=n_tiles, columns=n_tiles)


def flit_of(lane: str) -> data.StructLayout:
    """What travels on a lane from a side: a mask that is not where a plain number has it."""
    return data.StructLayout({"number": 12, "mask": DOWN[lane][1], "rest": 3})


class Lanes(wiring.Component):
    """All lanes side by side, so that one build tests them all."""

    def __init__(self) -> None:
        members: dict[str, Any] = {}
        for lane, (_side, n_tiles) in DOWN.items():
            flits = stream.Signature(flit_of(lane))
            members |= {f"{lane}_i": In(flits), f"{lane}_taps": Out(flits).array(n_tiles)}
        for lane, (_side, n_tiles) in UP.items():
            flits = stream.Signature(UP_BITS)
            members |= {f"{lane}_locals": In(flits).array(n_tiles), f"{lane}_o": Out(flits)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for lane in DOWN:
            self._elaborate_down(m, lane)
        for lane in UP:
            self._elaborate_up(m, lane)
        return m

    def _elaborate_down(self, m: Module, lane: str) -> None:
        taps, before = getattr(self, f"{lane}_taps"), wiring.flipped(getattr(self, f"{lane}_i"))
        for position in order_of(lane):
            m.submodules[f"{lane}{position}"] = hop = LaneHop(shape=flit_of(lane))
            m.d.comb += hop.here.eq(1 << position)
            wiring.connect(m, before, hop.i)
            wiring.connect(m, hop.tap, wiring.flipped(taps[position]))
            before = hop.o
        m.d.comb += before.ready.eq(1)

    def _elaborate_up(self, m: Module, lane: str) -> None:
        side, n_tiles = UP[lane]
        inner, after = getattr(self, f"{lane}_locals"), wiring.flipped(getattr(self, f"{lane}_o"))
        for position in order_of(lane):
            hop = MergeHop(shape=UP_BITS, most=n_tiles - 1)
            m.submodules[f"{lane}{position}"] = hop
            weight = n_left(side, position, rows=n_tiles, columns=n_tiles)
            m.d.comb += hop.weight.eq(weight)
            wiring.connect(m, hop.o, after)
            wiring.connect(m, wiring.flipped(inner[position]), hop.local)
            after = hop.i


def down_agents(bench: Bench, lane: str, pauses: Any = None) -> tuple[StreamSource, Any]:
    """Source and taps of a lane from a side; the taps in order of position."""
    for_source, for_sink = pauses or BACK_PRESSURE["none"]
    shape = flit_of(lane)
    taps = [
        bench.sink(f"{lane}_taps__{at}", shape, pauses=for_sink()) for at in range(DOWN[lane][1])
    ]
    return bench.source(f"{lane}_i", shape, pauses=for_source()), taps


def up_agents(bench: Bench, lane: str, pauses: Any = None) -> tuple[Any, StreamSink]:
    """Tiles of a lane to a side, in order of position, and its end."""
    for_source, for_sink = pauses or BACK_PRESSURE["none"]
    tiles = [bench.source(f"{lane}_locals__{at}", pauses=for_source()) for at in range(UP[lane][1])]
    return tiles, bench.sink(f"{lane}_o", pauses=for_sink())


def expected_taps(lane: str, flits: list[dict[str, int]]) -> list[list[dict[str, int]]]:
    """What each position of a lane gets: every flit for it, once, the mask without those before."""
    order, found = order_of(lane), []
    for position in range(len(order)):
        left = sum(1 << at for at in order[order.index(position) :])
        found.append(
            [flit | {"mask": flit["mask"] & left} for flit in flits if flit["mask"] >> position & 1]
        )
    return found


@cocotb.test()
async def flits_reach_exactly_the_tiles_of_their_mask(dut: Any) -> None:
    """In order, once at each; a flit for nobody holds nothing up."""
    pauses = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    bench, rng = Bench(dut), python_rng("down")
    agents = {lane: down_agents(bench, lane, pauses) for lane in DOWN}
    await bench.start()
    for lane, (source, taps) in agents.items():
        n_tiles = DOWN[lane][1]
        masks = [
            rng.choice((rng.getrandbits(n_tiles), 1 << rng.randrange(n_tiles)))
            for _ in range(N_FLITS)
        ]
        flits = [
            {"number": rng.getrandbits(12), "mask": mask, "rest": rng.getrandbits(3)}
            for mask in masks
        ]
        source.send_all(flits)
        await source.drained()
        for position, expected in enumerate(expected_taps(lane, flits)):
            await taps[position].receive(len(expected))
            check_equal(taps[position].items, expected, f"{lane} {position} flit")
    await bench.wait(20)
    assert all(len(source.items) == N_FLITS for source, _ in agents.values())
    assert not any(tap.valid for _, taps in agents.values() for tap in taps)


@cocotb.test()
async def every_pair_of_subsets_arrives_once_at_each_member(dut: Any) -> None:
    """All 8 x 8 pairs of masks of three positions, one behind the other; taps pause."""
    bench, lane = Bench(dut), "west3"
    source, taps = down_agents(bench, lane, (BACK_PRESSURE["none"][0], BACK_PRESSURE["sink"][1]))
    await bench.start()
    masks = [mask for pair in itertools.product(range(8), repeat=2) for mask in pair]
    flits = [{"number": at, "mask": mask, "rest": 0} for at, mask in enumerate(masks)]
    source.send_all(flits)
    await source.drained()
    await bench.wait(60)
    for position, expected in enumerate(expected_taps(lane, flits)):
        check_equal(taps[position].items, expected, f"{position} flit")


@cocotb.test()
async def latency_is_one_and_rate_one_flit_per_cycle(dut: Any) -> None:
    """Down: the k-th tile has a flit k cycles after the lane took it, and one in every cycle."""
    bench, lane = Bench(dut), "east4"
    source, taps = down_agents(bench, lane)
    await bench.start()
    source.send_all({"number": at, "mask": 0xF, "rest": 0} for at in range(N_FLITS))
    for n_hops, position in enumerate(order_of(lane), start=1):
        await taps[position].receive(N_FLITS)
        late = n_hops * LaneHop.latency
        assert taps[position].cycles == [cycle + late for cycle in source.cycles]
    assert source.cycles[-1] - source.cycles[0] == N_FLITS - 1


@cocotb.test()
async def members_do_not_wait_for_one_another(dut: Any) -> None:
    """While one tile stalls, each other tile gets what there is room for beside it: those before
    it all but the last flit in their hop, those behind it one; then all get the rest."""
    bench, lane, stalled = Bench(dut), "east4", [-1]
    order = order_of(lane)
    source, taps = down_agents(bench, lane)
    for position, tap in enumerate(taps):
        tap._pauses = lambda rng, position=position: stalled[0] == position
    await bench.start()
    for index, slow in enumerate(order):
        stalled[0], before = slow, [len(tap.items) for tap in taps]
        await bench.wait(2)
        source.send_all({"number": at, "mask": 0xF, "rest": 0} for at in range(20))
        await bench.wait(30)
        found = [len(taps[at].items) - before[at] for at in order]
        ahead = [CAPACITY * n_hops + 1 for n_hops in range(index, 0, -1)]
        assert found == [*ahead, 0, *[1] * (len(order) - index - 1)], slow
        stalled[0] = -1
        for tap in taps:
            check_equal([flit["number"] for flit in await tap.receive(20)], range(20))


@cocotb.test()
async def merged_flits_keep_the_order_of_their_tile(dut: Any) -> None:
    """Nothing lost or doubled, whoever pauses."""
    pauses = BACK_PRESSURE[bench_parameters()["back_pressure"]]
    bench, rng = Bench(dut), python_rng("up")
    agents = {lane: up_agents(bench, lane, pauses) for lane in UP}
    numbers = [[rng.getrandbits(12) for _ in range(N_FLITS)] for _ in range(8)]
    await bench.start()
    for tiles, _end in agents.values():
        for position, tile in enumerate(tiles):
            tile.send_all(position << 12 | number for number in numbers[position])
    for lane, (tiles, end) in agents.items():
        found = await end.receive(len(tiles) * N_FLITS)
        for position in range(len(tiles)):
            mine = [flit & 0xFFF for flit in found if flit >> 12 == position]
            check_equal(mine, numbers[position], f"{lane} {position} flit")


@cocotb.test()
async def tiles_of_a_full_lane_share_it_equally(dut: Any) -> None:
    """Any n flits in a row at the end hold one of each tile; so any number of flits holds equally
    many of each within one."""
    pauses = BACK_PRESSURE[bench_parameters()["back_pressure"]][1]
    bench = Bench(dut)
    agents = {lane: up_agents(bench, lane, (BACK_PRESSURE["none"][0], pauses)) for lane in UP}
    await bench.start()
    for tiles, _end in agents.values():
        for position, tile in enumerate(tiles):
            tile.send_all([position] * 200)
    for lane, (tiles, end) in agents.items():
        n_tiles = len(tiles)
        # A hop chooses for good from when the flits of the far end have come to it, after at most
        # n cycles; what the lane holds and what it gave until then was chosen before.
        start = n_tiles + CAPACITY * n_tiles
        found = (await end.receive(100 * n_tiles))[start:]
        for at in range(len(found) - n_tiles + 1):
            assert sorted(found[at : at + n_tiles]) == [*range(n_tiles)], f"{lane} {at}"
        counts = Counter(found[: 10 * n_tiles + 3]).values()
        assert max(counts) - min(counts) <= 1
    if bench_parameters()["back_pressure"] == "none":
        for _tiles, end in agents.values():
            assert end.cycles[-1] - end.cycles[0] == len(end.cycles) - 1, "the end pauses"


@cocotb.test()
async def lone_tile_has_the_lane_for_itself(dut: Any) -> None:
    """One flit per cycle from whichever tile, one cycle for each hop."""
    bench, lane = Bench(dut), "south8"
    tiles, end = up_agents(bench, lane)
    await bench.start()
    for n_hops, position in enumerate(order_of(lane), start=1):
        tiles[position].send_all(range(20))
        check_equal(await end.receive(20), range(20))
        late = n_hops * MergeHop.latency
        assert end.cycles[-20:] == [cycle + late for cycle in tiles[position].cycles]
        assert end.cycles[-1] - end.cycles[-20] == 19


@cocotb.test()
async def reset_in_the_middle_drops_what_is_held(dut: Any) -> None:
    """After a reset of full lanes, with flits that one taker has had, only new flits come."""
    bench, stalled = Bench(dut), [True]

    def stops(rng: Any) -> bool:
        return stalled[0]

    down = {lane: down_agents(bench, lane) for lane in DOWN}
    up = {lane: up_agents(bench, lane) for lane in UP}
    for index, (lane, (_source, taps)) in enumerate(down.items()):
        taps[order_of(lane)[index]]._pauses = stops
    for _tiles, end in up.values():
        end._pauses = stops
    await bench.start()
    for lane, (source, _taps) in down.items():
        source.send_all({"number": 99, "mask": 2 ** DOWN[lane][1] - 1, "rest": 0} for _ in range(9))
    for tile in (tile for tiles, _ in up.values() for tile in tiles):
        tile.send_all([999] * 9)
    await bench.wait(20)
    await bench.reset()
    stalled[0] = False
    for lane, (source, taps) in down.items():
        flits = [{"number": at, "mask": 2 ** DOWN[lane][1] - 1, "rest": 0} for at in range(9)]
        source.send_all(flits)
        for position, expected in enumerate(expected_taps(lane, flits)):
            check_equal(await taps[position].receive(9), expected, f"{lane} {position} flit")
    for lane, (tiles, end) in up.items():
        for position, tile in enumerate(tiles):
            tile.send(position)
        check_equal(sorted(await end.receive(len(tiles))), range(len(tiles)), f"{lane} flit")


RANDOM_TESTS = (
    "flits_reach_exactly_the_tiles_of_their_mask",
    "merged_flits_keep_the_order_of_their_tile",
    "tiles_of_a_full_lane_share_it_equally",
)


@pytest.mark.parametrize("back_pressure", BACK_PRESSURE)
def test_lanes(back_pressure: str) -> None:
    """All lanes under one kind of pauses."""
    run_bench(
        Lanes(),
        name="net_lanes",
        test_module=__name__,
        parameters={"back_pressure": back_pressure},
        testcase=None if back_pressure == "none" else ",".join(RANDOM_TESTS),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LaneHop(shape=data.StructLayout({"number": 4})),
            "LaneHop needs flits with a field 'mask', which says who is meant.",
        ),
        (
            lambda: MergeHop(shape=4, most=0),
            "MergeHop most must be at least 1 tile, not 0.",
        ),
    ],
)
def test_bad_parameters_are_refused(make: Any, message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
