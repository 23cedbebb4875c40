# SPDX-License-Identifier: Apache-2.0
"""In which slice a line of memory lies, and where in that slice.

Matrices have pitches that are powers of two. Were the slice the low bits of a line's number, a
column of such a matrix would lie in one slice; so all bits above are folded into the slice's
number.
"""

import dataclasses

__all__ = ["N_SIDES", "Interleave"]

N_SIDES = 4
"""Sides of the grid, in the order W, E, N, S."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interleave:
    """How the lines of a region lie in its slices.

    The slice of an address is the exclusive or of all groups of `slice_bits` bits above those
    within a line, the uppermost group filled up with zeros. The line in its slice is the line's
    number in the region without its lowest `slice_bits` bits. Each pair of slice and line belongs
    to exactly one line of a region whose base is a multiple of its size.

    Slices are dealt to the sides in turn: slice 0 to W, 1 to E, 2 to N, 3 to S, 4 to W, ...

    Parameters
    ----------
    n_slices : slices of the region, a power of two.
    line_bytes : bytes of a line, a power of two.

    Raises: ValueError when one of them is no power of two.
    """

    n_slices: int
    line_bytes: int

    def __post_init__(self) -> None:
        for name in ("n_slices", "line_bytes"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"Interleave {name} must be a power of two, not {value!r}.")

    @property
    def slice_bits(self) -> int:
        """Bits of a slice's number."""
        return self.n_slices.bit_length() - 1

    @property
    def line_log2(self) -> int:
        """Bits of an address within a line."""
        return self.line_bytes.bit_length() - 1

    @property
    def n_sides(self) -> int:
        """Sides that have slices."""
        return min(N_SIDES, self.n_slices)

    def slice_of(self, address: int) -> int:
        """Number of the slice that holds a byte address."""
        folded, rest = 0, address >> self.line_log2
        while rest and self.slice_bits:
            folded ^= rest & (self.n_slices - 1)
            rest >>= self.slice_bits
        return folded

    def line_of(self, offset: int) -> int:
        """Number, in its slice, of the line that holds a byte offset of the region."""
        return offset >> self.line_log2 + self.slice_bits

    def offset_of(self, slice_number: int, line: int, *, base: int = 0) -> int:
        """Byte offset, in a region at `base`, of the first byte of a line of a slice."""
        above = line << self.line_log2 + self.slice_bits
        return above | (slice_number ^ self.slice_of(base + above)) << self.line_log2

    def place_of(self, slice_number: int) -> tuple[int, int]:
        """Number of a slice's side, and the slice's number within that side."""
        number, side = divmod(slice_number, self.n_sides)
        return side, number
