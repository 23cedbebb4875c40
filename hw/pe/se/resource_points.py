# SPDX-License-Identifier: Apache-2.0
"""Points for `scripts/resources.py`: SIMD engine."""

from hw.pe.se.drain_path import DrainLane

__all__ = ["RESOURCE_POINTS"]

RESOURCE_POINTS = {"DrainLane": lambda: DrainLane()}
