# SPDX-License-Identifier: Apache-2.0
"""Reduction engine: accumulator banks, their preload and their drain."""

from hw.pe.re.reduction_engine import ReductionEngine

__all__ = ["ReductionEngine"]
