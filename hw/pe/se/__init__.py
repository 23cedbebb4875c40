# SPDX-License-Identifier: Apache-2.0
"""SIMD engine: everything that is not a matrix product, row by row."""

from hw.pe.se.engine import SimdEngine

__all__ = ["SimdEngine"]
