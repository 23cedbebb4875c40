# SPDX-License-Identifier: Apache-2.0
"""The stage of the wires of notes: every position's sign goes on, the tile's own in its place."""

import pytest
from amaranth.sim import Simulator

from hw.net.flits import LaneShapes
from hw.net.sign_hop import SignHop
from tb.common.payload import random_bits, unpack
from tb.common.seeds import python_rng

SHAPES = LaneShapes(link_bytes=16, n_positions=3, read_tag_width=4, write_tag_width=4)


@pytest.mark.parametrize("here", range(3))
def test_signs_go_on_after_a_cycle(here: int) -> None:
    """Would break if a tile spoke for another one, or a sign waited or was lost."""
    hop, rng = SignHop(shapes=SHAPES), python_rng("signs")
    width = SHAPES.note.size
    seen = []

    async def bench(ctx: object) -> None:
        ctx.set(hop.here, 1 << here)  # type: ignore[attr-defined]
        for _ in range(200):
            signs = random_bits(rng, SHAPES.signs)
            own = rng.getrandbits(width + 2)
            ctx.set(hop.i.as_value(), signs)  # type: ignore[attr-defined]
            ctx.set(hop.note.as_value(), own & (1 << width) - 1)  # type: ignore[attr-defined]
            ctx.set(hop.noted, own >> width & 1)  # type: ignore[attr-defined]
            ctx.set(hop.failed, own >> width + 1)  # type: ignore[attr-defined]
            await ctx.tick()  # type: ignore[attr-defined]
            size = width + 2
            expected = signs & ~((1 << size) - 1 << size * here) | own << size * here
            found = ctx.get(hop.o.as_value())  # type: ignore[attr-defined]
            seen.append((unpack(SHAPES.signs, found), unpack(SHAPES.signs, expected)))

    simulator = Simulator(hop)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(seen) == 200 and all(found == expected for found, expected in seen)
