# SPDX-License-Identifier: Apache-2.0
"""Traffic counters: what they count, what a snapshot keeps, what the tables of names promise."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.arch.cache import CACHE_EVENTS
from hw.arch.csr import PAGE_BITS
from hw.arch.traffic import (
    ELEMENT_TRAFFIC,
    HOST_EVENTS,
    LANE_KINDS,
    MEMORY_EVENTS,
    ROW_LANES,
    SIDE_NAMES,
    SIDE_PAGE_BITS,
    SIDE_TRAFFIC_MOST,
    TRAFFIC_BASE,
    element_traffic_offset,
    side_shapes,
)
from hw.config import PRESETS
from hw.grid.geometry import GridGeometry
from hw.grid.traffic import TrafficCounters
from hw.net.sides import Side
from tb.common.seeds import python_rng


@pytest.mark.parametrize("n", [1, 2, 5, 18])
def test_a_snapshot_is_of_one_moment(n: int) -> None:
    """Random events, snapshots and restarts against sums; would break if a counter took another's
    events, or one that goes on were shown."""
    dut, rng = TrafficCounters(names=[f"c{i}" for i in range(n)]), python_rng(f"traffic {n}")
    counts, frozen, n_frozen, most = [0] * n, [0] * n, 0, 0

    async def bench(context: Any) -> None:
        nonlocal counts, frozen, n_frozen, most
        for _ in range(400):
            events = rng.getrandbits(n)
            freeze, clear = rng.random() < 0.1, rng.random() < 0.02
            context.set(dut.events, events)
            context.set(dut.port.freeze, freeze)
            context.set(dut.port.clear, clear)
            await context.tick()
            if freeze:
                frozen, n_frozen, most = counts, n_frozen + 1, max(most, *counts, 0)
            counts = [0 if clear else c + (events >> i & 1) for i, c in enumerate(counts)]
            if rng.random() < 0.2:
                await look(context, rng.randrange(n + 2))
        assert n_frozen > 20 and most > 5

    async def look(context: Any, index: int) -> None:
        for pin in (dut.port.freeze, dut.port.clear, dut.events):
            context.set(pin, 0)
        context.set(dut.port.index, index)
        for _ in range(TrafficCounters.latency):
            await context.tick()
        assert context.get(dut.port.value) == (frozen[index] if index < n else 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("n", [0, SIDE_TRAFFIC_MOST + 1])
def test_a_page_has_room_for_so_many(n: int) -> None:
    """More could not be read."""
    with pytest.raises(ValueError) as error:
        TrafficCounters(names=["c"] * n)
    assert str(error.value) == f"TrafficCounters names must be 1 to {SIDE_TRAFFIC_MOST}, not {n}."


@pytest.mark.parametrize("name", [name for name, m in PRESETS.items() if m.n_pes > 1])
def test_shapes_of_sides_are_those_of_the_hardware(name: str) -> None:
    """The host's table and the hardware's geometry are written apart."""
    member = PRESETS[name]
    geometry = GridGeometry(member)
    has_cache = member.sram.cache_ways > 0
    shapes = side_shapes(
        rows=member.rows,
        columns=member.cols,
        n_slices=member.sram.slices,
        has_cache=has_cache,
    )
    assert [shape.name for shape in shapes] == [side.name for side in geometry.sides]
    for shape, side in zip(shapes, geometry.sides, strict=True):
        assert (shape.number, shape.name) == (side, side.name)
        unused = member.spare_rows if side in (Side.W, Side.E) else 0
        assert shape.n_lanes == geometry.n_lanes(side) - unused == geometry.side_shape(side).n_lanes
        assert shape.n_nodes == len(geometry.nodes(side))
        assert len(shape.counters) == len(set(shape.counters)) <= SIDE_TRAFFIC_MOST
        n_events = len(MEMORY_EVENTS) + has_cache * len(CACHE_EVENTS)
        n_lane_counters = len(LANE_KINDS) * shape.n_lanes
        n_lanes = len(ROW_LANES) * member.rows + 3  # the host has three
        ends = n_lanes + len(HOST_EVENTS) if side is Side.W else 0
        assert len(shape.chip_counters) == ends
        assert shape.n_corners == geometry.n_corners
        n_others = n_events * shape.n_nodes + 2 * geometry.n_corners
        assert len(shape.counters) == n_lane_counters + n_others + ends
        assert shape.base + 4 * SIDE_TRAFFIC_MOST <= 1 << PAGE_BITS
    assert [side.name for side in Side] == list(SIDE_NAMES)
    assert len({shape.base >> SIDE_PAGE_BITS for shape in shapes}) == len(shapes)


def test_offsets_of_an_element_follow_each_other() -> None:
    """One definition: names, and where they are."""
    offsets = [element_traffic_offset(counter.name) for counter in ELEMENT_TRAFFIC]
    assert offsets == list(range(TRAFFIC_BASE, TRAFFIC_BASE + 4 * len(ELEMENT_TRAFFIC), 4))
    with pytest.raises(KeyError, match="no traffic counter 'read.x'"):
        element_traffic_offset("read.x")
