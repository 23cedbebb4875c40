# SPDX-License-Identifier: Apache-2.0
"""Sizes that all parts of the SIMD engine share."""

from dataclasses import dataclass

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from hw.config.element import SeConfig
from hw.iface.pe import LsReadPort, LsWritePort
from hw.lib.word_writer import place_layout

__all__ = ["Sizes", "inside_of", "place_of"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What follows from the member's configuration.

    Parameters
    ----------
    config : lanes and buffers.
    columns : values of a row of the reduction engine.
    address_width : bits of a word address in local memory.
    word_bytes : bytes of a word.

    Raises: ValueError when a beat is not one or two words, or a row of results does not divide.
    """

    config: SeConfig
    columns: int
    address_width: int
    word_bytes: int

    def __post_init__(self) -> None:
        self.config.validate()
        lanes, drain_lanes = self.config.fp_lanes, self.config.drain_lanes
        if lanes not in (self.word_bytes // 4, self.word_bytes // 2):
            raise ValueError(
                f"fp_lanes is {lanes}; it must be {self.word_bytes // 4} or"
                f" {self.word_bytes // 2}, so that a beat of FP32 is one or two words."
            )
        ways = [self.word_bytes // 4 << shift for shift in range(4)]
        if drain_lanes not in ways:
            raise ValueError(
                f"drain_lanes is {drain_lanes}; it must be {ways[0]}, {ways[1]}, {ways[2]} or"
                f" {ways[3]}, so that whole words come out."
            )
        if self.columns < max(drain_lanes, self.word_bytes) or self.columns & (self.columns - 1):
            raise ValueError(
                f"columns is {self.columns}; it must be a power of two, at least drain_lanes"
                f" ({drain_lanes}) and word_bytes ({self.word_bytes})."
            )

    @property
    def with_fp(self) -> bool:
        """There are FP32 lanes."""
        return self.config.with_fp

    @property
    def lanes(self) -> int:
        """FP32 lanes, hence elements of a beat of a or b; without any, HELD values of a word."""
        return self.config.fp_lanes if self.with_fp else self.word_bytes // 4

    @property
    def integer_lanes(self) -> int:
        """Values that leave in a cycle as INT32: two words at most."""
        return min(self.word_bytes // 2, self.config.drain_lanes)

    @property
    def held_lanes(self) -> int:
        """HELD values that are read at once."""
        return max(self.config.drain_lanes, self.lanes)

    @property
    def drain_bytes(self) -> int:
        """Bytes that the integer drain path gives at once, of 8-bit elements: whole words."""
        return max(self.config.drain_lanes, self.word_bytes)

    @property
    def read_words(self) -> int:
        """Words of a beat that is read, at most."""
        return 2 if self.with_fp else 1

    @property
    def write_words(self) -> int:
        """Words that are written at once, at most."""
        drained = max(4 * self.integer_lanes, self.drain_bytes) // self.word_bytes
        return 2 if self.with_fp else drained

    @property
    def unit_bytes(self) -> int:
        """Unit of addresses: the smallest beat, at most an FP32 value; words without FP32 lanes."""
        return min(4, self.lanes) if self.with_fp else self.word_bytes

    @property
    def unit_shift(self) -> int:
        """log2 of units in a word."""
        return (self.word_bytes // self.unit_bytes).bit_length() - 1

    @property
    def value_shift(self) -> int:
        """log2 of units in an FP32 value."""
        return (4 // self.unit_bytes).bit_length() - 1

    @property
    def unit_address_width(self) -> int:
        """Bits of an address in units."""
        return self.address_width + self.unit_shift

    @property
    def stride_width(self) -> int:
        """Bits of strides in units."""
        return 16 + self.unit_shift

    @property
    def read_port(self) -> LsReadPort:
        """A read slot of local memory."""
        return LsReadPort(address_width=self.address_width, word_bytes=self.word_bytes)

    @property
    def write_port(self) -> LsWritePort:
        """A write slot of local memory."""
        return LsWritePort(address_width=self.address_width, word_bytes=self.word_bytes)


def place_of(m: Module, sizes: Sizes, address: data.View) -> data.View:
    """The word in which an address (in units) of the address generator lies."""
    place = Signal(place_layout(sizes.address_width))
    m.d.comb += [
        place.address.eq(address.address >> sizes.unit_shift),
        *(
            getattr(place, name).eq(getattr(address, name))
            for name in ("outside", "base", "depth", "cb", "step_end", "advance")
        ),
    ]
    return place


def inside_of(sizes: Sizes, address: data.View) -> Value:
    """Units from the start of the word to an address."""
    return address.address[: sizes.unit_shift]
