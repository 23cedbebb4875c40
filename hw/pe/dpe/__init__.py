# SPDX-License-Identifier: Apache-2.0
"""Dot-product engine."""

from hw.pe.dpe.array import DotProductArray

__all__ = ["DotProductArray"]
