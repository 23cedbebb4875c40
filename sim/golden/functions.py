# SPDX-License-Identifier: Apache-2.0
"""Table functions of the SIMD engine, bit for bit, on whole arrays.

`evaluate` is the whole function, as an element leaves the engine. `table_value` is what the
function unit itself gives: a value, and whether the multiplier behind it still has to multiply it
by the argument (TANH near zero, GELU and SILU).

Integers are int64, in the formats of `hw.arch.functions.datapath`. Where a number is exact in
float64 NumPy's float64 is used: it normalises subnormal FP32 numbers, and it rounds the final
value, of at most 51 bits, to FP32.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw.arch.commands import Function
from hw.arch.functions import BASES, DEPTH, REGIONS, Region, table
from hw.arch.functions import datapath as path
from sim.golden.fp import CANONICAL_NAN

__all__ = ["TableValue", "evaluate", "table_value"]

_CHUNK = 1 << 14
"""Elements worked on at a time: all intermediate arrays stay in the cache."""
_POSITION_MASK = (1 << path.POSITION_FRACTION) - 1
_FRACTION_WIDTH = 23
_BIG = 16.0
"""From here on the octaves end."""
_PHI_END = 8.0
"""Phi is 1 from here on, and 0 below its negative."""


class TableValue(NamedTuple):
    """What the function unit gives for each element."""

    value: NDArray[np.float32]
    times_argument: NDArray[np.bool_]
    """Whether the result is `value` times the argument, rounded once more; else it is `value`."""


class _Place(NamedTuple):
    """Where the polynomials of a chunk are, and what becomes of their values."""

    region: NDArray[np.int64] | int
    position: NDArray[np.int64]
    exponent: NDArray[np.int64] | int = 0
    """Power of two that multiplies the value."""
    addend: NDArray[np.int64] | int = 0
    """Added to the value, with `LN_2_FRACTION` bits."""


class _Rom(NamedTuple):
    """The table by columns, and what belongs to each region."""

    coefficients: tuple[NDArray[np.int64], ...]
    scale: NDArray[np.float64]
    """What the integer value has to be multiplied by."""
    base: NDArray[np.int64]
    segments_log2: NDArray[np.int64]


def evaluate(function: Function, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """`function` of every element of `x`; NaN results are canonical.

    `x` may also be an array of uint32, the bits of FP32 numbers; the result then is one, too.
    """
    argument = np.ascontiguousarray(x).view(np.float32).reshape(-1)
    result = np.empty(argument.shape, np.float32)
    for part in _chunks(argument.size):
        value, times_argument = _table_value(function, argument[part])
        with np.errstate(all="ignore"):
            np.multiply(value, argument[part], out=value, where=times_argument)
        result[part] = value
    return result.view(x.dtype).reshape(x.shape)


def table_value(function: Function, x: NDArray[np.float32]) -> TableValue:
    """Value and flag of the function unit for every element of `x`."""
    argument = np.ascontiguousarray(x).view(np.float32).reshape(-1)
    value = np.empty(argument.shape, np.float32)
    times_argument = np.empty(argument.shape, np.bool_)
    for part in _chunks(argument.size):
        value[part], times_argument[part] = _table_value(function, argument[part])
    return TableValue(value.reshape(x.shape), times_argument.reshape(x.shape))


def _chunks(size: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, size, _CHUNK))


@lru_cache(maxsize=1)
def _rom() -> _Rom:
    rows = table()
    columns = tuple(np.array([row.coefficients[i] for row in rows], np.int64) for i in range(4))
    scale = np.exp2([float(-row.exponent - path.VALUE_FRACTION) for row in rows])
    base, log2 = np.zeros((2, 1 + max(REGIONS)), np.int64)
    for region, spec in REGIONS.items():
        base[region], log2[region] = BASES[region], spec.segments_log2
    assert len(rows) == DEPTH
    return _Rom(columns, scale, base, log2)


def _polynomial(place: _Place) -> NDArray[np.float64]:
    """The tabulated value, times its power of two, exactly as the hardware has it."""
    rom = _rom()
    log2 = rom.segments_log2[place.region]
    row = rom.base[place.region] | place.position >> (path.POSITION_FRACTION - log2)
    t = (place.position << log2 & _POSITION_MASK) >> (path.POSITION_FRACTION - path.T_FRACTION)
    if place.region is Region.LOG_NEAR:
        t = _log_near_t(row - BASES[Region.LOG_NEAR], t)
    else:
        t -= 1 << path.T_FRACTION - 1
    c0, c1, c2, c3 = (column[row] for column in rom.coefficients)
    q2 = (c2 << 1) + (c3 * t >> 16)
    q1 = c1 + (q2 * t >> 16)
    value = (c0 << 15) + (q1 * t >> 2)
    value += place.addend << path.VALUE_FRACTION - path.LN_2_FRACTION
    # Powers of two are exact: they are written as the exponent fields of float64 numbers.
    power = np.left_shift(np.asarray(place.exponent, np.int64) + 1023, 52).view(np.float64)
    return value * rom.scale[row] * power


def _log_near_t(segment: NDArray[np.int64], t: NDArray[np.int64]) -> NDArray[np.int64]:
    """t of LOG_NEAR: in the first and last segment half as long, and 0 where x is 1."""
    half = 1 << path.T_FRACTION - 1
    first, last = segment == 0, segment == REGIONS[Region.LOG_NEAR].n_segments - 1
    return np.where(first | last, (t >> 1) - half * last, t - half)


def _significand(x: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exponent and fraction of |x| = 2^exponent (1 + fraction / 2^23); subnormals normalised."""
    bits = np.abs(x).astype(np.float64).view(np.int64)
    return (bits >> 52) - 1023, (bits >> 52 - _FRACTION_WIDTH) & (1 << _FRACTION_WIDTH) - 1


def _fixed(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """|x| in fixed point; anything from 2^`ARGUMENT_INTEGER` on only has to stay there."""
    magnitude = np.abs(x).astype(np.float64)
    magnitude = np.fmin(magnitude, 2.0**path.ARGUMENT_INTEGER)
    return (magnitude * 2.0**path.ARGUMENT_FRACTION).astype(np.int64)


def _as_position(fraction: NDArray[np.int64]) -> NDArray[np.int64]:
    return fraction << path.POSITION_FRACTION - _FRACTION_WIDTH


def _place_exp(x: NDArray[np.float32]) -> _Place:
    power = _fixed(x).astype(np.uint64) * np.uint64(path.LOG2_E_CONSTANT)
    dropped = path.ARGUMENT_FRACTION + path.LOG2_E_FRACTION - path.POWER_FRACTION
    power = (power + np.uint64(1 << dropped - 1) >> np.uint64(dropped)).astype(np.int64)
    power = np.where(np.signbit(x), -power, power)
    fraction = power & (1 << path.POWER_FRACTION) - 1
    return _Place(Region.EXP, _as_position(fraction), power >> path.POWER_FRACTION)


def _place_reciprocal(x: NDArray[np.float32]) -> _Place:
    exponent, fraction = _significand(x)
    return _Place(Region.RECIPROCAL, _as_position(fraction), -exponent)


def _place_rsqrt(x: NDArray[np.float32]) -> _Place:
    exponent, fraction = _significand(x)
    region = Region.RSQRT_EVEN + (exponent & 1)
    return _Place(region, _as_position(fraction), -(exponent >> 1))


def _place_octave(
    first: NDArray[np.int64] | int, x: NDArray[np.float32], last: int = path.OCTAVES - 1
) -> _Place:
    """Place in the octaves of a curve of |x|; x beyond the last octave is somewhere in it."""
    fixed = _fixed(x)
    octave = np.clip(np.frexp(x)[1].astype(np.int64), 0, last)
    position = fixed << (path.OCTAVES - 1 - np.maximum(octave, 1)) & _POSITION_MASK
    return _Place(first + octave, position)


def _round(value: NDArray[np.float64]) -> NDArray[np.float32]:
    """The only rounding: to nearest, ties to even, subnormal where small, infinite where large."""
    return value.astype(np.float32)


def _exp(x: NDArray[np.float32]) -> NDArray[np.float32]:
    value = _round(_polynomial(_place_exp(x)))
    beyond = np.abs(x) >= 2.0**path.ARGUMENT_INTEGER
    return np.where(beyond, np.where(np.signbit(x), np.float32(0), np.float32(np.inf)), value)


def _log(x: NDArray[np.float32]) -> NDArray[np.float32]:
    exponent, fraction = _significand(x)
    below_one = exponent < 0
    upper_half = fraction >> _FRACTION_WIDTH - 1 == 1
    near = ((exponent == 0) & ~upper_half) | ((exponent == -1) & upper_half)
    position = _as_position(fraction)
    n_ln_2 = np.where(below_one, ~exponent, exponent) * path.LN_2_CONSTANT
    far = _Place(Region.LOG_ABOVE + below_one.astype(np.int64), position, addend=n_ln_2)
    value = _polynomial(far)
    if near.any():
        value[near] = _polynomial(_Place(Region.LOG_NEAR, position[near]))
    value = _round(np.where(below_one, -value, value))
    value = np.where(x == np.inf, np.float32(np.inf), value)
    value = np.where(x == 0, np.float32(-np.inf), value)
    return np.where(x < 0, np.float32(np.nan), value)


def _reciprocal(x: NDArray[np.float32]) -> NDArray[np.float32]:
    value = _round(_polynomial(_place_reciprocal(x)))
    value = np.where(x == 0, np.float32(np.inf), value)
    return np.copysign(np.where(np.isinf(x), np.float32(0), value), x)


def _rsqrt(x: NDArray[np.float32]) -> NDArray[np.float32]:
    value = _round(_polynomial(_place_rsqrt(x)))
    value = np.where(x == np.inf, np.float32(0), value)
    value = np.where(x == 0, np.copysign(np.float32(np.inf), x), value)
    return np.where(x < 0, np.float32(np.nan), value)


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    first = np.where(np.signbit(x), Region.SIGMOID_NEGATIVE, Region.SIGMOID_POSITIVE)
    value = _round(_polynomial(_place_octave(first, x)))
    beyond = np.abs(x) >= _BIG
    if beyond.any():
        value[beyond] = np.where(x[beyond] > 0, np.float32(1), _exp(x[beyond]))
    return value


def _phi(x: NDArray[np.float32]) -> NDArray[np.float32]:
    first = np.where(np.signbit(x), Region.PHI_NEGATIVE, Region.PHI_POSITIVE)
    value = _round(_polynomial(_place_octave(first, x, last=path.OCTAVES - 2)))
    return np.where(np.abs(x) >= _PHI_END, (x > 0).astype(np.float32), value)


def _tanh(x: NDArray[np.float32]) -> NDArray[np.float32]:
    value = _round(_polynomial(_place_octave(Region.TANH, x)))
    value = np.where(np.abs(x) >= _BIG, np.float32(1), value)
    return np.where(np.abs(x) < 1, value, np.copysign(value, x))


_VALUES: dict[Function, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    Function.NONE: np.copy,
    Function.EXP: _exp,
    Function.LOG: _log,
    Function.RECIPROCAL: _reciprocal,
    Function.RSQRT: _rsqrt,
    Function.SIGMOID: _sigmoid,
    Function.TANH: _tanh,
    Function.GELU: _phi,
    Function.SILU: _sigmoid,
}


def _table_value(function: Function, x: NDArray[np.float32]) -> TableValue:
    """`table_value` of one chunk."""
    with np.errstate(all="ignore"):
        value = _VALUES[function](x)
        times_argument = np.zeros(x.shape, np.bool_)
        if function is Function.TANH:
            times_argument = np.abs(x) < 1
        elif function in (Function.GELU, Function.SILU):
            # 0 times minus infinity would be NaN.
            times_argument = (x > -np.inf) | np.isnan(x)
            value = np.where(times_argument, value, np.float32(-0.0))
        is_nan = np.isnan(x) | np.isnan(value)
        if is_nan.any():
            value = np.where(is_nan, CANONICAL_NAN.view(np.float32), value)
            times_argument = times_argument & ~is_nan
    return TableValue(value, times_argument)
