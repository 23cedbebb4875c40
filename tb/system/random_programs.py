# SPDX-License-Identifier: Apache-2.0
"""Random programs of the SIMD engine that it takes."""

import random
import struct

from hw.arch.commands import Addend, BMode, Factor, Function, Post, Pre, Reduce, SimdOut
from hw.arch.formats import Format
from hw.config.element import SeConfig

__all__ = ["drain_program", "lane_program"]

_TIMES_ITSELF = (Function.TANH, Function.GELU, Function.SILU)
_NARROW = (Format.INT8, Format.UINT8)
_OUT = (Format.FP32, Format.FP16, Format.BF16, *_NARROW)
_STAT_FUNCTIONS = tuple(f for f in Function if f not in _TIMES_ITSELF)


def lane_program(
    rng: random.Random, se: SeConfig, a_format: Format, b_modes: tuple[BMode, ...], accumulate: bool
) -> dict[str, int]:
    """Fields of a program for the FP32 lanes."""
    b_mode = rng.choice(b_modes)
    functions = tuple(Function) if se.with_functions else (Function.NONE,)
    function = rng.choice((Function.NONE, Function.NONE, *functions))
    reduce = Reduce.NONE
    if function not in _TIMES_ITSELF and rng.random() < 0.5:
        reduce = rng.choice([r for r in Reduce if not (accumulate and r is Reduce.SUM_SQUARES)])
    factor = Factor.NONE if reduce is Reduce.SUM_SQUARES else rng.choice(list(Factor))
    posts = [post for post in Post if reduce or post is not Post.STATISTIC]
    fields: dict[str, int] = {
        "a_format": a_format,
        "b_mode": b_mode,
        "b_format": _b_format(rng, b_mode),
        "b_pair": b_mode in (BMode.ROW, BMode.HELD) and rng.random() < 0.5,
        "out_format": rng.choice(_OUT),
        "pre": rng.choice(list(Pre)),
        "relu": rng.random() < 0.3,
        "factor": factor,
        "addend": rng.choice(list(Addend)),
        "function": function,
        "reduce": reduce,
        "post": Post.NONE if function in _TIMES_ITSELF else rng.choice(posts),
        "out": rng.choice(list(SimdOut)) if reduce else SimdOut.ELEMENTS,
        "clamp": rng.random() < 0.3,
        "stochastic": rng.random() < 0.3,
        "stat_function": rng.choice(_STAT_FUNCTIONS) if se.with_functions else Function.NONE,
    }
    return {**fields, **_immediates(rng)}


def drain_program(rng: random.Random) -> dict[str, int]:
    """Fields of a program for the integer drain path."""
    held, out = rng.random() < 0.5, rng.choice((*_NARROW, Format.INT32))
    factors = (Factor.NONE,) if out is Format.INT32 else (Factor.NONE, Factor.IMMEDIATE, Factor.C)
    return {
        "a_format": Format.INT32,
        "b_format": Format.INT32,
        "out_format": out,
        "b_mode": BMode.HELD if held else BMode.NONE,
        "b_pair": held and rng.random() < 0.5,
        "pre": Pre.ADD if held else Pre.PASS,
        "relu": rng.random() < 0.5,
        "factor": rng.choice(factors),
        "clamp": rng.random() < 0.5,
        **_immediates(rng),
        "imm_b": 0,
        "imm_c": _bits(rng.uniform(0, 0.01)),
        "imm_factor": _bits(rng.uniform(0, 0.01)),
    }


def _b_format(rng: random.Random, mode: BMode) -> Format:
    if mode is BMode.HELD:
        return rng.choice((Format.INT32, Format.FP32))
    return rng.choice(list(Format)) if mode is BMode.ELEMENT else Format.FP32


def _immediates(rng: random.Random) -> dict[str, int]:
    names = ("imm_b", "imm_c", "imm_factor", "imm_addend", "stat_factor", "stat_addend")
    values = {name: _bits(rng.gauss(0, 2)) for name in names}
    values |= {"clamp_low": _bits(-rng.uniform(0, 50)), "clamp_high": _bits(rng.uniform(0, 50))}
    words = {name: rng.getrandbits(32) for name in ("seed", "tensor", "index_base", "index_pitch")}
    return {**values, **words}


def _bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]
