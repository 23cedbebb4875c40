# SPDX-License-Identifier: Apache-2.0
"""The one table behind all functions: its regions, and the rows of each.

A function's argument is brought into a **region**, where a number `position` from 0 to 1 says how
far in. A region is cut into 2^segments_log2 equal segments; each has a row of the table with a
cubic polynomial in t, the distance from the middle of the segment, from -1/2 to 1/2.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache, partial

from hw.arch.functions.exact import (
    CONTEXT,
    LN_2,
    Curve,
    lower_tail,
    sigmoid,
    tanh,
    upper_tail,
)
from hw.arch.functions.fit import Entry, fit

__all__ = ["BASES", "DEPTH", "REGIONS", "Region", "RegionSpec", "octave", "table"]


class Region(enum.IntEnum):
    """Where a position lies. The octaves of one curve, [0, 1), [1, 2), [2, 4), [4, 8) and
    [8, 16), follow each other."""

    EXP = 0
    LOG_NEAR = 1
    """Arguments from 3/4 to 3/2, by their significand m in [1, 2)."""
    LOG_ABOVE = 2
    """Arguments of at least 3/2: what ln m adds to the exponent's part."""
    LOG_BELOW = 3
    """Arguments below 3/4: what ln(2 / m) adds to minus the logarithm."""
    RECIPROCAL = 4
    RSQRT_EVEN = 5
    RSQRT_ODD = 6
    TANH = 7
    SIGMOID_POSITIVE = 12
    SIGMOID_NEGATIVE = 17
    PHI_POSITIVE = 22
    PHI_NEGATIVE = 26


@dataclass(frozen=True, kw_only=True)
class RegionSpec:
    """How one region is tabulated."""

    curve: Curve
    """The tabulated number, by position."""
    segments_log2: int
    has_zeros: bool = False
    """Whether the curve is 0 at both ends and has to be followed there with relative accuracy."""
    exponent: int | None = None
    """Exponent of all rows, or None where each row has the one that suits it."""

    @property
    def n_segments(self) -> int:
        """Rows of the region."""
        return 1 << self.segments_log2


def octave(number: int) -> tuple[int, int]:
    """Lowest argument and width of an octave."""
    return (1 << number - 1, 1 << number - 1) if number else (0, 1)


def _on_octave(curve: Curve, number: int, position: Decimal) -> Decimal:
    low, width = octave(number)
    return curve(low + width * position)


def _octaves(first: Region, curve: Curve, segments_log2: tuple[int, ...]) -> dict[int, RegionSpec]:
    return {
        first + number: RegionSpec(
            curve=partial(_on_octave, curve, number),
            segments_log2=log2,
        )
        for number, log2 in enumerate(segments_log2)
    }


def _log_near(position: Decimal) -> Decimal:
    """|ln x| for x = m below 3/2 and x = m / 2 from 3/4 on."""
    m = 1 + position
    return m.ln() if position < Decimal("0.5") else -(m / 2).ln()


REGIONS: Mapping[int, RegionSpec] = {
    Region.EXP: RegionSpec(curve=lambda u: (u * LN_2).exp(), segments_log2=5),
    Region.LOG_NEAR: RegionSpec(curve=_log_near, segments_log2=6, has_zeros=True),
    Region.LOG_ABOVE: RegionSpec(curve=lambda u: (1 + u).ln(), segments_log2=5, exponent=0),
    Region.LOG_BELOW: RegionSpec(curve=lambda u: LN_2 - (1 + u).ln(), segments_log2=5, exponent=0),
    Region.RECIPROCAL: RegionSpec(curve=lambda u: 1 / (1 + u), segments_log2=5),
    Region.RSQRT_EVEN: RegionSpec(curve=lambda u: 1 / (1 + u).sqrt(), segments_log2=5),
    Region.RSQRT_ODD: RegionSpec(curve=lambda u: 1 / (2 + 2 * u).sqrt(), segments_log2=5),
    **_octaves(Region.TANH, tanh, (5, 4, 4, 4, 2)),
    Region.TANH: RegionSpec(
        curve=lambda u: tanh(u) / u,
        segments_log2=5,
    ),
    **_octaves(Region.SIGMOID_POSITIVE, sigmoid, (4, 4, 4, 4, 4)),
    **_octaves(Region.SIGMOID_NEGATIVE, lambda x: sigmoid(-x), (4, 4, 5, 6, 7)),
    **_octaves(Region.PHI_POSITIVE, lower_tail, (4, 4, 5, 4)),
    **_octaves(Region.PHI_NEGATIVE, upper_tail, (5, 5, 6, 7)),
}
"""All regions, by `Region` plus the number of the octave."""


def _place(regions: Mapping[int, RegionSpec]) -> dict[int, int]:
    """First row of each region: the large ones first, so that a segment's number needs no adder."""
    bases: dict[int, int] = {}
    row = 0
    for region in sorted(regions, key=lambda number: -regions[number].segments_log2):
        bases[region] = row
        row += regions[region].n_segments
    return bases


BASES: Mapping[int, int] = _place(REGIONS)
"""First row of each region, a multiple of its number of segments."""

DEPTH = 1 << (sum(spec.n_segments for spec in REGIONS.values()) - 1).bit_length()
"""Rows of the table; the last ones are not used."""


def _segment(spec: RegionSpec, number: int) -> Entry:
    """Row of one segment."""
    half = Decimal("0.5")
    last = spec.n_segments - 1
    if spec.has_zeros and number in (0, last):
        # t = 0 is where the curve is zero, and the segment is half as long.
        end = 0 if number == 0 else spec.n_segments
        low, high = (Decimal(0), half) if number == 0 else (-half, Decimal(0))
        return fit(lambda t: spec.curve((end + 2 * t) / spec.n_segments), low, high, zero=True)
    return fit(
        lambda t: spec.curve((number + half + t) / spec.n_segments),
        -half,
        half,
        exponent=spec.exponent,
    )


@lru_cache(maxsize=1)
def table() -> tuple[Entry, ...]:
    """All rows; unused ones are zero."""
    rows = [Entry(coefficients=(0, 0, 0, 0), exponent=0)] * DEPTH
    with localcontext(CONTEXT):
        for region, spec in REGIONS.items():
            for number in range(spec.n_segments):
                rows[BASES[region] + number] = _segment(spec, number)
    return tuple(rows)
