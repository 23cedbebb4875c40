# SPDX-License-Identifier: Apache-2.0
"""Cubic polynomials in fixed point that follow a curve over a small interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from hw.arch.functions.exact import CONTEXT, Curve

__all__ = ["COEFFICIENTS", "Coefficient", "Entry", "fit"]


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """Fixed-point format of one coefficient."""

    width: int
    fraction: int
    """Bits below the point."""
    signed: bool = True

    @property
    def limit(self) -> int:
        """Magnitudes are below this, in units of the last bit."""
        return 1 << (self.width - self.signed)


COEFFICIENTS = (
    Coefficient(width=30, fraction=29, signed=False),
    Coefficient(width=30, fraction=28),
    Coefficient(width=22, fraction=25),
    Coefficient(width=18, fraction=24),
)
"""Formats of c0, c1, c2, c3; the polynomial is c0 + t (c1 + t (c2 + t c3))."""

# Roots of the Chebyshev polynomials of degree 3 and 4: interpolation there is within some percent
# of the best polynomial for a curve as smooth as ours.
_NODES = {
    3: tuple(map(Decimal, ("-0.8660254037844386", "0", "0.8660254037844386"))),
    4: tuple(
        map(
            Decimal,
            (
                "-0.9238795325112868",
                "-0.3826834323650898",
                "0.3826834323650898",
                "0.9238795325112868",
            ),
        )
    ),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the table: curve(t) = (c0 + c1 t + c2 t^2 + c3 t^3) / 2^exponent."""

    coefficients: tuple[int, int, int, int]
    exponent: int


def fit(
    curve: Curve,
    low: Decimal,
    high: Decimal,
    *,
    zero: bool = False,
    exponent: int | None = None,
) -> Entry:
    """The row that follows `curve` for t from `low` to `high`.

    The exponent is the largest for which all coefficients fit, unless it is given. With
    `zero` c0 is 0 and the relative error is kept small, right to t = 0.
    """
    with localcontext(CONTEXT):
        middle, half = (low + high) / 2, (high - low) / 2
        nodes = [middle + half * node for node in _NODES[3 if zero else 4]]
        values = [curve(t) / t if zero else curve(t) for t in nodes]
        real = _interpolate(nodes, values)
        if zero:
            real = [Decimal(0), *real]
        exponent = _largest_exponent(real) if exponent is None else exponent
        scaled = [value * Decimal(2) ** exponent for value in real]
        rounded = _round(scaled, middle, half, first=int(zero))
        return Entry(coefficients=rounded, exponent=exponent)


def _interpolate(nodes: Sequence[Decimal], values: Sequence[Decimal]) -> list[Decimal]:
    """Coefficients of the polynomial through all points, lowest power first."""
    differences = list(values)
    for order in range(1, len(nodes)):
        for i in reversed(range(order, len(nodes))):
            rise = differences[i] - differences[i - 1]
            differences[i] = rise / (nodes[i] - nodes[i - order])
    result: list[Decimal] = []
    for node, difference in zip(reversed(nodes), reversed(differences), strict=True):
        # result * (t - node) + difference
        result = [Decimal(0), *result]
        for power in range(len(result) - 1):
            result[power] -= node * result[power + 1]
        result[0] += difference
    return result


def _largest_exponent(real: Sequence[Decimal]) -> int:
    """How far the coefficients can be shifted up; those of a row share one exponent."""
    exponent = 255
    for value, form in zip(real, COEFFICIENTS, strict=True):
        limit = Decimal(form.limit - 2) / (1 << form.fraction)
        while abs(value) * Decimal(2) ** exponent > limit:
            exponent -= 1
    return exponent


def _round(
    real: list[Decimal], middle: Decimal, half: Decimal, *, first: int
) -> tuple[int, int, int, int]:
    """Integers nearest to the coefficients, highest power first.

    What rounding takes from a power is given to the lower ones, down to power `first`, as the
    Chebyshev polynomial does it: over the interval t^2 is close to a line, t^3 to a parabola.
    """
    m, a2 = middle, half * half
    shares = (
        (m,),
        (a2 / 2 - m * m, 2 * m),
        (m**3 - 3 * a2 * m / 4, 3 * a2 / 4 - 3 * m * m, 3 * m),
    )
    integers = [0, 0, 0, 0]
    for power in (3, 2, 1, 0):
        form = COEFFICIENTS[power]
        integers[power] = int((real[power] * (1 << form.fraction)).to_integral_value())
        lost = real[power] - Decimal(integers[power]) / (1 << form.fraction)
        if power > first:
            for lower, share in enumerate(shares[power - first - 1]):
                real[lower + first] += lost * share
    c0, c1, c2, c3 = integers
    return c0, c1, c2, c3
