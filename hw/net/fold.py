# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of `hw.arch.interleave` on signals."""

from functools import reduce
from operator import xor

from amaranth.hdl import Const, Value

from hw.arch.interleave import Interleave

__all__ = ["line_number", "slice_number", "slice_place"]


def slice_number(address: Value, interleave: Interleave) -> Value:
    """`Interleave.slice_of`; as wide as a slice's number, 0 bits where there is one slice only."""
    width = interleave.slice_bits
    if not width:
        return Const(0, 0)
    lines = address[interleave.line_log2 :]
    groups = [lines[low : low + width] for low in range(0, len(lines), width)]
    return reduce(xor, groups)[:width]


def line_number(offset: Value, interleave: Interleave) -> Value:
    """`Interleave.line_of`: the line in its slice."""
    return offset[interleave.line_log2 + interleave.slice_bits :]


def slice_place(number: Value, interleave: Interleave) -> tuple[Value, Value]:
    """`Interleave.place_of`: the side, and the slice's number there."""
    side_bits = interleave.n_sides.bit_length() - 1
    return number[:side_bits], number[side_bits:]
