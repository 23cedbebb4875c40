# SPDX-License-Identifier: Apache-2.0
"""Points for `scripts/resources.py`: SIMD engine."""

import dataclasses
from functools import partial

from hw.config.presets import get_config
from hw.pe.se.back_lane import BackLane
from hw.pe.se.drain_lane import DrainLane
from hw.pe.se.drain_program import DrainDecoder
from hw.pe.se.engine import SimdEngine
from hw.pe.se.front_lane import FrontLane
from hw.pe.se.reduce_tree import ReduceNode

__all__ = ["RESOURCE_POINTS"]


def _engine(**changes: bool) -> SimdEngine:
    """The engine of `fpga`, with fields of its configuration changed."""
    pe = get_config("fpga").pe
    return SimdEngine(
        config=dataclasses.replace(pe.se, **changes),
        columns=pe.dpe.columns,
        address_width=(pe.ls.words - 1).bit_length(),
        word_bytes=pe.ls.word_bytes,
    )


RESOURCE_POINTS = {
    "DrainLane": lambda: DrainLane(),
    "DrainDecoder": lambda: DrainDecoder(),
    "FrontLane": lambda: FrontLane(),
    "BackLane": lambda: BackLane(),
    "ReduceNode": lambda: ReduceNode(),
    "SimdEngine, fpga": _engine,
    "SimdEngine, fpga, FP32 lanes": partial(_engine, with_fp=True),
    "SimdEngine, fpga, FP32 lanes and functions": partial(
        _engine, with_fp=True, with_functions=True
    ),
}
