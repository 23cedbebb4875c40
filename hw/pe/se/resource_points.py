# SPDX-License-Identifier: Apache-2.0
"""Points for `scripts/resources.py`: SIMD engine."""

import dataclasses
from functools import partial

from hw.config.presets import get_config
from hw.pe.se.back_lane import BackLane
from hw.pe.se.drain_lane import DrainLane
from hw.pe.se.engine import SimdEngine
from hw.pe.se.front_lane import FrontLane
from hw.pe.se.reduce_tree import ReduceNode

__all__ = ["RESOURCE_POINTS"]


def _engine(with_fp: bool) -> SimdEngine:
    """The engine of `fpga`, without table functions."""
    pe = get_config("fpga").pe
    return SimdEngine(
        config=dataclasses.replace(pe.se, with_fp=with_fp, with_functions=False),
        columns=pe.dpe.columns,
        address_width=(pe.ls.words - 1).bit_length(),
        word_bytes=pe.ls.word_bytes,
    )


RESOURCE_POINTS = {
    "DrainLane": lambda: DrainLane(),
    "FrontLane": lambda: FrontLane(),
    "BackLane": lambda: BackLane(),
    "ReduceNode": lambda: ReduceNode(),
    "SimdEngine, fpga, integer drain path alone": partial(_engine, False),
    "SimdEngine, fpga, no functions": partial(_engine, True),
}
