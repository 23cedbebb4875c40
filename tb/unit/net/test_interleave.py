# SPDX-License-Identifier: Apache-2.0
"""Which slice and which side a line is at: in Python, against its bits, and in hardware."""

from typing import Any

import pytest
from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.arch.address_map import ADDRESS_BITS, DRAM
from hw.arch.interleave import Interleave
from hw.net.flits import LaneShapes
from hw.net.fold import line_number, slice_number, slice_place
from hw.net.sides import (
    Side,
    hops,
    is_of_rows,
    lane_of,
    n_lanes,
    n_left,
    place_of_slice,
    position_of,
)
from tb.common.payload import width_of
from tb.common.seeds import python_rng

SHAPES = [(1, 64), (2, 16), (4, 64), (8, 64), (16, 128), (32, 32)]
"""Slices and bytes of a line."""


def parity_of_every(address: int, first: int, step: int) -> int:
    """Exclusive or of the bits `first`, `first + step`, ... of an address."""
    return sum(address >> bit & 1 for bit in range(first, ADDRESS_BITS, step)) & 1


@pytest.mark.parametrize(("n_slices", "line_bytes"), SHAPES)
def test_each_bit_of_the_slice_is_a_parity(n_slices: int, line_bytes: int) -> None:
    """Second source: bit b is the parity of every `slice_bits`-th bit of the line's number."""
    how, rng = Interleave(n_slices=n_slices, line_bytes=line_bytes), python_rng("interleave")
    for _ in range(500):
        address = rng.getrandbits(ADDRESS_BITS)
        bits = [
            parity_of_every(address, how.line_log2 + bit, how.slice_bits)
            for bit in range(how.slice_bits)
        ]
        assert how.slice_of(address) == sum(bit << at for at, bit in enumerate(bits))


@pytest.mark.parametrize(("n_slices", "line_bytes"), SHAPES)
@pytest.mark.parametrize("base", [0, DRAM.base])
def test_slice_and_line_name_each_line_once(n_slices: int, line_bytes: int, base: int) -> None:
    """Two lines in one place would overwrite each other; a place without a line would be lost."""
    how, n_lines = Interleave(n_slices=n_slices, line_bytes=line_bytes), 1 << 11
    places = {}
    for offset in range(0, n_lines * line_bytes, line_bytes):
        place = how.slice_of(base + offset), how.line_of(offset + line_bytes - 1)
        places[place] = offset
        assert how.offset_of(*place, base=base) == offset
    lines = range(n_lines // n_slices)
    assert set(places) == {(which, line) for which in range(n_slices) for line in lines}


@pytest.mark.parametrize("n_slices", [4, 8, 16])
def test_columns_of_matrices_spread_over_all_slices(n_slices: int) -> None:
    """With any pitch that is a power of two, n rows of a matrix begin in n different slices."""
    how = Interleave(n_slices=n_slices, line_bytes=64)
    for pitch_log2 in range(6, 20):
        found = {how.slice_of(row << pitch_log2) for row in range(n_slices)}
        assert len(found) == n_slices, pitch_log2


def test_slices_are_dealt_to_the_sides_in_turn() -> None:
    """As many at each side as there are sides that have any."""
    for n_slices, sides in ((1, "W"), (2, "WE"), (4, "WENS"), (8, "WENSWENS")):
        how = Interleave(n_slices=n_slices, line_bytes=64)
        places = [place_of_slice(number, how) for number in range(n_slices)]
        assert "".join(side.name for side, _ in places) == sides
        assert [number for _, number in places] == [at // 4 for at in range(n_slices)]


class Folder(wiring.Component):
    """Everything that hardware computes of an address."""

    def __init__(self, how: Interleave) -> None:
        self.how = how
        super().__init__(
            {"address": In(ADDRESS_BITS)}
            | {name: Out(ADDRESS_BITS) for name in ("slice", "line", "side", "number")}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        number = slice_number(self.address, self.how)
        values = (number, line_number(self.address, self.how), *slice_place(number, self.how))
        for name, value in zip(("slice", "line", "side", "number"), values, strict=True):
            m.d.comb += getattr(self, name).eq(value)
        return m


@pytest.mark.parametrize(("n_slices", "line_bytes"), SHAPES)
def test_hardware_folds_as_python_does(n_slices: int, line_bytes: int) -> None:
    """Software that places data, and hardware that finds it, must agree."""
    how = Interleave(n_slices=n_slices, line_bytes=line_bytes)
    dut, rng = Folder(how), python_rng("folder")

    async def testbench(ctx: Any) -> None:
        for _ in range(150):
            address = rng.getrandbits(ADDRESS_BITS)
            ctx.set(dut.address, address)
            await ctx.delay(1e-9)
            assert ctx.get(dut.slice) == how.slice_of(address)
            assert ctx.get(dut.line) == how.line_of(address)
            place = how.place_of(how.slice_of(address))
            assert (ctx.get(dut.side), ctx.get(dut.number)) == place

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()
    assert len(Value.cast(slice_number(dut.address, how))) == how.slice_bits


@pytest.mark.parametrize("side", Side)
def test_lanes_pass_every_tile_once_nearest_first(side: Side) -> None:
    """A tile that no lane of a side passes could not reach the slices there."""
    grid = {"rows": 3, "columns": 5}
    order = hops(side, **grid)
    passed = {(lane, position) for lane in range(n_lanes(side, **grid)) for position in order}
    tiles = [(row, column) for row in range(3) for column in range(5)]
    assert passed == {
        (lane_of(side, row=row, column=column), position_of(side, row=row, column=column))
        for row, column in tiles
    }
    assert len(passed) == len(tiles)
    assert is_of_rows(side) == (len(order) == 5)
    assert order[0] == {Side.W: 0, Side.E: 4, Side.N: 0, Side.S: 2}[side]
    assert [n_left(side, at, **grid) for at in order] == [*reversed(range(len(order)))]


def test_wide_fields_of_flits_start_at_words() -> None:
    """Data across 32-bit words would be shifted in every cycle of a simulation."""
    shapes = LaneShapes(link_bytes=64, n_positions=8, read_tag_width=6, write_tag_width=5)
    assert shapes.line["data"].offset == shapes.write["data"].offset == 0
    assert shapes.write["strobe"].offset == 512
    assert width_of(shapes.read) == 40 + 6 + 8 + 1 + 2
    assert width_of(shapes.ack) == 5 + 8 + 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Interleave(n_slices=3, line_bytes=64),
            "Interleave n_slices must be a power of two, not 3.",
        ),
        (
            lambda: Interleave(n_slices=4, line_bytes=0),
            "Interleave line_bytes must be a power of two, not 0.",
        ),
        (
            lambda: LaneShapes(link_bytes=48, n_positions=2, read_tag_width=4, write_tag_width=4),
            "LaneShapes link_bytes must be a power of two, not 48.",
        ),
        (
            lambda: LaneShapes(link_bytes=64, n_positions=0, read_tag_width=4, write_tag_width=4),
            "LaneShapes n_positions must be at least 1, not 0.",
        ),
        (
            lambda: LaneShapes(link_bytes=64, n_positions=2, read_tag_width=0, write_tag_width=4),
            "LaneShapes read_tag_width must be at least 1, not 0.",
        ),
        (
            lambda: LaneShapes(link_bytes=64, n_positions=2, read_tag_width=4, write_tag_width=0),
            "LaneShapes write_tag_width must be at least 1, not 0.",
        ),
    ],
)
def test_bad_parameters_are_refused(make: Any, message: str) -> None:
    """Each with its own sentence."""
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
