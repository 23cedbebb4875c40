# SPDX-License-Identifier: Apache-2.0
"""Dot-product engine."""

from hw.pe.dpe.array import DotProductArray
from hw.pe.dpe.engine import DotProductEngine

__all__ = ["DotProductArray", "DotProductEngine"]
