# SPDX-License-Identifier: Apache-2.0
"""The functions behind the tables, to 30 digits.

Decimal arithmetic only, in a context of its own: no digit depends on the machine, its C library or
the caller's settings.
"""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal

__all__ = ["CONTEXT", "LOG2_E", "LN_2", "Curve", "lower_tail", "sigmoid", "tanh", "upper_tail"]

Curve = Callable[[Decimal], Decimal]
"""A function of one real number."""

CONTEXT = Context(prec=32, rounding=ROUND_HALF_EVEN)
"""Every calculation of this package runs in it."""

LN_2 = CONTEXT.ln(Decimal(2))
LOG2_E = CONTEXT.divide(Decimal(1), LN_2)

_TWO_PI = Decimal("6.2831853071795864769252867665590057683943")
_SERIES_BELOW = 4
_FRACTION_TERMS = 80
"""The continued fraction then holds 30 digits from `_SERIES_BELOW` on."""


def sigmoid(x: Decimal) -> Decimal:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + (-x).exp())


def tanh(x: Decimal) -> Decimal:
    """Hyperbolic tangent."""
    decay = (-2 * x).exp()
    return (1 - decay) / (1 + decay)


def lower_tail(x: Decimal) -> Decimal:
    """The normal distribution Phi(x) for x >= 0."""
    return 1 - upper_tail(x)


def upper_tail(x: Decimal) -> Decimal:
    """Phi(-x) for x >= 0, with relative accuracy."""
    density = (-x * x / 2).exp() / _TWO_PI.sqrt()
    if x >= _SERIES_BELOW:
        fraction = x
        for n in range(_FRACTION_TERMS, 0, -1):
            fraction = x + n / fraction
        return density / fraction
    # x + x^3 / 3 + x^5 / (3 5) + ...
    term = total = x
    n = 1
    while term > total.scaleb(-CONTEXT.prec):
        n += 2
        term = term * x * x / n
        total += term
    return Decimal("0.5") - density * total
